"""For all tests: how examples are drawn (no deadline for one: a busy machine is no defect), and where ONNX Runtime Web lies."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from transfer_core import web_runtime as runtime

settings.register_profile("studio", deadline=None, derandomize=True)  # the same examples each time: no run fails by luck
settings.register_profile("search", deadline=None, max_examples=2_000)
"""New examples each time, many: `pytest --hypothesis-profile=search tests/datasets` looks for what nobody thought of."""
settings.load_profile("studio")

FETCHED = Path(__file__).resolve().parents[1] / ".venv" / "web"
"""Where `make test` puts it."""
if FETCHED.is_dir():
    os.environ.setdefault("TRANSFER_STUDIO_WEB_RUNTIME", str(FETCHED))


@pytest.fixture(scope="session")
def web_runtime() -> Path:
    """The folder of ONNX Runtime Web; the tests that need it are skipped where it could not be fetched."""
    folder = Path(os.environ.get("TRANSFER_STUDIO_WEB_RUNTIME", FETCHED))
    if not all((folder / name).is_file() for name in runtime.SHA256):
        pytest.skip("ONNX Runtime Web could not be fetched: neither its mirror nor npm answered")
    return folder
