"""The models this process holds open."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from pathlib import Path

from transfer_core.errors import NotFound
from transfer_core.predictor import Predictor

KEPT = 3
"""Models held open at once; EfficientNet-Lite0 takes about 50 MB."""
_Key = tuple[str, int, int]
_open: OrderedDict[_Key, Future[Predictor]] = OrderedDict()
_lock = threading.Lock()


def predictor_for(path: Path) -> Predictor:
    """The `Predictor` of a file, opened once; a file written anew is opened anew. The least recently asked goes first.

    Who asks for one that is just being opened waits for it; nobody waits for another's. Raises as `Predictor` does.
    """
    if not path.is_file():
        raise NotFound("no_model_file", file=path.name)
    about = path.stat()
    key = (str(path.resolve()), about.st_mtime_ns, about.st_size)
    with _lock:
        found = _open.pop(key, None)
        to_open = found is None
        found = found or Future()
        for stale in [other for other in _open if other[0] == key[0]]:
            del _open[stale]
        _open[key] = found
        while len(_open) > KEPT:
            _open.popitem(last=False)
    if to_open:
        try:
            found.set_result(Predictor(path))
        except BaseException as error:  # noqa: BLE001 — whoever waits is told, too
            with _lock:
                if _open.get(key) is found:
                    del _open[key]
            found.set_exception(error)
    return found.result()
