"""`blend` and `soup` as people type them, on real trainings of a tiny model."""

from __future__ import annotations

import json

import pytest
from drawn_colours import drawn

from transfer_core.cli import main
from transfer_core.store import Store
from transfer_core.words import message

SMALL = ("--model", "test_resnet", "--image-size", "32", "--freeze", "none", "--epochs", "1", "--batch-size", "6",
         "--augmentation", "none", "--patience", "0", "--learning-rate", "0.02", "--device", "cpu")


@pytest.fixture
def store(home, monkeypatch) -> Store:
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(home.root))
    monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", "en")
    monkeypatch.setattr("transfer_core.training.finish.export", lambda *_, **__: iter(()))
    manifest = drawn(home, test=4)
    manifest.write(home)
    store = Store(home)
    store.add_dataset("Colours", "colours", message("cli.imported"),
                      {"classes": manifest.counts(), "split": {"train": 24, "validation": 12, "test": 12}})
    return store


@pytest.fixture
def ask(store, capfd):
    def command(*arguments: str) -> dict:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--json"])
        answer = json.loads(capfd.readouterr().out)
        assert (ended.value.code == 0) == ("error" not in answer)
        return answer

    return command


@pytest.fixture
def trained(ask):
    """Two trainings that go on from one."""
    first = ask("train", "--dataset", "Colours", "--weights", "scratch", *SMALL)["run"]
    return [ask("train", "--dataset", "Colours", "--start-from", first, "--seed", seed, *SMALL)["run"] for seed in "12"]


def test_mixtures_are_measured_and_one_is_taken(ask, store, trained):
    points = ask("blend", trained[0])
    assert len(points["alpha"]) == 11 and points["split"] == "validation"
    chosen = points["recommended"]["alpha"]
    assert chosen in points["alpha"] and points["recommended"]["why"]
    taken = ask("blend", trained[0], "--take", f"{chosen:g}", "--name", "Half way")
    job = store.job(taken["run"])
    assert (taken["state"], taken["epochs"], job.payload["name"]) == ("finished", 0, "Half way")
    assert taken["validation"]["accuracy"] == points["accuracy"][points["alpha"].index(chosen)]
    assert taken["averaged"] == {"runs": [trained[0]], "alpha": chosen, "order": [], "alone": [], "validation": [], "n": 0,
                                 "left": []}
    shown = ask("show", taken["run"])
    assert trained[0] in shown["verdict"] and shown["best"] is None
    listed = {each["run"]: each for each in ask("runs")["runs"]}
    assert listed[taken["run"]]["mixture"] == {"run": trained[0], "alpha": chosen} and "mixture" not in listed[trained[0]]
    assert ask("evaluate", taken["run"])["n"] == 12


def test_the_words_of_an_average_claim_no_epochs(ask, trained, capfd):
    taken = ask("blend", trained[0], "--take", "0.5")["run"]
    with pytest.raises(SystemExit):
        main(["show", taken])
    shown = capfd.readouterr().out
    assert "Nothing was trained for it" in shown and "model = test_resnet" in shown and "epochs" not in shown


@pytest.mark.parametrize("alpha", ["1.5", "-0.1", "nan"])
def test_a_wrong_share_is_named_in_both_languages(ask, store, trained, alpha, monkeypatch):
    before = len(store.jobs())
    english = ask("blend", trained[0], f"--take={alpha}")["error"]
    monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", "zh")
    chinese = ask("blend", trained[0], f"--take={alpha}")["error"]
    assert english["code"] == chinese["code"] == "alpha_outside"
    assert "between 0 and 1" in english["message"] and "0 和 1 之间" in chinese["message"]
    assert len(store.jobs()) == before


def test_a_soup_says_what_was_taken_and_is_a_run(ask, store, trained):
    made = ask("soup", *trained, "--name", "Both")
    assert sorted(made["taken"] + made["left"]) == sorted(trained) and made["order"][0] == made["taken"][0]
    assert len(made["validation"]) == len(made["alone"]) == 2 and made["n"] == 12
    assert made["test"]["n"] == 12 and made["epochs"] == 0
    assert store.job(made["run"]).payload["soup"] == {"runs": trained}
    assert ask("evaluate", made["run"])["n"] == 12


def test_what_cannot_be_averaged_is_refused_and_nothing_queued(ask, store, trained):
    first = store.job(trained[0]).payload["recipe"]["start_from"]
    other = ask("train", "--dataset", "Colours", "--weights", "scratch", "--seed", "5", *SMALL)["run"]
    before = len(store.jobs())
    for runs, code in (((first, other), "soup_untrained"), ((trained[0], trained[0]), "soup_too_few"),
                       ((trained[0], "gone"), "no_run")):
        assert ask("soup", *runs)["error"]["code"] == code
    assert ask("blend", first)["error"]["code"] == "blend_untrained"
    assert ask("blend", "gone")["error"]["code"] == "no_run"
    assert len(store.jobs()) == before
