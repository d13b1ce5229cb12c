"""A run written by hand, whose every number is known, and a reader of its report that knows no browser's mercy."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import stories
from PIL import Image as Picture

from transfer_core import metrics
from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.datasets.summary import describe
from transfer_core.events import Evaluated, Finished
from transfer_core.store import Job, Store
from transfer_core.words import message

HOSTILE = ["<script>alert(1)</script>", "a|b \"q\" 'p' &amp; `c` **d**", "苹果 🍎", "שלום\u202e abc", "]]>--><!-- {0} {name}",
           "line\nbreak\x00\x07", "</style></title><img src=x onerror=alert(1)>", "javascript:alert(1) https://evil.example/x"]
VOID = {"meta", "input", "img", "br"}


def made(store: Store, labels: list[str] = HOSTILE, each: int = 6, splits: tuple[str, ...] = ("train", "validation", "test"),
         name: str = "<i>run</i> & \"more\"", right: float = 0.7, pictures: bool = True, dataset: str = "hostile-1",
         epochs: int = 3, **payload) -> Job:
    """A finished run of `each` photos a class and split, of which a share is named `right`."""
    random, images = np.random.default_rng(0), []
    for split in splits:
        for label in labels:
            for number in range(each):
                content = f"{split} {label} {number}".encode("utf-8", "surrogatepass")
                images.append(Image(hashlib.sha256(content).hexdigest(), f"{number}.jpg", label, split, len(images), 40, 30))
    manifest = Manifest(dataset, 1, tuple(images))
    manifest.write(store.home)
    store.add_dataset("set <u>", dataset, message("app.name"), {"dataset": dataset, "version": 1, **describe(images, {})})
    run = stories.begun(store, "train", stories.payload(dataset=dataset) | {"name": name} | payload)
    folder, classes, kept = store.home.run(run.id), manifest.classes, {}
    measured = [split for split in ("validation", "test") if split in splits]
    store.append(run.id, *([stories.started()] if epochs else []), *(
        event for number in range(1, epochs + 1) for event in stories.epoch(number)))
    for split in measured:
        of_split = manifest.of(split)
        truth = np.array([classes.index(image.label) for image in of_split])
        given = random.dirichlet(np.ones(len(classes)), len(truth)).astype(np.float64)
        given[np.arange(len(truth)), truth] += np.where(random.random(len(truth)) < right, 2.0, 0.0)
        given /= given.sum(axis=1, keepdims=True)
        kept[split] = metrics.report(truth, given, classes, manifest.counts())
        rows = [{"sha256": image.sha256, "file": image.file, "label": image.label, "predicted": classes[int(row.argmax())],
                 "probabilities": row.tolist()} for image, row in zip(of_split, given, strict=True)]
        (folder / f"predictions_{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        store.append(run.id, Evaluated(split=split, report=kept[split]))
        for row in rows if pictures else ():
            Picture.fromarray(random.integers(0, 256, (192, 256, 3), np.uint8)).save(store.home.thumbnail(row["sha256"]), "WEBP")
    (folder / "report.json").write_text(json.dumps(
        kept | {"counts": manifest.counts(), "temperature": {"value": 1.37, "n": 40, "fitted": True}}), "utf-8")
    (folder / "classes.json").write_text(json.dumps(classes), "utf-8")
    (folder / "info.json").write_text(json.dumps({"parameters": 1000, "versions": {"timm": "1.2.3", "torch": "9.9.9"}}), "utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    store.append(run.id, Finished(best_epoch=2, seconds=3.0))
    score = {split: {"accuracy": kept[split]["accuracy"], "n": kept[split]["n"]} for split in measured}
    store.end(run.id, "finished", {"epochs": epochs, **score})
    return store.job(run.id)


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    inside: list = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(part if isinstance(part, str) else part.text for part in self.inside)

    def all(self, *tags: str) -> list[Element]:
        found = []
        for part in self.inside:
            if isinstance(part, Element):
                found += ([part] if part.tag in tags or not tags else []) + part.all(*tags)
        return found


class Reader(HTMLParser):
    """Every element must be closed where it was opened."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.here = Element("", {})

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in <{tag}>"
        element = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.inside.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag, attrs):
        self.here.inside.append(Element(tag, {name: value or "" for name, value in attrs}, self.here))

    def handle_endtag(self, tag):
        assert self.here.tag == tag, f"</{tag}> inside <{self.here.tag}>"
        self.here = self.here.parent

    def handle_data(self, data):
        self.here.inside.append(data)

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data[:50]}")


def read(content: bytes) -> Element:
    reader = Reader()
    reader.feed(content.decode("utf-8"))
    reader.close()
    assert reader.here is reader.root, f"<{reader.here.tag}> is never closed"
    return reader.root
