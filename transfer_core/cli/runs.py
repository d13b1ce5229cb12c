"""`train`, `resume`, `runs`, `queue`, `show`, `stop`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated, Any

from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import argument, command, option
from transfer_core.cli.foreground import run_here
from transfer_core.cli.settings import read, with_settings
from transfer_core.cluster.state import cluster, trouble
from transfer_core.errors import BadInput, NotFound, StudioError
from transfer_core.jobs import devices
from transfer_core.jobs.beside import brought
from transfer_core.jobs.discard import discard_queued
from transfer_core.jobs.run import resumable
from transfer_core.progress import Progress, fold, verdict
from transfer_core.recipe import DEFAULT_MODEL, Recipe
from transfer_core.source_losses import SOURCE_LOSSES
from transfer_core.store import Job, Store
from transfer_core.words import say


@command("train")
@with_settings
def train(
    dataset: Annotated[str | None, option("--dataset", words="option_dataset")] = None,
    preset: Annotated[str | None, option("--preset", words="option_preset", metavar="NAME")] = None,
    resume: Annotated[str | None, option("--resume", words="option_resume", metavar="RUN")] = None,
    device: Annotated[str | None, option("--device", words="option_device")] = None,
    name: Annotated[str | None, option("--name", words="option_run_name")] = None,
    cache: Annotated[bool, option("--cache/--no-cache", words="option_cache")] = True,
    compiled: Annotated[bool, option("--compile", words="option_compile")] = False,
    workers: Annotated[int, option("--workers", words="option_workers", min=1, max=64)] = 1,
    folds: Annotated[int | None, option("--folds", words="option_train_folds", min=2, max=20)] = None,
    wait: Annotated[bool, option("--wait/--no-wait", words="option_wait")] = True,
    **settings: Any,
) -> Answer:
    store = Store()
    if resume:
        job = _resumed(store, resume)
    else:
        recipe = recipe_of(store, dataset, preset, read(settings))
        payload = {"recipe": recipe.model_dump(mode="json")} | ({"name": name} if name else {})
        payload |= ({} if cache else {"cache": False}) | ({"compiled": True} if compiled else {})
        payload |= ({"workers": workers} if workers > 1 else {}) | _folds(store, recipe, folds)
        job = store.submit("train", payload, device or devices()[0])
    return _done(store, job, wait)


def _done(store: Store, job: Job, wait: bool) -> Answer:
    """Put into the queue, or worked at here until it ends."""
    if not wait:
        ahead = store.ahead(job)
        said = say("cli.put_in_queue", language(), run=job.id, count=ahead)
        return Answer({"run": job.id, "state": job.state, "ahead": ahead}, said)
    sys.stderr.write(f"{job.id}\n")
    job = run_here(store, job)
    if job.kind != "train":
        return Answer({"run": job.id, "state": job.state, **(job.result or {})}, outcome(job))
    more, said = _followed(store, job)
    late = [verdict(fold(Progress(), (event for _, event in store.events(job.id)))).say(language())] if (
        job.result or {}).get("out_of_time") else []
    return Answer({"run": job.id, "state": job.state, **(job.result or {}), **more}, "\n".join([*late, outcome(job), *said]))


def _folds(store: Store, recipe: Recipe, folds: int | None) -> dict[str, int]:
    """What the payload says of a cross-validation. Raises `BadRecipe` where there can be none: better now than after an hour."""
    if folds is None:
        return {}
    from transfer_core.datasets.manifest import Manifest
    from transfer_core.jobs.apart import check_unseen
    from transfer_core.jobs.crossvalidating import check

    check_unseen(recipe)
    images = Manifest.read(store.home, recipe.dataset, recipe.version).images
    check([image for image in images if image.split != "left_out"], folds)
    return {"folds": folds}


def _followed(store: Store, job: Job) -> tuple[dict[str, Any], list[str]]:
    """The cross-validation that a training brought along, done here too; nothing where it brought none. Who stopped the training
    wants to wait no longer: it is taken out of the queue. When it fails, the training is still there."""
    follower = brought(store, job.id)
    if follower is None:
        return {}, []
    if job.state == "stopped":
        store.ask_stop(follower.id, "discard")
        return {}, []
    from transfer_core.cli.crossvalidate import as_text

    try:
        follower = run_here(store, follower) if follower.live else follower
    except StudioError as error:
        said = error.message(language())
        return {"crossvalidation": {"job": follower.id, "state": "failed", "error": said}}, [said]
    found = {"job": follower.id, "state": follower.state, **(follower.result or {})}
    return {"crossvalidation": found}, [as_text(follower)] if follower.result else []


def recipe_of(store: Store, dataset: str | None, preset: str | None, settings: dict[str, Any]) -> Recipe:
    if not dataset:
        raise BadInput("dataset_missing")
    known = store.dataset(dataset)
    version = store.version(known.id, int(settings["version"]) if "version" in settings else None)
    settings = _source(store, settings)
    if loss := settings.get("source_loss"):
        settings = {"lambda_target": SOURCE_LOSSES[loss].facts["default"], **settings}
    base: dict[str, Any] = {}
    if preset:
        from transfer_core import catalog, presets

        base = presets.PRESETS[preset](catalog.model(settings.get("model", DEFAULT_MODEL)), version.summary)
    return Recipe(**{**base, **settings, "dataset": known.id, "version": version.version})


def _source(store: Store, settings: dict[str, Any]) -> dict[str, Any]:
    """What goes without saying where a source is named: its weights and model, or that both datasets are learned together."""
    if run := settings.get("start_from"):
        job = store.job(run)
        if job.kind != "train":
            raise NotFound("no_start_run", run=run)
        before = Recipe(**job.payload["recipe"])
        same = {name: getattr(before, name) for name in ("model", "image_size", "kept_groups", "head", "head_width")}
        settings = {"weights": "run", **same, **settings, "start_from": run}
    if name := settings.get("source_dataset"):
        second = store.dataset(name)
        version = store.version(second.id, int(settings["source_version"]) if "source_version" in settings else None)
        settings = {"source_loss": "replay", **settings, "source_dataset": second.id, "source_version": version.version}
    return settings


def _resumed(store: Store, run: str) -> Job:
    job = store.job(run)
    if not job.live and not resumable(store, job):
        raise NotFound("nothing_to_resume", run=run)
    store.requeue(job.id)
    return store.job(job.id)


def outcome(job: Job) -> str:
    test = (job.result or {}).get("test")
    if not test:
        return say("cli.ended_without_score", language(), run=job.id, state=say(f"cli.{job.state}", language()))
    score = {name: f"{100 * test[name]:.1f}" for name in ("accuracy", "low", "high")}
    return say("cli.ended", language(), run=job.id, state=say(f"cli.{job.state}", language()), n=test["n"], **score)


@command("resume")
def resume_(
    run: Annotated[str, argument("option_run")],
    wait: Annotated[bool, option("--wait/--no-wait", words="option_wait")] = True,
) -> Answer:
    store = Store()
    return _done(store, _resumed(store, run), wait)


@command("queue")
def queue() -> Answer:
    from transfer_core.jobs import averages
    from transfer_core.jobs.waiting import places

    store = Store()
    rows = [{"job": each.job.id, "kind": each.job.kind, "name": each.job.payload.get("name") or (
                 averages.named(store, each.job) if "recipe" in each.job.payload else None),
             "device": each.job.device, "state": each.job.state, "ahead": each.ahead, "waiting_since": _time(each.job.created),
             "progress": each.share, "starts_in": None if each.starts_in is None else round(each.starts_in, 1)}
            for each in places(store)]
    shown = [{**row, "state": say(f"cli.{row['state']}", language()), "waiting_since": row["waiting_since"][:16],
              "progress": None if row["progress"] is None else f"{100 * row['progress']:.0f} %",
              "starts_in": None if row["starts_in"] is None else say("cli.seconds", language(), count=round(row["starts_in"]))}
             for row in rows]
    known = cluster(store.home)
    text = [table(shown) if shown else say("cli.nothing_waits", language())]
    if known is not None:
        text.append(say("cli.cluster", language(), address=known.address, nodes=len(known.nodes), cpu=known.room.get("cpu", 0),
                        cuda=known.room.get("cuda", 0)))
        text += sorted({reason.say(language()) for device in ("io", *(row["device"] for row in rows))
                        if (reason := trouble(store.home, device))})
    return Answer({"queue": rows, "cluster": known and known.told()}, "\n".join(text))


@command("runs")
def runs() -> Answer:
    store = Store()
    names = {dataset.id: dataset.name for dataset in store.datasets()}
    rows = [_run(job, names) for job in store.jobs("train") if not job.is_part]
    shown = [{"run": row["run"], "state": row["state"], "dataset": row["dataset"], "model": row["model"],
              "freeze": row["freeze"], "epochs": row["epochs"], "test": (row["test"] or {}).get("accuracy"),
              "n": (row["test"] or {}).get("n"), "started": (row["started"] or "")[:16]} for row in rows]
    return Answer({"runs": rows}, table(shown))


def _run(job: Job, names: dict[str, str]) -> dict[str, Any]:
    recipe, result = job.payload["recipe"], job.result or {}
    return {"run": job.id, "state": job.state, "dataset": names.get(recipe["dataset"], recipe["dataset"]),
            "version": recipe.get("version", 1), "model": recipe.get("model", DEFAULT_MODEL),
            "freeze": recipe.get("freeze", "all"), "created": _time(job.created), "started": _time(job.started),
            "ended": _time(job.ended), "device": job.device, "epochs": result.get("epochs"),
            "validation": result.get("validation"), "test": result.get("test"),
            **{key: job.payload[key] for key in ("mixture", "soup") if key in job.payload}}


def _time(moment: float | None) -> str | None:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds") if moment else None


_SHARED = ("dataset", "version", "model", "image_size")
"""What holds of an average, of all that its payload's recipe says."""


