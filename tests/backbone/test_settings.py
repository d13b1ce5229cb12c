"""The environment variables: read in one place, when they are needed; what is wrong is said with the next step."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from transfer_core import settings as environment
from transfer_core.cli import main
from transfer_core.errors import BadInput
from transfer_core.settings import FIELDS, HIDDEN, Settings, check, listed, settings, size
from transfer_core.words import languages

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {"TRANSFER_STUDIO_METRICS_KEY": "hunter2", "HF_TOKEN": "hf_hunter2",
           "TRANSFER_STUDIO_DATABASE_URL": "postgresql+psycopg://me:hunter2@db.example/studio?password=hunter2"}


@pytest.mark.parametrize(("typed", "bytes_"), [
    ("10GB", 10_000_000_000), ("10_000_000_000", 10_000_000_000), ("1.5 gib", 1_610_612_736), ("512", 512), ("3 kB", 3000),
    ("0.5MB", 500_000), ("2B", 2)])
def test_sizes_are_written_as_people_write_them(typed, bytes_):
    assert size(typed) == bytes_
    assert settings({"TRANSFER_STUDIO_MAX_UPLOAD": typed}).max_upload == bytes_


@pytest.mark.parametrize(("name", "typed"), [
    ("MAX_UPLOAD", "ten"), ("MAX_UPLOAD", "-1"), ("MAX_UPLOAD", "0"), ("MAX_UPLOAD", "10 bananas"), ("MAX_UPLOAD", "1e9"),
    ("MAX_FILES", "1.5"), ("MAX_FILES", "-3"), ("CACHE_BYTES", "much"), ("WARM", "perhaps"), ("MODE", "demo"),
    ("PUBLIC_URL", "studio.example.org"), ("DEMO_PER_MINUTE", "nan"), ("API_PER_MINUTE", "inf"), ("DEMO_PER_MINUTE", "-1"),
    ("FRAME_ANCESTORS", "'self'; script-src *"), ("FRAME_ANCESTORS", "a\nset-cookie: b"), ("LOG", "xml"),
    ("LOG_LEVEL", "loud"), ("LANGUAGE", "klingon"), ("DATABASE_URL", "studio.db")])
@pytest.mark.parametrize("language", languages())
def test_what_cannot_be_is_refused_with_what_can(name, typed, language):
    with pytest.raises(BadInput) as refused:
        check({f"TRANSFER_STUDIO_{name}": typed})
    said = refused.value.message(language)
    assert refused.value.code == "bad_environment"
    assert f"TRANSFER_STUDIO_{name}" in said and typed in said
    assert "transfer-studio settings" in refused.value.hint(language) and "{" not in refused.value.hint(language)


def test_a_refused_secret_is_not_repeated():
    with pytest.raises(BadInput) as refused:
        check({"TRANSFER_STUDIO_DATABASE_URL": "Postgres://me:hunter2@host/db"})
    assert "hunter2" not in str(refused.value) + repr(refused.value.values)


@pytest.mark.parametrize(("name", "nearest"), [
    ("TRANSFER_STUDIO_HOEM", "TRANSFER_STUDIO_HOME"), ("TRANSFER_STUDIO_MAX_UPLOADS", "TRANSFER_STUDIO_MAX_UPLOAD"),
    ("TRANSFER_STUDIO_DATABASE", "TRANSFER_STUDIO_DATABASE_URL")])
def test_a_misspelt_name_is_noticed(name, nearest):
    with pytest.raises(BadInput) as refused:
        check({name: "x"})
    assert (refused.value.code, refused.value.values["nearest"]) == ("misspelt_environment", nearest)


def test_a_name_like_no_other_is_noticed_and_those_of_tests_are_left_alone():
    with pytest.raises(BadInput, match="XYZZY"):
        check({"TRANSFER_STUDIO_XYZZY": "1"})
    check({"TRANSFER_STUDIO_TEST_POSTGRES": "1", "TRANSFER_STUDIOS": "1", "PATH": "/bin"})


def test_an_empty_variable_is_none():
    assert settings(dict.fromkeys(FIELDS, " ")) == Settings()


def test_values_are_read_when_they_are_needed(monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_MAX_FILES", "7")
    assert settings().max_files == 7
    monkeypatch.setenv("TRANSFER_STUDIO_MAX_FILES", "8")
    assert settings().max_files == 8


def test_a_studio_may_answer_to_several_names():
    assert settings({"TRANSFER_STUDIO_ALLOWED_HOSTS": " Photos.example.,b, "}).allowed_hosts == ("photos.example", "b")


@pytest.mark.parametrize("language", languages())
def test_secrets_are_never_listed(language):
    rows = {row.name: row for row in listed(language, SECRETS | {"TRANSFER_STUDIO_METRIC_KEY": "hunter2"})}
    assert "hunter2" not in repr(rows)
    assert rows["TRANSFER_STUDIO_METRICS_KEY"].value == rows["HF_TOKEN"].value == HIDDEN
    assert rows["TRANSFER_STUDIO_DATABASE_URL"].value.startswith(f"postgresql+psycopg://me:{HIDDEN}@db.example/studio")
    assert "TRANSFER_STUDIO_METRICS_KEY" in rows["TRANSFER_STUDIO_METRIC_KEY"].problem
    assert "hunter2" not in repr(settings(SECRETS)) + str(settings(SECRETS).model_dump_json(exclude={"database_url"}))


def test_the_list_says_what_holds_and_where_from(monkeypatch, capfd):
    monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", "en")
    monkeypatch.setenv("TRANSFER_STUDIO_MAX_UPLOAD", "2GB")
    monkeypatch.setenv("TRANSFER_STUDIO_MAX_FILES", "many")
    with pytest.raises(SystemExit) as ended:
        main(["settings", "--json"])
    assert ended.value.code == 0
    rows = {row["name"]: row for row in json.loads(capfd.readouterr().out)["settings"]}
    assert rows.keys() == {*FIELDS, *environment.OTHERS}
    upload, files, mode = (rows[f"TRANSFER_STUDIO_{name}"] for name in ("MAX_UPLOAD", "MAX_FILES", "MODE"))
    assert (upload["value"], upload["given"], upload["unit"], upload["problem"]) == ("2000000000", True, "bytes", "")
    assert files["value"] == "many" and "whole number" in files["problem"]
    assert (mode["value"], mode["given"]) == ("–", False)


@pytest.mark.parametrize("arguments", [["runs"], ["runs", "--json"], ["import", "x.zip"]])
def test_every_command_refuses_to_start_with_it(monkeypatch, capfd, tmp_path, arguments):
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSFER_STUDIO_MAX_UPLOAD", "ten")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capfd.readouterr()
    assert ended.value.code == 1 and "TRANSFER_STUDIO_MAX_UPLOAD" in printed.err and "Traceback" not in printed.err
    assert not (tmp_path / "home").exists()
    if "--json" in arguments:
        assert json.loads(printed.out)["error"]["code"] == "bad_environment"


@pytest.mark.parametrize("command", [["-m", "uvicorn", "app:app", "--port", "0"],
                                     ["-m", "streamlit", "run", "app.py", "--server.port", "0", "--server.headless", "true"]])
def test_the_server_says_it_on_its_terminal_and_does_not_start(tmp_path, command):
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120,
                          env=environment.with_settings(home=str(tmp_path / "home"), hoem="x", language="zh"))
    assert done.returncode != 0
    assert "TRANSFER_STUDIO_HOME" in done.stderr and "改名" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("command", [["-m", "uvicorn", "app:app", "--port", "0"],
                                     ["-m", "streamlit", "run", "app.py", "--server.port", "0", "--server.headless", "true"]])
def test_a_database_that_is_away_is_said_in_words_there_too(tmp_path, command):
    environment_ = environment.with_settings(home=str(tmp_path / "home"), language="en",
                                             database_url="postgresql://me:hunter2@127.0.0.1:1/studio")
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120, env=environment_)
    assert done.returncode != 0 and "The database does not answer" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr and "hunter2" not in done.stdout + done.stderr


def test_only_one_module_reads_them():
    """Whoever reads a variable has to write its name, or the beginning of it, as a string of its own."""
    sources = [*(ROOT / "transfer_core").rglob("*.py"), *(ROOT / "pages").rglob("*.py"), ROOT / "app.py"]
    naming = {file.name for file in sources for node in ast.walk(ast.parse(file.read_text("utf-8")))
              if isinstance(node, ast.Constant) and re.fullmatch(r"TRANSFER_STUDIO_[A-Z_]*", str(node.value))}
    assert naming == {"settings.py"}


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "deploy").iterdir()],
                         ids=lambda file: file.name)
def test_no_document_names_one_there_is_none_of(document):
    if document.is_file():
        named = set(re.findall(r"TRANSFER_STUDIO_[A-Z_]+[A-Z]", document.read_text("utf-8")))
        assert named <= FIELDS.keys()
