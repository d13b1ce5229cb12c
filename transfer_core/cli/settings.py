"""The options of `train`: one for every setting of a recipe, made from the recipe itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from transfer_core.cli.answer import language
from transfer_core.errors import BadRecipe
from transfer_core.recipe import Recipe, parse_freeze
from transfer_core.regularizers import REGULARIZERS
from transfer_core.source_losses import SOURCE_LOSSES
from transfer_core.words import has, say

NAMES = {"lambda_target": ("--lambda", "--lambda-target"), "version": ("--dataset-version",)}
"""Where an option is not called like its setting."""
_CHOICES = {"regularizer": REGULARIZERS, "source_loss": SOURCE_LOSSES}


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command with `**settings` one option for every recipe setting. What was not given is None and not passed on."""
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    taken = {parameter.name for parameter in own}
    more = [_parameter(name, field) for name, field in Recipe.model_fields.items() if name not in taken]

    def given(**values: Any) -> Any:
        return command(**{name: value for name, value in values.items() if name in taken or value not in (None, [])})

    given.__name__, given.__doc__ = command.__name__, command.__doc__
    given.__signature__ = signature.replace(parameters=[*own, *more])
    given.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *more)}
    return given


def read(given: dict[str, Any]) -> dict[str, Any]:
    """What was typed as recipe settings; the recipe itself checks and converts the rest."""
    settings = dict(given)
    if "freeze" in settings:
        settings["freeze"] = parse_freeze(settings["freeze"])
    if "positions" in settings:
        settings["positions"] = dict(map(_position, settings["positions"]))
    for name in _CHOICES:
        if settings.get(name) == "none":
            settings[name] = None
    return settings


def _position(text: str) -> tuple[str, str]:
    group, equals, position = text.rpartition("=")
    if not equals:
        raise BadRecipe("bad_setting", setting="positions", given=text, reason="GROUP=train, GROUP=anchor or GROUP=freeze")
    return group, position


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    kind: Any = str | None
    if field.annotation is bool:
        kind = bool | None
    elif name == "positions":
        kind = list[str] | None
    flags = NAMES.get(name) or (_flag(name, field),)
    option = typer.Option(*flags, help=_help(name, field), metavar=None if kind == bool | None else _metavar(name, field),
                          show_default=False, rich_help_panel=None)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _flag(name: str, field: FieldInfo) -> str:
    flag = "--" + name.replace("_", "-")
    return f"{flag}/--no-{flag[2:]}" if field.annotation is bool else flag


def _metavar(name: str, field: FieldInfo) -> str:
    if name == "freeze":
        return "all|none|K"
    if name == "positions":
        return "GROUP=train|anchor|freeze"
    if name in _CHOICES:
        return "|".join((*_CHOICES[name].names(), "none"))
    if get_origin(field.annotation) is Literal:
        return "|".join(get_args(field.annotation))
    kinds = [kind for kind in (int, float) if kind is field.annotation or str(kind.__name__) in str(field.annotation)]
    return kinds[0].__name__.upper() if kinds else "TEXT"


def _help(name: str, field: FieldInfo) -> str:
    keys = [key for key in (f"cli.option_{name}", f"settings.{name}_help", f"settings.{name}") if has(key)]
    text = say(keys[0], language()) if keys else ""
    standard = field.get_default(call_default_factory=True)
    if standard in (None, {}) or name == "version":  # not given, it is the dataset's latest
        return text
    return f"{text} [{standard}]"
