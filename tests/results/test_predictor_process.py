"""The process that answers for the pages, really started and really killed: what was done stays, the rest goes on.

A named pipe stands for a photo: whoever reads it is known to be at it, and stays there until it is killed.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

import psutil
import pytest
import stories

from transfer_core import prediction_batch
from transfer_core.errors import BadInput, NotFound, Unavailable
from transfer_core.predicting import survive
from transfer_core.predicting.process import Died, PredictorProcess, shared
from transfer_core.prediction_batch import PredictionBatch

pytestmark = pytest.mark.timeout(120)
COLORS = {"red": (255, 0, 0), "grass": (0, 255, 0), "sky": (0, 0, 255)}


@pytest.fixture
def model(tmp_path) -> Path:
    stories.color_model(tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def process():
    with PredictorProcess() as process:
        yield process


@pytest.fixture
def upload(tmp_path):
    """`upload("a", "red", None, "sky")`: a folder of photos of these colours; a pipe in place of None."""

    def make(name: str, *colors: str | None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for number, color in enumerate(colors):
            if color:
                stories.photo(folder / "photo.png", COLORS[color]).rename(folder / str(number))
            else:
                os.mkfifo(folder / str(number))
        (folder / "index.jsonl").write_text("".join(
            json.dumps({"n": number, "path": f"{number}.png"}) + "\n" for number in range(len(colors))), "utf-8")
        return folder

    return make


def labels(batch: PredictionBatch) -> dict[int, str | None]:
    return {row["n"]: row.get("label") for row in batch.rows()}


def ended(batch: PredictionBatch) -> PredictionBatch:
    prediction_batch._running[batch.file].join()
    return batch


def kill_readers(pipe: Path, times: int = 1) -> None:
    """Wait for whoever reads the pipe, and kill it; as often as asked."""
    for _ in range(times):
        held = os.open(pipe, os.O_WRONLY)  # waits until a process opens the other end
        for child in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):  # dead already
                if "transfer_core.predicting.worker" in child.cmdline() and child.pid != shared.pid:
                    child.kill()
                    while child.is_running():  # a zombie's last thread may still hold the pipe
                        pass
        os.close(held)


# Answers


def test_it_is_started_by_the_first_question_and_answers_the_next(process, model):
    assert process.pid is None
    assert process.ask("open", model=str(model)) == {"classes": stories.CLASSES}
    first = process.pid
    process.prepare(model)
    assert process.ask("open", model=str(model)) == {"classes": stories.CLASSES}
    assert process.pid == first


def test_what_is_wrong_with_a_model_travels_back(process, model, upload):
    with pytest.raises(NotFound, match=r"nowhere\.onnx"):
        process.ask("open", model=str(model.with_name("nowhere.onnx")))
    model.write_bytes(b"junk")
    process.prepare(model)  # raises nothing
    batch = PredictionBatch(upload("a", "red"), model, process)
    batch.start()
    for _ in range(2):
        with pytest.raises(BadInput, match=r"model\.onnx") as found:
            ended(batch).state()
        assert found.value.code == "not_our_model"
    stories.color_model(model)
    again = PredictionBatch(batch.folder, model, process)
    again.start()
    assert ended(again).state().finished
    model.unlink()
    with pytest.raises(NotFound, match=r"model\.onnx"):
        again.start()


def test_an_upload_that_was_removed_is_said(process, model, upload):
    batch = PredictionBatch(upload("a", "red"), model, process)
    (batch.folder / "0").unlink()
    (batch.folder / "index.jsonl").unlink()
    batch.folder.rmdir()
    with pytest.raises(NotFound) as found:
        batch.work()
    assert found.value.code == "no_upload"


def test_one_photo_does_not_wait_for_a_batch_that_hangs(process, model, upload):
    many = PredictionBatch(upload("many", "red", None, "sky"), model, process)
    many.start()
    held = os.open(many.folder / "1", os.O_WRONLY)
    one = PredictionBatch(upload("one", "grass"), model, process)
    one.work()
    assert labels(one) == {0: "green *x*"}
    state = many.state()
    assert (state.done, state.running) == (1, True)
    os.write(held, stories.photo(model.with_name("grass.png"), COLORS["grass"]).read_bytes())
    os.close(held)
    assert ended(many).state().finished
    assert labels(many) == {0: "red", 1: "green *x*", 2: "<b>blue</b>"}


def test_what_is_done_needs_no_process(process, model, upload):
    batch = PredictionBatch(upload("a", "red"), model, process)
    batch.work()
    process.close()
    batch.start()
    assert process.pid is None
    assert batch.state().finished


# Ends


def test_killed_in_the_middle_it_is_started_again_and_goes_on(process, model, upload):
    batch = PredictionBatch(upload("a", "red", None, "sky"), model, process)
    batch.start()
    held = os.open(batch.folder / "1", os.O_WRONLY)
    before = process.pid
    stories.photo(batch.folder / "photo.png", COLORS["grass"]).replace(batch.folder / "1")  # next time there is a photo
    os.kill(before, signal.SIGKILL)
    assert ended(batch).state().finished
    os.close(held)
    assert labels(batch) == {0: "red", 1: "green *x*", 2: "<b>blue</b>"}
    assert [row["n"] for row in batch.rows()] == [0, 1, 2]  # each once
    assert process.pid not in (None, before)


def test_a_photo_that_kills_every_process_is_named_and_left_out(process, model, upload):
    batch = PredictionBatch(upload("a", "red", None, "sky"), model, process)
    batch.start()
    kill_readers(batch.folder / "1", times=2)  # the shared process, then one of its own
    state = ended(batch).state()
    assert (state.finished, state.good, state.bad) == (True, 2, 1)
    assert labels(batch) == {0: "red", 1: None, 2: "<b>blue</b>"}
    (bad,) = batch.bad(0, 5)
    assert (bad["file"], bad["error"]["key"], bad["hint"]["key"]) == (
        "1.png", "errors.photo_crashes.text", "errors.photo_crashes.hint")


@pytest.mark.parametrize("program", ["false", "no-such-program"])
def test_a_process_that_never_starts_is_said_after_a_few_attempts(process, model, upload, monkeypatch, program):
    batch = PredictionBatch(upload("a", "red"), model, process)
    python = sys.executable
    monkeypatch.setattr(sys, "executable", program)
    process.prepare(model)  # raises nothing
    batch.start()
    with pytest.raises(Unavailable) as found:
        ended(batch).state()
    assert found.value.code == "predictor_died"
    monkeypatch.setattr(sys, "executable", python)
    batch.start()  # the page is loaded again
    assert ended(batch).state().finished


def test_it_leaves_when_idle_and_comes_back_when_asked(model):
    with PredictorProcess(idle=0.05) as process:
        process.ask("open", model=str(model))
        first = psutil.Process(process.pid)
        first.wait(30)
        assert process.ask("open", model=str(model)) == {"classes": stories.CLASSES}
        assert process._child.pid != first.pid


def test_it_ends_with_the_web_process_even_in_the_middle_of_work(model, upload):
    folder = upload("a", "red", None)
    program = ("import sys, threading\n"
               "from pathlib import Path\n"
               "from transfer_core.predicting.process import shared\n"
               "from transfer_core.prediction_batch import PredictionBatch\n"
               "PredictionBatch(Path(sys.argv[1]), Path(sys.argv[2])).start()\n"
               "while not shared.pid: pass\n"
               "print(shared.pid, flush=True)\n"
               "threading.Event().wait()")
    web = subprocess.Popen([sys.executable, "-c", program, str(folder), str(model)], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(web.stdout.readline()))
    held = os.open(folder / "1", os.O_WRONLY)
    web.kill()
    web.communicate()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE  # where nobody collects orphans
    os.close(held)


# When a batch gives up


class Fragile:
    """Dies at each photo of `poison` that it is not told to leave alone; counts how often it is asked."""

    def __init__(self, poison: range) -> None:
        self.poison, self.asked = poison, 0

    def ask(self, task, news, crashed, **what):
        self.asked += 1
        for photo in self.poison:
            if photo not in crashed:
                news(photo)
                raise Died(-11)


@pytest.mark.parametrize(("guilty", "poison", "gives_up", "asked"), [
    (True, range(survive.CRASHES), False, survive.CRASHES + 1),  # all of them are named, then the rest is done
    (True, range(survive.CRASHES + 1), True, survive.CRASHES + 1),
    (False, range(1), True, survive.DEATHS),  # nothing to blame, and no progress
])
def test_it_dies_only_so_often(monkeypatch, tmp_path, guilty, poison, gives_up, asked):
    fragile = Fragile(poison)
    monkeypatch.setattr(survive, "_kills", lambda photo, what: guilty)
    with pytest.raises(Unavailable) if gives_up else nullcontext():
        survive.answer_all(fragile, tmp_path, tmp_path, tmp_path)
    assert fragile.asked == asked


def test_it_is_light():
    program = ("import sys, transfer_core.predicting.worker, onnxruntime\n"
               "print(sorted({name.split('.')[0] for name in sys.modules} & set(sys.argv[1:])))")
    heavy = ["torch", "timm", "streamlit", "pandas", "sqlalchemy", "starlette", "onnx", "scipy", "sklearn", "plotly"]
    done = subprocess.run([sys.executable, "-c", program, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
