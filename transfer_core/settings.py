"""The environment variables of the studio, `TRANSFER_STUDIO_…`: one typed field each, and the only place that reads them.

They are read when they are asked for, not when this is imported. What each does is said in `assets/words/*/environment.toml`.
(pydantic-settings was tried: its import costs 130 ms, as much as pydantic's own, and it overlooks misspelt names.)
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from transfer_core.errors import BadInput, StudioError
from transfer_core.words import FALLBACK, has, languages, message, say

PREFIX = "TRANSFER_STUDIO_"
TESTS = f"{PREFIX}TEST_"
"""Names that begin so belong to the studio's own tests."""
OTHERS = ("HF_ENDPOINT", "HF_TOKEN", "HF_HOME", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "AWS_ENDPOINT_URL",
          "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""Variables of the libraries underneath that people need to know, too. They are theirs to read and to check."""
SECRET = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
          *(f"{PREFIX}{name}" for name in ("METRICS_KEY", "SECRET", "ADMIN_KEY")))
HIDDEN = "•••"
GB = 1_000_000_000
TRIAL = {"people": "anonymous", "quota_bytes": GB // 2, "quota_images": 2000, "quota_runs": 1, "quota_minutes": 5.0,
         "keep_days": 1.0, "max_upload": GB // 20, "max_files": 50}
"""What holds in a studio for strangers to try (`mode` = trial) where the environment says nothing else."""
_UNITS = {"": 1, "B": 1, **{f"{sign}B": 1000 ** power for power, sign in enumerate("KMGT", 1)},
          **{f"{sign}IB": 1024 ** power for power, sign in enumerate("KMGT", 1)}}


def size(given: Any) -> Any:
    """`10GB`, `1.5 GiB`, `10_000_000_000` → bytes. Raises `ValueError`."""
    if not isinstance(given, str):
        return given
    found = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)", given.strip())
    if found is None or found[2].upper() not in _UNITS:
        raise ValueError(given)
    factor = _UNITS[found[2].upper()]
    number = found[1].replace("_", "")
    return int(float(number) * factor) if "." in number else int(number) * factor