@command("show")
def show(run: Annotated[str, argument("option_run")]) -> Answer:
    store = Store()
    job = store.job(run)
    events = [event for _, event in store.events(job.id)]
    progress = fold(Progress(), events)
    names = {dataset.id: dataset.name for dataset in store.datasets()}
    best, said = progress.best, verdict(progress).say(language())
    data = {**_run(job, names), "recipe": job.payload["recipe"], "result": job.result, "ahead": store.ahead(job),
            "folder": str(store.home.run(job.id)), "share": progress.share, "verdict": said,
            "best": best.model_dump(exclude={"confusion"}) if best else None,
            "notes": [note.message.say(language()) for note in progress.notes],
            "ended_with": progress.ended.model_dump(mode="json") if progress.ended else None}
    told = _SHARED if job.is_average else job.payload["recipe"]  # an average has learned nothing in no epochs
    recipe = "\n".join(f"  {name} = {value}" for name, value in job.payload["recipe"].items() if name in told)
    return Answer(data, "\n".join((f"{job.id}  {say(f'cli.{job.state}', language())}", said, recipe, *data["notes"])))


@command("stop")
def stop(
    run: Annotated[str, argument("option_run")],
    discard: Annotated[bool, option("--discard/--keep", words="option_discard")] = False,
) -> Answer:
    store = Store()
    job = store.job(run)
    if not job.live:
        raise BadInput("run_has_ended", run=run)
    store.ask_stop(job.id, "discard" if discard else "keep")
    discard_queued(store, store.job(job.id))  # no studio may be open that would
    job = store.job(job.id)
    return Answer({"run": job.id, "state": job.state, "stop": job.stop},
                  say("cli.stop_discard" if discard else "cli.stop_keep", language(), run=job.id))
