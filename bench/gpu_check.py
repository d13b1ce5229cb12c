"""On a machine with a graphics card, in less than nine minutes: is the short way exact there, and how fast is it?

    python bench/gpu_check.py                      # with a card: 2,000 drawn pictures; without: small, to see that it runs
    python bench/gpu_check.py --out gpu-results

Needs nothing but this folder and the studio's packages. First it trains four families both ways, every step's loss compared
(`bench/exactness.py`), then it runs `bench/peers/run.py` on drawn pictures with the tutorial's loop, the tuned loop and ours.
What does not fit into the time is left out and named. Prints JSON lines and a table; the exit status is 1 when the short way
differs by more than it may.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import asdict
from pathlib import Path

import torch
from exactness import compare, drawn

from transfer_core.examples import make_example
from transfer_core.paths import Home

HERE = Path(__file__).resolve().parent
FAMILIES = {"efficientnet": "tf_efficientnet_lite0", "resnet": "resnet18", "vision_transformer": "vit_tiny_patch16_224",
            "convnext": "convnext_atto"}
MAY_DIFFER = {"cpu": 1e-5, "cuda": 1e-3}
"""Of a step's loss, relative. A card adds in another order each time, unless it is told not to."""
SECONDS = 520
ARMS = ("tutorial-32", "tuned", "ours", "ours-again")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "peers" / "results" / "gpu")
    given = parser.parse_args()
    began, device = time.monotonic(), "cuda" if torch.cuda.is_available() else "cpu"
    print(json.dumps({"device": torch.cuda.get_device_name() if device == "cuda" else "cpu", "torch": torch.__version__}))
    with tempfile.TemporaryDirectory() as place:
        exact = check(Path(place), device)
        photos = pictures(Path(place), 500 if device == "cuda" else 20)
        for regime in ("head", "last2", "everything") if device == "cuda" else ("head",):
            left = SECONDS - (time.monotonic() - began)
            if left < 30:
                print(json.dumps({"regime": regime, "left out": "no time"}))
                continue
            race(photos, regime, given.out, left, epochs=5 if device == "cuda" else 1)
    print(json.dumps({"exact": exact, "seconds": round(time.monotonic() - began)}))
    return 0 if exact else 1


def check(folder: Path, device: str) -> bool:
    home = Home(folder / "home")
    manifest, exact = drawn(home, folder), True
    for family, name in FAMILIES.items() if device == "cuda" else list(FAMILIES.items())[1:2]:
        found = compare(family, name, manifest, home, folder, device)
        exact &= found.largest is not None and found.largest <= MAY_DIFFER[device]
        print(json.dumps(asdict(found)), flush=True)
    return exact


def pictures(folder: Path, each: int) -> Path:
    """A zip of drawn leaves, divided into train, validation and test."""
    for _ in make_example("leaves", folder / "drawn", images_per_class=each):
        pass
    archive = folder / "leaves.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for number, file in enumerate(sorted((folder / "drawn").rglob("*.jpg"))):
            split = {0: "test", 1: "validation"}.get(number % 5, "train")
            packed.write(file, f"{split}/{file.parent.name}/{file.name}")
    return archive


def race(photos: Path, regime: str, out: Path, seconds: float, epochs: int) -> None:
    command = [sys.executable, HERE / "peers" / "run.py", photos, "--regimes", regime, "--epochs", str(epochs), "--repeats", "1",
               "--arms", *ARMS, "--out", out / regime]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    try:
        subprocess.run(command, check=True, timeout=seconds,
                       env={**environment, "PYTHONPATH": f"{HERE.parent}:{HERE / 'peers'}"})
    except subprocess.TimeoutExpired:
        print(json.dumps({"regime": regime, "left out": "no time for all of it"}))


if __name__ == "__main__":
    sys.exit(main())
