"""The recipe a visitor is putting together: what is recommended for their dataset, and what they changed, kept in the URL.

A setting stands in the URL only while it differs from the recommendation. What a hand-edited or old URL asks for and the
recipe cannot be (a word where a number belongs, a layer group of another model) is left out and named in `Draft.dropped`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pages.shared import backend, place
from pages.shared.bound import bind_to
from pages.shared.place import SETTINGS
from pages.shared.undisturbed import undisturbed
from transfer_core import catalog, presets
from transfer_core.errors import NotFound, StudioError
from transfer_core.recipe import DEFAULT_MODEL, Recipe
from transfer_core.source_losses import SOURCE_LOSSES
from transfer_core.store import Dataset
from transfer_core.words import Message

NO_DATASET = "-"
"""Dataset id of a recipe put together before there is a dataset; such a recipe can be looked at, not run."""
POSITIONS = ("train", "anchor", "freeze")
MODEL_SETTINGS = ("freeze", "positions", "image_size", "weights", "weights_file", "start_from", "kept_groups", "head", "tuning")
"""Settings that mean something only for the model they were made for: another model starts without them."""

_EMPTY = "none"
_TOGETHER = {name: group for group in (("weights", "weights_file", "start_from"),
                                       ("source_loss", "source_dataset", "source_version")) for name in group}
"""Settings that are only valid as a group."""


@dataclass(frozen=True)
class Draft:
    """One look at the URL. A page makes it once a run (`draft.current()`) and hands it on."""

    dataset: Dataset | None
    info: catalog.ModelInfo
    """The model, with as many layer groups as are kept."""
    preset: str
    advised: str
    """The preset that fits the dataset, whichever the visitor chose."""
    why: Message
    usual: Recipe
    """The recipe with nothing changed but model and preset."""
    recipe: Recipe
    unknown_model: StudioError | None = None
    dropped: tuple[str, ...] = ()
    """Settings in the URL that cannot be, and were left out."""

    @property
    def positions(self) -> list[str]:
        """Where each layer group stands, in forward order."""
        groups = self.info.groups
        return [self.recipe.position(group.name, index, len(groups)) for index, group in enumerate(groups)]

    @property
    def images(self) -> int:
        """Training images; 0 without a dataset."""
        return self.dataset.latest.summary.get("split", {}).get("train", 0) if self.dataset else 0

    @property
    def classes(self) -> int:
        return len(self.dataset.latest.summary.get("classes", {})) if self.dataset else 0

    @property
    def differences(self) -> list[str]:
        """Names of the settings that differ from the recommended ones."""
        return [name for name in SETTINGS
                if getattr(self.usual, name) != getattr(self.recipe, name) and not (name == "lambda_target" and self._came_along)]

    @property
    def _came_along(self) -> bool:
        """Whether λ is the one that its source loss brings: nobody chose it."""
        loss = self.recipe.source_loss
        return loss is not None and self.recipe.lambda_target == SOURCE_LOSSES[loss].facts["default"]


def current() -> Draft:
    dataset = backend.dataset()
    summary = dataset.latest.summary if dataset else {}
    info, unknown = _model()
    advised, why = presets.recommend(info, summary)
    asked = place.get("preset")
    preset = asked if asked in presets.PRESETS else advised
    usual = _usual(preset, info, dataset)
    recipe, dropped = _changed(usual, [group.name for group in info.groups], info.kept_groups is not None)
    return Draft(dataset, info, preset, advised, why, usual, recipe, unknown, dropped)


def model_info() -> catalog.ModelInfo:
    """The chosen model, or the default one when the URL names none that exists."""
    return _model()[0]


def recommended() -> Recipe:
    """The recipe before the visitor changed anything but the model and the preset."""
    return current().usual


def recipe() -> Recipe:
    """The recommended recipe with the visitor's changes."""
    return current().recipe


def differences() -> list[str]:
    """Names of the settings that differ from the recommended ones."""
    return current().differences


def address(recipe: Recipe) -> dict[str, str | None]:
    """The changes of a URL after which the draft is this recipe (with the latest version of its dataset).

    A recipe does not say which preset it began with: it is taken to be the one that leaves fewest settings changed.
    """
    try:
        dataset = backend.store().dataset(recipe.dataset)
    except NotFound:
        dataset = None
    try:
        info = catalog.model(recipe.model).shortened(recipe.kept_groups)
    except NotFound:  # the Model page will say so
        return {**dict.fromkeys(SETTINGS), "preset": None, "model": recipe.model}
    wanted = _canonical(recipe, [group.name for group in info.groups])
    advised, _ = presets.recommend(info, dataset.latest.summary if dataset else {})

    def changed(preset: str) -> dict[str, str | None]:
        usual, settings = _usual(preset, info, dataset), ((name, getattr(wanted, name)) for name in SETTINGS)
        return {name: None if getattr(usual, name) == value else _format(value) for name, value in settings}

    # `min` takes the first of equals.
    names = [advised, *(name for name in presets.PRESETS.names() if name != advised)]
    preset = min(names, key=lambda name: sum(value is not None for value in changed(name).values()))
    return {**changed(preset), "preset": preset, "model": info.name}


