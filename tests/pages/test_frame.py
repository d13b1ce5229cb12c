"""Every page, whatever it finds: it shows itself, in every language, with no text missing and no error."""

from __future__ import annotations

import re
import tomllib

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
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

    app = Starlette(routes=[Route("/{path:path}", everything)], middleware=[shell.middleware()])
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
