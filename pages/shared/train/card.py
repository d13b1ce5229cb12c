"""The run card: what will happen and what it costs, before anybody waits for it. Afterwards it is the receipt."""

from __future__ import annotations

import streamlit as st

from pages.shared import averages, backend, draft, navigation, place
from pages.shared.model.numbers import decimal, duration, short, size
from pages.shared.text import plain, t
from pages.shared.train import beside, places
from pages.shared.undisturbed import undisturbed
from transfer_core import estimate
from transfer_core.catalog import ModelInfo, model, weights_at
from transfer_core.errors import NotFound
from transfer_core.jobs.apart import PARTS
from transfer_core.jobs.beside import FOLDS
from transfer_core.numbers import counted
from transfer_core.recipe import Recipe
from transfer_core.speeds import speeds
from transfer_core.store import Dataset, Job


def show() -> None:
    """The card of the recipe in the URL, with Start; or what is missing for it."""
    dataset = backend.dataset()
    if dataset is None:
        _nothing_yet()
        return
    recipe = draft.recipe()
    folds, workers = beside.asked(recipe), places.asked()
    with st.container(border=True, key="run-card"):
        describe(recipe, dataset)
        changed = draft.differences()
        if changed:
            st.caption(t("train.differs", count=len(changed)))
    beside.show(recipe, folds)
    places.show(workers)
    with st.container(horizontal=True, vertical_alignment="center", key="start-row"):
        st.button(t("train.start"), type="primary", icon=":material/play_arrow:", key="start", on_click=_start,
                  args=(recipe, dataset, folds.on, workers))
        navigation.link("model", t("train.change"), ":material/tune:")
    others = [job for job in backend.store().jobs(None, "running", "queued") if job.kind in ("train", "sweep", *PARTS)]
    if others:
        st.caption(t("train.will_queue", count=len(others)))


def _nothing_yet() -> None:
    with st.container(border=True, key="train-empty"):
        st.subheader(t("train.empty_title"))
        st.write(t("train.empty_text"))
        if st.button(t("train.empty_action"), type="primary", icon=":material/add_photo_alternate:", key="to-data"):
            navigation.go("data")


@undisturbed()
def _start(recipe: Recipe, dataset: Dataset, folds: bool, workers: int) -> None:
    # Two quick clicks call this twice; the second finds the run already in the URL.
    if backend.run() is not None:
        return
    payload = {"recipe": recipe.model_dump(), "name": dataset.name} | ({"folds": FOLDS} if folds else {})
    payload |= {"workers": workers} if workers > 1 else {}
    job = backend.store().submit("train", payload, backend.device())
    place.put(run=job.id)


def describe(recipe: Recipe, dataset: Dataset | None, receipt: Job | None = None) -> None:
    """What a run does (or did), in five lines a person can check."""
    try:
        info = model(recipe.model)
    except NotFound:
        info = None
    summary = backend.store().version(recipe.dataset, recipe.version).summary
    split = summary["split"]
    left, right = st.columns([3, 2], gap="large")
    with left:
        name = plain(dataset.name) if dataset else plain(recipe.dataset)
        _line("photo_library", t("train.card_photos", name=name, version=recipe.version, classes=len(summary["classes"])))
        if receipt and receipt.is_average:
            _line("call_split", t("mixture.made.photos", **split))
            _line("layers", f"**{plain(recipe.model)}**")
            _line("blender", averages.sentence(receipt))
            return
        _line("call_split", t("train.card_split", **split))
        _line("layers", t("train.card_model", model=plain(recipe.model), weights=t(f"train.weights_{recipe.weights}")))
        _line("ac_unit", _freezing(recipe, info))
        if shape := shape_of(recipe):
            _line("architecture", shape)
        _line("function", _objective(recipe))
        _line("casino", t("train.card_how", epochs=recipe.epochs, batch=recipe.batch_size, rate=decimal(recipe.learning_rate),
                          seed=recipe.seed))
        if recipe.minutes:
            _line("timer", t("train.card_minutes", count=counted(recipe.minutes)))
    if info is not None and receipt is None:
        with right:
            _price(recipe, info, split["train"], len(summary["classes"]))


def _line(icon: str, text: str) -> None:
    st.markdown(f":material/{icon}: {text}")


def _freezing(recipe: Recipe, info: ModelInfo | None) -> str:
    if info is None:
        return t("train.card_freeze_all") if recipe.freeze == "all" else t("train.card_freeze_none")
    info = info.shortened(recipe.kept_groups)
    positions = [recipe.position(group.name, index, len(info.groups)) for index, group in enumerate(info.groups)]
    counts = {position: positions.count(position) for position in ("freeze", "anchor", "train")}
    if counts["freeze"] == len(positions):
        return t("train.card_freeze_all")
    if counts["train"] == len(positions):
        return t("train.card_freeze_none")
    return t("train.card_freeze", groups=len(positions), **counts)


def shape_of(recipe: Recipe) -> str:
    """What of the model's shape is not as it came; empty where nothing is."""
    parts = []
    if recipe.kept_groups:
        parts.append(t("train.card_kept", count=recipe.kept_groups))
    if recipe.head != "linear":
        parts.append(t(f"train.card_head_{recipe.head}", width=recipe.head_width))
    if recipe.tuning != "all":
        parts.append(t(f"train.card_tuning_{recipe.tuning}", rank=recipe.lora_rank))
    return t("train.card_and").join(parts)


def _objective(recipe: Recipe) -> str:
    parts = [t("train.card_target")]
    if recipe.source_loss:
        source = t(f"objective.source_{recipe.source_loss}")
        parts.append(t("train.card_source", source=source, value=decimal(recipe.lambda_target)))
    if recipe.regularizer and recipe.lambda_omega:
        parts.append(t("train.card_omega", omega=t(f"objective.omega_{recipe.regularizer}"), value=decimal(recipe.lambda_omega)))
    return t("train.card_join").join(parts)


def _price(recipe: Recipe, info: ModelInfo, images: int, classes: int) -> None:
    speed = speeds(backend.home()).get(info.name)
    cost = estimate.estimate(recipe, info, images, speed, classes=classes, source_images=backend.source_images(recipe))
    with st.grid(columns="auto", min_column_width=130, gap="small", key="card-price"):
        st.metric(t("train.minutes"), duration(cost.seconds) if cost.seconds else t("train.unknown"),
                  help=t("train.minutes_help") if cost.seconds else t("train.minutes_unknown"))
        st.metric(t("train.memory"), size(cost.memory_bytes), help=t("train.memory_help"))
        st.metric(t("train.trainable"), short(cost.trainable_parameters),
                  help=t("train.trainable_help", total=short(cost.total_parameters)))
        if cost.stored_bytes:
            st.metric(t("train.disk"), size(cost.stored_bytes), help=t("train.disk_help"))
        if recipe.weights == "pretrained" and weights_at(info.name, backend.home()) == "download":
            st.metric(t("train.download"), size(cost.download_bytes), help=t("train.download_help"))
