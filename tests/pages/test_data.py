"""Photos: the tree that says how an upload was read, the dataset page filled and empty, and what a change does."""

from __future__ import annotations

import pytest
from photos import dataset, draw, param
from streamlit.testing.v1 import AppTest

from pages.shared.data import counts, tree
from pages.shared.text import plain
from transfer_core.datasets import rename_class, understand
from transfer_core.events import Failed, Progressed
from transfer_core.words import Message, languages, message, say


def lines(html: str) -> list[str]:
    """The tree's names in reading order."""
    return [part.split("</b>")[0] for part in html.split("<b>")[1:]]


def test_the_tree_names_folders_kinds_and_counts(tmp_path, visit):
    draw(tmp_path / "up" / "wrap" / "train", {"cat": 3, "dog": 2})
    draw(tmp_path / "up" / "wrap" / "test", {"cat": 1, "dog": 1})
    found = tree.html(understand(tmp_path / "up"))
    assert "wrap/" in found
    assert lines(found) == ["Training", "cat", "dog", "Test", "cat", "dog"]
    assert [part.split("<")[0] for part in found.split('class="count">')[1:]] == ["5", "3", "2", "2", "1", "1"]


def test_a_folders_name_is_never_markup(tmp_path):
    draw(tmp_path / "up", {"<img src=x onerror=alert(1)>": 2, "b&b": 2})
    found = tree.html(understand(tmp_path / "up"))
    assert "<img" not in found and "&lt;img src=x onerror=alert(1)&gt;" in found and "b&amp;b" in found


def test_bars_are_proportional_and_escaped():
    html = counts.bars({"<b>": {"train": 30, "validation": 5, "test": 5}, "q": {"train": 10}})
    assert "<b>" not in html and "&lt;b&gt;" in html
    assert 'style="width:75.00%"' in html and 'style="width:25.00%"' in html and ">40<" in html


@pytest.mark.parametrize("language", languages())
def test_choose_offers_examples_and_datasets(visit, store, tmp_path, language):
    dataset(store, tmp_path / "photos", {"oak": 12, "maple": 12}, name="trees_2")
    page = visit("data", lang=language)
    assert not page.exception
    assert page.title[0].value == say("data.title", language)
    opener = next(button for button in page.button if button.label == r"**trees\_2**")
    opener.click().run()
    assert param(page, "dataset") == opener.key.removeprefix("open-") and not page.exception
    page.button(key="another-dataset").click().run()
    assert "dataset" not in page.query_params
    assert {f"use-{name}" for name in ("leaves", "cloth", "digits")} <= {button.key for button in page.button}
    page.button(key="use-cloth").click().run()
    assert param(page, "job") == store.jobs("import")[0].id
    assert store.jobs("import")[0].payload["example"] == "cloth"
    assert "dataset" not in page.query_params


@pytest.mark.parametrize("language", languages())
def test_understood_shows_the_tree_and_imports_once_accepted(visit, store, tmp_path, language):
    upload = draw(tmp_path / "up", {"cat": 3, "dog": 2})
    job = store.submit("understand", {"path": str(upload)})
    store.end(job.id, "finished", understand(upload).to_dict())
    page = visit("data", lang=language, job=job.id, called="pets & co")
    assert not page.exception and page.title[0].value == say("data.understood.title", language)
    assert page.text_input(key="dataset-name").value == "pets & co"
    page.button(key="accept").click().run()
    made, = store.jobs("import")
    assert made.payload == {"path": str(upload), "name": "pets & co", "then": "look"}
    assert param(page, "job") == made.id


def test_an_upload_that_cannot_be_imported_says_why_and_offers_another(visit, store, tmp_path):
    upload = draw(tmp_path / "up", {"*only*": 3})
    job = store.submit("understand", {"path": str(upload)})
    store.end(job.id, "finished", understand(upload).to_dict())
    page = visit("data", job=job.id)
    assert len(page.error) == 1 and r"\*only\*" in page.error[0].value
    assert not [button for button in page.button if button.key == "accept"]
    page.button(key="start-again").click().run()
    assert "job" not in page.query_params


def test_a_question_is_asked_and_its_answer_looked_at_again(visit, store, tmp_path):
    for domain in ("photo", "sketch"):
        draw(tmp_path / "up" / domain, {"cat": 3, "dog": 3})
    job = store.submit("understand", {"path": str(tmp_path / "up")})
    store.end(job.id, "finished", understand(tmp_path / "up").to_dict())
    page = visit("data", job=job.id)
    page.radio(key=f"answer-first_level-{job.id}").set_value("class").run()
    again = store.jobs("understand")[0]
    assert again.payload["answers"] == {"first_level": "class"} and param(page, "job") == again.id


def test_a_running_import_shows_how_far_it_is_and_a_failed_one_why(visit, store):
    job = store.submit("import", {"upload": "0" * 32, "name": "mine"})
    store.claim(job.id, 1)
    store.append(job.id, Progressed(stage="checking", done=312, total=1500))
    page = visit("data", job=job.id)
    bar = page.get("progress")[0].proto
    assert "312" in bar.text and "1,500" in bar.text and bar.value == 20
    store.append(job.id, Failed(message=Message(key="errors.not_a_zip.text", values={"file": "a_b.zip"})))
    store.end(job.id, "failed")
    page = visit("data", job=job.id)
    assert len(page.error) == 1 and r"a\_b\.zip" in page.error[0].value
    page.button(key="import-again").click().run()
    assert len(store.jobs("import")) == 2


