"""The web process stays light: all pages, a photo answered, the routes, and no ONNX Runtime, torch or the like in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import photos
import stories
from test_sweep import began

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["altair", "onnxruntime", "onnx", "torch", "torchvision", "timm", "scipy", "sklearn"]
PROGRAM = """
import json, sys
import app as studio
from streamlit.testing.v1 import AppTest

run, sweep, upload, answer, *heavy = sys.argv[1:]
for name in ("home", "data", "model", "train", "evaluate", "share", "runs", "sweep", "learn", "predict"):
    app = AppTest.from_file("pages/shared/entry.py", default_timeout=30)
    app.query_params.update({"run": run, "job": sweep} | ({"upload": upload} if name == "predict" else {}))
    app.switch_page(f"../{name}.py").run()
    assert not app.exception, (name, app.exception)
while not app.subheader:  # the photo is not answered yet
    app.run()
assert app.subheader[0].value == answer, app.subheader[0].value
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules} & set(heavy))))
"""


def test_no_page_brings_what_is_heavy(store, tmp_path):
    dataset = photos.dataset(store, tmp_path / "drawn", {"left": 4, "right": 4}, "Drawn")
    run = stories.finished(store, dataset=dataset.id)
    sweep = began(store, 0.6, 0.9)
    upload = stories.upload(store, "ab" * 16, {"a": stories.photo(tmp_path / "red.png", (255, 0, 0)).read_bytes()})
    done = subprocess.run([sys.executable, "-c", PROGRAM, run.id, sweep.id, upload, "red", *HEAVY], cwd=ROOT, env=os.environ | {
        "TRANSFER_STUDIO_HOME": str(store.home.root), "TRANSFER_STUDIO_WARM": "0"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []
