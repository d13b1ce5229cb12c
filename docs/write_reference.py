"""Write docs/reference.md from the registries, the recipe and the command line: `python docs/write_reference.py`.

Nothing in that file is typed twice: what is registered stands in it, and a test fails when the file is older than the code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import typer

from transfer_core import events, http
from transfer_core.cli import app
from transfer_core.examples import EXAMPLES
from transfer_core.jobs.tasks import TASKS
from transfer_core.paths import assets
from transfer_core.presets import PRESETS
from transfer_core.recipe import Recipe
from transfer_core.registry import Choice, Registry
from transfer_core.regularizers import REGULARIZERS
from transfer_core.settings import FIELDS, OTHERS, Settings, default_of, text_of
from transfer_core.source_losses import SOURCE_LOSSES
from transfer_core.words import has, say

FILE = Path(__file__).with_name("reference.md")

ENVIRONMENT = (*FIELDS, *OTHERS)


def reference() -> str:
    parts = [
        "# Reference", "Made by `python docs/write_reference.py` from the code; do not edit by hand.",
        "## Commands", "`transfer-studio COMMAND --help` shows all options. Every command takes `--json`.", commands(),
        "## Recipe settings",
        "A recipe is everything a training needs to be repeated. Each setting is an option of `transfer-studio train`, a field "
        "of `transfer_core.Recipe`, and a key in the address of the Model page.", settings(),
        "## Regularizers Ω", "`L(θ) = L_target(θ) + λ_Ω · Ω(θ)`; a larger λ_Ω stays closer to the start, or simpler.",
        table(("name", "what it does", "formula", "source", "λ_Ω when chosen", "end of the slider"),
              map(regularizer, REGULARIZERS)),
        "## Source losses", "`L(θ) = (L_source(θ) + λ · L_target(θ)) / (1 + λ)`; a larger λ learns the new task more.",
        table(("name", "what it does", "formula", "source", "needs"), map(source_loss, SOURCE_LOSSES)),
        "## Presets", described(PRESETS),
        "## Export formats", described(exporters()),
        "## Examples",
        table(("name", "what it is", "classes", "photos a class", "difficulty", "licence"), map(example, EXAMPLES)),
        "## Suggested models", table(("role", "model", "ImageNet top-1", "source"), suggested()),
        "## Job kinds",
        "Everything that takes longer than a moment is a job: it runs in a worker process and survives the web server.",
        table(("kind", "what it does", "needs torch"), ((code(job.name), job.help, job.facts["torch"]) for job in TASKS)),
        "## Events", "What a job reports, in the order of a life. `transfer_core.to_json` and `from_json` carry them.",
        table(("type", "fields", "meaning"), map(event, get_args(get_args(events.Event)[0]))),
        "## HTTP routes", "Beside the pages. Writing needs the cookie `studio_token` repeated in the header `X-Studio-Token`.",
        "```\n" + routes() + "\n```",
        "## Environment variables",
        "Sizes may be written `10GB`. A value that cannot be, and a name there is none of, is refused at the start; "
        "`transfer-studio settings` lists what holds now.",
        table(("variable", "default", "what it does"), map(variable, ENVIRONMENT)),
    ]
    return "\n\n".join(parts) + "\n"


def commands() -> str:
    known = typer.main.get_command(app).commands
    return table(("command", "what it does"), ((code(f"transfer-studio {name}"), say(f"cli.{name}", "en")) for name in known))


def settings() -> str:
    options = {each.name: each for each in typer.main.get_command(app).commands["train"].params}
    properties = Recipe.model_json_schema()["properties"]
    rows = []
    for name, schema in properties.items():
        flags = [*options[name].opts, *options[name].secondary_opts]
        rows.append((code(name), " ".join(map(code, flags)), allowed(name, schema), default(schema), meaning(name)))
    return table(("setting", "option", "allowed", "default", "what it does"), rows)


def allowed(name: str, schema: dict[str, Any]) -> str:
    choices = {"regularizer": REGULARIZERS, "source_loss": SOURCE_LOSSES}
    if name in choices:
        return ", ".join(map(code, (*choices[name].names(), "none")))
    if "anyOf" in schema:
        return " or ".join(allowed("", each) for each in schema["anyOf"] if each != {"type": "null"})
    if "enum" in schema or "const" in schema:
        return ", ".join(map(code, schema.get("enum", [schema.get("const")])))
    if schema["type"] == "object":
        return "group → " + ", ".join(map(code, schema["additionalProperties"]["enum"]))
    kind = {"integer": "whole number", "number": "number", "boolean": "yes or no", "string": "text"}[schema["type"]]
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = ", ".join(f"{sign} {number(schema[key])}" for key, sign in signs.items() if key in schema)
    return f"{kind} {bounds}".strip()


def number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def default(schema: dict[str, Any]) -> str:
    value = schema.get("default")
    return "–" if value in (None, {}) else code({True: "yes", False: "no"}[value] if isinstance(value, bool) else value)


def meaning(name: str) -> str:
    keys = (f"settings.{name}_help", f"cli.option_{name}", f"settings.{name}")
    return next(say(key, "en") for key in keys if has(key))


def regularizer(choice: Choice) -> tuple[Any, ...]:
    facts = choice.facts
    return code(choice.name), choice.help, code(facts["formula"]), facts["paper"], f"{facts['default']:g}", f"{facts['top']:g}"


def source_loss(choice: Choice) -> tuple[Any, ...]:
    classifier = "a model with its original classifier"
    needs = {"source_logits": classifier, "relation": classifier, "importance": classifier,
             "features": "a layer group that is not frozen", "source_images": "a second dataset"}
    facts = choice.facts
    return code(choice.name), choice.help, code(facts["formula"]), facts["paper"], needs[facts["needs"]]


def exporters() -> Registry:
    from transfer_core.training.export import EXPORTERS  # imports torch

    return EXPORTERS


def described(registry: Registry) -> str:
    return table(("name", "what it does"), ((code(choice.name), choice.help) for choice in registry))


def example(choice: Choice) -> tuple[Any, ...]:
    facts = choice.facts
    return (code(choice.name), choice.help, ", ".join(facts["classes"]), facts["images_per_class"], facts["difficulty"],
            facts["licence"])


def suggested() -> Iterable[tuple[Any, ...]]:
    for role, facts in tomllib.loads((assets() / "models" / "suggested.toml").read_text("utf-8")).items():
        yield (say(f"catalog.roles.{role}.title", "en"), code(facts["model"]), f"{facts['top1']} % at {facts['top1_size']} px",
               facts["source"])


def event(kind: type) -> tuple[Any, ...]:
    fields = {name: field for name, field in kind.model_fields.items() if name != "type"}
    return code(kind.model_fields["type"].default), ", ".join(map(code, fields)), (kind.__doc__ or "").split("\n\n")[0]


def routes() -> str:
    lines = (http.__doc__ or "").split("\n\n")[1].splitlines()
    return "\n".join(line.strip() for line in lines)


def variable(name: str) -> tuple[str, ...]:
    field = Settings.model_fields.get(FIELDS.get(name, ""))
    unit = field.json_schema_extra["unit"] if field and field.default is not None else ""
    said = [default_of(name, "en"), *([say(f"environment.unit_{unit}", "en")] if unit else [])]
    return code(name), " ".join(said), text_of(name, "en")


def code(value: Any) -> str:
    return f"`{value}`"


def table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *([cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: Any) -> str:
    text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
    return " ".join(text.split()).replace("|", "\\|") or "–"


if __name__ == "__main__":
    FILE.write_text(reference(), "utf-8")
