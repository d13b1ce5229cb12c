"""All photos as a map of what the model finds alike: asked for with a button, looked at, and put right from there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from pages.shared import backend, working
from pages.shared.components.atlas import atlas
from pages.shared.components.gallery import Item, gallery
from pages.shared.data import edits, versions
from pages.shared.data.problems import score
from pages.shared.text import t
from pages.shared.undisturbed import undisturbed
from transfer_core import datasets
from transfer_core.datasets.manifest import Image
from transfer_core.errors import NotFound
from transfer_core.jobs.similar import map_file, read_map
from transfer_core.store import Job

PAGE = 60
GOOD, FAIR = 0.95, 0.85
"""Trustworthiness from which a map is called good, and fair. (A map that knows nothing has 0.5.)"""


def show(run: Job) -> None:
    st.subheader(t("map.title"), anchor="map")
    job = _made(run)
    if job is None or not (job.live or job.result):
        if job is not None:
            working.failure(job)
        st.markdown(t("map.text"))
        _offer(run, "map.draw_map")
    elif job.live:
        st.fragment(working.watch, run_every=1.0, key="map-watch")(job.id, "map-stop")
    else:
        st.fragment(_map, key="map")(run, job)


def _made(run: Job) -> Job | None:
    """The newest map of the model as it is now, while its file is there."""
    return next((job for job in backend.store().jobs("map") if job.payload.get("run") == run.id
                 and job.created >= (run.ended or 0.0) and (not job.result or map_file(backend.home(), job.id).is_file())), None)


def _offer(run: Job, label: str) -> None:
    st.button(t(label), icon=":material/scatter_plot:", key="draw-map", on_click=_draw, args=(run,))


@undisturbed()
def _draw(run: Job) -> None:
    known = _made(run)
    if known is None or not (known.live or known.result):  # two quick clicks call this twice
        backend.store().submit("map", {"run": run.id}, backend.device())


@st.cache_resource(max_entries=2, show_spinner=False)
def _read(file: str) -> dict[str, Any]:
    """Once, and shared: nobody changes it, and a copy of 5,000 points would cost 20 ms a run of the page."""
    return read_map(Path(file))


def _map(run: Job, job: Job) -> None:
    found, told = _read(str(map_file(backend.home(), job.id))), job.result
    st.markdown(trusted(told))
    if told["shown"] < told["of"]:
        st.caption(t("map.some", shown=f"{told['shown']:,}", of=f"{told['of']:,}"))
    with st.container(key="atlas"):
        places = atlas(f"/maps/{job.id}.json", alternative(found), key=f"atlas-{job.id}")
    points = [found["points"][place] for place in places if 0 <= place < len(found["points"])]
    _table(points, found)
    _put_right(run, points)


def trusted(told: dict[str, Any]) -> str:
    """What side by side means on this map, and what it does not."""
    if told["trust"] is None or told["method"] == "pca":
        return t("map.few")
    words = "good" if told["trust"] >= GOOD else "fair" if told["trust"] >= FAIR else "poor"
    return t(f"map.{words}", percent=f"{100 * told['trust']:.0f}")


def alternative(found: dict[str, Any]) -> str:
    """What there is to see, in a sentence."""
    counts = Counter(point["label"] for point in found["points"])
    names = ", ".join(f"{name} {count}" for name, count in counts.most_common(8)) + (" …" if len(counts) > 8 else "")
    return t("map.alt", count=len(found["points"]), classes=names, wrong=found["wrong"])


def _table(points: list[dict[str, Any]], found: dict[str, Any]) -> None:
    """The same without the picture: the selected photos, or how many there are of each class and how many are wrong."""
    with st.expander(t("map.table_selected", count=len(points)) if points else t("map.table"), key="map-table"):
        if points:
            st.dataframe(_rows(points), hide_index=True, key="map-selected")
        else:
            st.dataframe(_counts(found), hide_index=True, key="map-counts")


def _rows(points: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame([{t("map.file"): point["file"], t("map.truth"): point["label"], t("map.said"): point["predicted"],
                          "%": round(100 * point["probability"]), t("map.split_column"): t(f"data.split.{point['split']}")}
                         for point in points])


def _counts(found: dict[str, Any]) -> pd.DataFrame:
    counts = Counter((point["label"], point["split"]) for point in found["points"])
    wrong = Counter(point["label"] for point in found["points"] if point["label"] != point["predicted"])
    return pd.DataFrame([{t("map.truth"): name, **{t(f"data.split.{split}"): counts[name, split] for split in datasets.SPLITS},
                          t("map.wrong_count"): wrong[name]} for name in found["classes"]])


def _put_right(run: Job, points: list[dict[str, Any]]) -> None:
    """The selected photos as they are in the newest version of the dataset: move them to another class, or leave them out."""
    try:
        dataset = backend.store().dataset(run.payload["recipe"]["dataset"])
    except NotFound:
        return
    versions.offer_undo(dataset)
    score.retrain(dataset)
    if not points:
        return
    images = {(image.file, image.sha256): image for image in backend.manifest(dataset.id, dataset.latest.version).images}
    there = [(images[point["file"], point["sha256"]], point) for point in points if (point["file"], point["sha256"]) in images]
    there.sort(key=lambda each: each[0].label == each[1]["predicted"])  # what may be wrong comes first
    gone = len(points) - len(there)
    st.caption(" ".join(filter(None, (t("map.put_right"), t("map.gone_since", count=gone) if gone else ""))))
    if not there:
        return
    pages = -(-len(there) // PAGE)
    page = st.pagination(pages, key="map-page") if pages > 1 else 1
    shown = there[(page - 1) * PAGE : page * PAGE]
    with st.container(key="map-gallery"):
        asked = gallery([_item(*each) for each in shown], t("map.gallery", count=len(there)),
                        sorted({image.label for image in images.values()}), key=f"map-photos-{dataset.id}")
    if asked:
        edits.of_gallery(asked, dataset)


def _item(image: Image, point: dict[str, Any]) -> Item:
    right = image.label == point["predicted"]
    note = image.label if right else t("map.wrong_note", label=image.label, predicted=point["predicted"])
    detail = f"{note} · {t(f'data.split.{image.split}')}"
    return Item(id=image.file, thumbnail=f"/thumbnails/{image.sha256}.webp", full=f"/images/{image.sha256}", name=image.file,
                detail=detail, note=note, kind=image.split)
