"""Two people in one studio: each sees what is theirs, and one of them looks for the other's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import photos
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from provider import running

from transfer_core.jobs import devices
from transfer_core.people import COOKIE, signed_in
from transfer_core.store import Job, Store
from transfer_core.words import say

expect.set_options(timeout=60_000)
pytestmark = pytest.mark.browser
ADMIN_KEY = "a key of twelve signs"


@pytest.fixture(scope="module")
def hosted(new_studio) -> Iterator[object]:
    made = new_studio(TRANSFER_STUDIO_PEOPLE="anonymous", TRANSFER_STUDIO_ADMIN_KEY=ADMIN_KEY, TRANSFER_STUDIO_QUOTA_RUNS="1",
                      TRANSFER_STUDIO_KEEP_DAYS="30", TRANSFER_STUDIO_QUOTA_BYTES="1GB", TRANSFER_STUDIO_WARM="0")
    made.start()
    yield made
    made.end()


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Callable[[], Page]]:
    """`visitor()`: a browser of its own, with nobody's cookies."""
    contexts: list[BrowserContext] = []

    def comes() -> Page:
        contexts.append(chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-US"))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        return page

    yield comes
    for context in contexts:
        context.close()


def person(page: Page) -> str:
    return next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == COOKIE).split(".")[0]


def has(store: Store, tmp_path) -> Job:
    """A dataset of drawn photos, and a training that waits."""
    dataset = photos.dataset(store, tmp_path, {"left": 12, "right": 12}, "Mine alone").id
    recipe = {"dataset": dataset, "version": 1, "model": "test_resnet.r160_in1k", "weights": "scratch", "image_size": 32,
              "freeze": "all", "epochs": 2, "patience": 0}
    return store.submit("train", {"recipe": recipe, "name": "Mine alone"}, devices()[-1])


def test_one_looks_for_what_is_the_others(visitor, hosted, tmp_path, wait):
    ada, bo = visitor(), visitor()
    for page in (ada, bo):
        page.goto(hosted.url)
        expect(page.get_by_role("link", name=say("nav.account"))).to_be_visible()
    assert person(ada) != person(bo)
    hers = hosted.store.of(person(ada))
    run = has(hers, tmp_path)
    wait(lambda: not hers.job(run.id).live, 300)
    dataset = run.payload["recipe"]["dataset"]
    ada.goto(f"{hosted.url}/data?dataset={dataset}")
    expect(ada.get_by_text("Mine alone").first).to_be_visible()
    for path in (f"data?dataset={dataset}", f"train?run={run.id}", f"evaluate?run={run.id}", f"share?run={run.id}", "runs",
                 f"predict?run={run.id}", f"compare?runs={run.id}", f"model?dataset={dataset}"):
        bo.goto(f"{hosted.url}/{path}")
        expect(bo.locator("h1, [data-testid=stAlert]").first).to_be_visible()
        expect(bo.locator("[data-testid=stStatusWidget]")).to_have_count(0)
        assert "Mine alone" not in bo.content(), path
        assert run.id not in bo.locator("[data-testid=stMain]").inner_text(), path
    picture = next((hers.home.root / "thumbnails").rglob("*.webp")).name
    for path in (f"thumbnails/{picture}", f"files/{run.id}/model.zip", f"report/{run.id}", f"api/jobs/{run.id}/events"):
        assert bo.request.get(f"{hosted.url}/{path}").status == 404, path
    assert ada.request.get(f"{hosted.url}/thumbnails/{picture}").status == 200


def test_one_training_too_many_is_refused_in_words(visitor, hosted, tmp_path):
    page = visitor()
    page.goto(hosted.url)
    expect(page.get_by_role("link", name=say("nav.account"))).to_be_visible()
    mine = hosted.store.of(person(page))
    waits = mine.submit("train", {"recipe": {"dataset": "x", "model": "x"}}, "cuda:9")  # a device there is not: it waits
    dataset = photos.dataset(mine, tmp_path, {"left": 12, "right": 12}, "Hats").id
    page.goto(f"{hosted.url}/train?dataset={dataset}")
    page.get_by_role("button", name=say("train.start")).click()
    expect(page.get_by_text(say("errors.too_many_runs.text", limit=1))).to_be_visible()
    assert [job.id for job in mine.jobs("train")] == [waits.id]


