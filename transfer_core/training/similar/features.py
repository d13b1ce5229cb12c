"""What goes into a trained run's classifier, for images of its dataset: computed once for each model, and kept."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from transfer_core.activations import Entry, Shelf, Spec, make_room
from transfer_core.datasets.manifest import Image
from transfer_core.errors import Unavailable
from transfer_core.events import Event, Progressed
from transfer_core.paths import Home
from transfer_core.predictor import softmax
from transfer_core.training.averaging import answers, as_part
from transfer_core.training.checkpoint import BEST
from transfer_core.training.evaluate import full_float32
from transfer_core.training.export.facts import sha256_of
from transfer_core.training.export.replay import read_json
from transfer_core.training.fit import choose_device
from transfer_core.training.listening import listening, units
from transfer_core.training.models import features_and_logits, in_fast_layout, load_run
from transfer_core.training.pipeline import ImageInputs
from transfer_core.training.prefix.fill import WAIT

STAGE = "seeing"
_CHUNK = 512
"""Images whose features are written at once. What was written is there when somebody stops, or asks again."""
Seen = tuple[np.ndarray, np.ndarray]
"""Features float32 N × D, each row of length 1, and probabilities float32 N × C."""


class Eye:
    """A trained run's model, asked for what it sees. Raises `NotFound` (no trained model), `Unavailable` (no classifier).

    Features and probabilities lie on the shelf of activations, under the hash of the weights: a run that was resumed has others,
    and is looked through anew. They are removed by age like all that lies there.
    """

    def __init__(self, run_folder: Path | str, home: Home, device: str = "auto") -> None:
        self.folder, self.home, self.where = Path(run_folder), home, choose_device(device)
        self.model, self.classes, self.how = load_run(self.folder)
        self.model = in_fast_layout(self.model).to(self.where)
        self._size = self.one(np.zeros((3, *self.how.size), np.float32))[0].shape[0]

    def one(self, image: np.ndarray) -> Seen:
        """Of one preprocessed image, float32 3 × H × W: features D and probabilities C. Nothing is kept."""
        with torch.inference_mode(), full_float32():
            given, logits = features_and_logits(self.model, torch.from_numpy(image)[None].to(self.where))
        if not given:
            raise Unavailable("no_linear_head", model=read_json(self.folder / "info.json")["architecture"])
        return _together([self._vectors(each) for each in given])[0], softmax(logits.float().cpu().numpy())[0]

    def known(self, images: Sequence[Image]) -> list[Image]:
        """Those of a class the model knows, whose file is still there."""
        known = set(self.classes)
        return [image for image in images if image.label in known and self.home.image(image.sha256).is_file()]

    def see(self, images: Sequence[Image]) -> Generator[Event, None, Seen]:
        """Progress (stage "seeing"). Of `known` images; what is kept is not computed again.

        Closing it loses at most the last 512 images. Where there is no room on the disk nothing is kept, and it goes on.
        """
        digests, shelf = [image.sha256 for image in images], Shelf(self.home)
        spec = self._spec()
        entry = shelf.entry(spec)
        missing = len(entry.missing(digests))
        if make_room(shelf, missing * spec.bytes_per_image, frozenset({spec.key})):
            try:
                yield from self._fill(entry, images)
                return entry.rows(digests).take(range(len(images)))
            except OSError:  # the disk is full
                pass
        parts, chunks = [], _in_chunks(images)
        for number, chunk in enumerate(chunks):
            parts.append((yield from self._asked(chunk, number, len(chunks))))
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

    def _spec(self) -> Spec:
        info = read_json(self.folder / "info.json")
        return Spec(prefix=f"{sha256_of(self.folder / BEST)} torch {torch.__version__}", engine=self.where.type,
                    preprocessing=self.how.to_dict(), view={}, shapes=((self._size,), (len(self.classes),)), dtype="float32",
                    model=info["architecture"], boundary="features")

    def _fill(self, entry: Entry, images: Sequence[Image]) -> Generator[Event, None, None]:
        while not entry.take_turn(WAIT):
            yield Progressed(stage=f"{STAGE}_elsewhere", done=0)
        try:
            chunks = _in_chunks([images[place] for place in entry.missing([image.sha256 for image in images])])
            for number, chunk in enumerate(chunks):
                seen = yield from self._asked(chunk, number, len(chunks))
                entry.append([image.sha256 for image in chunk], seen)
        finally:
            entry.done()

    def _asked(self, images: Sequence[Image], number: int, chunks: int) -> Generator[Event, None, Seen]:
        """One chunk, from stored activations where the run has them."""
        inputs = ImageInputs.of(images, self.classes, self.home, self.how)
        with listening(self.model, self._vectors) as heard:
            found = yield from as_part(answers(self.folder, self.model, inputs, self.home, self.where), STAGE, number, chunks)
            return _together(heard(len(images))), found

    def _vectors(self, given: Tensor) -> Tensor:
        """One vector an image, on the processor. A classifier that reads every place of the last features is given their mean
        here: 60,000 numbers a photo would be 1.2 GB for a map."""
        given = given.detach().float()
        if given.ndim > 2:
            wide = next((axis for axis in range(1, given.ndim) if given.shape[axis] == self.model.num_features), 1)
            given = given.movedim(wide, 1).flatten(2).mean(2)
        return given.cpu()


def _together(given: Sequence[Tensor]) -> np.ndarray:
    """Features of two classifiers side by side; rows of length 1."""
    return units(torch.cat(list(given), 1).numpy())


def _in_chunks(images: Sequence[Image]) -> list[Sequence[Image]]:
    return [images[start:start + _CHUNK] for start in range(0, len(images), _CHUNK)]
