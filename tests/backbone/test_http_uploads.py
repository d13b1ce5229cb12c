"""Uploads are a stranger's: names are data, sizes are counted, what is cut off leaves nothing."""

from __future__ import annotations

import asyncio
import json
import os
import time
from types import SimpleNamespace

import pytest
from starlette.requests import ClientDisconnect

from transfer_core.datasets import read_entries
from transfer_core.errors import BadInput
from transfer_core.http import arrivals, uploads
from transfer_core.http.arrivals import Upload
from transfer_core.http.people import Door
from transfer_core.http.uploads import KEPT, Desk, Limits, sweep


def index(store, upload):
    return [json.loads(line) for line in (store.home.uploads / upload / "index.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture
def upload(client) -> str:
    answer = client.post("/api/uploads")
    assert answer.status_code == 201
    return answer.json()["upload"]


def put(client, upload, path, content=b"x"):
    return client.put(f"/api/uploads/{upload}", params={"path": path}, content=content)


def bundle(files: dict[str, bytes]) -> bytes:
    return json.dumps([[path, len(data)] for path, data in files.items()]).encode() + b"\n" + b"".join(files.values())


def put_many(client, upload, files):
    return client.post(f"/api/uploads/{upload}/files", content=bundle(files))


def test_files_arrive_under_numbers_and_are_listed(client, store, upload):
    assert put(client, upload, "hat/a.jpg", b"123").json() == {"files": 1, "bytes": 3}
    assert put(client, upload, "衣服/é.jpg", b"12345").json() == {"files": 2, "bytes": 8}
    assert index(store, upload) == [{"n": 0, "path": "hat/a.jpg", "bytes": 3}, {"n": 1, "path": "衣服/é.jpg", "bytes": 5}]
    assert (store.home.uploads / upload / "1").read_bytes() == b"12345"
    assert client.get(f"/api/uploads/{upload}").json() == {"files": 2, "bytes": 8}


@pytest.mark.parametrize("path", ["../../outside.txt", "/etc/cron.d/evil", "..\\..\\outside", "a/../../b"])
def test_a_hostile_name_is_only_data(client, store, upload, path):
    assert put(client, upload, path, b"evil").status_code == 200
    assert index(store, upload)[0]["path"] == path
    assert sorted(file.name for file in (store.home.uploads / upload).iterdir()) == ["0", "index.jsonl"]


@pytest.mark.parametrize("path", ["👨\u200d👩\u200d👧/猫.jpg", "春\u3000游/a\u00a0b.jpg", "\u200f.jpg"])
def test_a_name_with_joined_emoji_or_wide_spaces_is_a_name(client, store, upload, path):
    assert put(client, upload, path).status_code == 200
    assert put_many(client, upload, {f"more/{path}": b"1"}).status_code == 200
    assert [line["path"] for line in index(store, upload)] == [path, f"more/{path}"]


@pytest.mark.parametrize("path", ["", "a" * 1001, "a\nb", "a\x00b"])
def test_a_name_that_is_no_name_is_refused(client, upload, path):
    answer = put(client, upload, path)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_upload_path")


@pytest.mark.parametrize("upload", ["0" * 32, "..", "%2e%2e", "x", "../uploads"])
def test_an_upload_that_is_not_there(client, upload):
    assert put(client, upload, "a.jpg").status_code in (404, 405)


def test_the_same_path_again_replaces_the_bytes(client, store, upload):
    put(client, upload, "a.jpg", b"first")
    put(client, upload, "b.jpg", b"b")
    assert put(client, upload, "a.jpg", b"second").json() == {"files": 2, "bytes": 7}
    assert index(store, upload) == [{"n": 0, "path": "a.jpg", "bytes": 6}, {"n": 1, "path": "b.jpg", "bytes": 1}]
    assert (store.home.uploads / upload / "0").read_bytes() == b"second"


def test_an_upload_goes_on_after_the_server_restarted(client, store, upload):
    put(client, upload, "a.jpg", b"123")
    after = Upload.open(store.home.uploads / upload)
    assert (after.next, after.bytes, after.entries) == (1, 3, {"a.jpg": (0, 3)})


def test_a_file_whose_write_failed_is_not_counted_and_its_retry_is_listed(client, store, upload, monkeypatch):
    put(client, upload, "a.jpg", b"123")
    lines = arrivals._lines

    def breaks(*_):
        raise BadInput("bad_upload_path", longest=1)

    monkeypatch.setattr(arrivals, "_lines", breaks)
    assert put(client, upload, "b.jpg", b"12345").status_code == 400
    assert client.get(f"/api/uploads/{upload}").json() == {"files": 1, "bytes": 3}
    monkeypatch.setattr(arrivals, "_lines", lines)
    assert put(client, upload, "b.jpg", b"12345").json() == {"files": 2, "bytes": 8}
    assert index(store, upload)[1] == {"n": 1, "path": "b.jpg", "bytes": 5}


def test_a_torn_last_line_is_cut_off_and_that_file_sent_again(visitor, store, upload):
    put(visitor(), upload, "a.jpg", b"123")
    folder = store.home.uploads / upload
    with (folder / "index.jsonl").open("a") as lines:
        lines.write('{"n": 1, "path": "b')
    assert [each.path for each in read_entries(folder).files] == ["a.jpg"]
    restarted = visitor()
    assert restarted.get(f"/api/uploads/{upload}").json() == {"files": 1, "bytes": 3}
    assert put(restarted, upload, "b.jpg", b"12").json() == {"files": 2, "bytes": 5}
    assert [line["path"] for line in index(store, upload)] == ["a.jpg", "b.jpg"]


def test_too_many_bytes_and_too_many_files(visitor, store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_MAX_UPLOAD", "10")
    monkeypatch.setenv("TRANSFER_STUDIO_MAX_FILES", "2")
    client = visitor()
    upload = client.post("/api/uploads").json()["upload"]
    assert put(client, upload, "a", b"12345678").status_code == 200
    refused = put(client, upload, "b", b"123")
    assert (refused.status_code, refused.json()["code"]) == (413, "upload_too_big")
    assert put(client, upload, "b", b"12").status_code == 200, "exactly the limit fits"
    assert put(client, upload, "c", b"").json()["code"] == "upload_too_many"
    assert len(index(store, upload)) == 2


def test_a_body_longer_than_declared_is_counted_as_it_comes(visitor, store, monkeypatch):
    monkeypatch.setattr(uploads, "BUFFER", 4)
    monkeypatch.setenv("TRANSFER_STUDIO_MAX_UPLOAD", "10")
    client = visitor()
    upload = client.post("/api/uploads").json()["upload"]

    def undeclared():
        for _ in range(100):
            yield b"12345"

    refused = client.put(f"/api/uploads/{upload}", params={"path": "a"}, content=undeclared())
    assert refused.status_code == 413
    assert [file.name for file in (store.home.uploads / upload).iterdir()] == ["index.jsonl"]
    assert client.get(f"/api/uploads/{upload}").json() == {"files": 0, "bytes": 0}


def test_a_full_disk_is_said_and_not_filled(client, store, upload, monkeypatch):
    monkeypatch.setattr(uploads, "RESERVE", 1 << 62)
    refused = put(client, upload, "a.jpg")
    assert (refused.status_code, refused.json()["code"]) == (507, "disk_full")


def test_a_cut_off_file_leaves_nothing(store, in_a_loop):
    """The connection breaks in the middle: no part file, no line in the index, no bytes counted."""

    async def breaks():
        yield b"12345"
        raise ClientDisconnect

    request = SimpleNamespace(query_params={"path": "a.jpg"}, headers={}, stream=breaks)

    async def drop() -> tuple[int, Upload, str]:
        desk = Desk(Door(store), Limits.default())
        upload = json.loads((await desk.create(request)).body)["upload"]
        request.path_params = {"upload": upload}
        answer = await desk.put(request)
        return answer.status_code, desk._open[store.home.uploads / upload], upload

    status, state, upload = in_a_loop(drop())
    assert (status, state.bytes, state.entries) == (499, 0, {})
    assert [file.name for file in (store.home.uploads / upload).iterdir()] == ["index.jsonl"]


def test_the_janitor_removes_what_is_a_day_old_and_not_needed(client, store):
    old, new, busy = (client.post("/api/uploads").json()["upload"] for _ in range(3))
    for upload in (old, busy):
        os.utime(store.home.uploads / upload, (1, 1))
    yesterday, today = (store.home.job(name) / "heat-0.webp" for name in ("explain-1", "explain-2"))
    for drawn, age in ((yesterday, KEPT + 60), (today, 0)):
        drawn.write_bytes(b"a picture")
        os.utime(drawn, (time.time() - age,) * 2)
    assert sweep(store.home, busy=frozenset({busy})) == [old]
    assert today.is_file() and not yesterday.exists(), "what was drawn of a tried photo goes with it"
    assert {folder.name for folder in store.home.uploads.iterdir()} == {new, busy}
    assert client.get(f"/api/uploads/{old}").status_code == 404


# Many small files in one request


@pytest.mark.parametrize("buffer", [1, 7, 1_000_000])
def test_many_files_arrive_in_one_request(client, store, upload, monkeypatch, buffer):
    monkeypatch.setattr(uploads, "BUFFER", buffer)
    put(client, upload, "c.jpg", b"before")
    files = {"a.jpg": b"", "衣服/b.jpg": b"12\n45", "c.jpg": b"1234567890", "d/../../e": b"", "f.jpg": b"\n", "g.jpg": b""}

    def in_pieces():  # however the network cuts them
        body = bundle(files)
        yield from (body[at:at + 3] for at in range(0, len(body), 3))

    answer = client.post(f"/api/uploads/{upload}/files", content=in_pieces())
    assert answer.json() == {"files": 6, "bytes": 16}
    listed = {line["path"]: line for line in index(store, upload)}
    folder = store.home.uploads / upload
    assert {path: (folder / str(line["n"])).read_bytes() for path, line in listed.items()} == files
    assert {path: line["bytes"] for path, line in listed.items()} == {path: len(data) for path, data in files.items()}
    assert sorted(file.name for file in folder.iterdir()) == ["0", "1", "2", "3", "4", "5", "index.jsonl"]
    assert put_many(client, upload, files).json() == {"files": 6, "bytes": 16}, "a retry changes nothing"
    assert {line["path"]: line for line in index(store, upload)} == listed


@pytest.mark.parametrize("body", [
    b"", b"[]\n", b"{}\n", b"nonsense\n", b'[["a"]]\n', b'["ab"]\nb', b"[" * 100_000 + b"\n",
    b'[["a", 3]]', b'[["a", 3]]\n12', b'[["a", 3]]\n1234',
    b'[["a", -1]]\n', b'[["a", 1.0]]\n1', b'[["a", true]]\n1', b'[[1, 1]]\n1', b'[["", 1]]\n1', b'[["a\\n", 1]]\n1',
    b'[["\\ud800", 1]]\n1', bundle({f"{n}": b"" for n in range(1001)}), b" " * 4_000_001 + b'[["a", 1]]\n1'])
def test_a_bundle_that_is_none_leaves_nothing(client, store, upload, body):
    answer = client.post(f"/api/uploads/{upload}/files", content=body)
    assert answer.status_code == 400
    assert answer.json()["code"] in ("bad_bundle", "bad_upload_path")
    assert [file.name for file in (store.home.uploads / upload).iterdir()] == ["index.jsonl"]
    assert index(store, upload) == []
    assert client.get(f"/api/uploads/{upload}").json() == {"files": 0, "bytes": 0}


def test_a_bundle_keeps_to_the_limits_as_a_whole(visitor, store, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_MAX_UPLOAD", "100")
    monkeypatch.setenv("TRANSFER_STUDIO_MAX_FILES", "3")
    client = visitor()
    upload = client.post("/api/uploads").json()["upload"]
    assert put_many(client, upload, {"a": b"1", "b": b"2"}).status_code == 200
    assert put_many(client, upload, {"c": b"1", "d": b"2"}).json()["code"] == "upload_too_many"
    assert put_many(client, upload, {"c": b"1" * 99}).json()["code"] == "upload_too_big"
    assert put_many(client, upload, {"b": b"3", "c": b"4"}).json() == {"files": 3, "bytes": 3}
    assert [line["path"] for line in index(store, upload)] == ["a", "b", "c"]


def test_a_bundle_needs_the_token_as_everything_that_writes(stranger, client, store, upload):
    assert put_many(stranger(), upload, {"a": b"1"}).status_code == 403
    assert index(store, upload) == []


def test_an_upload_nobody_sends_to_is_not_kept_in_memory(store, in_a_loop, monkeypatch):
    async def one() -> list[str]:
        desk = Desk(Door(store), Limits.default())
        made = [json.loads((await desk.create(None)).body)["upload"] for _ in range(3)]
        busy, idle, asked = (desk._find(SimpleNamespace(path_params={"upload": upload})) for upload in made)
        for each in (busy, idle, asked):
            each.used -= 2 * uploads.IDLE
        with busy.in_use():  # its request goes on for longer than that
            desk._find(SimpleNamespace(path_params={"upload": made[2]}))
            busy.used -= 2 * uploads.IDLE
            return [made.index(folder.name) for folder in desk._open]

    assert in_a_loop(one()) == [0, 2]


def test_two_servers_take_in_files_of_one_upload(store, in_a_loop):
    """A proxy may send each request to another one; neither knows what the other holds in memory."""
    def asks(path: str, upload: str, data: bytes) -> SimpleNamespace:
        async def stream():
            yield data

        return SimpleNamespace(query_params={"path": path}, headers={}, path_params={"upload": upload}, stream=stream, cookies={})

    async def both() -> tuple[str, list[dict]]:
        first, second = Desk(Door(store), Limits.default()), Desk(Door(store), Limits.default())
        upload = json.loads((await first.create(asks("", "", b""))).body)["upload"]
        told = []
        for number, desk in enumerate((first, second, second, first)):
            told.append(json.loads((await desk.put(asks(f"{number}.jpg", upload, b"x" * number))).body))
        told.append(json.loads((await second.put(asks("0.jpg", upload, b"again"))).body))
        told.append(json.loads((await first.get(asks("", upload, b""))).body))
        await asyncio.gather(*(desk.put(asks(f"{number}.png", upload, b"y")) for number, desk in enumerate([first, second] * 20)))
        return upload, told

    upload, told = in_a_loop(both())
    assert [answer["files"] for answer in told] == [1, 2, 3, 4, 4, 4] and told[-1]["bytes"] == 6 + 5
    lines = index(store, upload)
    assert len(lines) == 44 and sorted(line["n"] for line in lines) == list(range(44))
    for line in lines:
        assert (store.home.uploads / upload / str(line["n"])).stat().st_size == line["bytes"]
