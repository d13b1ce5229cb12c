"""The train page in a real browser, with stories instead of trainings: curves follow events, one click starts one run."""

from __future__ import annotations

import re

import pytest
import stories
from playwright.sync_api import Page, expect

from transfer_core.jobs import devices
from transfer_core.words import say

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def colours(studio) -> str:
    return stories.dataset(studio.store, dataset_id="colours-1")


def label(page: Page):
    return page.locator(".live-plot").first


def says(epoch: int) -> re.Pattern:
    return re.compile(re.escape(say("live.loss_alt", epoch=epoch, train="N", validation="N")).split("N")[0])


def test_curves_matrix_and_table_follow_the_events(studio, page, colours):
    with stories.alive(studio.store, stories.begun(studio.store, "train", stories.payload(), "story")) as run:
        page.goto(f"{studio.url}/train?run={run.id}")
        expect(page.locator(".live-empty")).to_be_visible()
        studio.store.append(run.id, stories.started(), *stories.epoch(1, 0.5))
        expect(label(page)).to_have_attribute("aria-label", says(1))
        # Unless somebody asks for more, only the loss on the own classes is drawn: the penalty is of another size.
        traces = page.evaluate("document.querySelector('.live-plot').data.map((trace) => [trace.name, trace.visible])")
        assert [name for name, visible in traces if visible is True] == [say("live.target")] * 2
        assert {name for name, visible in traces if visible != True} == {say("live.penalty"), say("live.total")}  # noqa: E712

        learned, kept = page.locator(".live-gauge").all()
        expect(learned.locator("b")).to_have_text("67 %")
        expect(kept).to_contain_text("75 %")
        expect(kept).to_contain_text(say("live.kept_agreement_help", n=20))
        expect(kept.get_by_role("meter", name=say("live.kept_agreement"))).to_have_attribute("aria-valuenow", "75")

        studio.store.append(run.id, *stories.epoch(2, 1.0, kept=stories.KEPT.model_copy(
            update={"source_accuracy": 0.5, "source_images": 8})))
        expect(label(page)).to_have_attribute("aria-label", says(2))
        expect(kept).to_contain_text(say("live.kept_source_help", n=8))
        expect(kept).to_contain_text("50 %")
        cells = page.locator(".live-confusion td")
        expect(cells).to_have_text(["6", "", "", "", "6", "", "", "", "6"])
        page.locator(".live-table summary").click()
        expect(page.locator(".live-table tr")).to_have_count(3)
        expect(page.locator(".live-table tr").last).to_contain_text("★")
        expect(page.locator(".st-key-run-numbers")).to_contain_text("2 / 10")

        page.reload()
        expect(label(page)).to_have_attribute("aria-label", says(2))
        assert page.evaluate("document.querySelector('.live-plot').data[0].x.length") == 2 * stories.STEPS


def test_class_names_are_text_in_the_matrix(studio, page, colours):
    run = stories.finished(studio.store)
    page.goto(f"{studio.url}/train?run={run.id}")
    expect(page.locator(".live-confusion th[scope=row]")).to_have_text(stories.CLASSES)
    expect(page.locator(".live-confusion b")).to_have_count(0)


def test_stopping_asks_first_and_the_answer_arrives(studio, page, colours):
    """The page looks again every second: a question that lives less long than a thought would lose its answer."""
    with stories.alive(studio.store, stories.begun(studio.store, "train", stories.payload(), "story")) as run:
        studio.store.append(run.id, stories.started(), *stories.epoch(1))
        page.goto(f"{studio.url}/train?run={run.id}")
        page.locator(".st-key-stop button").click()
        keep = page.locator(".st-key-stop-keep button")
        expect(keep).to_be_visible()
        studio.store.append(run.id, *stories.epoch(2))
        expect(page.locator(".st-key-run-numbers")).to_contain_text("2 / 10")
        expect(keep).to_be_visible()  # still open after the page has looked again
        keep.click()
        expect(page.locator(".st-key-run-actions")).to_contain_text(say("train.stopping"))
        assert studio.store.job(run.id).stop == "keep"


def test_one_start_is_one_run_which_waits_its_turn(studio, page, colours):
    with stories.alive(studio.store, stories.begun(studio.store, "train", stories.payload(seed=1), devices()[0])):
        before = {job.id for job in studio.store.jobs("train")}
        page.goto(f"{studio.url}/train?dataset={colours}&seed=5")
        expect(page.locator("[data-testid=stCaptionContainer]").filter(has_text=say("train.will_queue", count=1))).to_be_visible()
        page.locator(".st-key-start button").dblclick()
        expect(page.locator(".st-key-run-state")).to_contain_text(say("train.queued", count=1))
        run, = [job for job in studio.store.jobs("train") if job.id not in before]
        assert run.payload["recipe"]["seed"] == 5 and f"run={run.id}" in page.url
        page.reload()
        expect(page.locator(".st-key-run-state")).to_contain_text(say("runs.state_queued"))
        page.locator(".st-key-stop button").click()
        page.locator(".st-key-stop-discard button").click()
        expect(page.locator(".st-key-run-state")).to_contain_text(say("train.thrown_away"))
        assert studio.store.job(run.id).state == "stopped"


def test_a_run_deleted_while_somebody_watches_it(studio, page, colours):
    with stories.alive(studio.store, stories.begun(studio.store, "train", stories.payload(), "story")) as run:
        page.goto(f"{studio.url}/train?run={run.id}&dataset={colours}")
        expect(page.locator(".st-key-run-state")).to_be_visible()
        studio.store.delete_job(run.id)
        expect(page.get_by_text(say("train.no_such_run"))).to_be_visible()
        expect(page.locator(".st-key-start button")).to_be_visible()
        studio.store.delete_job(run.id, undo=True)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "share", "runs"])
def test_on_a_phone_nothing_sticks_out(studio, page, colours, name, language):
    run = stories.finished(studio.store)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{studio.url}/{name}?run={run.id}&lang={language}")
    expect(page.locator("h1")).to_have_text(say(f"{name}.title", language))
    expect(page.get_by_text(say("app.privacy", language))).to_be_visible()  # the foot: the whole page is there
    widths = page.evaluate("(() => { const main = document.querySelector('[data-testid=stMain]');"
                           " return [main.scrollWidth, main.clientWidth]; })()")
    assert widths[0] <= widths[1]
