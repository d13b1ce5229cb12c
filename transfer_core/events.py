"""What a job reports: facts, append-only, numbered by the store. `to_json` and `from_json` are exact inverses.

A run is a generator of these; whoever consumes them stores them, prints them or draws them. Stop = stop consuming.
Import, training, evaluation and export all speak this one vocabulary.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from transfer_core.words import Message


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings", val_json_bytes="utf8")


class Losses(_Fact):
    """Means over samples. `total` is what is minimised; `source` and `penalty` are unweighted, so that curves can be compared."""

    total: float
    target: float
    source: float | None = None
    penalty: float | None = None


class Started(_Fact):
    """A training begins (or resumes at `first_epoch` > 1)."""

    type: Literal["started"] = "started"
    epochs: int
    first_epoch: int = 1
    steps_per_epoch: int
    classes: list[str]
    images: dict[str, int]
    """Split → number of images."""
    trainable_parameters: int
    total_parameters: int
    device: str
    precision: str
    batch_size: int
    groups: list[tuple[str, str]] = []
    """Layer group → train / anchor / freeze, in forward order."""
    minutes: float | None = None
    """It may take so long at most."""


class Progressed(_Fact):
    """How far a piece of work is, for everything that has no better measure (import, export, download)."""

    type: Literal["progressed"] = "progressed"
    stage: str
    """Key of the stage's name in the words: `stages.<stage>`."""
    done: int
    total: int | None = None


class Step(_Fact):
    """One optimiser step; reported at most a few times a second."""

    type: Literal["step"] = "step"
    step: int
    """Counted from 1 over the whole training."""
    epoch: int
    losses: Losses
    learning_rate: float
    images_per_second: float | None = None


class Kept(_Fact):
    """What is left, after an epoch, of what the model knew before the training. Measured on the validation images."""

    images: int
    agreement: float | None = None
    """Share of the images of which the original classifier still says what it said at the start; None without such a one."""
    similarity: float | None = None
    """Mean cosine between an image's features now and at the start."""
    drift: dict[str, float] = {}
    """Layer group → ‖θ − θ⁰‖ / ‖θ⁰‖; groups that are frozen are left out."""
    moved: float = 0.0
    """The same of the whole backbone."""
    source_accuracy: float | None = None
    """On the validation images of the source dataset, where there is one."""
    source_images: int = 0
    averages: int | None = None
    """BatchNorm's running averages (tensors) that are to stand still; None in trainings from before this was counted."""
    averages_moved: int = 0
    """Of those, how many are not what they were at the start, bit for bit."""

    @property
    def kind(self) -> Literal["source", "agreement", "similarity"]:
        """Which of the three says most of what is left."""
        return "source" if self.source_accuracy is not None else "agreement" if self.agreement is not None else "similarity"

    @property
    def share(self) -> float | None:
        """The one number that stands for what is left; None where nothing could be compared."""
        return {"source": self.source_accuracy, "agreement": self.agreement, "similarity": self.similarity}[self.kind]


class Epoch(_Fact):
    """One pass over the training images and one look at the validation images."""

    type: Literal["epoch"] = "epoch"
    epoch: int
    step: int
    train: Losses
    train_accuracy: float
    validation: Losses
    validation_accuracy: float
    confusion: list[list[int]]
    """Validation images: row = true class, column = predicted class."""
    best: bool
    """Most validation images named right so far, at equality with the lower loss: these weights are kept."""
    seconds: float
    seconds_left: float | None = None
    kept: Kept | None = None
    right: str | None = None
    """Which validation images were named rightly, in their order: bits, see `metrics.packed`."""
    whole: bool = True
    """False for a last one in the middle of which the time was over."""


class Note(_Fact):
    """Something a person should know: the batch was halved, a class has one image, duplicates were left out."""

    type: Literal["note"] = "note"
    level: Literal["info", "warning"] = "info"
    message: Message


class Evaluated(_Fact):
    """Scores on a split the training never saw; `report` is what `metrics.report` says."""

    type: Literal["evaluated"] = "evaluated"
    split: str
    report: dict[str, Any]


class Exported(_Fact):
    """A file was written and replayed: `same` of `replayed` test images got the same answer through the file."""

    type: Literal["exported"] = "exported"
    format: str
    file: str
    bytes: int
    replayed: int = 0
    same: int = 0
    largest_difference: float = 0.0
    right: int | None = None
    """Of the replayed images, those that this file names rightly, where it is not meant to answer exactly as the model does."""
    right_before: int | None = None
    """Those that the model names rightly."""
    files: list[str] = []
    """What lies in the folder a person asked for."""