@pytest.mark.parametrize("language", languages())
def test_a_dataset_page_says_what_it_holds(visit, store, tmp_path, language):
    made = dataset(store, tmp_path / "photos", {"<b>oak": 14, "maple": 10}, name="t*r*ees")
    page = visit("data", lang=language, dataset=made.id)
    assert not page.exception
    assert page.title[0].value == r"t\*r\*ees"
    split = made.latest.summary["split"]
    assert say("data.view.sentence", language, images="24", classes=2, **{k: str(v) for k, v in split.items()}) in [
        each.value for each in page.markdown]
    assert [metric.value for metric in page.metric] == [str(split[name]) for name in ("train", "validation", "test")]
    assert [box.value for box in page.selectbox if box.key.startswith("gallery-class")] == ["<b>oak"]


def test_going_back_to_a_version_makes_a_new_one(visit, store, tmp_path):
    from transfer_core.datasets import rename_class

    made = dataset(store, tmp_path / "photos", {"oak": 12, "maple": 10})
    rename_class(store, made.id, "oak", "Eiche")
    page = visit("data", dataset=made.id)
    page.button(key="restore-1").click().run()
    assert not page.exception
    assert store.dataset(made.id).latest.version == 3
    assert set(store.dataset(made.id).latest.summary["classes"]) == {"oak", "maple"}


def test_a_deleted_dataset_can_be_taken_back(visit, store, tmp_path):
    made = dataset(store, tmp_path / "photos", {"oak": 12, "maple": 10})
    store.delete_dataset(made.id)
    page = visit("data", deleted=made.id)
    page.button(key="undo-delete").click().run()
    assert store.dataset(made.id).name == "my set" and param(page, "dataset") == made.id


def test_the_words_count_the_conflicts_that_are_not_listed_too():
    def page(count):
        from pages.shared.data import report

        group = [{"file": f"{label}.png", "label": label, "sha256": "0" * 64} for label in ("hat", "shoes")]
        report.conflicts({"conflicts": [group] * 50, **({"conflict_count": count} if count else {})})

    for given, count in ((60, 60), (None, 50)):  # summaries of older versions have the list only
        app = AppTest.from_function(page, args=(given,)).run()
        assert not app.exception and app.expander[0].label == say("data.report.conflicts", count=count)
        assert say("data.understood.and_more", count=count - 12) in {caption.value for caption in app.caption}


LOOK = {"model": "m", "images": {"train": 1500, "validation": 50}, "of": {"train": 9000, "validation": 50}, "strength": 1.0,
        "score": {"accuracy": 0.8, "low": 0.4, "high": 0.96, "correct": 40, "n": 50, "baseline": 0.6, "on": "validation"},
        "source": {"score": {"accuracy": 0.7, "low": 0.3, "high": 0.9, "correct": 35, "n": 50, "baseline": 0.6},
                   "looks_like": [{"class": "<b>cat", "images": 3, "like": [{"source": "tabby, tabby cat", "share": 0.75}]}]},
        "seconds": 1.0, "scenes": {"groups": 2, "images": 3}}


def button(app, key: str):
    return next((each for each in app.button if each.key == key), None)


@pytest.mark.parametrize("language", languages())
def test_a_first_look_is_offered_then_followed_then_shown(visit, store, tmp_path, language):
    made = dataset(store, tmp_path / "pets", {"cat": 6, "dog": 6}, "pets")
    app = visit("data", dataset=made.id, lang=language)
    assert store.jobs("guess") == []
    button(app, "take-look").click().run()
    [look] = store.jobs("guess")
    assert look.payload == {"dataset": made.id, "version": 1, "name": "pets"}
    assert button(app, "take-look") is None and say("data.look.busy", language) in [caption.value for caption in app.caption]

    store.claim(look.id, 1)
    store.end(look.id, "finished", LOOK)
    app = visit("data", dataset=made.id, lang=language)
    assert not app.exception and button(app, "take-look") is None
    assert say("data.look.score", language, accuracy="80", low="40", high="96") in [text.value for text in app.markdown]
    assert say("data.look.scenes", language, count=3) in [warning.value for warning in app.warning]
    told = "\n".join(caption.value for caption in app.caption)
    assert say("data.look.validation", language, n=50, baseline="60") in told
    assert say("data.look.part", language, count="1,500", total="9,000") in told
    assert say("data.look.like_score", language, accuracy="70", low="30", high="90", n=50) in told
    assert app.dataframe[-1].value.iloc[0].to_list() == ["<b>cat", "tabby 75 %"]


def test_a_look_at_another_version_says_so_and_can_be_taken_again(visit, store, tmp_path):
    made = dataset(store, tmp_path / "pets", {"cat": 6, "dog": 6}, "pets")
    look = store.submit("guess", {"dataset": made.id, "version": 1, "name": "pets"}, "cpu")
    store.claim(look.id, 1)
    store.end(look.id, "finished", LOOK)
    rename_class(store, made.id, "cat", "lion")
    app = visit("data", dataset=made.id)
    assert any(say("data.look.other_version", seen=1, version=2) in caption.value for caption in app.caption)
    button(app, "take-look").click().run()
    assert [job.payload["version"] for job in store.jobs("guess")] == [2, 1]


def test_a_look_that_failed_or_gave_way_can_be_taken_again(visit, store, tmp_path):
    made = dataset(store, tmp_path / "pets", {"cat": 6, "dog": 6}, "pets")
    for state in ("finished", "failed"):
        look = store.submit("guess", {"dataset": made.id, "version": 1, "name": "pets"}, "cpu")
        store.claim(look.id, 1)
        store.append(look.id, Failed(message=message("errors.no_upload.text"), hint=message("errors.no_upload.hint")))
        store.end(look.id, state)
        app = visit("data", dataset=made.id)
        assert not app.exception and button(app, "take-look").label == say("data.look.again")
        assert any(plain(say("errors.no_upload.text")) in warning.value for warning in app.warning) == (state == "failed")
