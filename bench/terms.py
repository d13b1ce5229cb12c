"""What each source loss and each Ω learns, and what it keeps: few photos a class, many seeds, the same photos for all.

    python bench/terms.py --log terms.jsonl --known ants_bees.zip pets_labelled_120.zip --second sign_language_digits.zip \
        -- clothing_10.zip digits_mnist.zip
    python bench/terms.py --log terms.jsonl --table       # only writes docs/terms.md from what is in the log

First every λ of a small grid is tried with a few seeds at the middle size, and the product's own rule (`sweeping.recommend`)
takes one by validation photos; then every term is trained with its λ for every size and seed. Each result is a line of the log,
and a run that is in it is not made again, so this may be broken off and go on.

Learned: right answers on test photos. Kept: how often the original ImageNet classifier, on the features as they are now, still
says of photos of the `--known` sets what it said before (agreement), and how often it is right there: a photo of an ant is to be
called one of ImageNet's ants. None of these photos is trained on. Rows are compared photo by photo within a seed with plain
fine-tuning; the interval resamples seeds and photos.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from common import RESAMPLED, difference, imported
from torch import Tensor, nn

from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.events import Epoch, Swept
from transfer_core.paths import Home
from transfer_core.recipe import DEFAULT_MODEL, Recipe
from transfer_core.regularizers import REGULARIZERS
from transfer_core.source_losses import SOURCE_LOSSES
from transfer_core.sweeping import recommend
from transfer_core.training.evaluate import probabilities
from transfer_core.training.fit import fit
from transfer_core.training.listening import listening
from transfer_core.training.models import Built, build, features_and_logits, head_tensors, load_run
from transfer_core.training.pipeline import ImageInputs, in_order
from transfer_core.training.prefix.answers import StoredAnswers

PAGE = Path(__file__).resolve().parents[1] / "docs" / "terms.md"
SIZES, MIDDLE = (5, 10, 20), 10
STEPS, BATCH = 80, 16
VALIDATION, TEST = 60, 200
"""Photos the epoch and λ are chosen by, and those that count, at most. A person with five a class has fewer of the first."""
SOURCE_TIMES, OMEGA_TIMES = (0.1, 1.0, 10.0), (1.0, 10.0, 100.0)
"""λ tried, as multiples of 1 (of 0.4 for co_tuning), and of what the product takes when an Ω is chosen."""
KNOWN = {"ants": range(310, 311), "bees": range(309, 310), "cat": range(281, 286), "dog": range(151, 269)}
"""ImageNet's classes that a label of the known photos stands for."""
PLAIN, HEAD_ONLY = "plain fine-tuning", "head only"


@dataclass(frozen=True)
class Trial:
    """One training. Two equal ones give equal models."""

    stage: str
    dataset: str
    term: str
    value: float | None
    each: int
    """Training photos a class."""
    seed: int

    @property
    def key(self) -> str:
        return json.dumps(list(vars(self).values()))


def main() -> None:
    asked = _asked()
    if asked.table:
        PAGE.write_text(page(read_log(asked.log), asked.freeze), "utf-8")
        return
    os.environ.setdefault("TRANSFER_STUDIO_CACHE_BYTES", str(60_000_000_000))
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(asked.home or Path(place) / "home"))
        known = [image for photos in asked.known for image in imported(photos, home).images]
        manifests = [imported(photos, home) for photos in asked.zips]
        study = Study(home, known, {photos.stem: manifest for photos, manifest in zip(asked.zips, manifests, strict=True)},
                      asked.log, asked.freeze, asked.size, imported(asked.second, home) if asked.second else None)
        study.all(asked.tries, asked.seeds)
    print(table(read_log(asked.log)))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zips", nargs="*", type=Path)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--known", nargs="+", type=Path, default=[], help="labelled photos ImageNet has classes for")
    parser.add_argument("--second", type=Path, help="a dataset to learn at the same time (replay)")
    parser.add_argument("--table", action="store_true", help="only write docs/terms.md from the log")
    parser.add_argument("--home", type=Path, help="where activations stay from one call to the next")
    parser.add_argument("--freeze", type=int, default=6, help="layer groups that are frozen")
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--tries", type=int, default=2, help="seeds for each λ of the grid")
    parser.add_argument("--seeds", type=int, default=10)
    return parser.parse_args()


