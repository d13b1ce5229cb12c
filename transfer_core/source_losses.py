"""L_source: terms that keep the source knowledge, for L(θ) = (L_source + λ · L_target) / (1 + λ).

A larger λ learns the new task more.

Each is a function of what the model says `now` about a batch of the person's own images, and what the original model said
(`start`). No source images are needed. Tensors are used through their own methods, so that nothing here imports torch.
Facts of an entry: `needs` is what the caller must provide: "source_logits" (N × source classes, from the kept original
classifier) or "features" (layer group → N × … activations of the trainable groups).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from transfer_core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

SOURCE_LOSSES: Registry = Registry("source loss")
TEMPERATURE = 2.0


@SOURCE_LOSSES.add("lwf", needs="source_logits", formula="T² · KL( softmax(z⁰/T) ‖ softmax(z/T) )",
                   paper="Li & Hoiem 2016, arXiv:1606.09282", default=1.0)
def lwf(now: Tensor, start: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Learning without forgetting: on your photos, the original classifier keeps giving its original answers.

    The factor T² keeps the gradient's size when T grows (Hinton et al. 2015). Mean over the N samples.
    """
    wanted = (start / temperature).log_softmax(-1)
    given = (now / temperature).log_softmax(-1)
    return temperature**2 * (wanted.exp() * (wanted - given)).sum(-1).mean()


@SOURCE_LOSSES.add("features", needs="features", formula="mean over groups of ‖F(θ) − F(θ⁰)‖² per value",
                   paper="Li et al. 2019 (DELTA, without attention weights), arXiv:1901.09229", default=1.0)
def features(now: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> Tensor:
    """Keep what each part of the network sees in your photos close to what it saw before training.

    A mean over samples and values, so that λ means the same at every batch size and resolution.
    """
    return sum(((now[group] - start[group]) ** 2).mean() for group in now) / len(now)
