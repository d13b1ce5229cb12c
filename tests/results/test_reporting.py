"""The report of a run: its numbers are those that were measured, nothing in it leads outside, and no name becomes markup."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import stories
from reported_run import HOSTILE, made, read

from transfer_core import measured, metrics
from transfer_core.errors import BadInput, Busy, NotFound
from transfer_core.events import Averaged, Evaluated, Finished, Stopped
from transfer_core.metrics import f1_interval, wilson
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.reporting import gather, report, write_report
from transfer_core.reporting.facts import MISTAKES
from transfer_core.reporting.page import SECTIONS
from transfer_core.store import Store
from transfer_core.words import languages, say

FOUND = {"n": 24, "groups": 24, "accuracy": {"value": 0.75, "low": 0.55, "high": 0.88}, "spread": 0.1, "baseline": 0.58,
         "repeats": [0.75], "folds": [{"repeat": 0, "fold": fold, "n": 5, "accuracy": share}
                                      for fold, share in enumerate((0.6, 0.8, 0.8, 1.0, 0.6))], "first": {}}
OURS = """header p h1 h2 h3 section svg rect line text ul li dl div dt dd nav ol a table caption thead tbody tfoot tr th td bdi b
br code mark figure figcaption img span small i details summary pre polyline path circle polygon g clippath"""
ATTRIBUTES = {"href", "src", "action", "data", "srcset", "poster", "background", "formaction", "xlink:href"}


@pytest.fixture
def store(tmp_path):
    store = Store(Home(tmp_path))
    yield store
    store.close()


def block(page, language):
    return next(main for main in page.all("main") if language in main.attributes["class"])


def section(page, name, language):
    return next(each for each in page.all("section") if each.attributes.get("id") == f"{name}-{language}")


def shown(text: str) -> str:
    """A sentence of the word files as it reads once it is markup."""
    return re.sub(r"\*\*|`", "", text)


def cells(element) -> list[list[str]]:
    return [[cell.text for cell in row.all("th", "td")] for row in element.all("tr")]


# It stands alone


@pytest.fixture
def page(store):
    return read(report(store, made(store).id))


def test_it_asks_nobody_for_anything_and_runs_nothing(page):
    (policy,) = [each.attributes["content"] for each in page.all("meta") if "http-equiv" in each.attributes]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not page.all("script", "link", "iframe", "object", "embed", "base", "form", "use", "image", "foreignobject", "animate")
    for element in page.all():
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            if name in ATTRIBUTES:
                assert value.startswith(("#", "data:image/webp;base64,")), (element.tag, name, value[:60])
    styles = "".join(each.text for each in page.all("style")) + "".join(each.attributes.get("style", "") for each in page.all())
    assert "url(" not in styles and "@import" not in styles and "//" not in styles


def test_everything_has_a_name_for_those_who_cannot_see_it(page):
    ids = [each.attributes["id"] for each in page.all() if "id" in each.attributes]
    assert len(ids) == len(set(ids)) > 20
    links = [each.attributes["href"][1:] for each in page.all("a")]
    assert set(links) <= set(ids) and len(links) == len(SECTIONS) * len(languages())
    clips = set(re.findall(r"url\(#([\w-]+)\)", "".join(each.attributes.get("clip-path", "") for each in page.all())))
    assert clips <= set(ids) and clips
    assert all(each.attributes["alt"].strip() for each in page.all("img")) and page.all("img")
    assert all(each.attributes["role"] == "img" and each.attributes["aria-label"].strip() for each in page.all("svg"))
    assert all(each.attributes["for"] in ids for each in page.all("label"))
    assert all(each.attributes["scope"] in ("row", "col") for each in page.all("th"))


@pytest.mark.parametrize("language", languages())
def test_both_languages_are_whole_and_it_opens_in_the_one_asked_for(store, language):
    page = read(report(store, made(store).id, language))
    tags = {code: {"zh": "zh-Hans"}.get(code, code) for code in languages()}
    assert page.all("html")[0].attributes["lang"] == tags[language]
    assert [each.attributes["id"] for each in page.all("input") if "checked" in each.attributes] == [f"language-{language}"]
    assert [main.attributes["lang"] for main in page.all("main")] == list(tags.values())
    shapes = []
    for code in languages():
        main = block(page, code)
        assert [each.attributes["id"] for each in main.all("section") if "id" in each.attributes] == [
            f"{name}-{code}" for name in SECTIONS]
        for name in SECTIONS:
            assert section(page, name, code).all("h2")[0].text == say(f"report.{name}.title", code)
        shapes.append([each.tag for each in main.all("section", "table", "tr", "svg", "img", "li", "dt", "h3")])
    assert shapes[0] == shapes[1], "one language says more than the other"
    assert "{" not in block(page, "zh").text.split("{\n")[0].replace("{0} {name}", "")


# Its numbers


@pytest.mark.parametrize("language", languages())
def test_the_scores_are_those_that_were_measured(store, language):
    run = made(store)
    folder = store.home.run(run.id)
    found, page = measured.report(folder, "test"), read(report(store, run.id))
    rows = cells(section(page, "scores", language).all("table")[0])[1:]
    told = {row[0]: row[1:3] for row in rows}
    for name, score in metrics.nested(found).items():
        if name not in metrics.SCORES:
            continue
        title = say(f"report.scores.{name}" if name == "accuracy" else f"evaluate.{name}",
                    language)
        if name in ("auc", "average_precision", "log_loss"):
            assert told[title] == [f"{score['value']:.3f}", f"{score['low']:.3f} – {score['high']:.3f}"]
        else:
            assert told[title] == [f"{100 * score['value']:.1f} %", f"{100 * score['low']:.1f} – {100 * score['high']:.1f} %"]
    floor = say("report.scores.ece_floor", language, floor=f"{100 * found['ece_floor']:.1f} %")
    assert told[say("report.scores.ece", language)] == [f"{100 * found['ece']:.1f} %", floor]
    assert told[say("report.scores.temperature", language)][0] == "1.370"
    headline = next(each for each in block(page, language).all("section") if each.attributes.get("class") == "headline")
    percent = {name: f"{100 * found[name]:.0f}" for name in ("low", "high", "baseline")}
    assert shown(say("evaluate.sentence_test", language, n=48, correct=found["correct"], name="X", **percent)).split("X")[0] \
        in headline.text


@pytest.mark.parametrize("language", languages())
def test_class_by_class_and_what_is_mixed_up(store, language):
    run = made(store, ["ant", "bee", "cat"])
    found, page = measured.report(store.home.run(run.id), "test"), read(report(store, run.id))
    _, classes, matrix = [cells(each) for each in section(page, "scores", language).all("table")]
    for row, entry in zip(classes[1:], found["per_class"], strict=True):
        assert row[:2] == [entry["label"], str(entry["support"])]
        for cell, name in zip(row[2:4], ("recall", "precision"), strict=True):
            value, low, high = (100 * entry[f"{name}{end}"] for end in ("", "_low", "_high"))
            assert cell == f"{value:.1f} %{low:.1f} – {high:.1f} %"
        assert row[4].startswith(f"{100 * entry['f1']:.1f} %")
    assert matrix[0][1:] == ["ant", "bee", "cat"]
    assert [[int(cell) for cell in row[1:]] for row in matrix[1:]] == found["confusion"]


@pytest.mark.parametrize("language", languages())
def test_the_photos_and_the_recipe(store, language):
    run = made(store, ["ant", "bee"], each=5, splits=("train", "test"), pictures=False)
    page = read(report(store, run.id))
    counted = cells(section(page, "data", language).all("table")[0])
    assert counted[1:] == [["ant", "5", "0", "5", "10"], ["bee", "5", "0", "5", "10"],
                           [say("report.data.sum", language), "10", "0", "10", "20"]]
    settings = {row[0]: row[1:] for row in cells(section(page, "recipe", language).all("table")[0])}
    assert settings[say("settings.learning_rate", language)] == ["0.003", "0.003"]
    again = section(page, "again", language)
    assert json.loads(again.all("pre")[0].text) == run.payload["recipe"] == Recipe(**run.payload["recipe"]).model_dump()
    assert "timm 1.2.3, torch 9.9.9" in again.text and Recipe(**run.payload["recipe"]).fingerprint in again.text


def test_a_setting_that_differs_is_marked_and_one_of_no_effect_left_out(store):
    run = made(store, ["ant", "bee"], pictures=False)
    changed = Recipe(**run.payload["recipe"]).but(clip=0.0, epochs=7, regularizer=None)
    other = store.submit("train", {"recipe": changed.model_dump()})
    (store.home.run(other.id)).rmdir()
    store.home.run(run.id).rename(store.home.root / "runs" / other.id)
    store.end(other.id, "finished", {})
    rows = cells(section(read(report(store, other.id)), "recipe", "en").all("table")[0])[1:]
    told = {row[0]: row[1:] for row in rows}
    mark = f" {say('report.recipe.changed')}"
    assert told[say("settings.clip") + mark] == [say("settings.off"), "1"]
    assert told[say("settings.epochs") + mark] == ["7", "10"]
    assert say("settings.lambda_omega") not in told and say("settings.warmup") not in told


def test_the_interval_of_f1_is_that_of_the_share_it_grows_with():
    low, high = wilson(8, 15)  # 8 right of 10 that are it and 13 that were said to be it
    assert f1_interval(8, 10, 13) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))
    assert f1_interval(0, 5, 0)[0] == 0 and f1_interval(5, 5, 5)[1] == 1
    random = np.random.default_rng(0)
    right, wrongly = random.binomial(30, 0.8, 4000), random.binomial(90, 0.05, 4000)
    true = 2 * 30 * 0.8 / (30 + 30 * 0.8 + 90 * 0.05)
    bounds = [f1_interval(int(a), 30, int(a + b)) for a, b in zip(right, wrongly, strict=True)]
    held = [low <= true <= high for low, high in bounds]
    assert 0.93 < np.mean(held) < 0.99


# Names


@pytest.mark.parametrize("language", languages())
def test_no_name_is_markup_and_every_name_is_readable(store, language):
    page = read(report(store, made(store).id, language))
    main = block(page, language)
    assert {each.tag for each in main.all()} <= set(OURS.split())
    assert page.all("title")[0].text == say("report.title", language, name="<i>run</i> & \"more\"")
    assert main.all("h1")[0].text == "<i>run</i> & \"more\""
    named = [row[0] for row in cells(section(page, "data", language).all("table")[0])]
    for label in HOSTILE:
        line = "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(label.split()))
        assert line in named
    alts = " ".join(each.attributes["alt"] for each in page.all("img"))
    assert "<script>" in alts or "onerror" in alts, "escaped, not taken away"


def test_half_a_letter_and_a_name_without_end_harm_nothing(store):
    page = read(report(store, made(store, ["x" * 5000, "y"], pictures=False, name="\ud800 half").id))
    assert page.all("h1")[0].text == "\ufffd half"
    long = [each for each in page.all("bdi") if each.text.startswith("xxx")]
    assert long and all(len(each.text) < 200 for each in long)


# Mistakes


@pytest.mark.parametrize("language", languages())
def test_the_surest_mistakes_come_first_with_their_pictures(store, language):
    run = made(store, ["ant", "bee", "cat"], each=30, right=0.3)
    wrong = gather(store, run.id).wrong
    assert len(wrong) > MISTAKES
    figures = section(read(report(store, run.id)), "mistakes", language).all("figure")
    assert len(figures) == MISTAKES and all(len(each.all("img")) == 1 for each in figures)
    for figure, row in zip(figures, wrong, strict=False):
        assert f"{100 * max(row['probabilities']):.0f} %" in figure.text
        assert [each.text for each in figure.all("b")] == [row["label"], row["predicted"]]
    assert [max(row["probabilities"]) for row in wrong] == sorted((max(row["probabilities"]) for row in wrong), reverse=True)


def test_a_photo_that_is_gone_or_broken_is_said_to_be(store):
    run = made(store, ["ant", "bee"], each=20, right=0.2)
    rows = gather(store, run.id).wrong[:2]
    store.home.thumbnail(rows[0]["sha256"]).unlink()
    store.home.thumbnail(rows[1]["sha256"]).write_bytes(b"<svg onload=alert(1)>")
    figures = section(read(report(store, run.id)), "mistakes", "en").all("figure")
    assert all(say("report.mistakes.no_photo") in each.text and not each.all("img") for each in figures[:2])
    assert figures[2].all("img")


def test_no_mistake_is_no_promise(store):
    run = made(store, ["ant", "bee"], right=1.0, pictures=False)
    assert say("report.mistakes.none", n=12) in section(read(report(store, run.id)), "mistakes", "en").text


def test_a_hundred_classes_stay_readable_and_small(store):
    labels = [f"class {number:03} of a hundred with a long name" for number in range(100)]
    run = made(store, labels, each=4, right=0.5)
    content = report(store, run.id)
    assert len(content) < 1_500_000
    page = read(content)
    drawn = section(page, "scores", "en")
    assert "100" in drawn.text and not [each for each in drawn.all("table") if "matrix" in each.attributes.get("class", "")]
    confusions = cells(drawn.all("table")[-1])[1:]
    found = measured.report(store.home.run(run.id), "test")
    assert confusions[0][2] == str(found["confusions"][0]["count"]) and len(confusions) <= 40


def test_a_thousand_classes_are_cut_and_it_says_so(store):
    run = made(store, [f"{number}" for number in range(1000)], each=1, splits=("train", "test"), pictures=False)
    content = report(store, run.id)
    assert len(content) < 1_000_000
    told = read(content)
    assert say("report.scores.per_class_more", shown=200, count=1000) in told.text
    assert say("report.data.more", count=800, photos=1600) in told.text


# Odd kinds of runs


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("splits", [("train", "test"), ("train", "validation")])
def test_without_a_split(store, splits, language):
    run = made(store, ["ant", "bee"], splits=splits, pictures=False)
    page = read(report(store, run.id))
    warned = say("evaluate.only_validation", language) in section(page, "limits", language).text
    assert warned == ("test" not in splits)


def test_without_validation_photos_only_training_is_drawn(store):
    run = made(store, ["ant", "bee"], splits=("train", "test"), pictures=False, epochs=0)
    store.append(run.id, stories.started().model_copy(update={"images": {"train": 9, "validation": 0, "test": 9}}),
                 *stories.epoch(1, kept=None), *stories.epoch(2, kept=None))
    drawn = section(read(report(store, run.id)), "curves", "en")
    assert say("report.curves.training_only") in drawn.text
    keys = " ".join(each.text for each in drawn.all("p") if "legend" in each.attributes.get("class", ""))
    assert say("results.charts.training") in keys and say("results.charts.validation") not in keys


@pytest.mark.parametrize("language", languages())
def test_a_training_that_was_stopped(store, language):
    run = made(store, ["ant", "bee"], pictures=False)
    store.append(run.id, Stopped(kept=True, best_epoch=2))
    with store._write() as connection:
        connection.exec_driver_sql("update jobs set state = 'stopped'")
    assert say("report.stopped", language) in read(report(store, run.id)).text


@pytest.mark.parametrize("language", languages())
def test_averages_have_no_curves_and_say_what_they_are(store, language):
    mixture = made(store, ["ant", "bee"], pictures=False, epochs=0, mixture={"run": "train-1", "alpha": 0.6})
    page = read(report(store, mixture.id))
    assert shown(say("mixture.made.mixture", language, share="60", rest="40")) in page.text
    assert say("report.curves.none", language) in section(page, "curves", language).text
    soup = made(store, ["ant", "bee"], pictures=False, epochs=0, dataset="soup-1", soup={"runs": ["train-1", "train-2"]})
    store.append(soup.id, Averaged(runs=["train-1"], order=["train-1", "train-2"], alone=[0.9, 0.8], validation=[0.9, 0.8], n=9))
    store.end(soup.id, "finished", {"averaged": {"runs": ["train-1"], "order": ["train-1", "train-2"]}})
    assert shown(say("mixture.made.soup_one", language, count=1, tried=2)) in read(report(store, soup.id)).text


@pytest.mark.parametrize("language", languages())
def test_a_zip_that_only_claims(store, language):
    """A project without photos: a confusion matrix, and nothing else is known."""
    payload = stories.payload(dataset="elsewhere") | {"name": "brought", "project": "x", "claimed": True}
    run = stories.begun(store, "train", payload)
    folder, labels = store.home.run(run.id), ["<b>", "bee", "cat"]
    scores = metrics.named_only(np.array([[5, 1, 0], [0, 4, 2], [0, 0, 0]]), labels, {"<b>": 30, "bee": 20})
    told = {"counts": {"<b>": 30, "bee": 20}, "images": {}, "claimed": True, "test": scores}
    (folder / "report.json").write_text(json.dumps(told))
    (folder / "classes.json").write_text(json.dumps(labels))
    (folder / "model.safetensors").write_bytes(b"weights")
    store.append(run.id, Evaluated(split="test", report=scores))
    store.end(run.id, "stopped", {})
    page = read(report(store, run.id))
    main = block(page, language)
    for sentence in (say("evaluate.claimed", language), say("report.dataset_elsewhere", language),
                     say("report.scores.unknown", language), say("report.mistakes.unknown", language),
                     say("report.curves.none", language), say("report.again.versions_unknown", language),
                     say("report.limits.untested_classes", language, count=1, names="cat")):
        assert sentence in main.text
    assert not (store.home.root / "datasets" / "elsewhere").exists(), "looking made nothing"


@pytest.mark.parametrize("language", languages())
def test_a_deleted_dataset_is_named_and_harms_nothing(store, language):
    run = made(store, ["ant", "bee"], pictures=False)
    store.delete_dataset("hostile-1")
    assert say("report.dataset_gone", language) in read(report(store, run.id)).text


@pytest.mark.parametrize("language", languages())
def test_looks_at_the_test_photos_cross_validation_and_check_are_told(store, language):
    run = made(store, ["ant", "bee"], pictures=False)
    page = read(report(store, run.id))
    for name in ("folds", "check"):
        assert say(f"report.{name}.none", language) in section(page, name, language).text
    job = stories.begun(store, "crossvalidate", {"recipe": run.payload["recipe"], "folds": 5, "repeats": 1})
    store.end(job.id, "finished", FOUND)
    other = stories.begun(store, "crossvalidate", {"recipe": run.payload["recipe"] | {"seed": 9}, "folds": 5, "repeats": 1})
    store.end(other.id, "finished", FOUND | {"accuracy": {"value": 0.11, "low": 0.05, "high": 0.2}})
    looked = {"images": 50, "looked_at": 42, "leaks": [{"kind": "straddles"}, {"kind": "left_out"}], "notes": [],
              "counts": {"label_errors": 7}, "scores": {
                  "honest": {"accuracy": 0.75, "low": 0.55, "high": 0.88, "n": 42, "groups": 9},
                  "naive": {"accuracy": 0.97, "low": 0.9, "high": 0.99, "n": 42}, "differ": True}}
    store.end(stories.begun(store, "check", {"dataset": "hostile-1", "version": 1}).id, "finished", looked)
    best = stories.epoch(4)
    store.append(run.id, *best, Evaluated(split="test", report=measured.report(store.home.run(run.id), "test")))
    page = read(report(store, run.id))
    assert shown(say("folds.found", language, n=24, count=1, value="75", low="55", high="88", baseline="58")) in section(
        page, "folds", language).text
    told = section(page, "check", language).text
    for sentence in (say("report.check.doubtful", language, count=7), say("report.check.leaks", language, count=1),
                     say("problems.differ", language, n=42, groups=9, honest_accuracy="75", honest_low="55", honest_high="88",
                         naive_accuracy="97")):
        assert shown(sentence) in told
    assert say("evaluate.looked", language, count=2) in section(page, "limits", language).text


# What has no report


def test_what_there_is_nothing_to_say_of(store):
    with pytest.raises(NotFound) as missing:
        report(store, "train-0")
    assert missing.value.code == "no_run"
    stories.dataset(store)
    live, failed = stories.running(store), stories.failed(store)
    with pytest.raises(Busy) as early:
        report(store, live.id)
    assert early.value.code == "report_live"
    with pytest.raises(NotFound) as untrained:
        report(store, failed.id)
    assert untrained.value.code == "no_trained_model"
    (store.home.run(failed.id) / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(NotFound) as unmeasured:
        report(store, failed.id)
    assert unmeasured.value.code == "report_unmeasured" and unmeasured.value.hint()


def test_a_file_is_replaced_whole_or_not_at_all(store, tmp_path):
    run, out = made(store, ["ant", "bee"], pictures=False), tmp_path / "out" / "a.html"
    assert write_report(store, run.id, out) == out.stat().st_size
    before = out.read_bytes()
    with pytest.raises(NotFound):
        write_report(store, "train-0", out)
    assert out.read_bytes() == before
    with pytest.raises(BadInput) as refused:
        write_report(store, run.id, tmp_path / "out")
    assert refused.value.code == "report_unwritable" and [each.name for each in out.parent.iterdir()] == ["a.html"]


@pytest.mark.parametrize("language", languages())
def test_a_training_whose_time_was_over_says_so(store, language):
    run = made(store, ["ant", "bee"])
    store.append(run.id, stories.started(20).model_copy(update={"minutes": 10.0}), *stories.epoch(1), *stories.epoch(2),
                 Finished(best_epoch=2, seconds=600.0, out_of_time=True))
    page = read(report(store, run.id, language))
    wanted = say("verdict.out_of_time", language, count=10, epoch=2, epochs=20, percent="67")
    assert shown(wanted) in block(page, language).text
