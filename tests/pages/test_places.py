"""Share one training among all places there are: the switch beside Start, where there is more than one."""

from __future__ import annotations

import pytest
from photos import dataset, param

from transfer_core.cluster.state import Cluster, Node
from transfer_core.words import languages, say

ADDRESS = "10.0.0.1:6379"


@pytest.fixture
def few(store, tmp_path):
    return dataset(store, tmp_path / "photos", {"oak": 14, "maple": 10})


@pytest.fixture
def cluster(store, monkeypatch):
    """With so many places."""

    def have(places: int) -> None:
        monkeypatch.setenv("TRANSFER_STUDIO_RAY_ADDRESS", ADDRESS)
        Cluster(ADDRESS, "ready").of([Node(f"n{number}", "10.0.0.2", 2, 0) for number in range(places)], 2).write(store.home)

    return have


def switches(app) -> list:
    return [toggle for toggle in app.toggle if toggle.key.startswith("places-on")]


def start(app) -> None:
    next(button for button in app.button if button.key == "start").click()
    app.run()


def test_with_one_place_nothing_is_asked(visit, store, few, cluster):
    for prepare in (lambda: None, lambda: cluster(1)):
        prepare()
        app = visit("train", dataset=few.id, workers="all")
        assert not app.exception and switches(app) == []
    start(app)
    assert "workers" not in store.jobs("train")[0].payload


@pytest.mark.parametrize("language", languages())
def test_with_several_it_is_off_until_somebody_wants_it(visit, store, few, cluster, language):
    cluster(3)
    app = visit("train", dataset=few.id, lang=language)
    (switch,) = switches(app)
    assert not app.exception and not switch.value and switch.label == say("train.places", language, count=3)
    switch.set_value(True).run()
    assert param(app, "workers") == "all" and switches(app)[0].value
    start(app)
    (run,) = store.jobs("train")
    assert run.payload["workers"] == 3 and "workers" not in run.payload["recipe"]


@pytest.mark.parametrize("asked", ["3", "yes", "-1", "<b>"])
def test_a_strange_address_is_no_answer(visit, few, cluster, asked):
    cluster(2)
    app = visit("train", dataset=few.id, workers=asked)
    assert not app.exception and not switches(app)[0].value
