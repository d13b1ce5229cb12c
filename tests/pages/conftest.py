"""Pages without a browser: Streamlit's AppTest runs the entry script, then the page, against a data home of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from transfer_core.paths import Home
from transfer_core.store import Store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session", autouse=True)
def packages_are_read_once() -> Iterator[None]:
    """Every AppTest is a server that starts: it looks through all that is installed for packages with components, and most of a
    test's time went there. What is installed does not change meanwhile."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path))
    st.cache_resource.clear()
    st.cache_data.clear()
    return Home(tmp_path)


@pytest.fixture
def store(home: Home) -> Store:
    return Store(home)


@pytest.fixture
def visit(home: Home) -> Callable[..., AppTest]:
    """`visit("train", lang="zh", run="…")`: the page as a visitor with that address sees it."""

    def open_page(name: str, **query: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "pages" / "shared" / "entry.py"), default_timeout=30)
        for key, value in query.items():
            app.query_params[key] = value
        app.switch_page(f"../{name}.py")
        return app.run()

    return open_page
