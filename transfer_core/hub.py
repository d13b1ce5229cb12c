"""Take a model to the Hugging Face Hub: the folder timm loads, its card, and a page that runs in the visitor's browser.

The token is used and forgotten: it is written to no file, no database and no log.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from transfer_core.errors import BadInput, StudioError, Unavailable

ENDPOINT = "https://huggingface.co"
"""Not the mirror that `HF_ENDPOINT` may name for downloads: a token that may write is nobody else's business."""
_REPOSITORY = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,95}/)?[A-Za-z0-9][\w.-]{0,95}")
_SPACE = """---
title: {title}
emoji: 🔍
colorFrom: yellow
colorTo: blue
sdk: static
pinned: false
models: [{model}]
---
"""


def push(files: Mapping[str, Path], repository: str, token: str, *, private: bool = True) -> Iterator[tuple[str, str]]:
    """Upload an exported model as `repository` (`name`, or `owner/name`), and its page as the static Space of the same name.

    `files`: the exported "zip", and "html-folder" where a Space is wanted. Yields what is uploaded and its address, after each.
    What is there under that name is overwritten. Raises `BadInput`: `bad_repository`, `hub_refused` for a token that may not
    write there, `hub_public` where it is to be private and is not, `hub_says_no`; `Unavailable("hub_unreachable")`.
    """
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        raise BadInput("bad_repository", given=repository[:100])
    api, name = _api(token), repository
    for kind, file, more in (("model", "zip", {}), ("space", "html-folder", {"space_sdk": "static"})):
        if file not in files:
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            with zipfile.ZipFile(files[file]) as packed:  # one that we wrote
                packed.extractall(folder)
            if kind == "space":
                (folder / "README.md").write_text(_SPACE.format(title=json.dumps(name.split("/")[-1]), model=name), "utf-8")
            name = _asked(partial(_pushed, api, name, folder, kind, private, more))
        yield kind, f"{api.endpoint}/{'spaces/' if kind == 'space' else ''}{name}"


def _api(token: str) -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=ENDPOINT, token=token)


def _pushed(api: Any, repository: str, folder: Path, kind: str, private: bool, more: Mapping[str, str]) -> str:
    name = api.create_repo(repository, repo_type=kind, private=private, exist_ok=True, **more).repo_id
    if private and not api.repo_info(name, repo_type=kind).private:  # it was there before, and stays as it is
        raise BadInput("hub_public", repository=name)
    api.upload_folder(repo_id=name, repo_type=kind, folder_path=folder)
    return name


def _asked(work: Any) -> Any:
    """The hub's answer; what it refuses, and what does not answer, in words."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return work()
    except HFValidationError as error:
        raise BadInput("bad_repository", given="") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        if status in (401, 403):
            raise BadInput("hub_refused") from None  # `from None`: the error below holds the request, and with it the token
        raise (BadInput("hub_says_no", status=status) if 400 <= status < 500 else Unavailable(
            "hub_unreachable", detail=f"HTTP {status}")) from None
    except StudioError:
        raise
    except Exception as error:  # noqa: BLE001 — connections fail in the words of three libraries
        raise Unavailable("hub_unreachable", detail=type(error).__name__) from None
