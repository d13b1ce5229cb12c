"""Sending to the Hub, against one that is none: what arrives there, and that the token stays nowhere."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError

from transfer_core import hub
from transfer_core.errors import BadInput, Unavailable

TOKEN = "hf_very_secret_token"


class Hub:
    """Keeps what is sent to it."""

    endpoint = "https://hub.test"

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], dict] = {}
        self.files: dict[tuple[str, str], dict[str, bytes]] = {}
        self.public: set[str] = set()
        """Repositories that were there before, for everybody to see."""

    def create_repo(self, name: str, *, repo_type: str, private: bool, exist_ok: bool, **more: str):
        name = name if "/" in name else f"somebody/{name}"
        self.repositories[repo_type, name] = {"private": private, "exist_ok": exist_ok, **more}
        return SimpleNamespace(repo_id=name)

    def repo_info(self, name: str, *, repo_type: str):
        return SimpleNamespace(private=self.repositories[repo_type, name]["private"] and name not in self.public)

    def upload_folder(self, *, repo_id: str, repo_type: str, folder_path: Path) -> None:
        files = [file for file in Path(folder_path).rglob("*") if file.is_file()]
        self.files[repo_type, repo_id] = {file.relative_to(folder_path).as_posix(): file.read_bytes() for file in files}


@pytest.fixture
def there(monkeypatch) -> Hub:
    made, tokens = Hub(), []
    monkeypatch.setattr(hub, "_api", lambda token: tokens.append(token) or made)
    made.tokens = tokens
    return made


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    found, held = {}, {"zip": ("model.safetensors", "config.json", "README.md"), "html-folder": ("index.html", "model.onnx")}
    for kind, members in held.items():
        found[kind] = tmp_path / f"{kind}.zip"
        with zipfile.ZipFile(found[kind], "w") as packed:
            for member in members:
                packed.writestr(member, f"{kind} {member}")
    return found


def test_the_model_and_its_page_arrive(there, files):
    sent = dict(hub.push(files, "my-model", TOKEN))
    assert sent == {"model": "https://hub.test/somebody/my-model", "space": "https://hub.test/spaces/somebody/my-model"}
    assert there.tokens == [TOKEN]
    assert set(there.files["model", "somebody/my-model"]) == {"model.safetensors", "config.json", "README.md"}
    page = there.files["space", "somebody/my-model"]
    assert set(page) == {"index.html", "model.onnx", "README.md"}
    assert b"sdk: static" in page["README.md"] and b"models: [somebody/my-model]" in page["README.md"]
    assert there.repositories["space", "somebody/my-model"] == {"private": True, "exist_ok": True, "space_sdk": "static"}


def test_without_a_page_there_is_no_space(there, files):
    assert set(dict(hub.push({"zip": files["zip"]}, "owner/m", TOKEN, private=False))) == {"model"}
    assert there.repositories == {("model", "owner/m"): {"private": False, "exist_ok": True}}


def test_what_is_to_be_private_is_not_put_where_everybody_looks(there, files):
    there.public.add("somebody/my-model")
    with pytest.raises(BadInput) as error:
        list(hub.push(files, "my-model", TOKEN))
    assert error.value.code == "hub_public" and not there.files
    assert dict(hub.push({"zip": files["zip"]}, "my-model", TOKEN, private=False))


def test_the_token_goes_to_the_hub_itself_and_to_no_mirror(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert hub._api(TOKEN).endpoint == hub.ENDPOINT == "https://huggingface.co"


@pytest.mark.parametrize("name", ["", "a/b/c", "../x", "a b", "x" * 200, "a--b", "über", "-x", "a/"])
def test_names_that_are_none_are_refused_before_anything_is_sent(there, files, name):
    with pytest.raises(BadInput) as error:
        list(hub.push(files, name, TOKEN))
    assert error.value.code == "bad_repository" and not there.repositories


@pytest.mark.parametrize(("status", "kind", "code"), [
    (401, BadInput, "hub_refused"), (403, BadInput, "hub_refused"), (409, BadInput, "hub_says_no"),
    (500, Unavailable, "hub_unreachable")])
def test_what_the_hub_refuses_is_said_without_the_token(there, files, monkeypatch, caplog, status, kind, code):
    request = httpx.Request("POST", "https://hub.test/api", headers={"authorization": f"Bearer {TOKEN}"})

    def refuse(*_given, **_more):
        raise HfHubHTTPError(f"no: {TOKEN}", response=httpx.Response(status, request=request))

    monkeypatch.setattr(there, "create_repo", refuse)
    with caplog.at_level(logging.DEBUG), pytest.raises(kind) as error:
        list(hub.push(files, "m", TOKEN))
    assert error.value.code == code and error.value.hint()
    assert error.value.__cause__ is None
    assert TOKEN not in f"{error.value} {error.value.values} {caplog.text}"


def test_no_connection_is_said_in_words(there, files, monkeypatch):
    def away(**_given):
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(there, "upload_folder", away)
    with pytest.raises(Unavailable) as error:
        list(hub.push(files, "m", TOKEN))
    assert error.value.values == {"detail": "ConnectError"}
