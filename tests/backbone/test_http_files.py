from __future__ import annotations

import asyncio
import hashlib
import threading
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import reported_run
from PIL import Image

from transfer_core import http
from transfer_core.events import Exported
from transfer_core.http import files

SHA = hashlib.sha256(b"an image").hexdigest()


@pytest.fixture
def run(store):
    job = store.submit("train", {"recipe": {}})
    folder = store.home.run(job.id)
    (folder / "Hats.zip").write_bytes(b"0123456789")
    (folder / "last.pt").write_bytes(b"secret")
    store.append(job.id, Exported(format="zip", file="Hats.zip", bytes=10))
    return job.id


def test_an_export_is_downloaded_whole_and_in_parts(client, run):
    answer = client.get(f"/files/{run}/Hats.zip", headers={"Accept-Encoding": "gzip"})
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["content-type"] == "application/zip"
    assert 'filename="Hats.zip"' in answer.headers["content-disposition"]
    part = client.get(f"/files/{run}/Hats.zip", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")


@pytest.mark.parametrize("name", ["last.pt", "..%2F..%2Fstudio.db", "%2e%2e/%2e%2e/studio.db", "Hats.zip/", "..", "hats.ZIP"])
def test_nothing_but_exports_leaves_a_run(client, run, name):
    assert client.get(f"/files/{run}/{name}", follow_redirects=False).status_code in (307, 404)


def test_a_run_that_is_not_there_makes_no_folder(client, store):
    assert client.get("/files/train-0/x.zip").status_code == 404
    assert client.get("/files/..%2Fuploads/x.zip").status_code == 404
    assert not (store.home.root / "runs").exists()


def test_thumbnails_come_by_hash_and_stay_in_the_browser(client, store):
    store.home.thumbnail(SHA).write_bytes(b"webp")
    answer = client.get(f"/thumbnails/{SHA}.webp")
    assert (answer.content, answer.headers["content-type"]) == (b"webp", "image/webp")
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["0" * 63, "g" * 64, "..%2F..%2Fstudio.db", SHA.upper(), "0" * 64])
def test_only_hashes_of_images_that_are_here(client, store, name):
    assert client.get(f"/thumbnails/{name}.webp").status_code == 404
    assert client.get(f"/images/{name}").status_code == 404


def test_a_display_copy_is_small_and_made_once(client, store, tmp_path):
    Image.new("CMYK", (3200, 1000), (0, 255, 255, 0)).save(store.home.image(SHA), "JPEG")
    answer = client.get(f"/images/{SHA}")
    assert answer.headers["content-type"] == "image/webp"
    (tmp_path / "seen").write_bytes(answer.content)
    with Image.open(tmp_path / "seen") as seen:
        assert (seen.size, seen.mode) == ((1600, 500), "RGB")
    store.home.image(SHA).unlink()
    assert client.get(f"/images/{SHA}").status_code == 200


def test_display_copies_are_made_two_at_a_time(store, monkeypatch, in_a_loop):
    """24 megapixels take 70 MB each; a page may ask for dozens at once."""
    now, most = [], []

    def slow(home, sha256):
        now.append(sha256)
        most.append(len(now))
        together.wait(5)  # both places are used
        now.remove(sha256)
        return home.thumbnail(SHA)

    together = threading.Barrier(http.AT_ONCE)
    store.home.thumbnail(SHA).write_bytes(b"webp")
    monkeypatch.setattr(files, "_display_copy", slow)
    image = next(route for route in http.routes(store) if route.path == "/images/{sha256}")

    async def ask(count):
        request = SimpleNamespace(path_params={"sha256": SHA}, headers={})
        await asyncio.gather(*(image.endpoint(request) for _ in range(count)))

    in_a_loop(ask(4))
    assert max(most) == http.AT_ONCE


@pytest.mark.parametrize(("asked", "tag"), [("?lang=zh", "zh-Hans"), ("?lang=en", "en"), ("", "en"),
                                            ("?lang=%3Cscript%3E", "en")])
def test_a_report_is_made_when_it_is_asked_for(client, store, asked, tag):
    run = reported_run.made(store, ["ant", "bee"], each=4, name="../a\r\nb: \"c\" 蚂蚁")
    answer = client.get(f"/report/{run.id}{asked}")
    assert answer.status_code == 200 and f'<html lang="{tag}">' in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''" + quote("a--b- -c- 蚂蚁 report.html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert not list(store.home.run(run.id).glob("*.html")), "nothing is kept: a check may come tomorrow"


def test_a_report_of_nothing_says_so(client, store):
    assert client.get("/report/train-0").json()["code"] == "no_run"
    assert client.get(f"/report/{store.submit('train', {'recipe': {}}).id}").status_code == 409
    assert client.get("/report/..%2F..%2Fstudio.db").status_code == 404


def test_plotly_comes_from_its_wheel(client):
    answer = client.get("/vendor/plotly.min.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert b"plotly.js v" in answer.content[:200]
