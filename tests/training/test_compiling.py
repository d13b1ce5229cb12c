"""What learns may run as a compiled program. The compiler itself is PyTorch's and takes a minute, so a quick one stands in here;
`bench/folding.py --compile` runs the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import pytest
import torch
from torch import fx

from transfer_core.events import Epoch, Event, Note
from transfer_core.training import compiling
from transfer_core.training.fit import fit
from transfer_core.training.models import load_run

Backend = Callable[[fx.GraphModule, list], Callable]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def compiler(monkeypatch) -> Callable[[Backend], list[fx.GraphModule]]:
    """Put a compiler in the real one's place; returns what it is given, program by program."""
    def use(backend: Backend, seconds: tuple[float, float] = (2.0, 1.0)) -> list[fx.GraphModule]:
        seen: list[fx.GraphModule] = []

        def noted(graph: fx.GraphModule, examples: list) -> Callable:
            seen.append(graph)
            return backend(graph, examples)

        monkeypatch.setattr(compiling, "BACKEND", noted)
        # What stands in saves no time, so the time is made up: plain, then compiled.
        took = cycle(seconds)
        monkeypatch.setattr(compiling, "_fastest", lambda *_: next(took))
        return seen

    return use


def as_it_is(graph: fx.GraphModule, _examples: list) -> Callable:
    return graph.forward


def broken(_graph: fx.GraphModule, _examples: list) -> Callable:
    raise RuntimeError("no C++ compiler was found")


def wrong(graph: fx.GraphModule, _examples: list) -> Callable:
    return lambda *given: [1.1 * answer if answer.is_floating_point() else answer for answer in graph.forward(*given)]


def notes(events: list[Event]) -> list[str]:
    return [event.message.key for event in events if isinstance(event, Note) and event.message.key.startswith("fit.compile.")]


def curve(events: list[Event]) -> list[float]:
    return [event.validation.total for event in events if isinstance(event, Epoch)]


@pytest.mark.parametrize("frozen", [0, 2])
def test_a_compiled_training_goes_as_the_plain_one(compiler, recipe, manifest, home, tmp_path, frozen):
    seen, recipe = compiler(as_it_is), recipe.but(freeze=frozen, epochs=3)
    plain = list(fit(recipe, manifest, home, tmp_path / "plain"))
    assert not seen
    events = list(fit(recipe, manifest, home, tmp_path / "compiled", compiled=True))
    assert seen and notes(events) == ["fit.compile.done"] and notes(plain) == []
    assert curve(events) == pytest.approx(curve(plain), rel=1e-5)
    (one, *_), (other, *_) = load_run(tmp_path / "compiled"), load_run(tmp_path / "plain")
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(tensor, other.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_batches_of_any_size_share_a_program(compiler, recipe, manifest, home, tmp_path):
    seen = compiler(as_it_is)
    list(fit(recipe.but(batch_size=7), manifest, home, tmp_path / "run", compiled=True))  # 24 images: a smaller batch at the end
    assert len(seen) == 2  # one that learns, one that only answers


@pytest.mark.parametrize("backend", [broken, wrong])
def test_what_cannot_be_compiled_is_trained_as_it_was(compiler, backend, recipe, manifest, home, tmp_path):
    plain = list(fit(recipe, manifest, home, tmp_path / "plain"))
    seen = compiler(backend)
    events = list(fit(recipe, manifest, home, tmp_path / "compiled", compiled=True))
    assert seen and notes(events) == ["fit.compile.not"]
    assert curve(events) == curve(plain)  # the trial left nothing behind


def test_what_would_not_be_faster_is_trained_as_it_was(compiler, recipe, manifest, home, tmp_path):
    plain = list(fit(recipe, manifest, home, tmp_path / "plain"))
    seen = compiler(as_it_is, seconds=(1.0, 1.0))
    events = list(fit(recipe, manifest, home, tmp_path / "compiled", compiled=True))
    assert seen and notes(events) == ["fit.compile.not"]
    assert curve(events) == curve(plain)


def test_layers_that_are_looked_into_are_not_compiled(compiler, recipe, manifest, home, tmp_path):
    seen = compiler(as_it_is)
    recipe = recipe.but(source_loss="features")
    events = list(fit(recipe, manifest, home, tmp_path / "run", compiled=True))
    assert not seen and notes(events) == ["fit.compile.watched"]
