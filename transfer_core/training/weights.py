"""Where pretrained weights come from: an installed package, the local hub cache, the hub (or a mirror), a person's own file.

Never silently random: what cannot be had raises, and "scratch" is only what a recipe asks for.
`HF_ENDPOINT` names a mirror, `HF_HOME` the cache, `HF_HUB_OFFLINE=1` forbids the network; they are huggingface_hub's own.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse
from urllib.request import getproxies

import torch
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError
from timm.models import get_pretrained_cfg, is_model
from torch import Tensor
from tqdm import tqdm

from transfer_core.errors import BadRecipe, NotFound, Unavailable
from transfer_core.events import Progressed
from transfer_core.paths import Home
from transfer_core.training.packaged import PACKAGES, packaged_file, packaged_state_dict
from transfer_core.training.weight_files import inspect_weights, read_weights

__all__ = ["Source", "fetch", "inspect_weights", "locate", "own_file", "pretrained_state_dict"]

_FILES = ("model.safetensors", "pytorch_model.bin")
"""timm's names on the hub, the safe one first."""
_REPORT_EVERY = 1 << 20
"""Bytes between two progress events."""


@dataclass(frozen=True)
class Source:
    """Where the pretrained weights of a model are now; `file` is None while they must be downloaded."""

    kind: Literal["packaged", "cached", "download"]
    file: Path | None = None


def locate(name: str) -> Source:
    """Look for the weights of a timm model without using the network. Raises `NotFound` and `BadRecipe` (none exist)."""
    if file := packaged_file(name):
        return Source("packaged", file)
    hub, url = _addresses(name)
    if hub:
        found = (try_to_load_from_cache(hub, file) for file in _FILES)
        file = next((Path(path) for path in found if isinstance(path, str)), None)
    else:
        file = file if (file := _url_file(url)).is_file() else None
    return Source("cached", file) if file else Source("download")


def fetch(name: str) -> Iterator[Progressed]:
    """Make sure the weights of `name` are on this machine, reporting bytes. Raises `Unavailable` when they cannot be had."""
    if locate(name).file:
        return
    hub, url = _addresses(name)
    if not _reachable(url if not hub else constants.ENDPOINT):
        raise _no_network(name)
    yield from _reported(lambda bar: _download_hub(name, hub, bar) if hub else _download_url(name, url))


def pretrained_state_dict(name: str) -> dict[str, Tensor]:
    """The pretrained tensors of `name` as its publisher named them (timm translates); downloads when it must."""
    for _ in fetch(name):
        pass
    source = locate(name)
    return packaged_state_dict(name, source.file) if source.kind == "packaged" else read_weights(source.file)


def own_file(sha256: str, home: Home) -> Path:
    """A weight file a person brought, by its hash. Raises `NotFound`."""
    file = home.weights / sha256
    if not sha256.isalnum() or not file.is_file():
        raise NotFound("no_weight_file", file=sha256)
    return file


def _addresses(name: str) -> tuple[str | None, str | None]:
    """Hub repository and plain address of a model's weights."""
    if not is_model(name):
        raise NotFound("no_such_model", model=name)
    card = get_pretrained_cfg(name)
    if card is None or not (card.hf_hub_id or card.url):
        raise BadRecipe("no_pretrained", model=name)
    return card.hf_hub_id, card.url


def _reachable(url: str) -> bool:
    """Whether the host has an address at all. The hub's client would retry for 23 s before it says no."""
    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies():
        return True  # the proxy knows the address, we need not
    try:
        return bool(socket.getaddrinfo(urlparse(url).hostname, None))
    except OSError:
        return False


def _url_file(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def _download_hub(name: str, hub: str, bar: type[tqdm]) -> None:
    for file in _FILES:
        try:
            hf_hub_download(hub, file, tqdm_class=bar)
            return
        except GatedRepoError as error:
            raise Unavailable("weights_gated", model=name, hub=hub) from error
        except LocalEntryNotFoundError as error:  # the network, not the file, is missing
            raise _no_network(name) from error
        except EntryNotFoundError:
            continue
        except Exception as error:
            raise _no_network(name) from error
    raise BadRecipe("no_pretrained", model=name)


def _download_url(name: str, url: str) -> None:
    file = _url_file(url)
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(file), progress=False)
    except OSError as error:
        raise _no_network(name) from error


def _no_network(name: str) -> Unavailable:
    return Unavailable("weights_no_network", model=name, packaged=", ".join(PACKAGES))


def _reported(work: Callable[[type[tqdm]], None]) -> Iterator[Progressed]:
    """Run a download in a thread and yield what its progress bar would have drawn."""
    moves: queue.Queue[Any] = queue.Queue()

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})
            self.total, self.done = kwargs.get("total"), kwargs.get("initial") or 0

        def update(self, n: float | None = 1) -> bool | None:
            self.done += n or 0
            moves.put((int(self.done), int(self.total) if self.total else None))
            return None

    def run() -> None:
        try:
            work(Bar)
            moves.put(None)
        except BaseException as error:  # noqa: BLE001  carried to the caller's thread and raised there
            moves.put(error)

    yield Progressed(stage="weights", done=0)
    threading.Thread(target=run, daemon=True).start()
    reported = 0
    while (move := moves.get()) is not None:
        if isinstance(move, BaseException):
            raise move
        done, total = move
        if done - reported >= _REPORT_EVERY or done == total:
            reported = done
            yield Progressed(stage="weights", done=done, total=total)
