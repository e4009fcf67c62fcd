"""The loops of `nn.training.group_fit`, whose sums come from all ranks."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relume.distributed.mpi.channel import Channel
from relume.engine.group_training import TAIL, GroupTraining, add_tails
from relume.engine.tree import add_tree, roots
from relume.nn.callbacks.callback import Hooks
from relume.nn.network import Network
from relume.nn.training.group_fit import GroupFitLoop, GroupObjective
from relume.nn.training.groups import owned
from relume.nn.training.run import STATUS, checked


class Sums:
    """Sums over the groups of all ranks, each rank having those of its slice of the parameters.

    Parameters
    ----------
    channel : Channel
    net : Network
        Built.
    count : int
        Number of groups of all ranks.
    """

    def __init__(self, channel: Channel, net: Network, count: int) -> None:
        self.channel, self.count = channel, count
        weights = net._built()
        plan, ranks = weights.plan, channel.size
        groups = [owned(count, rank, ranks) for rank in range(ranks)]
        self.nodes = [roots(each.start, each.stop, count) for each in groups]
        self.every = list(itertools.chain(*self.nodes))
        self.own = len(self.nodes[channel.rank])
        # Blocks of weights, cut so that ranks have about the same number of parameters.
        starts, n = [*plan.block_starts(), plan.n_parameters], plan.n_parameters
        self.blocks = [int(np.searchsorted(starts[:-1], n * r // ranks)) for r in range(ranks)]
        self.blocks.append(plan.n_blocks)
        cuts = [0, *(starts[b] for b in self.blocks[1:-1]), n]
        self.cuts = cuts
        self.sizes = np.diff(cuts)
        self.mine = slice(cuts[channel.rank], cuts[channel.rank + 1])
        self.gradients = np.zeros((self.own, n), weights.dtype)
        self.tails = np.zeros((self.own, len(TAIL)))
        # This slice of the sums of each node: own ones where they are, others' as they arrive.
        self.others: list[list[NDArray[Any]]] = [
            list(np.empty((len(each), self.sizes[channel.rank]), weights.dtype))
            for each in self.nodes
        ]
        self.others[channel.rank] = list(self.gradients[:, self.mine])
        self.values = list(itertools.chain(*self.others))
        # Where each tail is among the values of all ranks.
        starts = np.arange(ranks) * channel.payload
        self.tail_indices = np.concatenate(
            [
                np.arange(start, start + len(each) * len(TAIL))
                for start, each in zip(starts, self.nodes, strict=True)
            ]
        ).reshape(-1, len(TAIL))

    def add(self) -> tuple[NDArray[Any] | None, NDArray[np.float64]]:
        """Add up the `gradients` and `tails` of all ranks.

        Returns
        -------
        gradients : ndarray or None
            The sums of this rank's slice; None where the tail tells of an error, or of no weight.
        tail : ndarray
        """
        values = self.channel.gate(self.tails)
        (tail,) = add_tails(values.take(self.tail_indices), self.every, self.count)
        if tail[TAIL["status"]] != STATUS["fine"] or tail[TAIL["weight"]] == 0:
            return None, tail
        cuts = self.cuts
        self.channel.exchange(
            lambda rank: self.gradients[:, cuts[rank] : cuts[rank + 1]],
            lambda rank: self.others[rank],
        )
        (total,), _ = add_tree(self.values, self.every, self.count)
        return total, tail

    def gather(self, flat: NDArray[Any]) -> None:
        """Bring the slices of an array of all parameters together, in place."""
        cuts, mine = self.cuts, [flat[self.mine]]
        self.channel.exchange(lambda rank: mine, lambda rank: [flat[cuts[rank] : cuts[rank + 1]]])

    def gather_blocks(self, sums: NDArray[np.float64]) -> None:
        """Bring the rows of numbers by blocks together, in place."""
        from mpi4py import MPI

        sizes = np.diff(self.blocks)
        for row in sums:
            self.channel.comm.Allgatherv(MPI.IN_PLACE, [row, sizes])


def exchange_of(channel: Channel, count: int) -> Any:
    """What brings together what ranks know of an op with statistics over all rows."""
    groups = [owned(count, rank, channel.size) for rank in range(channel.size)]
    nodes = [roots(each.start, each.stop, count) for each in groups]
    every = list(itertools.chain(*nodes))

    def exchange(known: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
        channel.gate()
        width = known.shape[1]
        out = np.empty((len(every), width))
        sizes = [len(each) * width for each in nodes]
        channel.comm.Allgatherv(np.ascontiguousarray(known), [out, sizes])
        return out, every

    return exchange


def local_sums(training: GroupTraining, net: Network, sums: Sums, step: Any, key: int) -> None:
    """Write this rank's sums; raise what is wrong with its rows."""
    X, y, weight, order, counts = step
    training.sums(X, y, weight, order, counts, sums.gradients, sums.tails, key)
    if sums.own:
        status = int(sums.tails[:, TAIL["status"]].max())
        checked((status, 0, 0.0), training, net.dtype)


