"""For all tests: no deadline for a single example. A busy machine is no defect. And where ONNX Runtime Web lies."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from transfer_core import web_runtime as runtime

settings.register_profile("studio", deadline=None)
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