class Imported(_Fact):
    """A dataset version exists."""

    type: Literal["imported"] = "imported"
    dataset: str
    version: int
    summary: dict[str, Any]


class Cached(_Fact):
    """What frozen layers say of the images was stored, or was there already: epochs run the layers behind `boundary` only."""

    type: Literal["cached"] = "cached"
    boundary: str
    """First unit behind the cut."""
    hit: bool
    """Nothing had to be computed."""
    bytes: int
    engine: str
    dtype: str
    views: int
    """Stored variations of each training image; 0 means as it is."""
    share: float
    """Of a forward pass' arithmetic, saved in every epoch."""
    seconds: float


class Swept(_Fact):
    """One training of a sweep over λ has ended: what it learned and what it kept, on validation images."""

    type: Literal["swept"] = "swept"
    value: float
    """λ, or λ_Ω."""
    seed: int
    turn: int
    """Counted from 0: which of the repeats."""
    accuracy: float
    low: float
    high: float
    """95 % interval of the accuracy, over `n` images."""
    n: int
    kept: float | None = None
    """See `Kept`: right answers on source images, else unchanged answers, else similarity."""
    kept_images: int = 0
    kept_is_share: bool = False
    """Whether `kept` is a share of `kept_images`, so that it has an interval; a mean similarity is none."""
    drift: float = 0.0
    right: str | None = None
    """As in `Epoch`: two trainings can be told apart image by image, which says more than their scores."""
    run: str


class Folded(_Fact):
    """One training of a cross-validation has ended: how many of its test images it named rightly."""

    type: Literal["folded"] = "folded"
    repeat: int
    fold: int
    """Both counted from 0."""
    n: int
    correct: int
    accuracy: float


class Sampled(_Fact):
    """One training of a learning curve has ended: from how many images it learned, and how many others it named rightly."""

    type: Literal["sampled"] = "sampled"
    repeat: int
    """Counted from 0."""
    share: float
    """Of the training images."""
    train: int
    n: int
    correct: int
    accuracy: float
    train_accuracy: float | None = None
    """Of the epoch that was kept, counted while it learned."""
    validation_accuracy: float | None = None
    hit: bool | None = None
    """See `Cached`; None where nothing was stored."""


class Transferred(_Fact):
    """A training starts from another run: how many tensors were taken over, left behind, and made anew."""

    type: Literal["transferred"] = "transferred"
    run: str
    copied: int
    skipped: int
    """Of the run, not used here: its classifier, unless it tells the same classes apart, and what has another shape."""
    initialized: int
    """Of the new model, with no value from the run."""


class Averaged(_Fact):
    """The model was not trained: its weights are an average of others'. A mixture of a run with its start has `alpha`; a soup of
    several runs has the `order` in which they were tried."""

    type: Literal["averaged"] = "averaged"
    runs: list[str]
    """Those whose weights are in it."""
    alpha: float | None = None
    """Share of the trained weights; the rest is the start."""
    order: list[str] = []
    """All runs that were tried, the best on the validation images first."""
    alone: list[float] = []
    """Their accuracies on the validation images, in this order."""
    validation: list[float] = []
    """The accuracy of the average with each; where it fell, that run was left out."""
    n: int = 0
    """Validation images."""

    @property
    def left(self) -> list[str]:
        return [run for run in self.order if run not in self.runs]


class Finished(_Fact):
    """A training came to its end; the weights of `best_epoch` are the model."""

    type: Literal["finished"] = "finished"
    best_epoch: int | None = None
    seconds: float
    stopped_early: bool = False
    out_of_time: bool = False
    """The minutes that were given were over before all epochs were."""


class Stopped(_Fact):
    """A person stopped it; `kept` says whether the best weights so far became the model."""

    type: Literal["stopped"] = "stopped"
    kept: bool
    best_epoch: int | None = None


class Failed(_Fact):
    """It could not go on: what happened, what to do, and whether a checkpoint is there to resume from."""

    type: Literal["failed"] = "failed"
    message: Message
    hint: Message | None = None
    resumable: bool = False


Event = Annotated[
    Started | Progressed | Step | Epoch | Note | Evaluated | Exported | Imported | Cached | Transferred | Swept | Folded
    | Sampled | Averaged | Finished | Stopped | Failed,
    Field(discriminator="type"),
]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def to_json(event: Event) -> str:
    """One line of JSON; NaN and infinity as strings, since JSON has neither."""
    return event.model_dump_json()


def from_json(text: str | bytes) -> Event:
    """The event that `to_json` wrote. Raises `pydantic.ValidationError` for anything else."""
    return _EVENT.validate_json(text)
