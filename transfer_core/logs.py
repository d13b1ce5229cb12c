"""What the studio's programs write down of themselves: readable text, or with `TRANSFER_STUDIO_LOG=json` one JSON object a line.

Every record says which request, job and run it is about, where it is about one, and never shows what opens something.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from transfer_core.settings import HIDDEN, raw, settings, without_password

LONGEST = 5_000_000
"""Bytes of a job's log; then it becomes `log.old.txt`, and a new one begins. So a job keeps twice as much at most."""
LOOK_EVERY = 2.0
"""Seconds between two looks at its size: libraries in C write past our handlers."""
FACTS = "facts"
"""`extra={FACTS: {…}}`: more to say than the sentence, as fields of the JSON."""

_BREAKS = re.compile("[\x7f-\x9f\u2028\u2029]")
"""What JSON leaves as it is and some readers take for the end of a line."""
_CHATTY = ("httpx", "httpx2", "urllib3", "huggingface_hub")
"""They log the addresses they ask, and in those of downloads stands a signature that opens the file."""
_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))
_process: dict[str, str] = {"process": "python"}
"""What holds for every thread of this process: its name, and in a worker its job."""
_kept: list[Path] = []
"""The logs of this worker's jobs; the last one is written to."""
_KEYS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+"), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(hf|ts)_[\w-]{8,}"), rf"\1_{HIDDEN}"),
    (re.compile(r"(?i)((?:token|api[-_]?key|password|secret)[\"']?\s*[:=]\s*[\"']?)[^\s\"',;&]+"), rf"\1{HIDDEN}"),
)


@contextmanager
def about(**ids: str) -> Iterator[None]:
    """What is logged inside, in this thread or task and those it awaits, is about these: `request`, `job`, `run`."""
    token = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def ids(job: Any) -> dict[str, str]:
    """Of a `Job`: its own id, and the run it works at. (A run is a job of kind "train".)"""
    run = job.id if job.kind == "train" else job.payload.get("run")
    return {"job": job.id} | ({"run": run} if isinstance(run, str) else {})


def to_terminal(process: str) -> None:
    """Write this process' records on stderr."""
    _begin(process, logging.StreamHandler(sys.stderr), quiet=process == "web")


def to_job(file: Path, job: Any) -> None:
    """Write this process' records into a job's log, and whatever else it prints."""
    shorten(file)
    log = file.open("a", encoding="utf-8", buffering=1)
    # The descriptors themselves, so that what C libraries print lands there, too.
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    _begin("worker", logging.StreamHandler(log), **ids(job))
    _kept.append(file)
    if len(_kept) == 1:  # a warm worker has one job after the other
        threading.Thread(target=_keep_short, name="keep the log short", daemon=True).start()


def adopt() -> None:
    """Take over loggers that print by themselves (Streamlit's, uvicorn's), so that there is one form, level and count.

    uvicorn's list of requests goes: it shows addresses as they came, and the address of a demo is what opens it.
    """
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.split(".")[0] in ("streamlit", "uvicorn", "websockets"):
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
            logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True


def note_down(file: Path, error: BaseException, **about_: str) -> None:
    """Append an error with its traceback to a file, in the form of this process."""
    record = logging.LogRecord("transfer_core.jobs", logging.ERROR, "", 0, "the job failed", (),
                               (type(error), error, error.__traceback__))
    with about(**about_), file.open("a", encoding="utf-8") as log:
        log.write(_formatter().format(record) + "\n")


def count_errors(count: Callable[[str], None]) -> None:
    """Have `count` called with the name of the logger of every error this process logs."""
    logging.getLogger().addHandler(_Counting(count))


def shorten(file: Path) -> bool:
    """Begin a job's log anew when it is too long. Those who append to it go on in the new one. True when it was."""
    try:
        if file.stat().st_size <= LONGEST:
            return False
        shutil.copyfile(file, file.with_name("log.old.txt"))
        os.truncate(file, 0)
    except OSError:  # there is none yet, or the disk is full: no reason to end the job
        return False
    return True


def safe(text: str) -> str:
    """A text without keys, tokens and passwords."""
    for secret in (*map(raw, ("metrics_key", "secret", "admin_key")), os.environ.get("HF_TOKEN", "")):
        if len(secret) > 3:
            text = text.replace(secret, HIDDEN)
    for pattern, instead in _KEYS:
        text = pattern.sub(instead, text)
    return without_password(text)


class Text(logging.Formatter):
    """`2026-11-22 15:01:02 WARNING transfer_core.jobs.supervisor: the worker died [job=train-0123456789]`"""

    def format(self, record: logging.LogRecord) -> str:
        said = _printable(_message(record))  # no line but our own
        who = " ".join(f"{name}={value}" for name, value in _ids().items() if name != "process")
        when = datetime.fromtimestamp(record.created).astimezone()
        line = f"{when:%Y-%m-%d %H:%M:%S} {record.levelname} {record.name}: {safe(said)}{f' [{who}]' if who else ''}"
        # What an error says may hold lines that look like ours: those of a traceback stand further in.
        return "\n".join((line, *(f"  {_printable(each)}" for each in safe(_trace(record)).splitlines())))


class Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told = {"time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
                "level": record.levelname.lower(), "logger": record.name, "message": safe(_message(record)),
                "pid": record.process, **_ids(), **getattr(record, FACTS, {})}
        if trace := safe(_trace(record)):
            told["error"] = trace
        line = json.dumps(told, ensure_ascii=False, default=str)
        return _BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


class _Counting(logging.Handler):
    def __init__(self, count: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        self._count(record.name)


def _begin(process: str, handler: logging.StreamHandler, quiet: bool = False, **about_: str) -> None:
    now = settings()
    level = (now.log_level or ("warning" if quiet and now.log == "text" else "info")).upper()
    _process.clear()
    _process.update(process=process, **about_)
    handler.setFormatter(_formatter())
    handler.setLevel(level)  # loggers with a level of their own ask no other
    handler.set_name("transfer studio")
    root = logging.getLogger()
    for before in [each for each in root.handlers if each.get_name() == handler.get_name()]:
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(True)
    sys.excepthook = lambda *error: root.critical("the process ends", exc_info=error)


def _formatter() -> logging.Formatter:
    return Json() if settings().log == "json" else Text()


def _ids() -> dict[str, str]:
    return {**_process, **_about.get()}


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # a library's mistake in its own call
        return str(record.msg)


def _trace(record: logging.LogRecord) -> str:
    found = record.exc_info
    if not found or found[1] is None:
        return record.exc_text or ""
    return "".join(traceback.format_exception(*found)).rstrip()


def _keep_short() -> None:
    waiting = threading.Event()
    while not waiting.wait(LOOK_EVERY):
        shorten(_kept[-1])
