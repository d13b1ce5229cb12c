"""Processes that make one step together: who computes what of a batch, and how it becomes one gradient.

The sums go over gloo (NCCL between graphics cards). Gradients are summed in one piece after the backward pass, together with the
losses and guesses of the batch: one round an optimiser step. What each rank computes is weighted by its images, so that uneven
shares add up to the mean over the batch; PyTorch's `DistributedDataParallel` takes the mean over ranks instead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import one_hot

from transfer_core.errors import Unavailable
from transfer_core.training.objective import Parts
from transfer_core.training.ranks.norms import live_norms
from transfer_core.training.step import gradients, is_out_of_memory, learned

if TYPE_CHECKING:
    from transfer_core.training.loop import Training

log = logging.getLogger(__name__)
CONNECT, HEAR, SUM = 120.0, 120.0, 300.0
"""Seconds until a rank counts as gone: that does not connect, that says nothing, that computes. A process that ends is noticed at
once, since its connections close."""
TICK = 10.0
"""Seconds between two signs of life of rank 0 while it does other things."""
APART = 1e-3
"""Largest difference between the weights of two ranks, relative to the largest weight, that rounding may make in an epoch."""
STEP, EPOCH, END, WAIT, LEAVE, REGROUP = range(6)


class RankLost(Exception):
    """Another process of the team is gone, or says nothing."""


class Command(NamedTuple):
    what: int
    epoch: int = 0
    batch: int = 0
    fresh: int = 0
    """Whether to begin with what the last checkpoint holds."""
    factor: float = 0.0
    """Of the learning rate."""


class Team:
    """Rank `rank` of `size` processes that meet in `folder` (seen by all), in round `number`; `address` is where this one can be
    reached. Each process makes one, and all wait for the last. Methods raise `RankLost`."""

    def __init__(self, folder: Path, number: int, rank: int, size: int, address: str, device: torch.device) -> None:
        self.rank, self.size, self.fresh, self.broken = rank, size, True, False
        self.counts = 0
        """Images of this rank that count, in the batch it is at."""
        self._busy, self._speaking, self._over = False, threading.Lock(), threading.Event()
        try:
            store = dist.FileStore(str(folder / f"round-{number}"), size)
            store.set_timeout(timedelta(seconds=CONNECT))
            self._gloo = self._sums = _gloo(store, rank, size, address)
            if device.type == "cuda" and dist.is_nccl_available():
                self._sums = dist.ProcessGroupNCCL(dist.PrefixStore("nccl", store), rank, size)
            self._wait(self._gloo.barrier())
        except RuntimeError as error:  # DistBackendError and DistStoreError are such, too
            raise RankLost(str(error)) from error
        if rank == 0:
            threading.Thread(target=self._tick, name="ranks", daemon=True).start()

    # Rank 0 speaks

    def begin(self, training: Training, epoch: int, batch: int) -> None:
        """An epoch begins, with batches of so many images. All then have the weights of rank 0."""
        self._tell(Command(EPOCH, epoch, batch, int(self.fresh)), busy=True)
        self.fresh = False
        self.agree(training)
        self._busy = False

    def go(self, batch: Sequence[int], factor: float) -> None:
        """The next step, on this batch; `gradients` follows."""
        self.take(len(batch))
        self._tell(Command(STEP, factor=factor), busy=True)

    def end(self) -> None:
        """No further step in this epoch."""
        self._tell(Command(END))

    def close(self, regroup: bool = False) -> None:
        """Let the others go, or have them say that they are ready for another round. What is broken is only left."""
        self._over.set()
        if self.rank == 0 and not self.broken and not self._busy:
            try:
                self._tell(Command(REGROUP if regroup else LEAVE))
            except RankLost as error:
                log.info("nobody heard that the team is over: %s", error)
        self._gloo = self._sums = None

    def _tell(self, command: Command, busy: bool = False) -> None:
        with self._speaking:
            self._busy = busy
            self._send(torch.tensor(command, dtype=torch.float64))

    def _tick(self) -> None:
        """Say that rank 0 lives while it validates or saves: others then notice within a minute or two when it does not."""
        while not self._over.wait(TICK):
            with self._speaking:
                if not self._busy and not self._over.is_set():
                    try:
                        self._send(torch.tensor(Command(WAIT), dtype=torch.float64))
                    except RankLost:  # the next command says so to whom it concerns
                        return

    # The others hear

    def hear(self) -> Command:
        told = torch.zeros(len(Command._fields), dtype=torch.float64)
        while True:
            self._send(told)
            *numbers, factor = told.tolist()
            command = Command(*map(int, numbers), factor)
            if command.what != WAIT:
                return command

    # All of them

    def part(self, batch: Sequence[int]) -> list[int]:
        """What of a batch this rank computes. Where there is nothing left for it, one image that counts for nothing: whatever
        ranks do together in a step, all of them do."""
        start, end = self._rows(len(batch))
        return list(batch[start:end]) or list(batch[:1])

    def take(self, count: int) -> None:
        """The batch at hand has so many images."""
        start, end = self._rows(count)
        self.counts = end - start

    def _rows(self, count: int) -> tuple[int, int]:
        """Rounded up, so that rank 0 always has an image."""
        first, last = -(-count * self.rank // self.size), -(-count * (self.rank + 1) // self.size)
        return first, last

    def gradients(self, training: Training, images: Tensor | tuple[Tensor, ...] | None, labels: Tensor) -> Parts:
        """Those of the whole batch in `grad` of all that is learned; and its losses and guesses (as logits 0 and 1), everywhere
        the same. `images`: this rank's `part`, None where its memory was full before; `labels`: of all.

        When the memory of any rank is full, all raise as if it were theirs.
        """
        (start, end), parts = self._rows(len(labels)), None
        if images is not None:
            try:
                parts = gradients(training, images, labels[start:end] if end > start else labels[:1], (end - start) / len(labels))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
        if parts is None or not parts.data.requires_grad:
            training.optimizer.zero_grad(set_to_none=True)
        weights = learned(training)
        told = self._told(parts, start, end, len(labels), labels.device)
        flat = torch.cat([*(_flat(weight) for weight in weights), told])
        self.sum(flat)
        self._busy = False
        *slopes, told = flat.split([*(weight.numel() for weight in weights), len(told)])
        full, target, source, data = told[:4].unbind()
        if full > 0:
            raise RuntimeError("out of memory on one of the processes")
        for weight, slope in zip(weights, slopes, strict=True):
            weight.grad = torch.empty_like(weight) if weight.grad is None else weight.grad
            weight.grad.copy_(slope.view_as(weight))
        guesses = one_hot(told[4:].round().long(), parts.logits.shape[-1]).float()
        return Parts(guesses, target, data, data + (parts.total - parts.data).detach(),
                     None if parts.source is None else source, parts.penalty)

    def _told(self, parts: Parts | None, start: int, end: int, count: int, device: torch.device) -> Tensor:
        """Whether memory was full, this rank's share of the three losses, and its guesses at their places in the batch."""
        told = torch.zeros(4 + count, device=device)
        if parts is None:
            told[0] = 1
        elif end > start:
            losses = (parts.target, parts.target.new_zeros(()) if parts.source is None else parts.source, parts.data)
            told[1:4] = torch.stack([loss.detach().float() for loss in losses]) * ((end - start) / count)
            told[4 + start:4 + end] = parts.logits.detach().argmax(-1).float()
        return told

    @torch.no_grad()
    def agree(self, training: Training) -> None:
        """Take the weights of rank 0. Machines of different kinds round differently; more than that is an error, and whoever is
        so far away leaves. Raises `Unavailable`."""
        held = [*learned(training), *(buffer for norm in live_norms(training.model) for buffer in norm.buffers())]
        own = torch.cat([tensor.detach().flatten().float() for tensor in held])
        given = own.clone()
        self._broadcast(given)
        apart = float((given - own).abs().max() / given.abs().max().clamp_min(1e-12))
        if not apart <= APART and given.isfinite().all():
            raise Unavailable("rank_apart", difference=f"{apart:.1e}")
        for tensor, values in zip(held, given.split([tensor.numel() for tensor in held]), strict=True):
            tensor.copy_(values.view_as(tensor))
        if training.factors:
            training.factors.write()

    def sum(self, tensor: Tensor) -> None:
        """Over all ranks, in place. Where it lies decides how: NCCL sums on cards, gloo everywhere."""
        options = dist.AllreduceOptions()
        options.timeout = timedelta(seconds=SUM)
        group = self._sums if tensor.device.type == "cuda" else self._gloo
        held = tensor if tensor.device.type in ("cpu", "cuda") else tensor.cpu()
        try:
            self._wait(group.allreduce([held], options))
        except RuntimeError as error:
            self.broken = True
            raise RankLost(str(error)) from error
        if held is not tensor:
            tensor.copy_(held)

    def _broadcast(self, tensor: Tensor) -> None:
        held = tensor.cpu()
        self._send(held)
        tensor.copy_(held)

    def _send(self, tensor: Tensor) -> None:
        """From rank 0 to all."""
        options = dist.BroadcastOptions()
        options.rootRank, options.timeout = 0, timedelta(seconds=HEAR)
        try:
            self._wait(self._gloo.broadcast([tensor], options))
        except RuntimeError as error:
            self.broken = True
            raise RankLost(str(error)) from error

    @staticmethod
    def _wait(work: dist.Work) -> None:
        work.wait()


def _gloo(store: dist.Store, rank: int, size: int, address: str) -> dist.ProcessGroupGloo:
    """Listens on this address only."""
    options = dist.ProcessGroupGloo._Options()
    options._timeout = timedelta(seconds=CONNECT)
    options._devices = [dist.ProcessGroupGloo.create_device(hostname=address)]
    return dist.ProcessGroupGloo(store, rank, size, options)


def _flat(weight: Tensor) -> Tensor:
    return weight.new_zeros(weight.numel()) if weight.grad is None else weight.grad.flatten()
