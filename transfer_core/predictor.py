"""Answers from a downloaded model: ONNX Runtime only, no torch. The command line asks here, and the predictor process
(`predicting`), which answers for the pages.

Everything but the pixels comes from the file itself: class names, preprocessing, temperature.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from transfer_core.errors import BadImage, BadInput, NotFound
from transfer_core.images import Preprocessing, open_image, preprocess
from transfer_core.words import Message, has

FORMAT = "transfer-studio/1"
"""The value of `format` in the metadata of the ONNX files we write."""
BATCH = 16
"""Images decoded before the next answers are given."""
THREADS = max(1, min(4, (os.cpu_count() or 2) // 2))
"""Half the cores: a page that predicts must not starve the training beside it."""

Source = Path | str | bytes | BinaryIO


@dataclass(frozen=True)
class Prediction:
    """What a model says of one file, or (`error`, `hint`) why that file cannot be asked about."""

    file: str
    label: str | None = None
    probabilities: tuple[float, ...] = ()
    """In the order of `Predictor.classes`; they sum to 1."""
    none_of_these: bool | None = None
    """Whether the photo is so unlike those the model learned from that it may be of none of its classes; None where the file
    cannot tell."""
    likeness: float | None = None
    """Largest cosine of its features to those of a training photo."""
    error: Message | None = None
    hint: Message | None = None

    def to_dict(self, classes: Sequence[str]) -> dict[str, Any]:
        """As the command line prints it: `{"file", "label", "none_of_these", "probabilities": {class: p}}` or
        `{"file", "error", "hint"}`."""
        if self.error:
            return {"file": self.file, "error": self.error.say(), "hint": self.hint.say() if self.hint else ""}
        return {"file": self.file, "label": self.label, "none_of_these": self.none_of_these,
                "probabilities": dict(zip(classes, self.probabilities, strict=True))}


class Predictor:
    """An exported ONNX file, ready to be asked. Safe to share between threads.

    Raises `NotFound` when there is no such file, `BadInput` (`not_our_model`) when it is not an export of this studio.
    """

    def __init__(self, path: Path | str, threads: int = THREADS) -> None:
        import onnxruntime

        path = Path(path)
        if not path.is_file():
            raise NotFound("no_model_file", file=path.name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads sleep
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            facts = read_facts(self._session.get_modelmeta().custom_metadata_map)
        except Exception as error:  # ONNX Runtime raises its own kinds; every one means: cannot be used
            raise BadInput("not_our_model", file=path.name) from error
        self.facts = facts
        """Everything the file says of itself: classes, preprocessing, architecture, run, …"""
        self.classes: list[str] = facts["classes"]
        self.preprocessing = Preprocessing.from_dict(facts["preprocessing"])
        self.none_below: float | None = facts.get("none_below")
        """The likeness below which a photo may be of none of the classes; None in a file without that."""

    def predict(self, images: Sequence[Image.Image]) -> np.ndarray:
        """Upright RGB images (from `open_image`) → float32 probabilities, images × classes."""
        parts = [self.probabilities(np.stack([preprocess(image, self.preprocessing) for image in images[start : start + BATCH]]))
                 for start in range(0, len(images), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes)), np.float32)

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Preprocessed inputs N × 3 × H × W (N ≥ 1) → probabilities N × classes."""
        return self.answers(inputs)[0]

    def answers(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The same, and of each input its likeness, float32 N; None where the file has none."""
        # One at a time: as fast on a processor (9.8 ms an image against 15.1 in batches of 16, EfficientNet-Lite0), and
        # it takes 6 MB where 16 take 180. A few exports hold one image only, too.
        wanted = [self.facts["output"], *([] if self.none_below is None else [self.facts["likeness"]])]
        given = [self._session.run(wanted, {self.facts["input"]: image[None]}) for image in inputs]
        found = softmax(np.concatenate([each[0] for each in given]) / np.float32(self.facts["temperature"]))
        return found, np.concatenate([each[1] for each in given]) if len(wanted) > 1 else None

    def predict_files(self, sources: Sequence[Source], names: Sequence[str] | None = None) -> list[Prediction]:
        """One `Prediction` for each path or bytes, in order. A bad image is an answer too, not an exception."""
        return list(self.stream_files(sources, names))

    def stream_files(self, sources: Sequence[Source], names: Sequence[str] | None = None) -> Iterator[Prediction]:
        """The same, given as soon as each batch is done."""
        names = names or [source if isinstance(source, str) else str(source) if isinstance(source, Path) else str(number)
                          for number, source in enumerate(sources, start=1)]
        for start in range(0, len(sources), BATCH):
            opened = [_input(source, self.preprocessing) for source in sources[start : start + BATCH]]
            good = [one for one in opened if not isinstance(one, BadImage)]
            found, likeness = self.answers(np.stack(good)) if good else ((), None)
            answers = iter(zip(found, [None] * len(found) if likeness is None else likeness, strict=True))
            for name, one in zip(names[start : start + BATCH], opened, strict=True):
                if isinstance(one, BadImage):
                    yield refused(name, one)
                else:
                    given, like = next(answers)
                    yield Prediction(name, self.classes[int(given.argmax())], tuple(map(float, given)),
                                     *((None, None) if like is None else (bool(like < self.none_below), float(like))))


def _input(source: Source, how: Preprocessing) -> np.ndarray | BadImage:
    try:
        return preprocess(open_image(Path(source) if isinstance(source, str) else source), how)
    except BadImage as error:
        return error
    except OSError:  # the file is gone, or may not be read
        return BadImage("unreadable_file")


def refused(name: str, error: BadImage) -> Prediction:
    """What is known of a file that cannot be asked about."""
    key = f"errors.{error.code}.hint"
    return Prediction(name, error=error.as_message(), hint=Message(key=key, values=error.values) if has(key) else None)


def read_facts(metadata: dict[str, str]) -> dict[str, Any]:
    """What the exporter wrote into the file. Raises `ValueError` or `KeyError` when it did not."""
    if metadata.get("format") != FORMAT:
        raise ValueError("no metadata of ours")
    facts = {name: json.loads(text) for name, text in metadata.items() if name != "format"}
    for needed in ("classes", "preprocessing", "temperature", "input", "output"):
        facts[needed]
    if not isinstance(facts.get("none_below"), float | None):
        raise ValueError("a threshold that is no number")
    if facts.get("none_below") is not None:
        facts["likeness"]
    return facts


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last axis; the largest logit is taken off first, so nothing overflows."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
