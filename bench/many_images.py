"""Does memory stay flat? Import and train on very many photos, and watch what the processes hold.

    python bench/many_images.py                 # 100,000 drawn photos, about ten minutes; --count 5000 for a quick look

Three steps, each as a person would start it: import a folder, train the head only, train everything on the stored pixels. “Own
memory” is what the process tree holds of its own (anonymous pages), sampled; pages of files it reads through memory maps are the
system's to take back at any time, and are not counted. The last column is that of the same step on a tenth of the photos.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from memory import watching
from PIL import Image

SIDE = 64
MODEL = ("--model", "test_resnet.r160_in1k", "--weights", "scratch", "--image-size", "32", "--augmentation", "none")
TRAININGS = {"train, head only": ("--freeze", "all"), "train, everything": ("--freeze", "none")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    count = parser.parse_args().count
    few, many = measure(count // 10), measure(count)
    print(f"| step, {count:,} photos | seconds | own memory at most, MB | of {count // 10:,} photos |\n|---|---|---|---|")
    for step, (seconds, memory) in many.items():
        print(f"| {step} | {seconds:.0f} | {memory:.0f} | {few[step][1]:.0f} |")


def measure(count: int) -> dict[str, tuple[float, float]]:
    """Step → seconds, and megabytes at most."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        folder, home = Path(place) / "photos", Path(place) / "home"
        draw(folder, count)
        found["import"], answer = watched(home, "import", str(folder), "--name", "many")
        if sum(answer["split"].values()) != count:
            sys.exit(f"not all were imported: {answer}")
        for step, how in TRAININGS.items():
            found[step], _ = watched(home, "train", "--dataset", "many", *MODEL, *how, "--epochs", "2", "--batch-size", "256")
    return found


def draw(folder: Path, count: int) -> None:
    """Photos of noise over a slope, reds and blues; each of its own, so that none is dropped as a copy."""

    def one(number: int) -> None:
        chance = np.random.default_rng(number)
        slope = np.linspace(0, 120, SIDE)[None, :, None] * chance.uniform(-1, 1, 3)
        pixels = 128 + slope + np.array([60, 0, -60]) * (1 if number % 2 else -1) + chance.normal(0, 30, (SIDE, SIDE, 3))
        stream = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=80)
        (folder / ("red" if number % 2 else "blue") / f"{number}.jpg").write_bytes(stream.getvalue())

    for name in ("red", "blue"):
        (folder / name).mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        list(pool.map(one, range(count)))


def watched(home: Path, *command: str) -> tuple[tuple[float, float], dict]:
    """Run a command of the studio: (seconds, most megabytes of its own), and its answer."""
    began = time.monotonic()
    process = subprocess.Popen([str(Path(sys.executable).parent / "transfer-studio"), *command, "--json"], stdout=subprocess.PIPE,
                               env=os.environ | {"TRANSFER_STUDIO_HOME": str(home)})
    with watching(process.pid) as peak:
        out, _ = process.communicate()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}: {out.decode()[-500:]}")
    return (time.monotonic() - began, peak.own), json.loads(out)


if __name__ == "__main__":
    main()
