"""The command line with tasks made for the test: what it prints, how it ends, what Ctrl-C does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import reported_run
import stories
from PIL import Image

from transfer_core import metrics
from transfer_core.activations import Shelf, Spec
from transfer_core.cli import main
from transfer_core.cli.settings import NAMES, read
from transfer_core.errors import BadInput, BadRecipe
from transfer_core.events import Epoch, Evaluated, Exported, Finished, Losses, Progressed, Started, Stopped
from transfer_core.jobs import StopAsked, run_job
from transfer_core.jobs import run as running
from transfer_core.jobs import supervisor as supervising
from transfer_core.recipe import Recipe
from transfer_core.source_losses import SOURCE_LOSSES
from transfer_core.words import message

COMMANDS = ("backup", "restore", "settings", "doctor", "cache", "check", "crossvalidate", "app", "worker", "import", "datasets",
            "guess", "models", "train", "resume", "runs", "queue", "show", "stop", "learning-curve", "sweep", "blend",
            "soup", "evaluate", "compare", "predict", "explain", "background", "nearest", "map", "export", "report",
            "import-project", "publish", "unpublish", "demos", "push",
            "people", "artifacts")
SCORE = {"n": 42, "accuracy": 0.9, "low": 0.8, "high": 0.95, "macro_f1": 0.9}
RESULT = {"epochs": 1, "validation": SCORE, "test": SCORE, "seconds": 1.0}


@pytest.fixture(autouse=True)
def hears_ctrl_c():
    """Tests that were started in the background have been told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run(store, capfd, monkeypatch):
    """Runs one command; gives its status, its answer (parsed, when it is JSON) and what it said on stderr."""
    monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", "en")
    monkeypatch.setattr(running, "BEAT", 0.01)
    monkeypatch.setattr(running, "FLUSH", 0.005)

    def command(*arguments: str) -> SimpleNamespace:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capfd.readouterr()
        answer = json.loads(printed.out) if "--json" in arguments else printed.out
        return SimpleNamespace(status=ended.value.code, answer=answer, said=printed.err)

    return command


@pytest.fixture
def task(tasks):
    def register(kind):
        def replace(function):
            del tasks._choices[kind]
            function.__doc__ = "For a test."
            return tasks.add(kind, torch=False)(function)

        return replace

    return register


@pytest.fixture
def dataset(store) -> str:
    store.add_dataset("Hats", "hats-1", message("cli.imported"), {"classes": {"cap": 3, "top": 2}, "split": {"train": 5}})
    return "hats-1"


def started() -> Started:
    return Started(epochs=1, steps_per_epoch=1, classes=["cap", "top"], images={"train": 5}, trainable_parameters=1,
                   total_parameters=2, device="cpu", precision="float32", batch_size=1)


def epoch() -> Epoch:
    losses = Losses(total=0.5, target=0.5)
    return Epoch(epoch=1, step=1, train=losses, train_accuracy=1.0, validation=losses, validation_accuracy=0.9,
                 confusion=[[1]], best=True, seconds=1.0)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run, name):
    helped = run(name, "--help")
    assert helped.status == 0
    assert "--json" in helped.answer


