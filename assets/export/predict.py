"""Name photos with model.onnx.

    pip install -r requirements.txt
    python predict.py photo.jpg holiday/*.png
    python predict.py --json photo.jpg

Class names and preprocessing are read from the model file. `pictures/` opens a picture and prepares it exactly as it was
done when the model was measured: turned upright, transparent parts white, resized, cropped, normalised.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from pictures.errors import BadImage
from pictures.images import Preprocessing, open_image, preprocess


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
        self.input, self.output = json.loads(facts["input"]), json.loads(facts["output"])

    def probabilities(self, path: Path) -> np.ndarray:
        """One picture file → the probability of each class, in the order of `classes`. Raises BadImage, OSError."""
        image = preprocess(open_image(path), self.preprocessing)[None]
        logits = self.session.run([self.output], {self.input: image})[0][0] / self.temperature
        powers = np.exp(logits - logits.max())
        return powers / powers.sum()


def main() -> int:
    parser = argparse.ArgumentParser(description="Name photos with an exported model.")
    parser.add_argument("images", nargs="+", type=Path, help="picture files")
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("model.onnx"))
    parser.add_argument("--top", type=int, default=3, help="how many classes to name (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object with all probabilities")
    chosen = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")  # class names may be in any script, consoles are not always
    model, answers = Model(chosen.model), []
    for path in chosen.images:
        try:
            given = model.probabilities(path)
        except (BadImage, OSError) as error:
            answers.append({"file": str(path), "error": str(error)})
            continue
        none = None if model.none_below is None else bool(given.max() < model.none_below)
        answers.append({"file": str(path), "label": model.classes[int(given.argmax())], "none_of_these": none,
                        "probabilities": dict(zip(model.classes, map(float, given), strict=True))})
    if chosen.json:
        print(json.dumps({"predictions": answers}, ensure_ascii=False))  # noqa: T201
    else:
        for answer in answers:
            best = sorted(answer.get("probabilities", {}).items(), key=lambda pair: -pair[1])[: chosen.top]
            said = ", ".join(f"{label!r} {share:.1%}" for label, share in best)
            unsure = "perhaps none of these; " if answer.get("none_of_these") else ""
            print(f"{answer['file']}: {unsure}{said or 'not a picture: ' + answer['error']}")  # noqa: T201
    return int(any("error" in answer for answer in answers))


if __name__ == "__main__":
    sys.exit(main())