class Loop(GroupFitLoop):
    """One fit of a network to the rows of all ranks."""

    def __init__(
        self, net: Network, source: Any, held_out: Any, hooks: Hooks, channel: Channel
    ) -> None:
        self.channel = channel
        self.exchange = exchange_of(channel, len(source.groups.sizes))
        super().__init__(net, source, held_out, hooks)

    def new_training(self) -> GroupTraining:
        """The engine's part, and memory for what is exchanged."""
        training = super().new_training()
        self.sums = Sums(self.channel, self.net, len(self.source.groups.sizes))
        self.needs_blocks = bool(self.net.optimizer.clip_norm) or any(
            spec.l1 or spec.l2 for spec in self.weights.specs
        )
        return training

    def step(self, i: int, rate: float, key: int) -> tuple[float, float]:
        """Make a step with all ranks."""
        if self.channel.size == 1:
            return super().step(i, rate, key)
        training, sums, dtype = self.training, self.sums, self.net.dtype
        local_sums(training, self.net, sums, self.source.step(i), key)
        total, tail = sums.add()
        if total is None:
            total = np.zeros(0, dtype)
            result = training.begin_update(total, tail, 0, 0)
            return checked(result, training, dtype)
        rank = self.channel.rank
        first, last = sums.blocks[rank], sums.blocks[rank + 1]
        result = training.begin_update(total, tail, first, last, sums.mine.start)
        weight, _ = checked(result, training, dtype)
        if self.needs_blocks:
            sums.gather_blocks(training.block_sums)
            if training.scale_squares():
                sums.gather_blocks(training.block_sums)
        training.end_update(rate)
        sums.gather(self.weights.parameters)
        return weight, training.finish_update()

    def ends(self, logs: dict[str, float]) -> bool:
        """Call the hooks of an epoch's end, once each rank has the whole state."""
        self.gather_state()
        ends = np.array([float(super().ends(logs))])
        return bool(self.channel.gate(ends)[:, 0].any())

    def gather_state(self) -> None:
        """Bring the optimizer's state together, of which each rank has updated a slice."""
        weights = self.weights
        for row in weights.optimizer_state:
            self.sums.gather(row)
        if weights.average is not None:
            self.sums.gather(weights.average)


class Objective(GroupObjective):
    """The loss over the rows of all ranks, and its gradient."""

    def __init__(self, net: Network, source: Any, channel: Channel) -> None:
        super().__init__(net, source)
        self.channel, self.net = channel, net
        self.all_sums = Sums(channel, net, len(source.groups.sizes))

    def sums(self) -> NDArray[np.float64]:
        """Write the sum of all gradients to `gradient`, and return what travels with it."""
        sums = self.all_sums
        local_sums(self.training, self.net, sums, self.rows, self.key)
        total, tail = sums.add()
        if total is not None:
            self.gradient[sums.mine] = total
            sums.gather(self.gradient)
        return tail