def test_the_commands_are_these(run):
    listed = run("--help").answer.split("Commands:")[1]
    assert {line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "} == set(COMMANDS)


@pytest.mark.parametrize("name", [name for name in Recipe.model_fields if name != "dataset"])
def test_every_setting_of_a_recipe_is_an_option(run, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    helped = run("train", "--help").answer
    for flag in NAMES.get(name, ("--" + name.replace("_", "-"),)):
        assert flag in helped


def test_a_report_is_written_and_says_where(run, store, tmp_path):
    made = reported_run.made(store, ["ant", "bee"], each=4)
    file = tmp_path / "new" / "report.html"
    answer = run("report", made.id, "--out", str(file), "--json").answer
    assert answer == {"run": made.id, "out": str(file), "bytes": file.stat().st_size}
    assert '<html lang="en">' in file.read_text("utf-8")
    assert str(file) in run("report", made.id, "--out", str(file), "--lang", "zh").answer
    assert '<html lang="zh-Hans">' in file.read_text("utf-8")


@pytest.mark.parametrize(("arguments", "status", "code"), [
    (("train-0", "--out", "a.html"), 1, "no_run"), (("RUN", "--out", "."), 1, "report_unwritable"), (("RUN",), 2, "usage"),
    (("RUN", "--out", "a.html", "--lang", "xx"), 1, "unknown_choice"), (("LIVE", "--out", "a.html"), 1, "report_live")])
def test_a_report_that_cannot_be_made_says_why_and_leaves_nothing(run, store, tmp_path, monkeypatch, arguments, status, code):
    monkeypatch.chdir(tmp_path)
    names = {"RUN": reported_run.made(store, ["ant", "bee"], each=4, pictures=False).id, "LIVE": stories.running(store).id}
    answered = run("report", *(names.get(word, word) for word in arguments), "--json")
    assert (answered.status, answered.answer["error"]["code"]) == (status, code) and answered.answer["error"]["hint"]
    assert not list(tmp_path.glob("*.html"))


def test_a_check_tells_in_tables_what_its_job_found(run, store, dataset, task):
    image = {"sha256": "a" * 64, "file": "cap/1.jpg", "label": "cap", "split": "train"}
    group = {"how": "scene", "size": 2, "labels": ["cap"], "images": [image, {**image, "file": "cap/2.jpg", "split": "test"}]}
    score = {"accuracy": 0.9, "low": 0.8, "high": 0.95, "n": 42, "groups": 30}
    lists = {"leaks": [{"kind": "straddles", **group}], "odd": [{**image, "score": 4.5}] * 25,
             "label_errors": [{**image, "suggested": "top", "confidence": 0.01}],
             "quality": [{**image, "what": "blurred", "value": 12.0, "apart": 3.0}]}
    found = {"images": 50, "looked_at": 42, **lists, "duplicates": {"groups": [group], "count": 1}, "notes": [], "seconds": 1.0,
             "counts": {"duplicates": 1, **{part: len(entries) for part, entries in lists.items()}},
             "scores": {"naive": score | {"accuracy": 0.99}, "honest": score, "p": 0.003, "differ": True}}

    @task("check")
    def finds(_job, _store):
        yield Progressed(stage="comparing", done=0)
        return found

    answer = run("check", "--dataset", "Hats", "--json").answer
    [job] = store.jobs("check")
    assert answer == {"job": job.id, "dataset": dataset, "version": 1, **found}
    assert job.result == found and job.payload == {"dataset": dataset, "version": 1}
    said = run("check", "--dataset", "Hats").answer
    assert "42 of 50" in said and "blurred" in said and "on both sides" in said and "p = 0.003" in said
    assert said.count("4.500") == 20 and "5 more" in said


def test_a_check_that_found_nothing_says_so(run, dataset, task):
    @task("check")
    def finds_nothing(_job, _store):
        yield Progressed(stage="comparing", done=0)
        return {"images": 2, "looked_at": 2, "duplicates": {"groups": [], "count": 0}, "scores": None, "notes": [],
                **{part: [] for part in ("leaks", "label_errors", "odd", "quality")},
                "counts": dict.fromkeys(("duplicates", "leaks", "label_errors", "odd", "quality"), 0)}

    said = run("check", "--dataset", "Hats")
    assert said.status == 0 and "No score" in said.answer


def test_settings_are_read_as_people_type_them(run, store, dataset):
    answer = run("train", "--dataset", "Hats", "--freeze", "none",
                 "--positions", "blocks.0=anchor", "--positions", "blocks.1=freeze",
                 "--regularizer", "none", "--source-loss", "lwf", "--lambda", "2.5", "--lambda-omega", "0.1", "--no-flip",
                 "--epochs", "7", "--image-size", "64", "--no-wait", "--json").answer
    recipe = Recipe(**store.job(answer["run"]).payload["recipe"])
    assert recipe == Recipe(dataset=dataset, freeze=0, positions={"blocks.0": "anchor", "blocks.1": "freeze"}, regularizer=None,
                            source_loss="lwf", lambda_target=2.5, lambda_omega=0.1, flip=False, epochs=7, image_size=64)


@pytest.mark.parametrize("loss", [loss.name for loss in SOURCE_LOSSES if not loss.facts.get("data")])
def test_a_source_loss_brings_its_own_lambda(run, store, dataset, loss):
    answer = run("train", "--dataset", "Hats", "--source-loss", loss, "--no-wait", "--json").answer
    recipe = Recipe(**store.job(answer["run"]).payload["recipe"])
    assert recipe.lambda_target == SOURCE_LOSSES[loss].facts["default"]


def test_how_it_runs_is_no_part_of_the_recipe(run, store, dataset):
    answer = run("train", "--dataset", "Hats", "--no-cache", "--compile", "--no-wait", "--json").answer
    payload = store.job(answer["run"]).payload
    assert (payload["cache"], payload["compiled"]) == (False, True)
    assert Recipe(**payload["recipe"]) == Recipe(dataset=dataset)


def test_a_start_brings_its_model_and_a_second_dataset_is_learned_too(run, store, dataset):
    first = run("train", "--dataset", "Hats", "--model", "resnet18.a1_in1k", "--image-size", "96", "--no-wait", "--json").answer
    second = run("train", "--dataset", "Hats", "--start-from", first["run"], "--no-wait", "--json").answer
    assert Recipe(**store.job(second["run"]).payload["recipe"]) == Recipe(
        dataset=dataset, weights="run", start_from=first["run"], model="resnet18.a1_in1k", image_size=96)
    short = run("train", "--dataset", "Hats", "--model", "resnet18.a1_in1k", "--kept-groups", "3", "--head", "hidden",
                "--head-width", "32", "--no-wait", "--json").answer
    onward = run("train", "--dataset", "Hats", "--start-from", short["run"], "--no-wait", "--json").answer
    again = Recipe(**store.job(onward["run"]).payload["recipe"])
    assert (again.kept_groups, again.head, again.head_width) == (3, "hidden", 32), "a start brings its shape"
    joint = run("train", "--dataset", "Hats", "--source-dataset", "Hats", "--lambda", "3", "--no-wait", "--json").answer
    assert Recipe(**store.job(joint["run"]).payload["recipe"]) == Recipe(
        dataset=dataset, source_dataset=dataset, source_loss="replay", lambda_target=3.0)
    for wrong in (("--start-from", "nothing"), ("--source-dataset", "nothing"),
                  ("--source-dataset", "Hats", "--source-loss", "lwf")):
        refused = run("train", "--dataset", "Hats", *wrong, "--no-wait", "--json")
        assert refused.status != 0 and refused.answer["error"]


def test_what_is_not_given_is_the_recipes_own_choice(run, store, dataset):
    answer = run("train", "--dataset", "Hats", "--no-wait", "--json").answer
    assert answer == {"run": answer["run"], "state": "queued", "ahead": 0}
    assert Recipe(**store.job(answer["run"]).payload["recipe"]) == Recipe(dataset=dataset)


@pytest.mark.parametrize(("arguments", "code"), [
    (["--epochs", "0"], "bad_setting"), (["--epochs", "many"], "bad_setting"), (["--freeze", "some"], "bad_setting"),
    (["--positions", "blocks.0"], "bad_setting"), (["--regularizer", "l3"], "unknown_choice"),
    (["--weights", "file"], "weights_file_missing"),
    (["--preset", "magic"], "unknown_choice"), (["--dataset-version", "9"], "no_version"),
])
def test_a_wrong_setting_is_named_and_nothing_queued(run, store, dataset, arguments, code):
    answer = run("train", "--dataset", "Hats", *arguments, "--json")
    assert (answer.status, answer.answer["error"]["code"]) == (1, code)
    assert answer.answer["error"]["message"] in answer.said
    assert store.jobs() == []


@pytest.mark.parametrize(("arguments", "status", "code"), [
    (["show", "nope"], 1, "no_run"), (["stop", "nope"], 1, "no_run"), (["evaluate", "nope"], 1, "no_run"),
    (["export", "nope"], 1, "no_run"), (["predict", "nope", "a.jpg"], 1, "no_run"), (["train"], 1, "dataset_missing"),
    (["train", "--dataset", "nope"], 1, "no_dataset"), (["train", "--resume", "nope"], 1, "no_run"),
    (["sweep", "--resume", "nope"], 1, "no_run"),
    (["import"], 1, "path_or_example"), (["import", "/nowhere"], 1, "no_path"),
    (["import", "--example", "nope"], 1, "unknown_choice"), (["predict", "nope.onnx", "a.jpg"], 1, "no_model_file"),
    (["show"], 2, "usage"), (["nonsense"], 2, "usage"), (["runs", "--nonsense"], 2, "usage"),
    (["models", "--limit", "x"], 2, "usage"),
])
def test_a_failure_is_one_object_a_status_and_a_sentence(run, arguments, status, code):
    answer = run(*arguments, "--json")
    assert (answer.status, answer.answer["error"]["code"]) == (status, code)
    assert answer.said.strip()
    plain = run(*arguments)
    assert (plain.status, plain.answer) == (status, "")


def test_an_error_is_said_in_the_readers_language(run, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", "zh")
    assert "没有名为" in run("show", "nope", "--json").answer["error"]["message"]


def test_nothing_yet(run):
    assert run("runs", "--json").answer == {"runs": []}
    assert run("datasets", "--json").answer == {"datasets": []}


def test_training_here_and_now(run, store, dataset, task):
    @task("train")
    def train(job, store):
        sys.stdout.write("a library prints\n")
        os.write(1, b"and so does its C part\n")
        yield started()
        yield epoch()
        yield Finished(seconds=1.0, best_epoch=1)
        yield Evaluated(split="test", report=SCORE)
        return RESULT

    ended = run("train", "--dataset", "Hats", "--json")
    assert ended.status == 0
    job = store.jobs("train")[0]
    assert ended.answer == {"run": job.id, "state": "finished", **RESULT}
    assert (job.pid, job.state) == (os.getpid(), "finished")
    assert "validation accuracy 90.0 % (best so far)" in ended.said
    assert "Test: 90.0 % right (80.0 – 95.0 %) of 42 photos" in ended.said
    listed = run("runs", "--json").answer["runs"]
    assert [(each["run"], each["state"], each["dataset"], each["model"]) for each in listed] == [
        (job.id, "finished", "Hats", "tf_efficientnet_lite0")]
    assert listed[0]["test"] == SCORE
    shown = run("show", job.id, "--json").answer
    assert (shown["verdict"], shown["best"]["validation_accuracy"]) == (
        "Done. The best was epoch 1, with 90 % of the validation photos right.", 0.9)
    assert "0.900" in run("runs").answer
    assert "Done." in run("show", job.id).answer


def test_a_training_that_fails(run, dataset, task):
    @task("train")
    def train(job, store):
        yield started()
        raise BadInput("no_path", path="/photos")

    ended = run("train", "--dataset", "Hats", "--json")
    assert ended.status == 1
    assert ended.answer["error"]["code"] == "no_path"
    assert ended.answer["error"]["message"] == "There is nothing at /photos."
    assert ended.answer["error"]["hint"].startswith("Check")


def test_ctrl_c_stops_and_keeps(run, store, dataset, task):
    @task("train")
    def train(job, store):
        try:
            yield started()
            signal.raise_signal(signal.SIGINT)
            while True:
                yield Progressed(stage="training", done=1)
                time.sleep(0.001)
        except StopAsked as stop:
            yield Stopped(kept=stop.how == "keep")
            return RESULT

    ended = run("train", "--dataset", "Hats", "--json")
    assert (ended.status, ended.answer["state"], ended.answer["test"]) == (0, "stopped", SCORE)
    assert "Stopping, and keeping the best so far" in ended.said
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_leaves_at_once(run, store, dataset, task):
    @task("train")
    def train(job, store):
        yield started()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        yield epoch()

    ended = run("train", "--dataset", "Hats", "--json")
    assert (ended.status, ended.answer["error"]["code"]) == (130, "interrupted")
    assert store.jobs("train")[0].state == "failed"


def test_a_busy_device_means_waiting_and_saying_so(run, store, dataset, task, monkeypatch):
    """Another training runs; when it ends a worker takes ours, and we tell what it reports."""
    before = store.submit("train", {"recipe": {"dataset": dataset}}, "cpu")
    store.claim(before.id, 4242)

    @task("train")
    def train(job, store):
        yield started()
        yield epoch()
        return RESULT

    def start(job_id, store):
        store.claim(job_id, 4243)
        thread = threading.Thread(target=run_job, args=(store, store.job(job_id)))
        thread.start()
        return SimpleNamespace(pid=4243, poll=lambda: None if thread.is_alive() else 0)

    monkeypatch.setattr(supervising, "_start", start)
    monkeypatch.setattr(running.os, "getpid", lambda: 4243)
    ahead = store.ahead

    def ahead_then_free(job):
        place = ahead(job)
        if place:
            store.end(before.id, "finished")
        return place

    monkeypatch.setattr("transfer_core.store.Store.ahead", lambda _store, job: ahead_then_free(job))
    ended = run("train", "--dataset", "Hats", "--device", "cpu", "--json")
    assert (ended.status, ended.answer["state"]) == (0, "finished")
    assert "Waiting: one training is ahead." in ended.said
    assert "Epoch 1" in ended.said


def test_only_a_sweep_is_resumed_as_a_sweep(run, store, dataset):
    job = store.submit("train", {"recipe": Recipe(dataset=dataset).model_dump()}, "cpu")
    store.claim(job.id, 1)
    store.end(job.id, "failed")
    assert run("sweep", "--resume", job.id, "--json").answer["error"]["code"] == "no_run"
    assert store.job(job.id).state == "failed"


def test_resuming_goes_on_with_the_same_run(run, store, dataset, task):
    job = store.submit("train", {"recipe": Recipe(dataset=dataset).model_dump()}, "cpu")
    store.claim(job.id, 1)
    store.append(job.id, running.failure(BadRecipe("nothing_to_train_on"), store, job))
    store.end(job.id, "failed")
    assert run("train", "--resume", job.id, "--json").answer["error"]["code"] == "nothing_to_resume"
    (store.home.run(job.id) / "last.pt").write_bytes(b"")

    @task("train")
    def train(job, store):
        yield Finished(seconds=1.0)
        return RESULT

    assert run("train", "--resume", job.id, "--json").answer["run"] == job.id
    assert store.job(job.id).state == "finished"


def test_stopping_from_another_terminal(run, store, dataset):
    job = store.submit("train", {"recipe": {"dataset": dataset}}, "cpu")
    store.claim(job.id, 1)
    assert run("stop", job.id, "--json").answer == {"run": job.id, "state": "running", "stop": "keep"}
    assert run("stop", job.id, "--discard", "--json").answer["stop"] == "discard"
    store.end(job.id, "stopped")
    assert run("stop", job.id, "--json").answer["error"]["code"] == "run_has_ended"


def test_importing_a_folder_and_listing_it(run, tmp_path):
    for label, color in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(4):
            picture = Image.effect_noise((40 + number, 40), 80).convert("RGB")
            Image.blend(picture, Image.new("RGB", picture.size, color), 0.3).save(tmp_path / "photos" / label / f"{number}.png")
    (tmp_path / "photos" / "red" / "broken.jpg").write_bytes(b"no picture")
    done = run("import", str(tmp_path / "photos"), "--name", "Colours", "--json")
    assert done.status == 0
    needed = {"dataset", "version", "classes", "imported", "converted", "quarantined", "duplicates", "split"}
    assert needed <= set(done.answer)
    assert done.answer["classes"] == {"blue": 4, "red": 4}
    assert [bad["file"].rsplit("/", 1)[-1] for bad in done.answer["quarantined"]] == ["broken.jpg"]
    assert all(bad["reason"] for bad in done.answer["quarantined"])
    assert set(done.answer["split"]) == {"train", "validation", "test"}
    listed = run("datasets", "--json").answer["datasets"][0]
    assert (listed["dataset"], listed["name"], listed["images"]) == (done.answer["dataset"], "Colours", 8)
    assert "Colours" in run("datasets").answer


def test_models_are_listed_and_searched(run):
    suggested = run("models", "--json").answer["models"]
    assert "tf_efficientnet_lite0" in suggested[0]["model"] + " ".join(each["model"] for each in suggested)
    found = run("models", "resnet18", "--limit", "2", "--json").answer
    assert len(found["models"]) == 2 < found["found"]
    assert all(each["weights"] in ("packaged", "cached", "download") and each["groups"] for each in found["models"])


def test_the_server_is_this_very_process(run, monkeypatch):
    started = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append(arguments) or sys.exit(0))
    run("app", "--port", "9000", "--no-browser")
    assert started[0][1:4] == ["-m", "streamlit", "run"]
    assert started[0][4].endswith("app.py")
    assert " ".join(started[0][5:]) == ("--server.port 9000 --server.address 127.0.0.1 --server.headless true "
                                        "--server.showEmailPrompt false --server.allowedHosts 127.0.0.1 "
                                        "--server.allowedHosts ::1 --server.allowedHosts localhost")


def test_a_short_answer_imports_nothing_heavy(store):
    program = ("import json, sys\nfrom transfer_core.cli import main\n"
               "try: main(['runs', '--json'])\nfinally: print(json.dumps(sorted(sys.modules)), file=sys.stderr)")
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert json.loads(ended.stdout) == {"runs": []}
    loaded = {name.split(".")[0] for name in json.loads(ended.stderr)}
    heavy = {"torch", "timm", "streamlit", "pandas", "onnxruntime", "plotly", "rich", "starlette", "numpy", "PIL"}
    assert loaded & heavy == set()


def test_the_cache_is_shown_and_cleared(run, store):
    entry = Shelf(store.home).entry(Spec("p", "pytorch", {}, {}, ((2,),), "float32", "resnet18", "layer4"))
    assert entry.take_turn(5)
    entry.append(["0" * 64], [np.ones((1, 2), np.float32)])
    entry.done()
    shown = run("cache", "--json").answer
    assert [(each["model"], each["boundary"], each["images"]) for each in shown["entries"]] == [("resnet18", "layer4", 1)]
    assert 0 < shown["bytes"] < shown["budget"]
    assert "layer4" in run("cache", "show").answer
    assert run("cache", "clear", "--json").answer == {"freed": shown["bytes"]}
    assert run("cache", "--json").answer["entries"] == []


def test_read_leaves_what_it_does_not_know():
    assert read({"epochs": "3"}) == {"epochs": "3"}


@pytest.mark.slow
def test_the_whole_way_without_a_browser(run, tmp_path):
    """Import, train, evaluate, predict, export with a real (tiny, random) model: what issue-less newcomers will type."""
    assert run("import", "--example", "digits", "--images-per-class", "8", "--name", "Digits", "--json").status == 0
    trained = run("train", "--dataset", "Digits", "--model", "test_resnet", "--weights", "scratch", "--freeze", "none",
                  "--epochs", "1", "--seed", "1", "--json")
    assert (trained.status, trained.answer["state"], trained.answer["epochs"]) == (0, "finished", 1), trained.said
    assert {"accuracy", "low", "high", "n", "macro_f1"} <= set(trained.answer["test"])
    assert "accuracy" in trained.answer["validation"]
    name = trained.answer["run"]
    report = run("evaluate", name, "--json").answer
    score = trained.answer["test"]
    assert report["accuracy"] == {"value": score["accuracy"], "low": score["low"], "high": score["high"]}
    assert report["ece"]["floor"] > 0 and report["temperature"] > 0 and report["classes"] == list("0123456789")
    assert all(report[name]["low"] <= report[name]["value"] <= report[name]["high"] for name in metrics.SCORES)
    assert report["none_below"] is None  # a dozen validation photos promise nothing
    assert run("evaluate", name, "--unrelated", str(tmp_path), "--json").answer["error"]["code"] == "no_threshold"
    same = run("compare", name, name, "--json").answer
    assert (same["verdict"], same["difference"], same["p_value"]) == ("no_difference_shown", 0, 1)
    Image.new("RGB", (32, 32), "white").save(tmp_path / "new.png")
    predictions = run("predict", name, str(tmp_path / "new.png"), "--json").answer["predictions"]
    assert set(predictions[0]["probabilities"]) == set("0123456789")
    assert sum(predictions[0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert predictions[0]["label"] == max(predictions[0]["probabilities"], key=predictions[0]["probabilities"].get)
    for kind in ("zip", "onnx", "timm"):
        written = run("export", name, "--format", kind, "--out", str(tmp_path / "out"), "--json").answer
        assert written["format"] == kind
        assert Path(written["file"]).stat().st_size == written["bytes"]
        assert written["files"] and all(Path(file).is_file() for file in written["files"])
        assert written["checked"]["same_answer"] == written["checked"]["images"] > 0
        assert 0 <= written["checked"]["largest_difference"] < 1e-3
    resumed = run("train", "--resume", name, "--json")
    assert (resumed.status, resumed.answer["run"]) == (0, name)


LOOK = {"model": "m", "images": {"train": 5, "validation": 0}, "of": {"train": 5, "validation": 0}, "strength": 1.0,
        "score": {"accuracy": 0.8, "low": 0.4, "high": 0.96, "correct": 4, "n": 5, "baseline": 0.6, "on": "folds"},
        "source": None, "seconds": 1.0}


def test_a_first_look_gives_its_scores(run, store, dataset, task):
    @task("guess")
    def look(job, _store):
        yield Progressed(stage="fitting_head", done=0)
        return LOOK

    given = run("guess", "--dataset", "Hats", "--json")
    [job] = store.jobs("guess")
    assert given.status == 0
    assert given.answer == {"run": job.id, "dataset": dataset, "version": 1, **LOOK}
    assert job.payload == {"dataset": dataset, "version": 1, "name": "Hats"}
    said = run("guess", "--dataset", "Hats").answer
    assert "80.0 % right (40.0 – 96.0 %) of 5 photos" in said and "60.0 %" in said


def test_a_first_look_that_gave_way_says_so(run, store, dataset, task):
    @task("guess")
    def look(job, _store):
        yield Progressed(stage="features", done=0)

    given = run("guess", "--dataset", "Hats", "--json")
    assert (given.status, given.answer["error"]["code"]) == (1, "gave_way")


def test_a_model_is_published_listed_and_taken_back(run, store, monkeypatch):
    stories.dataset(store)
    job = stories.finished(store)
    (store.home.run(job.id) / "model.safetensors").write_bytes(b"weights")
    monkeypatch.setenv("TRANSFER_STUDIO_PUBLIC_URL", "https://studio.example.org/")
    made = run("publish", job.id, "--title", "Which colour?", "--json").answer
    assert made["url"] == f"https://studio.example.org/demo?id={made['id']}"
    assert store.demo(made["id"]).opens(made["key"]) and store.demo(made["id"]).title == "Which colour?"
    [listed] = run("demos", "--json").answer["demos"]
    assert (listed["id"], listed["run"], listed["views"]) == (made["id"], job.id, 0)
    assert made["key"] not in json.dumps(listed)
    assert run("unpublish", made["id"], "--json").answer == {"id": made["id"], "published": False}
    assert run("demos", "--json").answer == {"demos": []}
    again = run("unpublish", made["id"], "--json")
    assert again.status and again.answer["error"]["code"] == "no_demo"


def test_the_token_of_a_push_comes_from_the_environment_and_is_not_told(run, store, monkeypatch):
    sent = []


    def push(files, name, token, private):
        sent.append((set(files), name, token, private))
        yield "model", "https://hub.test/me/m"

    monkeypatch.setattr("transfer_core.hub.push", push)
    monkeypatch.setattr("transfer_core.training.export.export", lambda folder, *_given, **_more: iter([
        Exported(format="zip", file="x.zip", bytes=1)]))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    stories.dataset(store)
    job = stories.finished(store)
    (store.home.run(job.id) / "model.safetensors").write_bytes(b"weights")
    answered = run("push", job.id, "m", "--json")
    assert answered.answer == {"run": job.id, "model": "https://hub.test/me/m"}
    assert sent == [({"zip"}, "m", "hf_secret", True)] and "hf_secret" not in str(answered.said)


def test_the_queue_says_who_stands_where_and_when_it_starts(run, store, dataset):
    assert run("queue").answer.strip() == "Nothing runs and nothing waits."
    assert run("queue", "--json").answer == {"queue": [], "cluster": None}
    payload = {"recipe": Recipe(dataset=dataset).model_dump()}
    first, second = (store.submit("train", payload, "cpu") for _ in range(2))
    store.claim(first.id, 1)
    store.append(first.id, epoch().model_copy(update={"seconds_left": 48.0}))
    one, other = run("queue", "--json").answer["queue"]
    assert (one["job"], one["state"], one["ahead"], one["starts_in"], one["progress"]) == (first.id, "running", 0, 0.0, 0.1)
    assert (other["job"], other["state"], other["ahead"], other["starts_in"]) == (second.id, "queued", 1, 60.0)
    assert (other["kind"], other["name"], other["device"]) == ("train", "Hats", "cpu") and other["waiting_since"][:2] == "20"
    assert "60 seconds" in run("queue").answer


def test_resume_answers_as_train_does(run, store, dataset, task):
    @task("train")
    def work(job, store):
        yield Finished(seconds=1.0)
        return RESULT

    job = store.submit("train", {"recipe": Recipe(dataset=dataset).model_dump()}, "cpu")
    store.ask_stop(job.id)
    assert run("resume", job.id, "--json").answer["error"]["code"] == "nothing_to_resume"
    (store.home.run(job.id) / "last.pt").touch()
    waits = run("resume", job.id, "--no-wait", "--json").answer
    assert waits == {"run": job.id, "state": "queued", "ahead": 0}
    done = run("resume", job.id, "--json").answer
    assert (done["run"], done["state"], done["test"]) == (job.id, "finished", SCORE)


def test_stop_says_keep_or_discard(run, store, dataset):
    job = store.submit("train", {"recipe": Recipe(dataset=dataset).model_dump()}, "cpu")
    store.claim(job.id, 1)
    assert run("stop", job.id, "--keep", "--json").answer["stop"] == "keep"
    assert run("stop", job.id, "--discard", "--json").answer["stop"] == "discard"


def test_a_training_whose_time_was_over_says_so(run, store, dataset, task):
    @task("train")
    def work(job, store):
        yield started().model_copy(update={"epochs": 20, "minutes": 10.0})
        yield epoch()
        yield Finished(best_epoch=1, seconds=600.0, out_of_time=True)
        return {**RESULT, "out_of_time": True}

    answer = run("train", "--dataset", "Hats", "--minutes", "10", "--json").answer
    assert answer["out_of_time"] and store.job(answer["run"]).payload["recipe"]["minutes"] == 10
    told = run("train", "--dataset", "Hats", "--minutes", "10").answer
    assert told.startswith("Stopped after 10 minutes, as you asked: epoch 1 of 20 was the best")
