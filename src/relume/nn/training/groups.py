"""The rows of a data set in groups, and which of them each minibatch takes.

All of it is a function of numbers that every process knows: the sizes of the groups, the size of
a minibatch, and the position in the fit, which is (epoch, step).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relume import validation


def groups_of(groups: Any, n: int | None = None, name: str = "groups") -> tuple[int, ...]:
    """The sizes of groups that are given as their number, or one by one.

    Parameters
    ----------
    groups : int or sequence of int
        A number of groups as even as possible; or the rows of each.
    n : int or None
        Number of rows that the groups hold in all; None does not compare.
    name : str
        What errors call it.

    Returns
    -------
    sizes : tuple of int

    Raises
    ------
    TypeError, ValueError
        If it is neither, or does not have n rows.
    """
    if isinstance(groups, Sequence | np.ndarray) and not isinstance(groups, str):
        sizes = tuple(validation.integer(size, f"{name}[{i}]", 0) for i, size in enumerate(groups))
        if not sizes:
            raise ValueError(f"{name} must hold the rows of at least one group, got none")
        if n is not None and sum(sizes) != n:
            raise ValueError(
                f"{name} must hold as many rows as X, {n}, got {len(sizes)} groups of "
                f"{sum(sizes)} rows"
            )
        return sizes
    count = validation.integer(groups, name)
    if n is None:
        raise ValueError(f"{name} must be the rows of each group, got {count}")
    return even_sizes(n, count)


def even_sizes(n: int, count: int) -> tuple[int, ...]:
    """The rows of each of so many groups of n rows: group g begins at row n g // count."""
    return tuple(n * (g + 1) // count - n * g // count for g in range(count))


def owned(count: int, part: int, parts: int) -> range:
    """The groups of one owner out of `parts`."""
    return range(count * part // parts, count * (part + 1) // parts)


def seed_of(rng: np.random.Generator) -> int:
    """The number that a generator would give next; it stays as it is."""
    copy = type(rng.bit_generator)(0)
    copy.state = rng.bit_generator.state
    return int(np.random.Generator(copy).integers(2**64, dtype=np.uint64))


def order(seed: int, epoch: int, group: int, n: int) -> NDArray[np.int64]:
    """The n rows of a group in the order of an epoch."""
    sequence = np.random.SeedSequence([seed, epoch, group])
    return np.random.Generator(np.random.PCG64(sequence)).permutation(n)


def key(seed: int, epoch: int, step: int) -> int:
    """Seed of a step's random numbers; the engine mixes the number of each group in."""
    packed = struct.pack("<QQQ", seed, epoch, step)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Groups:
    """The groups of a data set, and how minibatches take their rows.

    An epoch has as many steps as minibatches of `batch_size` rows would make of all rows. Step i
    of S takes rows n i // S to n (i + 1) // S of each group of n rows. So a minibatch has about
    `batch_size` rows, and may have none where groups are smaller than the number of steps.

    Parameters
    ----------
    sizes : tuple of int
        The rows of each group.
    batch_size : int
    """

    sizes: tuple[int, ...]
    batch_size: int

    @cached_property
    def rows(self) -> int:
        """The rows of all groups."""
        return sum(self.sizes)

    @cached_property
    def steps(self) -> int:
        """The steps of an epoch."""
        return max(-(-self.rows // self.batch_size), 1)

    def slice(self, group: int, step: int) -> slice:
        """The part of a group's order that a step takes."""
        n = self.sizes[group]
        return slice(n * step // self.steps, n * (step + 1) // self.steps)

    def counts(self, step: int, first: int = 0, last: int | None = None) -> list[int]:
        """The rows that a step takes of each of the groups first .. last."""
        parts = (self.slice(g, step) for g in range(len(self.sizes))[first:last])
        return [part.stop - part.start for part in parts]

    def max_rows(self, first: int = 0, last: int | None = None) -> int:
        """An upper limit of the rows that a step takes of the groups first .. last; at least 1."""
        return max(sum(-(-n // self.steps) for n in self.sizes[first:last]), 1)

    def min_rows(self) -> int:
        """The fewest rows of a step that has any."""
        return min(n for n in (sum(self.counts(i)) for i in range(self.steps)) if n)