def test_everything_is_deleted_by_its_owner(visitor, hosted, tmp_path):
    page = visitor()
    page.goto(f"{hosted.url}/account")
    expect(page.get_by_text(say("people.delete_sure"))).to_be_visible()
    mine = hosted.store.of(person(page))
    photos.dataset(mine, tmp_path, {"left": 12, "right": 12}, "Hats")
    page.reload()
    expect(page.get_by_text(re.compile("24 photos"))).to_be_visible()
    page.get_by_text(say("people.delete_sure")).click()
    page.get_by_role("button", name=say("people.delete")).click()
    expect(page.get_by_text(re.compile("^0 photos"))).to_be_visible()
    assert not mine.home.root.exists() and mine.datasets() == []


def test_the_page_for_who_looks_after_it_opens_with_the_key_only(visitor, hosted):
    page = visitor()
    page.goto(f"{hosted.url}/admin")
    box = page.get_by_label(say("admin.key"), exact=True)
    box.fill("a guess of mine")
    box.press("Enter")
    expect(page.get_by_text(say("admin.wrong_key"))).to_be_visible()
    assert page.get_by_text(say("admin.queue_title")).count() == 0
    box.fill(ADMIN_KEY)
    box.press("Enter")
    expect(page.get_by_text(say("admin.queue_title"))).to_be_visible()
    expect(page.get_by_text(say("admin.memory"))).to_be_visible()


def test_people_sign_in_and_out(visitor, new_studio, free_port, tmp_path, wait):
    """The pages ask Streamlit who it is, our own routes read its cookie: both have to say the same."""
    with running(free_port()) as provider:
        secrets = tmp_path / "secrets.toml"
        studio = new_studio(TRANSFER_STUDIO_PEOPLE="sign-in", TRANSFER_STUDIO_ADMINS="ada@example.org", TRANSFER_STUDIO_WARM="0")
        secrets.write_text(provider.secrets_for(studio.url))
        studio.options = ("--secrets.files", str(secrets))
        studio.start()
        try:
            page, other = visitor(), visitor()
            for who, name in ((page, "Ada"), (other, "Bo")):
                who.goto(f"{studio.url}/data")
                who.get_by_role("button", name=say("people.sign_in")).click()
                who.get_by_role("link", name=name).click()
                expect(who.get_by_role("link", name=say("nav.account"))).to_be_visible()
                expect(who).to_have_url(re.compile("/data"))  # where they wanted to go
            ada = signed_in(provider.url, "id of Ada")
            hers = studio.store.of(ada)
            wait(lambda: hers.known() is not None)
            assert (hers.known().name, hers.known().email) == ("Ada", "ada@example.org")
            photos.dataset(hers, tmp_path, {"left": 12, "right": 12}, "Mine alone")
            picture = next((hers.home.root / "thumbnails").rglob("*.webp")).name
            assert page.request.get(f"{studio.url}/thumbnails/{picture}").status == 200, "the routes know her"
            assert other.request.get(f"{studio.url}/thumbnails/{picture}").status == 404
            assert visitor().request.get(f"{studio.url}/thumbnails/{picture}").status == 401
            page.goto(f"{studio.url}/data")
            expect(page.get_by_text("Mine alone").first).to_be_visible()
            page.goto(f"{studio.url}/admin")
            expect(page.get_by_text(say("admin.people_title")).first).to_be_visible()
            other.goto(f"{studio.url}/admin")
            expect(other.get_by_text(say("admin.closed"))).to_be_visible()
            page.goto(f"{studio.url}/account")
            page.get_by_role("button", name=say("people.sign_out")).click()
            expect(page.get_by_role("button", name=say("people.sign_in"))).to_be_visible()
            assert page.request.get(f"{studio.url}/thumbnails/{picture}").status == 401
        finally:
            studio.end()