def _hosts(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    names = (name.strip().lower().rstrip(".") for name in given.split(","))
    return tuple(name for name in names if name)


def _language(given: Any) -> Any:
    if str(given)[:2].lower() not in languages():
        raise ValueError(given)
    return given


def _lower(given: Any) -> Any:
    return given.strip().lower() if isinstance(given, str) else given


def _field(default: Any, kind: str, unit: str = "", **limits: Any) -> Any:
    """`kind`: `environment.allowed_<kind>` says what it may be."""
    return Field(default, json_schema_extra={"kind": kind, "unit": unit}, **limits)


Size = Annotated[int, BeforeValidator(size)]
_ONE_LINE = r"^[^\r\n;]+$"


class Settings(BaseModel):
    """All of them, with their defaults. None: not set, and the code decides at the moment it needs to know."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    home: Path = _field(Path("studio-data"), "folder")
    language: Annotated[str, BeforeValidator(_language)] | None = _field(None, "language")
    database_url: str | None = _field(None, "database", pattern=r"^[a-z0-9+_]+://", repr=False)
    artifacts: str | None = _field(None, "artifacts", pattern=r"^(s3://[^/\s?]+|file:///[^?]+|memory://[^/\s?]+)", repr=False)
    max_upload: Size = _field(10 * GB, "size", "bytes", gt=0)
    max_files: int = _field(50_000, "count", "files", gt=0)
    cache_bytes: Size | None = _field(None, "size", "bytes", ge=0)
    copies_bytes: Size | None = _field(None, "size", "bytes", ge=0)
    warm: bool = _field(True, "switch")
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts)] = _field((), "names")
    mode: Annotated[Literal["demos", "trial"], BeforeValidator(_lower)] | None = _field(None, "mode")
    public_url: str | None = _field(None, "address", pattern=r"^https?://[^\s/]+\S*$")
    demo_per_minute: float = _field(30.0, "number", "photos_a_minute", ge=0, allow_inf_nan=False)
    api_per_minute: float = _field(300.0, "number", "photos_a_minute", ge=0, allow_inf_nan=False)
    metrics_key: SecretStr | None = _field(None, "key")
    web_runtime: Path | None = _field(None, "folder")
    frame_ancestors: str | None = _field(None, "directive", pattern=_ONE_LINE)
    people: Annotated[Literal["anonymous", "sign-in"], BeforeValidator(_lower)] | None = _field(None, "people")
    new_per_hour: int = _field(60, "count", "people_an_hour", gt=0)
    secret: SecretStr | None = _field(None, "key", min_length=16)
    admins: Annotated[tuple[str, ...], BeforeValidator(_hosts)] = _field((), "emails")
    admin_key: SecretStr | None = _field(None, "key", min_length=12)
    quota_bytes: Size | None = _field(None, "size", "bytes", gt=0)
    quota_images: int | None = _field(None, "count", "photos", gt=0)
    quota_runs: int | None = _field(None, "count", "trainings", gt=0)
    quota_minutes: float | None = _field(None, "number", "minutes", gt=0, allow_inf_nan=False)
    keep_days: float | None = _field(None, "number", "days", gt=0, allow_inf_nan=False)
    ray_address: str | None = _field(None, "cluster", pattern=r"^(auto|(ray://)?[^\s/:@]+:\d+)$")
    ray_cpus: int = _field(4, "count", "cores", gt=0)
    log: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = _field("text", "log")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] | None = _field(None, "level")


    @model_validator(mode="before")
    @classmethod
    def _of_a_trial(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {**TRIAL, **given} if str(given.get("mode", "")).strip().lower() == "trial" else given


FIELDS = {f"{PREFIX}{name.upper()}": name for name in Settings.model_fields}
"""Variable → field."""


def settings(environment: Mapping[str, str] | None = None) -> Settings:
    """What holds now. An empty variable counts as not set: it is a script's slip.

    Raises `BadInput("bad_environment")` for the first value that cannot be.
    """
    given = _given(environment)
    try:
        return Settings(**given)
    except ValidationError as error:
        raise _refused(error, given) from None


def raw(field: str, environment: Mapping[str, str] | None = None) -> str:
    """One variable as it was typed, unchecked; for what has to work while others are wrong."""
    return (os.environ if environment is None else environment).get(f"{PREFIX}{field.upper()}", "").strip()


def check(environment: Mapping[str, str] | None = None) -> Settings:
    """As `settings`, and refuses names there are none of, which would otherwise be overlooked in silence.

    Called once, where a program starts. Raises `BadInput`.
    """
    for name in strangers(environment):
        raise _unknown(name)
    return settings(environment)


def strangers(environment: Mapping[str, str] | None = None) -> list[str]:
    """Names with our prefix that are no setting."""
    names = os.environ if environment is None else environment
    return sorted(name for name in names if name.startswith(PREFIX) and name not in FIELDS and not name.startswith(TESTS))


def check_or_exit() -> None:
    """For programs that are no command: what is wrong goes to the terminal, in its language, and the program ends."""
    try:
        check()
    except BadInput as error:
        said = terminal_language()
        sys.exit(f"{error.message(said)}\n{error.hint(said)}")


def terminal_language() -> str:
    """The setting `language`, else the terminal's, else English."""
    for wish in (raw("language"), *(os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))):
        if (code := wish[:2].lower()) in languages():
            return code
    return FALLBACK


def with_settings(**values: str) -> dict[str, str]:
    """The environment for a process of our own, with some settings (by field) that are to hold there."""
    return {**os.environ, **{f"{PREFIX}{name.upper()}": value for name, value in values.items()}}


