"""Every page, whatever it finds: it shows itself, in every language, with no text missing and no error."""

from __future__ import annotations

import re
import tomllib

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pages.shared import shell
from pages.shared.navigation import STEPS
from pages.shared.text import plain
from transfer_core.charts import PALETTE
from transfer_core.paths import studio
from transfer_core.words import languages, say, texts

PAGES = ("home", *STEPS, "runs", "sweep", "learn")


def everything_said(app) -> str:
    parts = []
    for kind in ("title", "subheader", "markdown", "caption", "button", "error", "warning", "info", "success", "metric"):
        parts += [getattr(element, "value", None) or getattr(element, "label", "") for element in getattr(app, kind)]
    return "\n".join(map(str, parts))


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_on_an_empty_studio(visit, name, language):
    app = visit(name, lang=language)
    assert not app.exception
    said = everything_said(app)
    keys = {key for key in texts(language) if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", said)}
    assert not keys, f"keys instead of texts: {keys}"
    assert say("app.privacy", language) in said


@pytest.mark.parametrize("name", PAGES)
def test_every_page_survives_an_address_that_names_nothing(visit, name):
    app = visit(name, lang="xx", run="train-0000000000", dataset="no-such-0000", job="import-0", upload="../..", model="no/model",
                freeze="x", epochs="-3", positions="nothing")
    assert not app.exception


THEIRS = "<html><head><title>Streamlit</title></head><body></body></html>"


@pytest.fixture
def front():
    """A browser in front of what Streamlit sends: its first page, whatever the address."""
    async def everything(request):
        return HTMLResponse(THEIRS) if request.url.path != "/ours" else HTMLResponse("<title>Ours</title>")

    app = Starlette(routes=[Route("/{path:path}", everything)], middleware=shell.middleware())
    return TestClient(app, headers={"Accept": "text/html", "Accept-Language": "zh-CN,zh"})


def test_an_address_without_a_page_is_answered_in_the_visitors_language(front, monkeypatch):
    for path, way in (("/nothing", "./"), ("/x/data", "../"), ("/demo/<script>", "../"), ("/nothing?lang=en", "./")):
        answer = front.get(path)
        said = "en" if "lang=en" in path else "zh"
        assert answer.status_code == 404 and say("errors.no_page.text", said) in answer.text, path
        assert f'href="{way}"' in answer.text and "<script" not in answer.text
    for path in ("/", "/data", "/admin/", "/demo", "/ours"):
        assert front.get(path).status_code == 200, path
    monkeypatch.setenv("TRANSFER_STUDIO_MODE", "demos")
    assert [front.get(path).status_code for path in ("/", "/demo", "/data")] == [200, 200, 404]


@pytest.fixture
def signing_in():
    """A browser in front of Streamlit's own ways in and out: to the provider, and to the first page."""
    async def login(request):
        return RedirectResponse("https://provider.test/who", 302)

    async def callback(request):
        return RedirectResponse("/", 302)

    app = Starlette(routes=[Route("/auth/login", login), Route("/auth/logout", callback), Route("/oauth2callback", callback)],
                    middleware=shell.middleware())
    return TestClient(app, follow_redirects=False)


def test_who_signs_in_comes_back_to_page_and_language(signing_in):
    came = "/share?lang=zh&run=train-1"
    answer = signing_in.get("/auth/login", headers={"Referer": f"http://testserver{came}"})
    assert answer.headers["location"] == "https://provider.test/who"
    assert signing_in.get("/oauth2callback").headers["location"] == came
    assert signing_in.get("/oauth2callback").headers["location"] == "/", "once"
    left = signing_in.get("/auth/logout", headers={"Referer": "http://testserver/account?lang=zh"})
    assert left.headers["location"] == "/account?lang=zh"


@pytest.mark.parametrize("came", ["http://evil.test/share?lang=zh", "http://testserver//share", "http://testserver/nothing", "",
                                  "http://testserver/\\share", "http://[", "http://testserver/share?" + 2000 * "x",
                                  "http://testserver/auth/login"])
def test_nobody_is_led_away_by_signing_in(signing_in, came):
    signing_in.get("/auth/login", headers={"Referer": came})
    assert signing_in.get("/oauth2callback").headers["location"] == "/"


@pytest.mark.parametrize("kept", ["//evil.test", "https%3A%2F%2Fevil.test", "%2F%2Fshare", "%2Fshare%0D%0Ax%3A1", "x", '"'])
def test_a_cookie_of_somebody_else_leads_nowhere_else(signing_in, kept):
    answer = signing_in.get("/oauth2callback", headers={"Cookie": f"ts_came_from={kept}"})
    assert answer.headers["location"] == "/" and "x" not in answer.headers


def test_the_language_of_the_address_wins(visit):
    assert visit("runs", lang="zh").title[0].value == say("runs.title", "zh")
    assert visit("runs", lang="en").title[0].value == say("runs.title", "en")


def test_the_language_button_changes_the_whole_page_at_once(visit):
    app = visit("runs", lang="en")
    next(group for group in app.segmented_control if group.key == "language").set_value("zh").run()
    assert app.title[0].value == say("runs.title", "zh")


@pytest.mark.parametrize("text", ["<b>bold</b>", "a_b*c*", "[x](http://y)", ":smile:", "$x$", "line\nbreak", "![i](u)", "`c`",
                                  "~~s~~"])
def test_a_strangers_text_is_never_markup(text):
    escaped = plain(text)
    assert "\n" not in escaped
    unescaped = re.sub(r"\\.", "", escaped)
    assert not set(unescaped) & set("<>*_[]()!`$:~")


def test_streamlits_own_charts_use_the_studios_palette():
    config = tomllib.loads((studio() / ".streamlit" / "config.toml").read_text("utf-8"))
    assert config["theme"]["chartCategoricalColors"] == list(PALETTE)


def test_streamlit_offers_visitors_nothing_of_its_own():
    config = tomllib.loads((studio() / ".streamlit" / "config.toml").read_text("utf-8"))
    assert config["logger"]["hideWelcomeMessage"]  # also hides an offer to install "skills" inside the page
    assert not config["client"]["showErrorLinks"]
    assert not config["browser"]["gatherUsageStats"]
