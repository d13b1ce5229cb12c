"""Progress: the fold of a run's events, and the sentence that says what they mean. Pages draw this and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from transfer_core.events import (
    Averaged,
    Cached,
    Epoch,
    Evaluated,
    Event,
    Exported,
    Failed,
    Finished,
    Folded,
    Imported,
    Note,
    Progressed,
    Sampled,
    Started,
    Step,
    Stopped,
    Swept,
    Transferred,
)
from transfer_core.numbers import counted
from transfer_core.words import Message, message


@dataclass(frozen=True)
class Progress:
    """`fold(fold(p, a), b) == fold(p, a + b)` for every cut, so any page may join at any event."""

    started: Started | None = None
    steps: tuple[Step, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    stage: Progressed | None = None
    notes: tuple[Note, ...] = ()
    evaluated: dict[str, Evaluated] = field(default_factory=dict)
    exported: dict[str, Exported] = field(default_factory=dict)
    imported: Imported | None = None
    cached: Cached | None = None
    transferred: Transferred | None = None
    swept: tuple[Swept, ...] = ()
    folded: tuple[Folded, ...] = ()
    sampled: tuple[Sampled, ...] = ()
    averaged: Averaged | None = None
    ended: Finished | Stopped | Failed | None = None
    tested: frozenset[int] = frozenset()
    """Best epochs whose weights were asked about the test images. More than one: somebody saw a test score and trained on."""

    @property
    def best(self) -> Epoch | None:
        return next((epoch for epoch in reversed(self.epochs) if epoch.best), None)

    @property
    def share(self) -> float | None:
        """How much is done, 0 to 1; None while unknown."""
        if self.ended:
            return 1.0
        if self.started:
            step = self.steps[-1].step if self.steps else 0
            step = max(step, self.epochs[-1].step if self.epochs else 0)
            done = step / max(1, self.started.epochs * self.started.steps_per_epoch)
            if self.started.minutes:  # whichever ends first
                done = max(done, sum(epoch.seconds for epoch in self.epochs) / (60 * self.started.minutes))
            return min(1.0, done)
        if self.stage and self.stage.total:
            return min(1.0, self.stage.done / self.stage.total)
        return None


def fold(progress: Progress, events: Iterable[Event]) -> Progress:
    """What is known after these events. Raises `TypeError` for what is no event."""
    # Steps are gathered in a list and frozen once a call: a run has thousands, and a new tuple for each is quadratic.
    steps = list(progress.steps)
    for event in events:
        match event:
            case Step():
                steps.append(event)
                progress = progress if progress.stage is None else replace(progress, stage=None)
            case Started():
                # A resumed run repeats the epochs after its checkpoint: what it had reported of them is taken back.
                epochs = tuple(epoch for epoch in progress.epochs if epoch.epoch < event.first_epoch)
                last = epochs[-1].step if epochs else 0
                steps = [step for step in steps if step.step <= last]
                # The score and the files of the weights before are not those of what is trained now.
                progress = replace(progress, started=event, epochs=epochs, stage=None, ended=None, evaluated={}, exported={})
            case _:
                progress = _after(progress, event)
    return replace(progress, steps=tuple(steps))


def _after(progress: Progress, event: Event) -> Progress:
    match event:
        case Epoch():
            return replace(progress, epochs=(*progress.epochs, event), stage=None)
        case Progressed():
            return replace(progress, stage=event)
        case Note():
            return replace(progress, notes=(*progress.notes, event))
        case Evaluated():
            looked = {progress.best.epoch if progress.best else 0} if event.split == "test" else set()
            return replace(progress, evaluated={**progress.evaluated, event.split: event}, tested=progress.tested | looked)
        case Exported():
            return replace(progress, exported={**progress.exported, event.format: event})
        case Imported():
            return replace(progress, imported=event)
        case Cached():
            return replace(progress, cached=event, stage=None)
        case Swept():
            return replace(progress, swept=(*progress.swept, event))
        case Folded():
            return replace(progress, folded=(*progress.folded, event))
        case Sampled():
            return replace(progress, sampled=(*progress.sampled, event))
        case Transferred():
            return replace(progress, transferred=event)
        case Averaged():
            return replace(progress, averaged=event)
        case Finished() | Stopped() | Failed():
            return replace(progress, ended=event, stage=None)
    raise TypeError(f"not an event: {event!r}")


def validated(progress: Progress) -> bool:
    """Whether the epochs' validation numbers come from images of their own; without any they repeat the training's."""
    return progress.started is None or progress.started.images.get("validation", 1) > 0


def verdict(progress: Progress) -> Message:
    """One sentence on how the training goes, from its curves alone; keys are `verdict.*` in the words.

    The thresholds are judgements, not laws: a gap of 0.15 between training and validation accuracy while validation loss
    rises is called memorising; three epochs without a better one is called flat.
    """
    epochs = progress.epochs
    if isinstance(progress.ended, Failed):
        return message("verdict.failed")
    if progress.averaged:
        return _averaged(progress.averaged)
    if not epochs:
        return message("verdict.warming_up" if progress.started else "verdict.waiting")
    last, best = epochs[-1], progress.best or epochs[-1]
    if isinstance(progress.ended, Finished) and progress.ended.out_of_time:
        return _out_of_time(progress, last, best)
    if not validated(progress):
        return message("verdict.not_validated", percent=f"{100 * last.train_accuracy:.0f}", epoch=last.epoch)
    percent = f"{100 * best.validation_accuracy:.0f}"
    if progress.ended:
        return message("verdict.done", percent=percent, epoch=best.epoch)
    gap = last.train_accuracy - last.validation_accuracy
    since = last.epoch - best.epoch
    if since >= 2 and gap > 0.15:
        return message("verdict.memorising", percent=percent, epoch=best.epoch)
    if since >= 3:
        return message("verdict.flat", percent=percent, epoch=best.epoch, since=since)
    chance = max(sum(row) for row in last.confusion) / max(1, sum(map(sum, last.confusion)))
    if last.epoch >= 2 and last.validation_accuracy <= chance:
        return message("verdict.not_learning")
    if len(epochs) == 1:
        return message("verdict.first", percent=percent)
    return message("verdict.learning", percent=percent)


def _out_of_time(progress: Progress, last: Epoch, best: Epoch) -> Message:
    started = progress.started
    key = "out_of_time" if last.epoch > 1 or last.whole else "out_of_time_first"
    return message(f"verdict.{key if validated(progress) else 'out_of_time_untested'}", epoch=best.epoch,
                   percent=f"{100 * best.validation_accuracy:.0f}", epochs=started.epochs if started else last.epoch,
                   count=counted(started.minutes) if started and started.minutes else "–")


def _averaged(average: Averaged) -> Message:
    """What was made of what. The model itself was never trained, and there are no curves to judge."""
    if average.alpha is not None:
        return message("verdict.mixture", share=f"{100 * average.alpha:.3g}", rest=f"{100 - 100 * average.alpha:.3g}",
                       run=average.runs[0])
    if not average.left:
        return message("verdict.soup_all", count=len(average.runs))
    if len(average.runs) == 1:
        return message("verdict.soup_one", run=average.runs[0], tried=len(average.order))
    return message("verdict.soup", count=len(average.runs), tried=len(average.order))
