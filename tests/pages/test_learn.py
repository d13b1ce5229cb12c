"""The Learn page without a browser: worth reading without any training, and true about the one it shows."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import photos
import pytest
import stories
from test_sweep import began, texts

from pages.shared.learn import omega
from pages.shared.learn.contents import ANCHORS, MISTAKES, SECTIONS
from pages.shared.text import plain
from transfer_core.datasets import Manifest, import_dataset
from transfer_core.events import Cached, Kept, Note, Transferred
from transfer_core.images import Preprocessing
from transfer_core.metrics import wilson
from transfer_core.recipe import Recipe
from transfer_core.store import Job, Store
from transfer_core.words import languages, message, say


def html(app) -> str:
    return "\n".join(element.proto.body for element in app.get("html"))


def figures(app) -> str:
    """The drawings, as they are sent to the browser."""
    components = (element.proto for element in app.get("bidi_component"))
    return "\n".join(json.loads(each.json) for each in components if each.component_name != "studio_voice")


def badges(app) -> list[str]:
    return [each.value for each in app.markdown if "-badge[" in each.value]


def slider(app, key: str):
    return next(each for each in app.select_slider if each.key.startswith(key))


def info(store: Store, run: Job, **changes) -> None:
    """What a training writes of its model."""
    groups = [{"name": "stem", "position": "freeze", "parameters": 200}, {"name": "late", "position": "train", "parameters": 700}]
    how = Preprocessing(size=(8, 8), crop_share=1.0, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)).to_dict()
    (store.home.run(run.id) / "info.json").write_text(
        json.dumps({"groups": groups, "parameters": 1000, "preprocessing": how} | changes), "utf-8")


@pytest.fixture
def run(store) -> Job:
    """A finished training with a loss for the old knowledge."""
    stories.dataset(store)
    made = stories.finished(store, freeze=1, source_loss="lwf", lambda_target=3.0, regularizer="l2_sp", lambda_omega=0.5)
    info(store, made)
    return made


@pytest.mark.parametrize("language", languages())
def test_without_a_training_it_is_whole_and_says_that_the_numbers_are_made_up(visit, language):
    app = visit("learn", lang=language)
    assert not app.exception and not app.error
    said = texts(app)
    for name in (*SECTIONS, *MISTAKES):
        assert say(f"learn.{name}.text", language) in said
    assert say("learn.none", language) in said
    assert len(badges(app)) >= 6 and all(say("learn.example", language) in badge for badge in badges(app))
    next(each for each in app.button if each.key == "learn-make").click().run()
    assert not app.exception and say("learn.title", language) not in app.title.values


@pytest.mark.parametrize("language", languages())
def test_with_a_training_it_uses_its_numbers(visit, run, language):
    app = visit("learn", lang=language, run=run.id)
    assert not app.exception and not app.error
    said = texts(app)
    assert say("learn.transferred.run_weights", language) in said
    assert say("learn.transferred.share", language, count=1, groups=2, share="70") in html(app)
    assert say("learn.transferred.head", language, share="10") in html(app)
    assert slider(app, "learn-lambda-").value == 3.0
    assert "75.0 %" in html(app) and "25.0 %" in html(app)  # λ / (1 + λ)
    omega_name = say("objective.omega_l2_sp", language)
    assert say("learn.omega.run", language, omega=omega_name, value="0.5") in said
    assert "<span class=\"name\">layer4</span>" in html(app) and "2 %" in html(app)
    low, high = wilson(15, 20)
    assert say("kept.agreement", language, percent="67", kept="75", n=20, epoch=2, low=f"{100 * low:.0f}",
               high=f"{100 * high:.0f}") in said
    low, high = wilson(15, 18)
    assert say("learn.score.yours", language, correct=15, n=18, low=f"{100 * low:.0f}",
               high=f"{100 * high:.0f}") in figures(app)
    assert say("learn.ends.run_source", language, value="3", learn="75", keep="25", other="0.33") in said
    assert say("learn.looks.run", language, count=1) in said


def test_every_section_can_be_linked_to(visit):
    app = visit("learn")
    anchors = [heading.proto.anchor for heading in (*app.header, *app.subheader)]
    assert anchors == list(ANCHORS)
    listed = re.findall(r"\]\(#([a-z]+)\)", texts(app))
    assert listed == [*SECTIONS, "mistakes"]


@pytest.mark.parametrize(("page", "section", "settings"), [
    ("model", "omega", {}), ("model", "lambda", {"source_loss": "lwf", "freeze": "0"}), ("model", "freezing", {}),
    ("evaluate", "score", {}), ("evaluate", "forgetting", {})])
def test_other_pages_lead_to_their_theory(visit, run, page, section, settings):
    links = re.findall(r"\(learn\?([^)#]*)#([a-z]+)\)", texts(visit(page, run=run.id, lang="zh", **settings)))
    assert section in [anchor for _, anchor in links]
    assert all("lang=zh" in query and f"run={run.id}" in query for query, _ in links)
    assert section in ANCHORS


def test_moving_lambda_moves_the_bars(visit):
    app = visit("learn")
    assert "50.0 %" in html(app)
    slider(app, "learn-lambda-").set_value(0.01).run()
    assert "99.0 %" in html(app) and "1.0 %" in html(app)


@pytest.mark.parametrize(("kind", "value", "lowest"), [
    ("l2", 2.0, "1"), ("l2_sp", 3.0, "1.5"), ("l1", 0.5, "2.5"), ("l1_sp", 3.0, "1")])
def test_one_weight_lies_where_its_formula_says(visit, kind, value, lowest):
    app = visit("learn")
    before = figures(app)
    next(group for group in app.segmented_control if group.key == "learn-omega-kind").set_value(kind)
    slider(app, "learn-omega-strength").set_value(value).run()
    towards = f"{omega.KINDS[kind][0]:g}"
    assert say("learn.omega.found", value=lowest, best="3", towards=towards) in texts(app)
    assert any(latex.value.strip("$ \n").endswith(f"= {lowest}") or f"= {lowest}, " in latex.value for latex in app.latex)
    assert figures(app) != before


def test_the_drawn_minimum_is_the_lowest_point_of_the_drawn_sum():
    drawn = omega.figure("l1_sp", 0.5)
    lines = [np.array([list(map(float, point.split(","))) for point in line.split()])
             for line in re.findall(r'polyline points="([^"]+)"', drawn)]
    x, y = map(float, re.search(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn).groups())
    bottom = lines[2][lines[2][:, 1].argmax()]  # downwards is larger in a drawing
    assert abs(bottom[0] - x) <= 3 and abs(bottom[1] - y) <= 1


def test_more_test_photos_make_the_interval_narrower(visit):
    app = visit("learn")
    for n, correct in ((10, 9), (1000, 900)):
        slider(app, "learn-n-").set_value(n).run()
        low, high = wilson(correct, n)
        assert say("learn.score.result", correct=correct, n=n, low=f"{100 * low:.0f}", high=f"{100 * high:.0f}") in texts(app)


def test_trainings_that_differ_in_lambda_only_stand_side_by_side(visit, store, run):
    def measured(value: float, **other) -> Job:
        made = stories.finished(store, freeze=1, source_loss="lwf", lambda_target=value, regularizer="l2_sp", lambda_omega=0.5,
                                **other)
        result = {**made.result, "validation": {"accuracy": 0.5, "n": 40}, "kept": Kept(images=40, agreement=0.9).model_dump()}
        store.end(made.id, "finished", result)
        return made

    measured(0.1)
    measured(100.0, model="test_resnet.r160_in1k")  # another model: nothing to compare with
    shown = measured(3.0)
    table = visit("learn", run=shown.id).dataframe[0].value
    assert table["value"].tolist() == ["0.1", "3"] and table["kept"].tolist() == [90, 90]
    assert visit("learn", run=shown.id).dataframe[0].value["learned"].tolist() == [50, 50]


def test_points_of_a_sweep_are_measurements_too(visit, store):
    stories.dataset(store)
    began(store, 0.6, 0.9, state="finished")
    stories.finished(store)
    assert visit("learn").dataframe[0].value["value"].tolist() == ["0.1", "1"]


def test_what_was_stored_is_said_with_its_price(visit, store, run):
    store.append(run.id, Cached(boundary="late", hit=False, bytes=12_000_000, engine="onnxruntime", dtype="float32", views=2,
                                share=0.4, seconds=2.5))
    app = visit("learn", run=run.id)
    assert say("learn.freezing.run", size="12 MB", seconds="2.5", engine="ONNX Runtime", epoch="2", share="40") in texts(app)
    assert say("learn.freezing.unit", count="840") in html(app)  # 84 photos, 10 epochs
    assert say("learn.freezing.unit", count="571") in html(app)  # 84 · (2 · 0.4 + 10 · 0.6) = 571.2


def test_mixtures_are_drawn_when_they_were_measured(visit, store, run):
    assert say("learn.mixing.where") in texts(visit("learn", run=run.id))
    job = store.submit("blend", {"run": run.id}, "cpu")
    store.end(job.id, "finished", {"alpha": [0.0, 0.5, 1.0], "accuracy": [0.6, 0.8, 0.9], "low": [0.5, 0.7, 0.8],
                                   "high": [0.7, 0.9, 0.95], "kept": [1.0, 0.9, 0.6], "n": 33, "split": "validation"})
    app = visit("learn", run=run.id)
    assert say("learn.mixing.measured", n=33) in texts(app) and say("learn.mixing.where") not in texts(app)
    assert say("learn.mixing.alt", first="60", last="90") in figures(app)


# Mistakes


def test_a_planted_photo_of_the_test_is_told(visit, store, tmp_path):
    made = photos.dataset(store, tmp_path / "drawn", {"left": 12, "right": 12})
    run = stories.finished(store, dataset=made.id)
    app = visit("learn", run=run.id)
    whole = Manifest.read(store.home, made.id, 1)
    split = {name: len(whole.of(name)) for name in ("train", "test")}
    assert not app.error and "**0** in both" in app.success[0].value and str(split["train"]) in app.success[0].value
    learned = whole.of("train")[0]
    store.add_version(made.id, 2, message("app.name"), made.latest.summary)
    Manifest.of_images(made.id, 2, [*whole.images, learned.but(split="test")]).write(store.home)
    app = visit("learn", run=stories.finished(store, dataset=made.id, version=2).id)
    assert say("learn.leak.found") in app.error[0].value and "**1** in both" in app.error[0].value


def test_averages_that_moved_are_an_error_and_others_are_not(visit, store):
    stories.dataset(store)
    seen = {}
    for moved in (0, 3):
        run = stories.running(store)
        kept = Kept(images=20, agreement=0.7, drift={"late": 0.1}, averages=98, averages_moved=moved)
        store.append(run.id, *stories.epoch(3, kept=kept), Note(message=message("fit.statistics_frozen")))
        app = visit("learn", run=stories.ended(store, run).id)
        seen[moved] = [each.value for each in (app.error if moved else app.success)]
        assert say("fit.statistics_frozen") in texts(app)
    for moved, said in seen.items():
        assert say("learn.statistics.moved", count=98, moved=moved) in said


def test_of_an_older_training_it_says_that_nothing_was_recorded(visit, run):
    assert say("learn.statistics.unrecorded") in texts(visit("learn", run=run.id))


def test_what_was_copied_and_that_the_source_was_not_written(visit, store, run):
    next_run = stories.running(store, weights="run", start_from=run.id)
    store.append(next_run.id, Transferred(run=run.id, copied=310, skipped=2, initialized=4))
    next_run = stories.ended(store, next_run)
    source = store.home.run(run.id) / "model.safetensors"
    facts = {"copied": 310, "skipped": 2, "initialized": 4}
    app = visit("learn", run=next_run.id)
    assert all(f"**{number}**" in app.success[0].value for number in facts.values())
    assert say("learn.copying.source_gone") in texts(app)
    source.write_bytes(b"weights")
    assert say("learn.copying.written_since") in texts(visit("learn", run=next_run.id))
    os.utime(source, (1_700_000_000, 1_700_000_000))
    app = visit("learn", run=next_run.id)
    assert "2023-11-14" in texts(app) and say("learn.copying.written_since") not in texts(app)


def test_the_model_is_asked_in_three_ways(visit, store, tmp_path):
    """The colour model wants pixels divided by 255 and no more, and does not know the second class."""
    for label, color in (("red", (250, 60, 50)), ("no such", (40, 240, 90))):
        (tmp_path / "drawn" / label).mkdir(parents=True)
        for number in range(12):
            stories.photo(tmp_path / "drawn" / label / f"{number}.png", (*color[:2], color[2] + 3 * number))
    made = list(import_dataset(tmp_path / "drawn", "Two", store))[-1].dataset
    run = stories.finished(store, dataset=made)
    info(store, run, preprocessing=Preprocessing(size=(8, 8), crop_share=1.0, mean=(0, 0, 0), std=(1, 1, 1)).to_dict())
    app = visit("learn", run=run.id)
    app = next(each for each in app.button if each.key == "learn-ways").click().run()
    _, asked = app.session_state["learn ways"]
    given = asked.answers.result(timeout=60)
    assert asked.done == asked.total
    app.run()
    tested = [image for image in Manifest.read(store.home, made, 1).of("test") if image.label == "red"]
    assert len(given) == len(tested) > 0 and set(given[0]) == {"own", "unit", "bytes"}
    assert given[0]["own"] == given[0]["unit"] != given[0]["bytes"]
    assert say("learn.scaling.same") in texts(app)
    assert say("learn.scaling.sure", count=len(tested)) in texts(app)
    assert say("learn.scaling.right", way=say("learn.scaling.own"), count=len(tested), all=len(tested)) in html(app)
    assert not app.exception and not app.error


def test_a_model_that_cannot_be_asked_says_so_and_may_be_asked_again(visit, store, tmp_path):
    (tmp_path / "drawn" / "red").mkdir(parents=True)
    (tmp_path / "drawn" / "other").mkdir()
    for number in range(12):
        for label in ("red", "other"):
            stories.photo(tmp_path / "drawn" / label / f"{number}.png", (20 * number, 250, 10 * len(label)))
    run = stories.finished(store, dataset=list(import_dataset(tmp_path / "drawn", "Two", store))[-1].dataset)
    info(store, run)
    (store.home.run(run.id) / "model.onnx").write_bytes(b"no model")
    app = visit("learn", run=run.id)
    app = next(each for each in app.button if each.key == "learn-ways").click().run()
    app.session_state["learn ways"][1].answers.exception(timeout=60)
    app.run()
    assert not app.exception and plain(say("errors.not_our_model.text", file="model.onnx")) in app.error[0].value
    assert not next(each for each in app.button if each.key == "learn-ways").disabled


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_the_models_preparation_in_words(visit, store, run, language, mode):
    how = Preprocessing(size=(224, 192), crop_mode=mode, interpolation="bilinear", mean=(0.485, 0.456, 0.406))
    info(store, run, preprocessing=how.to_dict())
    said = texts(visit("learn", run=run.id, lang=language))
    assert "224 × 192" in said and "0.485 / 0.456 / 0.406" in said and say("learn.scaling.bilinear", language) in said
    assert ("87.5 %" in said) == (mode == "center")


def test_the_training_shown_is_the_one_of_the_address_else_the_newest_of_the_dataset(visit, store, run):
    stories.dataset(store, "Other", "other-1")
    newest = stories.finished(store, dataset="other-1")
    app = visit("learn")
    chooser = next(each for each in app.selectbox if each.key.startswith("learn-run"))
    assert chooser.value == newest.id and len(chooser.options) == 2
    assert next(each for each in visit("learn", dataset="colours-1").selectbox).value == run.id
    chooser.set_value(run.id).run()
    assert app.query_params["run"] in (run.id, [run.id])
    assert say("learn.transferred.run_weights") in texts(app)


def test_from_scratch_took_over_nothing_but_the_structure(visit, store):
    stories.dataset(store)
    run = stories.finished(store, weights="scratch", freeze=0)
    assert say("learn.transferred.run_structure") in texts(visit("learn", run=run.id))
    assert Recipe(**run.payload["recipe"]).weights == "scratch"