@undisturbed()
def change(**settings: Any) -> None:
    """Set some settings; those that equal the recommendation leave the URL again."""
    usual = recommended()
    place.put(**{name: None if getattr(usual, name) == value and name != "model" else _format(value)
                 for name, value in settings.items()})


def change_positions(positions: Sequence[str]) -> None:
    """Set where every layer group stands, in forward order."""
    change(**freeze_settings([group.name for group in model_info().groups], positions))


@undisturbed()
def choose_model(name: str) -> None:
    """Take another model; the freezing and the weights of the one before mean nothing to it."""
    if name != model_info().name or place.get("model") != name:
        place.put(**dict.fromkeys(MODEL_SETTINGS), model=name)


@undisturbed()
def choose_preset(name: str) -> None:
    """Take a preset; a freezing made by hand gives way to the preset's own."""
    place.put(preset=name, freeze=None, positions=None)


@undisturbed()
def reset(*names: str) -> None:
    """Back to what is recommended: the settings named, or all of them. Model and preset stay."""
    names = tuple(each for name in names for each in _TOGETHER.get(name, (name,)))
    place.put(**dict.fromkeys(name for name in names or SETTINGS if name != "model"))


def freeze_settings(groups: Sequence[str], positions: Sequence[str]) -> dict[str, Any]:
    """`freeze` and `positions` of a recipe in the one form that says it shortest: the frozen beginning, then the exceptions.

    >>> freeze_settings(["stem", "a", "b"], ["freeze", "anchor", "train"])
    {'freeze': 1, 'positions': {'a': 'anchor'}}
    """
    first = next((index for index, position in enumerate(positions) if position != "freeze"), len(groups))
    apart = {group: position for group, position in zip(groups[first:], positions[first:], strict=True) if position != "train"}
    return {"freeze": "all" if first == len(groups) else first, "positions": apart}


def key(name: str) -> str:
    """The widget key of a setting."""
    return f"setting-{name}"


def bind(name: str, draft: Draft | None = None) -> dict[str, Any]:
    """`key` and `on_change` of a widget that edits one setting: `st.slider(label, 1, 50, **draft.bind("epochs"))`.

    For what starts at a `value`: sliders, numbers, switches.
    """
    return bind_to(key(name), getattr((draft or current()).recipe, name), lambda value: change(**{name: value}))


def _usual(preset: str, info: catalog.ModelInfo, dataset: Dataset | None) -> Recipe:
    """A preset's recipe for a model and a dataset."""
    where = {"dataset": dataset.id, "version": dataset.latest.version} if dataset else {"dataset": NO_DATASET}
    settings = presets.PRESETS[preset](info, dataset.latest.summary if dataset else {})
    return _canonical(Recipe(**where, **{**settings, "model": info.name}), [group.name for group in info.groups])


def _model() -> tuple[catalog.ModelInfo, StudioError | None]:
    asked = place.get("kept_groups") or ""
    kept = int(asked) if asked.isdecimal() and len(asked) < 4 else None
    try:
        return catalog.model(place.get("model") or DEFAULT_MODEL).shortened(kept), None
    except NotFound as error:
        return catalog.model(DEFAULT_MODEL), error


def _changed(usual: Recipe, groups: Sequence[str], shortened: bool) -> tuple[Recipe, tuple[str, ...]]:
    """The usual recipe with what the URL says, and the names of what had to be left out."""
    said = place.asked()
    asked: dict[str, Any] = {}
    dropped: list[str] = []
    for name in SETTINGS:
        if name != "model" and (text := said.get(name)) is not None:
            try:
                asked[name] = _parse(name, text)
            except ValueError:
                dropped.append(name)
    if known := asked.get("positions"):
        asked["positions"] = {group: position for group, position in known.items() if group in groups}
        dropped += ["positions"] if len(asked["positions"]) < len(known) else []
    if asked.get("kept_groups") is not None and not shortened:
        del asked["kept_groups"]
        dropped.append("kept_groups")
    settled = usual
    for name in list(asked):
        together = {each: asked[each] for each in _TOGETHER.get(name, (name,)) if each in asked}
        try:
            settled = settled.but(**together)
        except StudioError:
            dropped.append(name)
    return _canonical(settled, groups), tuple(dict.fromkeys(dropped))


def _canonical(recipe: Recipe, groups: Sequence[str]) -> Recipe:
    positions = [recipe.position(group, index, len(groups)) for index, group in enumerate(groups)]
    settings = freeze_settings(groups, positions)
    return recipe if settings == {"freeze": recipe.freeze, "positions": recipe.positions} else recipe.but(**settings)


def _format(value: Any) -> str:
    if value is None:
        return _EMPTY
    if isinstance(value, Mapping):
        return ",".join(f"{group}:{position}" for group, position in value.items()) or _EMPTY
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse(name: str, text: str) -> Any:
    """What a URL's text means; the recipe turns it into a number or a switch itself. Raises `ValueError` for broken positions."""
    if name == "positions":
        return {} if text == _EMPTY else dict(pair.rsplit(":", 1) for pair in text.split(","))
    optional = type(None) in get_args(Recipe.model_fields[name].annotation)
    return None if text == _EMPTY and optional else text