def terms(second: Manifest | None = None) -> dict[str, dict[str, Any]]:
    """Every term → its recipe settings; λ is set apart. That which needs a `second` dataset only where there is one."""
    found: dict[str, dict[str, Any]] = {HEAD_ONLY: {"freeze": "all", "regularizer": None}, PLAIN: {"regularizer": None}}
    found |= {each.name: {"source_loss": each.name, "regularizer": None} for each in SOURCE_LOSSES if not each.facts.get("data")}
    if second:
        found |= {each.name: {"source_loss": each.name, "regularizer": None, "source_dataset": second.dataset}
                  for each in SOURCE_LOSSES if each.facts.get("data")}
    return found | {each.name: {"regularizer": each.name} for each in REGULARIZERS}


def values(term: str) -> list[float]:
    """λ to try of a term."""
    if term in SOURCE_LOSSES and SOURCE_LOSSES[term].facts.get("data"):
        return []  # at its λ, 1: both datasets count the same
    if term in SOURCE_LOSSES:
        return [(0.4 if term == "co_tuning" else 1.0) * times for times in SOURCE_TIMES]
    if term in REGULARIZERS:
        return [REGULARIZERS[term].facts["default"] * times for times in OMEGA_TIMES]
    return []


class Study:
    def __init__(self, home: Home, known: Sequence[Image], manifests: dict[str, Manifest], log: Path, freeze: int,
                 size: int, second: Manifest | None = None) -> None:
        self.terms = terms(second)
        self.home, self.known, self.manifests, self.log, self.size = home, known, manifests, log, size
        self.common = {"model": DEFAULT_MODEL, "freeze": freeze, "image_size": size, "augmentation": "none", "patience": 0,
                       "batch_size": BATCH, "learning_rate": 3e-3, "precision": "float32"}
        rows = read_log(log)
        if others := {(row.get("freeze", freeze), row["size"]) for row in rows} - {(freeze, size)}:
            raise SystemExit(f"{log} holds trainings with other layers frozen or other sizes: {others}")
        self.done = {row["key"] for row in rows}

    def all(self, tries: int, seeds: int) -> None:
        for dataset in self.manifests:
            for term in self.terms:
                for value in values(term):
                    self.every(Trial("grid", dataset, term, value, MIDDLE, seed) for seed in range(tries))
        rows = read_log(self.log)
        chosen = {term: choose(rows, term) for term in self.terms}
        for seed in range(seeds):  # seed by seed, so that what is broken off is a whole study with fewer seeds
            for dataset in self.manifests:
                for each in SIZES:
                    self.every(Trial("study", dataset, term, chosen[term], each, seed) for term in self.terms)

    def every(self, trials: Iterable[Trial]) -> None:
        for trial in trials:
            if trial.key in self.done:
                continue
            row = self.run(trial)
            with self.log.open("a") as log:
                log.write(json.dumps({"key": trial.key, **vars(trial), "freeze": self.common["freeze"], "size": self.size,
                                      "beside": self.terms[trial.term].get("source_dataset"),
                                      **row}) + "\n")
            self.done.add(trial.key)
            print(trial.key, {name: round(value, 3) for name, value in row.items() if isinstance(value, float)}, flush=True)

    def run(self, trial: Trial) -> dict[str, Any]:
        manifest = drawn(self.manifests[trial.dataset], trial.each, trial.seed)
        count = len(manifest.of("train"))
        settings = {**self.common, **self.terms[trial.term], "dataset": manifest.dataset, "seed": trial.seed,
                    "epochs": max(1, round(STEPS / max(1, count // BATCH)))}
        if trial.value is not None:
            settings["lambda_target" if trial.term in SOURCE_LOSSES else "lambda_omega"] = trial.value
        folder = Path(tempfile.mkdtemp())
        try:
            learned = [event for event in fit(Recipe(**settings), manifest, self.home, folder) if isinstance(event, Epoch)]
            best = next(event for event in reversed(learned) if event.best)
            right, said, drift = self._asked(folder, manifest)
        finally:
            shutil.rmtree(folder)
        same = said == first_words(self)
        return {"validation": best.validation_accuracy, "validated": len(manifest.of("validation")), "named": best.right,
                "drift": drift, "kept_here": best.kept.agreement, "accuracy": float(right.mean()),
                "agreement": float(same.mean()), "source": float(called(self.known, said).mean()), "right": _bits(right),
                "same": _bits(same), "called": _bits(called(self.known, said))}

    def _asked(self, folder: Path, manifest: Manifest) -> tuple[np.ndarray, np.ndarray, float]:
        """Whether each test photo is right, what the original classifier says of each known one, and how far the weights went."""
        model, classes, how = load_run(folder)
        test = ImageInputs.of(manifest.of("test"), classes, self.home, how)
        logits, _ = self.asked(folder, model, test)
        _, features = self.asked(folder, model, known(self))
        before = {name: tensor for name, tensor in begin(self).model.named_parameters() if name not in head_tensors(model)}
        gone = sum(float((tensor.detach() - before[name].detach()).square().sum()) for name, tensor in model.named_parameters()
                   if name in before)
        whole = sum(float(tensor.detach().square().sum()) for tensor in before.values())
        return logits.argmax(1) == test.labels.numpy(), words(self, features), (gone / whole) ** 0.5

    def asked(self, folder: Path, model: nn.Module, inputs: ImageInputs) -> tuple[np.ndarray, Tensor]:
        """Logits, and what goes into the classifier; what frozen layers say of these photos comes from the store."""
        with listening(model) as told:
            logits = returned(StoredAnswers(folder, model, self.home, torch.device("cpu")).logits(inputs))
            if logits is None:
                logits = returned(probabilities(model, inputs, torch.device("cpu")))
            return logits, told(len(inputs.labels))[0]


def returned(work: Generator[Any, None, Any]) -> Any:
    """What a generator returns, its events dropped."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


@cache
def begin(study: Study) -> Built:
    """The model as every training began."""
    recipe = Recipe(dataset="none", **{name: study.common[name] for name in ("model", "image_size")})
    built = build(recipe, 2, study.home)
    built.model.eval()
    return built


@cache
def known(study: Study) -> ImageInputs:
    classes = sorted({image.label for image in study.known})
    return ImageInputs.of(study.known, classes, study.home, begin(study).preprocessing)


@cache
def first_words(study: Study) -> np.ndarray:
    """What the original classifier said of each known photo before any training."""
    with torch.inference_mode():
        seen = [features_and_logits(begin(study).model, images)[0][0]
                for images, _ in known(study).batches(in_order(len(study.known), BATCH), 0)]
    return words(study, torch.cat(seen))


def words(study: Study, features: Tensor) -> np.ndarray:
    """What the original classifier says of features."""
    with torch.inference_mode():
        return begin(study).source_head[0](features).argmax(1).numpy()


def called(known: Sequence[Image], said: np.ndarray) -> np.ndarray:
    """Whether the original classifier's answer is one of the ImageNet classes that a photo's label stands for."""
    return np.array([int(answer) in KNOWN[image.label.lower()] for image, answer in zip(known, said, strict=True)])


def drawn(manifest: Manifest, each: int, seed: int) -> Manifest:
    """So many training photos of each class, by the seed; the same validation and test photos for every seed."""
    chance, images = np.random.default_rng((seed, 11)), []
    for label in manifest.classes:
        own = [image for image in manifest.of("train") if image.label == label]
        images += [own[place] for place in chance.permutation(len(own))[:each]]
    fixed = np.random.default_rng(0)
    for split, most in (("validation", VALIDATION), ("test", TEST)):
        own = manifest.of(split)
        images += [own[place] for place in sorted(fixed.permutation(len(own))[:most])]
    return replace(manifest, images=tuple(images))


def choose(rows: Sequence[dict], term: str) -> float | None:
    """One λ for all datasets, by the grid's validation photos: a value the product could take for everybody."""
    points = [Swept(value=row["value"], seed=row["seed"], turn=row["seed"], accuracy=row["validation"], low=0, high=1,
                    n=row["validated"], kept=row["kept_here"], drift=row["drift"], run="")
              for row in rows if (row["stage"], row["term"]) == ("grid", term)]
    found = recommend(points)
    return found and found[0].value


def _bits(values: np.ndarray) -> str:
    return "".join("1" if value else "0" for value in values)


def read_log(log: Path) -> list[dict]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


def page(rows: Sequence[dict], freeze: int) -> str:
    """The document: what was asked and how, then the tables."""
    sizes, pixels = ", ".join(map(str, SIZES)), "/".join(str(size) for size in sorted({row["size"] for row in rows}))
    beside = sorted({row["beside"].rpartition("-")[0] for row in rows if row.get("beside")})  # without its id
    torch_version = torch.__version__.split("+")[0]
    return f"""# What each term learns, and what it keeps

Written by `python bench/terms.py` (timm {timm.__version__}, torch {torch_version}). {DEFAULT_MODEL}, the first {freeze} of
its layer groups frozen, {pixels} pixels, no augmentation, AdamW, about {STEPS} steps of {BATCH} photos; {sizes} training photos a
class. The epoch is the one that names most of {VALIDATION} validation photos right, more than a person with few photos has. Every
term sees the same photos in the same order, and λ is one value for both datasets, chosen by the rule of the product's own sweep
on validation photos (last table, {MIDDLE} a class); the test photos took no part in it.

*Learned*: right on test photos. *Kept, same answer*: photos of ants, bees, cats and dogs of which the original ImageNet
classifier still says what it said before the training, on the features as they are now. *Kept, right*: of which it says a
right ImageNet class. None of them was trained on. Differences are against plain fine-tuning, photo by photo within a seed; the
95 % intervals resample seeds and photos ({RESAMPLED} times). Many rows are compared here: one in twenty intervals misses by luck.

{" ".join(f"replay learned `{name}` at the same time." for name in beside)}

{table(rows)}
"""


def table(rows: Sequence[dict]) -> str:
    """For each dataset and size what every term learned and kept, against plain fine-tuning."""
    study = [row for row in rows if row["stage"] == "study"]
    parts = []
    for dataset in dict.fromkeys(row["dataset"] for row in study):
        for each in sorted({row["each"] for row in study}):
            own = [row for row in study if (row["dataset"], row["each"]) == (dataset, each)]
            parts.append(_one_table(dataset, each, own))
    return "\n\n".join(filter(None, (*parts, _grid(rows))))


def _one_table(dataset: str, each: int, rows: Sequence[dict]) -> str:
    names = dict.fromkeys(row["term"] for row in rows)
    by_term = {term: {row["seed"]: row for row in rows if row["term"] == term} for term in names}
    seeds = sorted(set.intersection(*(set(found) for found in by_term.values())))  # those that every term has been through
    if not seeds:
        return ""
    plain = by_term[PLAIN]
    n, known = len(plain[seeds[0]]["right"]), len(plain[seeds[0]]["same"])
    lines = [f"**{dataset}, {each} photos a class, {len(seeds)} seeds, {n} test photos, {known} photos of known things**", "",
             "| term | λ | learned | against plain | kept: same answer | against plain | kept: right | against plain | drift |",
             "|---|---|---|---|---|---|---|---|---|"]
    for term, found in by_term.items():
        cells = [f"| {term} | {'' if found[seeds[0]]['value'] is None else format(found[seeds[0]]['value'], 'g')} "]
        for name in ("right", "same", "called"):
            values, usual = (np.array([_numbers(of[seed][name]) for seed in seeds]) for of in (found, plain))
            gap, low, high = (100 * value for value in difference([values], [usual]))
            against = "" if term == PLAIN else f"{gap:+.1f} ({low:+.1f} to {high:+.1f})"
            cells.append(f"| {100 * values.mean():.1f} % | {against} ")
        cells.append(f"| {100 * np.mean([found[seed]['drift'] for seed in seeds]):.2f} % |")
        lines.append("".join(cells))
    return "\n".join(lines)


def _grid(rows: Sequence[dict]) -> str:
    """What was tried to choose λ: validation photos, mean over datasets and seeds."""
    grid = [row for row in rows if row["stage"] == "grid"]
    if not grid:
        return ""
    lines = ["**λ tried at the middle size: right on validation photos, and kept there**", "",
             "| term | λ | learned | kept | n |", "|---|---|---|---|---|"]
    for term in dict.fromkeys(row["term"] for row in grid):
        chosen = choose(grid, term)
        for value in sorted({row["value"] for row in grid if row["term"] == term}):
            same = [row for row in grid if (row["term"], row["value"]) == (term, value)]
            learned, kept = (100 * np.mean([row[name] for row in same]) for name in ("validation", "kept_here"))
            mark = " ←" if value == chosen else ""
            lines.append(f"| {term} | {value:g}{mark} | {learned:.1f} % | {kept:.1f} % | {sum(r['validated'] for r in same)} |")
    return "\n".join(lines)


def _numbers(bits: str) -> np.ndarray:
    return np.array([bit == "1" for bit in bits], float)


if __name__ == "__main__":
    main()
