"""The lists of doubtful photos: choose some, then keep, move or delete them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import streamlit as st

from pages.shared import backend
from pages.shared.components.gallery import Asked, Item, gallery
from pages.shared.data import edits
from pages.shared.model.numbers import percent
from pages.shared.text import plain, t
from transfer_core import datasets
from transfer_core.datasets.kept import KINDS, keep, kept
from transfer_core.datasets.manifest import Image
from transfer_core.store import Dataset

PAGE = 60
_ALL = ""
_PAIR = "chosen problem pair"


def show(dataset: Dataset, found: dict[str, Any]) -> None:
    images = {(image.file, image.sha256, image.label): image for image in
              backend.manifest(dataset.id, dataset.latest.version).images}
    lists = {kind: list(_there(kind, found, images, kept(backend.home(), dataset.id, kind))) for kind in KINDS}
    lists = {kind: entries for kind, entries in lists.items() if entries}
    if not lists:
        st.success(t("problems.none"), icon=":material/check_circle:")
        return
    kind = st.segmented_control(
        t("problems.kinds"), list(lists), default=next(iter(lists)), required=True, key="problem-kind",
        label_visibility="collapsed", format_func=lambda each: t(f"problems.{each}", count=len(lists[each])))
    kind = kind if kind in lists else next(iter(lists))
    st.caption(t(f"problems.{kind}_help"))
    entries = _chosen_pair(lists[kind]) if kind == "label_errors" else lists[kind]
    pages = -(-len(entries) // PAGE)
    page = st.pagination(pages, key=f"problem-page-{kind}") if pages > 1 else 1
    shown = entries[(page - 1) * PAGE : page * PAGE]
    likely = [name for name, _ in Counter(entry["suggested"] for entry in shown if "suggested" in entry).most_common()]
    classes = list(dict.fromkeys([*likely, *sorted({image.label for image in images.values()})]))
    with st.container(key="problems-gallery"):
        asked = gallery([_item(kind, entry) for entry in shown], t(f"problems.{kind}", count=len(entries)), classes,
                        key=f"problems-{dataset.id}-{kind}", can_keep=True)
    if kind == "leaks":
        _together(dataset, [row["files"] for row in found["leaks"] if row.get("files")], images)
    if asked:
        _do(asked, dataset, kind, shown)


def _together(dataset: Dataset, scenes: list[list[str]], images: dict[tuple[str, str, str], Image]) -> None:
    """One click for all: each scene that is still divided goes to one side."""
    sides = {image.file: image.split for image in images.values() if image.split != "left_out"}
    there = [[file for file in scene if file in sides] for scene in scenes]
    torn = [scene for scene in there if len({sides[file] for file in scene}) > 1]
    if torn and st.button(t("problems.together", count=len(torn)), icon=":material/join:", key="keep-together",
                          help=t("problems.together_help")):
        edits.apply(dataset, datasets.keep_together, torn, said=t("problems.together_done", count=len(torn)))


def _there(kind: str, found: dict[str, Any], images: dict[tuple[str, str, str], Image],
           settled: set[str]) -> Iterator[dict[str, Any]]:
    """Entries whose image is still as it was looked at, and that nobody has kept; of groups, each image with its group's
    number. What the import left out because of a leak is none any more."""
    rows = found["duplicates"]["groups"] if kind == "duplicates" else found[kind]
    rows = [row for row in rows if row.get("kind") != "left_out"]
    flat = rows if kind not in ("duplicates", "leaks") else [
        {**image, "group": number, "size": group["size"], "how": group["how"]} for number, group in enumerate(rows, 1)
        for image in group["images"]]
    there = [{**entry, "image": image} for entry in flat if _mark(entry) not in settled
             and (image := images.get((entry["file"], entry["sha256"], entry["label"])))]
    if kind in ("duplicates", "leaks"):  # one alone is like nothing, and on one side nothing leaks
        sides: dict[int, list[str]] = {}
        for entry in there:
            sides.setdefault(entry["group"], []).append(entry["image"].split)
        there = [entry for entry in there if len(found_in := sides[entry["group"]]) > 1
                 and (kind == "duplicates" or ("train" in found_in and len(set(found_in)) > 1))]
    yield from there


def _mark(entry: dict[str, Any]) -> str:
    return f"{entry['sha256']} {entry['label']}"


def _chosen_pair(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One kind of confusion, or all: whoever sees them together sees what they have in common."""
    pairs = Counter((entry["label"], entry["suggested"]) for entry in entries)
    if len(pairs) < 2:
        return entries
    names = {_ALL: t("problems.all_pairs", count=len(entries))}
    names |= {f"{label}\n{other}": t("problems.pair", label=label, suggested=other, count=count)
              for (label, other), count in pairs.most_common()}
    # A selectbox goes on showing a label as it was; where counts have changed it is another one, with the same choice.
    before = st.session_state.get(_PAIR, _ALL)
    chosen = st.selectbox(t("problems.pairs"), list(names), list(names).index(before) if before in names else 0,
                          format_func=lambda name: names.get(name, name), key=f"problem-pair-{len(entries)}")
    st.session_state[_PAIR] = chosen
    return [entry for entry in entries if chosen in (_ALL, f"{entry['label']}\n{entry['suggested']}")]


def _item(kind: str, entry: dict[str, Any]) -> Item:
    image: Image = entry["image"]
    detail = f"{t('problems.labelled', label=image.label)} · {t(f'data.split.{image.split}')}"
    if kind == "label_errors":
        note = t("problems.seems", label=image.label, suggested=entry["suggested"])
        detail += f" · {note} · {t('problems.sure', label=image.label, percent=percent(entry['confidence']))}"
    elif kind == "quality":
        note = t(f"problems.what_{entry['what']}")
    elif kind == "odd":
        note = image.label
    else:
        note = f"{entry['group']} · {t(f'data.split.{image.split}')}"
        detail += f" · {t('problems.how_' + entry['how'], count=entry['size'])}"
    return Item(id=image.file, thumbnail=f"/thumbnails/{image.sha256}.webp", full=f"/images/{image.sha256}", name=image.file,
                detail=detail, note=note, kind=image.split)


def _do(asked: Asked, dataset: Dataset, kind: str, shown: list[dict[str, Any]]) -> None:
    files = set(asked["ids"])
    if asked["do"] == "keep":
        keep(backend.home(), dataset.id, kind, [_mark(entry) for entry in shown if entry["file"] in files])
        st.rerun(scope="fragment")
    elif asked["do"] == "move":
        edits.apply(dataset, datasets.move_images, files, asked["to"],
                    said=t("data.edit.moved", count=len(files), name=plain(asked["to"])))
    else:
        edits.apply(dataset, datasets.delete_images, files, said=t("data.edit.deleted", count=len(files)))
