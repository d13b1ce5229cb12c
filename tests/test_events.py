"""Events go to JSON and back unchanged, and their fold does not depend on where it is cut."""

from __future__ import annotations

import math
import types
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from transfer_core import events
from transfer_core.events import (
    Epoch,
    Evaluated,
    Failed,
    Finished,
    Kept,
    Losses,
    Progressed,
    Started,
    Step,
    Stopped,
    from_json,
    to_json,
)
from transfer_core.progress import Progress, fold, verdict
from transfer_core.words import Message, has, message

KINDS = typing.get_args(typing.get_args(events.Event)[0])
NAMES = st.text(max_size=3)
PLAIN = st.recursive(st.none() | st.booleans() | st.integers(-10**6, 10**6) | st.floats(-1e6, 1e6) | st.text(max_size=5),
                     lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2), max_leaves=4)
st.register_type_strategy(Message, st.builds(Message, key=NAMES, values=st.dictionaries(NAMES, PLAIN, max_size=2)))


def of(annotation: object) -> st.SearchStrategy:
    """Values of one field's type; a report is any JSON."""
    if annotation in (typing.Any,):
        return PLAIN
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is dict:
        return st.dictionaries(of(inner[0]), of(inner[1]), max_size=3)
    if origin is list:
        return st.lists(of(inner[0]), max_size=3)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([of(each) for each in inner])
    if annotation is float:
        return st.floats(allow_nan=False)
    if annotation in (Losses, Kept):
        return st.builds(annotation, **{name: of(field.annotation) for name, field in annotation.model_fields.items()})
    return st.from_type(annotation)


def any_of(kind: type) -> st.SearchStrategy:
    return st.builds(kind, **{name: of(field.annotation) for name, field in kind.model_fields.items() if name != "type"})


ANY = st.one_of([any_of(kind) for kind in KINDS])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_type_is_the_first_field_and_the_name(kind):
    """The browser and the store tell events apart by it."""
    assert next(iter(kind.model_fields)) == "type"
    assert kind.model_fields["type"].default == kind.__name__.lower()


@given(ANY)
def test_to_json_and_back(event):
    assert from_json(to_json(event)) == event


def test_a_loss_that_exploded_survives_json():
    """NaN and infinity are what a person most needs to see, and plain JSON has neither."""
    step = Step(step=1, epoch=1, losses=Losses(total=math.inf, target=math.nan), learning_rate=0.1)
    losses = from_json(to_json(step)).losses
    assert math.isinf(losses.total)
    assert math.isnan(losses.target)
    assert "NaN" in to_json(step)
    assert ":NaN" not in to_json(step), "as a string, else JSON.parse in the browser fails"


def test_what_is_no_event_is_refused():
    with pytest.raises(ValidationError):
        from_json('{"type": "nonsense"}')
    with pytest.raises(TypeError, match="not an event"):
        fold(Progress(), ["nonsense"])


@given(st.lists(ANY, max_size=12), st.integers(0, 12))
def test_a_page_may_join_at_any_event(history, cut):
    assert fold(fold(Progress(), history[:cut]), history[cut:]) == fold(Progress(), history)


LOSS = Losses(total=1.0, target=1.0)


def epoch(number, accuracy=0.5, train=0.5, best=True, confusion=((5, 5), (5, 5))) -> Epoch:
    return Epoch(epoch=number, step=10 * number, train=LOSS, train_accuracy=train, validation=LOSS, validation_accuracy=accuracy,
                 confusion=[list(row) for row in confusion], best=best, seconds=1.0)


def step(number) -> Step:
    return Step(step=number, epoch=1 + (number - 1) // 10, losses=LOSS, learning_rate=0.1)


def started(first=1) -> Started:
    return Started(epochs=4, first_epoch=first, steps_per_epoch=10, classes=["a", "b"], images={"train": 1},
                   trainable_parameters=1, total_parameters=2, device="cpu", precision="float32", batch_size=1)


def test_a_resumed_run_takes_back_what_came_after_its_checkpoint():
    failed = Failed(message=message("verdict.failed"))
    history = [started(), *map(step, range(1, 11)), epoch(1), *map(step, range(11, 17)), failed]
    before = fold(Progress(), history)
    assert (len(before.steps), before.share) == (16, 1.0)
    after = fold(before, [started(first=2)])
    assert ([each.step for each in after.steps], [each.epoch for each in after.epochs]) == (list(range(1, 11)), [1])
    assert (after.ended, after.share) == (None, 0.25)


def test_a_resumed_run_forgets_the_score_of_its_old_weights_but_not_that_somebody_saw_it():
    seen = Evaluated(split="test", report={"accuracy": 0.5})
    progress = fold(Progress(), [started(), epoch(1), seen, Stopped(kept=True), started(2)])
    assert progress.evaluated == {}
    assert len(progress.tested) == 1
    again = fold(progress, [seen])  # nothing better was found: the same weights, the same look
    assert len(again.tested) == 1
    assert len(fold(progress, [epoch(2), seen]).tested) == 2


def test_without_validation_images_nothing_is_called_validated():
    alone = started().model_copy(update={"images": {"train": 4, "validation": 0}})
    ended = [epoch(1, accuracy=1.0, train=1.0), Finished(seconds=1)]
    assert verdict(fold(Progress(), [alone, *ended])).key == "verdict.not_validated"
    assert verdict(fold(Progress(), [started(), *ended])).key == "verdict.done"


def test_the_share_of_work_that_has_only_a_count():
    assert fold(Progress(), [Progressed(stage="reading", done=1)]).share is None
    assert fold(Progress(), [Progressed(stage="reading", done=1, total=4)]).share == 0.25


RESTING = [epoch(number, best=False) for number in (2, 3, 4)]


@pytest.mark.parametrize(("history", "key"), [
    ([], "waiting"),
    ([started()], "warming_up"),
    ([started(), epoch(1, 0.7)], "first"),
    ([started(), epoch(1, 0.7), epoch(2, 0.8)], "learning"),
    ([started(), epoch(1, 0.8), *[each.model_copy(update={"validation_accuracy": 0.8}) for each in RESTING]], "flat"),
    ([started(), epoch(1, 0.8), *[each.model_copy(update={"train_accuracy": 0.99}) for each in RESTING[:2]]], "memorising"),
    ([started(), epoch(1, 0.5), epoch(2, 0.5)], "not_learning"),
    ([started(), epoch(1, 0.7), Finished(seconds=1.0)], "done"),
    ([started(), epoch(1, 0.7), Stopped(kept=True)], "done"),
    ([started(), epoch(1, 0.7), Failed(message=message("verdict.failed"))], "failed"),
])
def test_the_verdict_says_what_the_curves_mean(history, key):
    said = verdict(fold(Progress(), history))
    assert said.key == f"verdict.{key}"
    assert has(said.key)
    assert said.say("zh") != said.say("en")


def test_the_fold_of_a_long_run_is_quick():
    """20,000 steps: with a new tuple for each this took 1.6 GB of copying."""
    progress = fold(Progress(), [started(), *map(step, range(1, 20_001))])
    assert len(progress.steps) == 20_000
