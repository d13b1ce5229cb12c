"""A job of heat maps: pictures where the page looks for them, a bad photo told of, and no way to other files."""

from __future__ import annotations

import asyncio

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from transfer_core.errors import NotFound
from transfer_core.http import files
from transfer_core.http.people import Door
from transfer_core.jobs import heat
from transfer_core.paths import Home
from transfer_core.store import Store


@pytest.mark.parametrize("photo", [
    {}, {"sha256": "../../etc/passwd"}, {"upload": "..", "number": 1}, {"sha256": "a" * 63},
    {"upload": "0" * 32, "number": "../1"}, {"sha256": "f" * 64}, {"upload": "0" * 32, "number": 7}])
def test_only_photos_of_the_studio_are_opened(tmp_path, photo):
    with pytest.raises(NotFound):
        heat.photo_file(Home(tmp_path), photo)


def test_an_uploads_photo_and_a_datasets_image_are_found(tmp_path):
    home = Home(tmp_path)
    for file in (home.uploads / ("0" * 32) / "3", home.image("a" * 64)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    assert heat.photo_file(home, {"upload": "0" * 32, "number": 3}).name == "3"
    assert heat.photo_file(home, {"sha256": "a" * 64}).name == "a" * 64


def test_pictures_are_given_for_such_jobs_only(tmp_path):
    store = Store(Home(tmp_path))
    made, other = (store.submit(kind, {"run": "r", "photos": []}, "cpu") for kind in ("explain", "background"))
    for job in (made, other):
        Image.new("RGB", (8, 8)).save(heat.picture(store.home, job.id, 0), "WEBP")
    client = TestClient(Starlette(routes=files.routes(Door(store), asyncio.Semaphore(1))), raise_server_exceptions=False)
    assert client.get(f"/heat/{made.id}/0.webp").headers["content-type"] == "image/webp"
    for place in (f"/heat/{made.id}/1.webp", f"/heat/{other.id}/0.webp", "/heat/nobody/0.webp", "/heat/..%2f..%2fx/0.webp"):
        assert client.get(place).status_code == 404, place
