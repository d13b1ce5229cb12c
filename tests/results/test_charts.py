"""Figures: Plotly takes them, eyes of every kind can tell the colours apart, and no label becomes markup."""

import itertools

import numpy as np
import plotly.graph_objects as go
import pytest

from transfer_core import charts
from transfer_core.events import Epoch, Losses, Started, Step
from transfer_core.progress import Progress, fold
from transfer_core.words import languages

STARTED = Started(epochs=2, steps_per_epoch=2, classes=["a", "b"], images={}, trainable_parameters=1, total_parameters=1,
                  device="cpu", precision="float32", batch_size=2)


def story(source: float | None = None) -> Progress:
    facts = [STARTED]
    for epoch in (1, 2):
        losses = Losses(total=1 / epoch, target=0.8 / epoch, source=source)
        facts.append(Step(step=2 * epoch, epoch=epoch, losses=losses, learning_rate=0.1))
        facts.append(Epoch(epoch=epoch, step=2 * epoch, train=losses, train_accuracy=0.9, validation=losses,
                           validation_accuracy=0.5 * epoch, confusion=[[1, 0], [0, 1]], best=epoch == 2, seconds=1))
    return fold(Progress(), facts)


EVERY = {
    "loss": lambda language, theme: charts.loss_curves(story(0.3), language, theme),
    "loss before it begins": lambda language, theme: charts.loss_curves(Progress(), language, theme),
    "accuracy": lambda language, theme: charts.accuracy_curves(story(), language, theme),
    "accuracy before it begins": lambda language, theme: charts.accuracy_curves(Progress(), language, theme),
    "confusion": lambda language, theme: charts.confusion_map([[3, 1], [0, 0]], ["<b>a</b>", "苹果"], language, theme),
    "bars": lambda language, theme: charts.probability_bars([0.2, 0.8], ["a", "b"], theme),
}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", languages())
def test_every_chart_is_a_figure_with_a_sentence(name, theme, language):
    chart = EVERY[name](language, theme)
    go.Figure(chart.figure)  # raises for any property Plotly does not know
    assert chart.alt.say(language)
    assert "{" not in chart.alt.say(language)


def test_a_plain_training_shows_one_loss_and_a_joint_one_its_parts():
    plain, joint = charts.loss_curves(story()).figure["data"], charts.loss_curves(story(0.3)).figure["data"]
    assert len(plain) == 2
    assert plain[1]["y"] == [0.8, 0.4]
    assert [trace["y"][-1] for trace in joint[1::2]] == [0.5, 0.4, 0.3]  # total, target, source
    assert {trace["line"].get("dash") for trace in joint} == {None, "dot"}, "colour is not the only difference"


def test_bars_come_in_order_with_their_names():
    figure = charts.probability_bars([0.1, 0.6, 0.3], ["a", "<i>b</i>", "c"]).figure
    assert figure["data"][0]["x"] == [0.6, 0.3, 0.1]
    assert figure["layout"]["yaxis"]["ticktext"] == ["&lt;i&gt;b&lt;/i&gt;", "c", "a"]
    assert len(charts.probability_bars([0.01] * 100, list(map(str, range(100)))).figure["data"][0]["x"]) == 10


def linear(colour: str) -> np.ndarray:
    part = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = to_xyz @ light / (0.9505, 1, 1.089)
    f = [np.cbrt(value) if value > 0.008856 else 7.787 * value + 16 / 116 for value in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Machado, Oliveira & Fernandes 2009, severity 1.0
VISION = {
    "full": np.eye(3),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
}


@pytest.mark.parametrize("vision", VISION)
def test_the_colours_can_be_told_apart(vision):
    seen = [lab(np.clip(VISION[vision] @ linear(colour), 0, 1)) for colour in charts.PALETTE]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 26


@pytest.mark.parametrize("background", ["#ffffff", "#fbfaf7", "#12161d", "#0e1117"])
def test_the_colours_stand_out_on_both_backgrounds(background):
    def luminance(colour):
        return linear(colour) @ (0.2126, 0.7152, 0.0722)

    for colour in charts.PALETTE:
        dark, light = sorted((luminance(colour), luminance(background)))
        assert (light + 0.05) / (dark + 0.05) >= 3
