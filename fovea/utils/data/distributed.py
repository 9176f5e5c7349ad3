"""Sharing a dataset among processes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sized

from fovea.errors import ArgumentError
from fovea.functions.random import randperm
from fovea.random import Generator
from fovea.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """The part of a dataset that one of several processes reads.

    Process r takes the indices r, r + n, r + 2n, ... of an order that all have in common.

    Args:
        dataset: what is shared; only its length is read.
        num_replicas: how many processes there are; the environment's ``WORLD_SIZE``, or 1, unless
            given.
        rank: which one this is, from 0; the environment's ``RANK``, or 0, unless given.
        shuffle: whether the order is a random one, which ``seed`` and the epoch determine.
        seed: the same in all processes.
        drop_last: leave out the last indices that do not go round; otherwise some come twice.

    Raises:
        ArgumentError: a rank outside [0, num_replicas).

    >>> list(DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
    [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None:
            num_replicas = int(os.environ.get("WORLD_SIZE", "1"))
        if rank is None:
            rank = int(os.environ.get("RANK", "0"))
        if not 0 <= rank < num_replicas:
            raise ArgumentError(
                f"DistributedSampler: rank must be in [0, {num_replicas - 1}], got {rank}."
            )
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.epoch, self.drop_last = 0, drop_last
        share = len(dataset) / num_replicas
        self.num_samples = math.floor(share) if drop_last else math.ceil(share)
        self.total_size = self.num_samples * num_replicas
        self.shuffle, self.seed = shuffle, seed

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)
        if self.shuffle:
            generator = Generator().manual_seed(self.seed + self.epoch)
            order = randperm(n, generator=generator).tolist()
        else:
            order = list(range(n))
        if order and self.total_size > n:
            order *= math.ceil(self.total_size / n)
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Another order for each epoch; called before each in all processes."""
        self.epoch = epoch