def set_unless_given(field: str, value: str) -> None:
    """Set one for this process and those it starts, where the environment says nothing."""
    if not raw(field):
        os.environ[f"{PREFIX}{field.upper()}"] = value


@dataclass(frozen=True)
class Row:
    """One variable as it is shown to people: never a secret."""

    name: str
    value: str
    given: bool
    """Whether the environment says it; else it is the default."""
    default: str
    unit: str
    text: str
    """What it does."""
    problem: str = ""
    """Why the studio does not start with this value, and what to do."""


def listed(language: str, environment: Mapping[str, str] | None = None) -> list[Row]:
    """All variables, ours and those of `OTHERS`, and misspelt ones. Never raises: what is wrong is said of each."""
    environment = os.environ if environment is None else environment
    rows = [_row(name, field, language, environment) for name, field in FIELDS.items()]
    for name in strangers(environment):
        rows.append(Row(name, HIDDEN, True, "–", "", "–", _told(_unknown(name), language)))  # a misspelt key is a key
    for name in OTHERS:
        given, default = name in environment, default_of(name, language)
        rows.append(Row(name, shown(name, environment.get(name)) if given else default, given, default, "",
                        text_of(name, language)))
    return rows


def _row(name: str, field: str, language: str, environment: Mapping[str, str]) -> Row:
    typed, default, problem = raw(field, environment), default_of(name, language), ""
    value: Any = typed
    try:
        value = getattr(settings({name: typed}), field)
    except StudioError as error:
        problem = _told(error, language)
    unit = str(Settings.model_fields[field].json_schema_extra["unit"])
    return Row(name, shown(name, value) if typed else default, bool(typed), default, unit, text_of(name, language), problem)


def _told(error: StudioError, language: str) -> str:
    return f"{error.message(language)} {error.hint(language)}"


def text_of(name: str, language: str) -> str:
    return say(f"environment.{name.removeprefix(PREFIX).lower()}", language)


def default_of(name: str, language: str) -> str:
    """In words where it depends on something, else the value."""
    key = f"environment.{name.removeprefix(PREFIX).lower()}_default"
    return say(key, language) if has(key) else shown(name, Settings.model_fields[FIELDS[name]].default)


def shown(name: str, value: Any) -> str:
    """A value for people's eyes: secrets are hidden, and the password in an address."""
    if value in (None, "", ()):
        return "–"
    if name in SECRET:
        return HIDDEN
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else without_password(str(value))


def without_password(text: str) -> str:
    """Addresses in a text without what opens them: `postgresql://me:secret@host/db?password=secret` keeps neither secret."""
    # A password may hold a slash; what looks like one port and a path is none.
    text = re.sub(r"(\w://[^\s/:@]*):(?!\d{1,5}/)[^\s]+@", rf"\1:{HIDDEN}@", text)
    return re.sub(r"(?i)([?&]\w*(?:password|passwd|pwd|token|key|secret)=)[^&\s]+", rf"\1{HIDDEN}", text)


def _given(environment: Mapping[str, str] | None) -> dict[str, str]:
    typed = {field: raw(field, environment) for field in Settings.model_fields}
    return {field: value for field, value in typed.items() if value}


def _unknown(name: str) -> BadInput:
    near = difflib.get_close_matches(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in FIELDS], 1)
    if near:
        return BadInput("misspelt_environment", name=name, nearest=f"{PREFIX}{near[0]}")
    return BadInput("unknown_environment", name=name)


def _refused(error: ValidationError, given: Mapping[str, str]) -> BadInput:
    field = str(error.errors(include_context=False, include_input=False, include_url=False)[0]["loc"][0])
    name, kind = f"{PREFIX}{field.upper()}", Settings.model_fields[field].json_schema_extra["kind"]
    return BadInput("bad_environment", name=name, given=shown(name, given[field])[:100],
                    allowed=message(f"environment.allowed_{kind}"))
