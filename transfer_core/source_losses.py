"""L_source: terms that keep the source knowledge, for L(θ) = (L_source(θ) + λ · L_target(θ)) / (1 + λ).

A larger λ learns the new task more. Tensors are used through their own methods, so that nothing here imports torch.

Facts of an entry: `needs` is what the caller must provide, `data` whether that is a dataset of the source task, `default` the λ
that is taken when it is chosen. At these four the model kept most without learning less on validation photos (docs/terms.md).

| needs | the function is given |
|---|---|
| source_logits | what the original classifier says of a batch now, and what it said at the start: N × source classes |
| features | layer group → activations of the trainable groups, now and at the start: N × … |
| relation | what the source classifier says now: N × source classes; the wanted answers: N × source classes |
| importance | name → weights that are trained, now and at the start, and how much each matters |
| source_images | what the source classifier says of source images: N × source classes; their labels: int64 N |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from transfer_core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

SOURCE_LOSSES: Registry = Registry("source loss")
TEMPERATURE = 2.0
RELATED, WEIGHED = 2000, 200
"""Training images at most that are looked at before the first step: to relate classes, and to find which weights matter."""


@SOURCE_LOSSES.add("lwf", needs="source_logits", formula="T² · KL( softmax(z⁰/T) ‖ softmax(z/T) )",
                   paper="Li & Hoiem 2016, arXiv:1606.09282", default=0.1)
def lwf(now: Tensor, start: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Learning without forgetting: on your photos, the original classifier keeps giving its original answers.

    The factor T² keeps the gradient's size when T grows (Hinton et al. 2015). Mean over the N samples.
    """
    wanted = (start / temperature).log_softmax(-1)
    given = (now / temperature).log_softmax(-1)
    return temperature**2 * (wanted.exp() * (wanted - given)).sum(-1).mean()


@SOURCE_LOSSES.add("features", needs="features", formula="mean over groups of ‖F(θ) − F(θ⁰)‖² per value",
                   paper="Li et al. 2019 (DELTA, without attention weights), arXiv:1901.09229", default=0.1)
def features(now: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> Tensor:
    """Keep what each part of the network sees in your photos close to what it saw before training.

    A mean over samples and values, so that λ means the same at every batch size and resolution.
    """
    return sum(((now[group] - start[group]) ** 2).mean() for group in now) / len(now)


@SOURCE_LOSSES.add("co_tuning", needs="relation", formula="CE( p(source class | your class), softmax(z) )",
                   paper="You et al. 2020 (Co-Tuning, direct form, no calibration)", default=4.0)
def co_tuning(now: Tensor, wanted: Tensor) -> Tensor:
    """Use what the original classes have to do with yours: each photo also has to be recognised as what its class resembled.

    `wanted` holds, for each image, the mean of the original model's probabilities over the training images of its class. The
    original classifier learns along, at the backbone's rate. Mean over the N samples; never below the mean entropy of `wanted`.
    """
    return -(wanted * now.log_softmax(-1)).sum(-1).mean()


@SOURCE_LOSSES.add("ewc", needs="importance", formula="½ Σ F (w − w⁰)²", paper="Kirkpatrick et al. 2017, arXiv:1612.00796",
                   default=0.1)
def ewc(now: Mapping[str, Tensor], start: Mapping[str, Tensor], importance: Mapping[str, Tensor]) -> Tensor:
    """Elastic weights: those the original answers depend on most are held most.

    `importance` is the diagonal of the true Fisher information F (labels drawn from the model itself, one image at a time;
    squaring the mean gradient of a batch would be too small by the batch size), scaled to a mean of 1 so that λ means the same
    for every model. With F = 1 it is the first half of l2_sp.
    """
    return sum((importance[name] * (now[name] - start[name]) ** 2).sum() for name in now) / 2


@SOURCE_LOSSES.add("replay", needs="source_images", data=True, formula="CE on photos of the source dataset",
                   paper="Caruana 1997 (multitask learning, hard sharing)", default=1.0)
def replay(now: Tensor, labels: Tensor) -> Tensor:
    """Learn both at once: photos of a second dataset keep coming, with a classifier of their own on the same layers."""
    return -now.log_softmax(-1).gather(-1, labels[:, None]).mean()
