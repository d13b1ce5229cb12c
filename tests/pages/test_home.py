"""Home: the drawing, one click to a training that starts by itself and only once, and the way back to earlier work."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from photos import dataset, param

from pages.shared.home.hero import hero
from transfer_core.events import Imported, Progressed
from transfer_core.store import Store
from transfer_core.words import languages, say

LABELS = {"title": "A <model>", "text": "&", "freeze": "Freeze: stays", "anchor": "Anchor: by λ", "train": "Train: learns",
          "photo": "P: q"}


def finish_import(store: Store, job_id: str, made) -> None:
    store.append(job_id, Imported(dataset=made.id, version=1, summary=made.latest.summary))
    store.end(job_id, "finished", made.latest.summary)


def test_the_drawing_is_well_formed_and_speaks():
    svg = ET.fromstring(hero(LABELS))
    assert svg.get("aria-label") == "A <model>. &"
    kinds = [group.get("class") for group in svg.iter() if (group.get("class") or "").startswith("slab")]
    assert kinds == ["slab freeze"] * 3 + ["slab anchor"] * 2 + ["slab train"] * 2


@pytest.mark.parametrize("language", languages())
def test_the_example_click_asks_for_one_import_and_waits_in_the_address(visit, store, language):
    home = visit("home", lang=language)
    home.button(key="try-example").click().run()
    job, = store.jobs("import")
    assert job.payload["example"] == "leaves"
    assert job.payload["then"] == "train"  # the import queues the training itself, whether or not a page still waits
    assert param(home, "job") == param(home, "then") == job.id
    assert home.title[0].value == say("home.waiting_title", language)
    # Another visitor, and the same one with a second click, find the import that is under way.
    visit("home").button(key="try-example").click().run()
    assert len(store.jobs("import")) == 1


def test_a_finished_import_starts_one_training_whoever_opens_the_address(visit, store, tmp_path):
    made = dataset(store, tmp_path / "photos", {"oak": 12, "maple": 12})
    job = store.submit("import", {"example": "leaves", "name": "Leaves"})
    store.append(job.id, Progressed(stage="drawing", done=10, total=40))
    waiting = visit("home", job=job.id, then="train-1234")
    assert not store.jobs("train")
    assert say("home.waiting_title") == waiting.title[0].value
    finish_import(store, job.id, made)
    for _ in range(3):
        assert not visit("home", job=job.id, then="train-1234").exception
    run, = store.jobs("train")
    assert run.payload["request"] == "train-1234"
    assert run.payload["recipe"]["dataset"] == made.id
    assert run.payload["recipe"]["model"].startswith("tf_efficientnet_lite0")


def test_an_import_made_before_is_used_again(visit, store, tmp_path):
    made = dataset(store, tmp_path / "photos", {"oak": 12, "maple": 12})
    job = store.submit("import", {"example": "leaves", "name": "Leaves"})
    finish_import(store, job.id, made)
    visit("home").button(key="try-example").click().run()
    assert len(store.jobs("import")) == 1 and len(store.jobs("train")) == 1


def test_recent_runs_show_score_number_and_interval(visit, store, tmp_path):
    made = dataset(store, tmp_path / "photos", {"oak": 12, "maple": 12}, name="my [set](x)")
    run = store.submit("train", {"recipe": {"dataset": made.id, "version": 1, "model": "tf_efficientnet_lite0"}})
    store.end(run.id, "finished", {"test": {"accuracy": 0.9, "low": 0.596, "high": 0.982, "n": 10}})
    said = " ".join(each.value for each in visit("home").markdown)
    assert say("home.score", percent="90", low="60", high="98", n=10) in said
