"""What all commands have in common: a place in the program, `--json`, and an `Answer`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from transfer_core.cli.answer import Answer, language
from transfer_core.words import say

app = typer.Typer(no_args_is_help=True, add_completion=False, help=say("cli.help", language()), rich_markup_mode=None)


def command(name: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Make a function a command; it returns an `Answer`, which is given in words or as JSON. Its help is `cli.<name>`."""

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        @wraps(function)
        def run(context: typer.Context, json: bool = False, **values: Any) -> int:
            answer = function(**values)
            context.obj.give(answer)
            return answer.status

        signature = inspect.signature(function, eval_str=True)
        as_json = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False,
                                    annotation=Annotated[bool, typer.Option("--json", help=say("cli.json", language()))])
        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        run.__signature__ = inspect.Signature([
            context, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values()), as_json])
        run.__annotations__ = {each.name: each.annotation for each in run.__signature__.parameters.values()}
        del run.__wrapped__
        app.command(name, help=say(f"cli.{name}", language()))(run)
        return function

    return register


def option(*flags: str, words: str, **facts: Any) -> Any:
    """An option whose help is the text `cli.<words>`."""
    return typer.Option(*flags, help=say(f"cli.{words}", language()), **facts)


def argument(words: str, **facts: Any) -> Any:
    return typer.Argument(help=say(f"cli.{words}", language()), **facts)
