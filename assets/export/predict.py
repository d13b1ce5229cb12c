"""Name photos with model.onnx.

    python -m pip install -r requirements.txt
    python predict.py photo.jpg holiday/
    python predict.py --json photo.jpg

Class names and preprocessing are read from the model file. `pictures/` opens a picture and prepares it exactly as it was
done when the model was measured: turned upright, transparent parts white, resized, cropped, normalised.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import onnxruntime
from pictures.errors import BadImage
from pictures.images import Preprocessing, open_image, preprocess

_MISSING = "there is no such file"


class Model:
    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        facts = self.session.get_modelmeta().custom_metadata_map
        self.classes: list[str] = json.loads(facts["classes"])
        self.preprocessing = Preprocessing.from_dict(json.loads(facts["preprocessing"]))
        self.temperature = np.float32(json.loads(facts["temperature"]))
        self.none_below = json.loads(facts.get("none_below", "null"))
        self.likeness = json.loads(facts.get("likeness", "null"))
        self.input, self.output = json.loads(facts["input"]), json.loads(facts["output"])

    def probabilities(self, path: Path) -> tuple[np.ndarray, bool | None]:
        """One picture file → the probability of each class, in the order of `classes`; and whether it is so unlike the photos
        the model learned from that it may be none of them (None: cannot tell). Raises BadImage, OSError."""
        image = preprocess(open_image(path), self.preprocessing)[None]
        wanted = [self.output] if self.none_below is None else [self.output, self.likeness]
        logits, *likeness = (given[0] for given in self.session.run(wanted, {self.input: image}))
        powers = np.exp((logits - logits.max()) / self.temperature)
        return powers / powers.sum(), bool(likeness[0] < self.none_below) if likeness else None


def files(given: Path) -> list[Path]:
    """What lies in a folder; a file itself."""
    if not given.is_dir():
        return [given]
    return sorted(path for path in given.iterdir() if path.is_file() and not path.name.startswith("."))


def main() -> int:
    parser = argparse.ArgumentParser(description="Name photos with an exported model.")
    parser.add_argument("images", nargs="+", type=Path, help="picture files, or folders of them")
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("model.onnx"))
    parser.add_argument("--top", type=int, default=3, help="how many classes to name (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object with all probabilities")
    chosen = parser.parse_args()
    # Class names may be in any script, consoles are not always; a file's name may be no text at all.
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    model, answers = Model(chosen.model), []
    for path in chain.from_iterable(map(files, chosen.images)):
        if not path.exists():
            answers.append({"file": str(path), "error": _MISSING})
            continue
        try:
            given, none = model.probabilities(path)
        except (BadImage, OSError) as error:
            answers.append({"file": str(path), "error": str(error)})
            continue
        answers.append({"file": str(path), "label": model.classes[int(given.argmax())], "none_of_these": none,
                        "probabilities": dict(zip(model.classes, map(float, given), strict=True))})
    if chosen.json:
        print(json.dumps({"predictions": answers}, ensure_ascii=False))  # noqa: T201
    else:
        for answer in answers:
            best = sorted(answer.get("probabilities", {}).items(), key=lambda pair: -pair[1])[: chosen.top]
            said = ", ".join(f"{label!r} {share:.1%}" for label, share in best)
            unsure = "perhaps none of these; " if answer.get("none_of_these") else ""
            trouble = answer.get("error", "")
            trouble = trouble if trouble == _MISSING else f"not a picture: {trouble}"
            print(f"{answer['file']}: {unsure}{said or trouble}")  # noqa: T201
    return int(any("error" in answer for answer in answers))


if __name__ == "__main__":
    sys.exit(main())
