"""`fit`: what each rank is given, compared and checked, and the loop that trains on it."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

import relume
from relume import validation
from relume.distributed.mpi.channel import Channel, mpi4py_or_error
from relume.distributed.mpi.checkpoint import Checkpoint
from relume.distributed.mpi.loops import Loop, Objective
from relume.engine.group_training import TAIL
from relume.engine.tree import roots
from relume.nn.callbacks.callback import Callback, Hooks
from relume.nn.data import check_data
from relume.nn.data.shards import Shards
from relume.nn.data.splits import class_weights
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.training.group_fit import (
    GroupBatches,
    GroupShardBatches,
    check_groups,
)
from relume.nn.training.groups import Groups, groups_of, owned, seed_of
from relume.nn.training.history import History
from relume.nn.training.lbfgs_fit import check_fit as check_lbfgs
from relume.nn.training.lbfgs_fit import fit_lbfgs

if TYPE_CHECKING:
    from relume.nn.network import Network


def rows(n: int, groups: int | Sequence[int], comm: Any = None) -> slice:
    """Which rows of a data set belong to this rank.

    Parameters
    ----------
    n : int
        Number of rows of the data set.
    groups : int or sequence of int
        As of `fit`.
    comm : mpi4py.MPI.Comm or None, default=None
        The ranks; None takes all of the job.

    Returns
    -------
    rows : slice

    Examples
    --------
    >>> import numpy as np
    >>> from relume.distributed import mpi  # doctest: +SKIP
    >>> X = np.load("X.npy", mmap_mode="r")  # doctest: +SKIP
    >>> X = X[mpi.rows(len(X), groups=8)]  # doctest: +SKIP
    """
    comm = mpi4py_or_error().COMM_WORLD if comm is None else comm
    n = validation.integer(n, "n", 0)
    mine, starts = _owned(groups_of(groups, n), comm.Get_rank(), comm.Get_size())
    return slice(int(starts[mine.start]), int(starts[mine.stop]))


def _owned(sizes: tuple[int, ...], rank: int, ranks: int) -> tuple[range, NDArray[np.int64]]:
    """The groups of a rank, and where each group begins."""
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    return owned(len(sizes), rank, ranks), starts


def _check_shares(sizes, shares, own):
    """Raise where a rank has not as many rows as its groups."""
    expected = [sum(sizes[each.start : each.stop]) for each in shares]
    for rank, (n, found) in enumerate(zip(expected, own, strict=True)):
        if n != found:
            raise ValueError(
                f"X must have the rows of a rank's own groups: rank {rank} has groups "
                f"{shares[rank].start} to {shares[rank].stop - 1} of {len(sizes)}, {n} of "
                f"{sum(sizes)} rows, got {found}. Take X[mpi.rows(n, groups)] of all n rows, or "
                "pass the rows of each group as groups"
            )


def _of_classes(net, class_weight, found, y, weight):
    """The weights of rows, multiplied by those of their labels over all ranks."""
    if isinstance(class_weight, str):
        counts = np.sum([each["counts"] for each in found], axis=0)
        present = counts > 0
        each = counts.sum() / (present.sum() * np.maximum(counts, 1))
        class_weight = {k: float(each[k]) for k in np.flatnonzero(present).tolist()}
    if len(y) == 0:
        return weight
    return class_weights(class_weight, net.loss, net.n_outputs, y, weight, net.dtype)


def fit(
    net: Network,
    X: Any,
    y: ArrayLike | None = None,
    *,
    groups: int | Sequence[int],
    comm: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    epochs: int = 1,
    batch_size: int = 32,
    shuffle: bool = True,
    sample_weight: ArrayLike | None = None,
    class_weight: Mapping[int, float] | Literal["balanced"] | None = None,
    validation_data: Any = None,
    progress: bool = False,
    callbacks: Sequence[Callback | Callable[[Network, int, dict[str, float]], Any]] | None = None,
    threads: int = 1,
) -> History:
    """Train a network on the rows of all ranks, which all call this together.

    The network, its history and the state of its optimizer have the bits that
    ``net.fit(X, y, groups=groups)`` gives on one process with all rows, for any number of ranks.
    The ranks must run the same version of relume and NumPy on CPUs with the same instruction set;
    this is compared at the beginning, and so are the network and the arguments.

    Parameters
    ----------
    net : Network
        The same on all ranks, from the same seed. It is trained in place.
    X : array_like, sparse matrix or Shards
        The rank's own rows, see `rows`: an array, a memory map or a SciPy sparse matrix. Or an
        `nn.Shards` of the whole data set, of which each rank reads its own rows.
    y : array_like or None
        Targets of these rows; None for shards.
    groups : int or sequence of int
        Number of groups that the rows of all ranks are cut into, or the rows of each. Each rank
        has the same number of groups, or one fewer than others, in the order of the ranks. A
        minibatch should have 64 rows or more of each group.
    comm : mpi4py.MPI.Comm or None, default=None
        The ranks that train together; None takes all of the job.
    checkpoint : path or None, default=None
        A file that rank 0 writes after each epoch, atomically. If it is there already, the fit
        goes on from it, with the same bits on any number of ranks: `epochs` are then those of the
        interrupted fit.
    epochs : int, default=1
        Number of epochs to train.
    batch_size : int, default=32
        Number of rows per minibatch, of all ranks together.
    shuffle : bool, default=True
        Whether each epoch has an order of its own.
    sample_weight : array_like or None, default=None
        Weights of the rank's own rows.
    class_weight : dict, "balanced" or None, default=None
        As of ``Network.fit``; "balanced" counts the labels of all ranks.
    validation_data : tuple or None, default=None
        Held-out rows, the same on all ranks, each of which evaluates them.
    progress : bool, default=False
        Whether rank 0 shows the progress.
    callbacks : list or None, default=None
        As of ``Network.fit``, on each rank; if one of them ends the fit on some rank, it ends on
        all. Give callbacks that write files to rank 0 only.
    threads : int, default=1
        Threads of each rank during the fit.

    Returns
    -------
    history : History
        The same on all ranks, but for ``"seconds"`` and ``"skipped"``.

    Raises
    ------
    ImportError
        If mpi4py or an MPI library is missing.
    TypeError, ValueError, FloatingPointError, OSError
        As of ``Network.fit`` and ``Network.save``, and if ranks differ, on all ranks: those
        without an error of their own name the rank that has one.

    Warns
    -----
    UserWarning
        If the ranks of a machine have more threads together than it has cores, or if all ranks
        have the same rows.
    """
    MPI = mpi4py_or_error()
    channel = Channel(MPI.COMM_WORLD if comm is None else comm)
    threads = validation.integer(threads, "threads")
    with relume.num_threads(threads):
        error: BaseException | None = None
        prepared: dict[str, Any] = {}
        try:
            epochs = validation.integer(epochs, "epochs")
            prepared = _prepared(
                net, X, y, batch_size, shuffle, sample_weight, class_weight, validation_data,
                callbacks,
            )  # fmt: skip
        except Exception as raised:
            error = raised
        description = {"same": {}, "rows": 0, "counts": None, "sample": None}
        if error is None:
            arguments = groups, epochs, batch_size, shuffle, checkpoint
            description = _description(net, prepared, *arguments)
        found = channel.agree(description, error)
        channel.reserve(1)
        _warn_of_threads(MPI, channel, threads)
        _warn_of_same_rows(channel, found)
        try:
            return _fit(
                net, channel, prepared, found, groups, checkpoint, epochs, batch_size, shuffle,
                class_weight, progress,
            )  # fmt: skip
        except BaseException as raised:
            channel.tell(raised)
            raise


def _prepared(
    net, X, y, batch_size, shuffle, sample_weight, class_weight, validation_data, callbacks
):
    """What one rank can check by itself."""
    validation.integer(batch_size, "batch_size")
    validation.flag(shuffle, "shuffle")
    if isinstance(net.optimizer, LBFGS):
        check_lbfgs(net, y is None)
    _check_learned(net)
    if isinstance(X, Shards):
        if isinstance(class_weight, str):
            raise ValueError("class_weight must be a dict or None for shards, got 'balanced'")
        others = (class_weight, y, sample_weight, None, None)
        source = check_data.shard_batches(net, X, batch_size, shuffle, others)
        X, y, weight, n, form = source, source.y_like, None, len(source.shards), source.target_form
        width = source.width
    else:
        if y is None:
            raise TypeError("y must be given, unless X is an nn.Shards")
        given = y
        empty = X.shape[0] == 0 if hasattr(X, "shape") else len(X) == 0
        form = net._target_form.of_shape(given)
        if empty:  # a rank may have no rows
            X, y, weight = _no_rows(net, X, given)
        else:
            X, y, weight = check_data.rows(net, X, given, sample_weight, all_zero=True)
        n, width = len(y), X.shape[1]
    held_out = check_data.validation_rows(net, validation_data, width)
    hooks = Hooks(callbacks)
    hooks.check_logs(net, held_out is not None)
    net.build(width)
    return {
        "X": X, "y": y, "weight": weight, "rows": n, "width": width, "form": form,
        "held_out": held_out, "callbacks": callbacks,
        "counts": _counts(net, y, weight) if isinstance(class_weight, str) else None,
        "weighted": weight is not None, "class_weight": class_weight,
    }  # fmt: skip


def _no_rows(net, X, y):
    """Arrays without rows, in the form of those that have some."""
    X, y = X if hasattr(X, "shape") else np.asarray(X), np.asarray(y)
    if len(X.shape) != 2:
        raise ValueError(f"X must have shape (n_samples, n_features), got {X.shape}")
    like = np.zeros((1, *y.shape[1:]), y.dtype)
    targets = check_data.targets(net, like)[:0]
    return np.zeros((0, X.shape[1]), net.dtype), targets, None


def _check_learned(net):
    """Raise where a network would learn the mean of the data of all ranks."""
    if check_data.lacks_mean(net):
        raise ValueError(
            "nn.Standardize must have its mean and scale before a fit on several ranks: set them "
            "by load_state_dict, or fit the network to some rows on one process first"
        )
    if net.scale_targets and not net._target_form.learned:
        raise ValueError(
            "scale_targets=True needs the mean and scale of the targets before a fit on several "
            "ranks: fit the network to some rows on one process first"
        )


def _counts(net, y, weight):
    """The rows of each label that count."""
    if not net.loss.classifies or net.loss.expected(y).ndim != 1:
        raise ValueError(
            f"class_weight needs one label per row, but loss={net.loss.name!r} takes other targets"
        )
    labels = net.loss.expected(y)
    counted = labels if weight is None else labels[weight > 0]
    return np.bincount(counted.astype(np.int64), minlength=max(net.n_outputs, 2)).tolist()


def _description(net, prepared, groups, epochs, batch_size, shuffle, checkpoint):
    """What ranks compare, each with what to do where they differ."""
    weights = net._built()
    parameters = hashlib.blake2b(weights.parameters.tobytes(), digest_size=8)
    parameters.update(weights.optimizer_state.tobytes())
    sizes = groups if isinstance(groups, int) else [int(n) for n in np.ravel(groups)]
    alike = "pass the same to mpi.fit"
    held_out = prepared["held_out"]
    same = {
        "version of relume": (relume.__version__, "install one version everywhere"),
        "version of NumPy": (np.__version__, "install one version everywhere"),
        "instruction set": (
            relume.simd(), "set RELUME_SIMD to one that all CPUs have, or leave it out everywhere"
        ),
        "number of features of X": (prepared["width"], "give each rank rows of one data set"),
        "layers": (repr(net.layers), "build the same network on all"),
        "dtype": (str(net.dtype), "pass the same dtype to nn.Network"),
        "loss": (repr(net.loss), "build the same network on all"),
        "optimizer": (repr(net.optimizer), "build the same network on all"),
        "schedule": (repr(net.schedule), "build the same network on all"),
        "form of y": (
            [str(prepared["y"].dtype), list(prepared["y"].shape[1:])],
            "give each rank targets of one data set",
        ),
        "groups": (sizes, alike),
        "batch_size": (batch_size, alike),
        "epochs": (epochs, alike),
        "shuffle": (shuffle, alike),
        "checkpoint": (checkpoint is not None, alike),
        "class_weight": (repr(prepared["class_weight"]), alike),
        "number of rows of validation_data": (
            None if held_out is None else len(held_out[1]), alike
        ),
        "epoch of the network": (net.epoch, "begin with the same network on all"),
        "seed": (seed_of(net._rng), "pass the same integer as seed to nn.Network"),
        "digest of the weights": (
            parameters.hexdigest(), "begin with the same network on all, from the same seed"
        ),
    }  # fmt: skip
    return {
        "same": same, "rows": prepared["rows"], "counts": prepared["counts"],
        "weighted": prepared["weighted"], "sample": _sample(prepared["X"]),
    }  # fmt: skip


def _sample(X):
    """A digest of some rows of an array in memory, by which ranks find out that they are alike."""
    if not isinstance(X, np.ndarray) or len(X) == 0:
        return None
    some = X[np.linspace(0, len(X) - 1, 64).astype(np.intp)]
    return hashlib.blake2b(np.ascontiguousarray(some).tobytes(), digest_size=8).hexdigest()


def _warn_of_same_rows(channel, found):
    """Warn where each rank was given all rows instead of its own."""
    rows = {(each["rows"], each["sample"]) for each in found}
    if channel.rank == 0 and len(found) > 1 and len(rows) == 1 and found[0]["sample"] is not None:
        warnings.warn(
            f"all {len(found)} ranks have the same {found[0]['rows']} rows of X, each of which "
            f"therefore counts {len(found)} times: pass each rank its own, "
            "X[mpi.rows(len(X), groups)] and y alike",
            stacklevel=4,
        )


def _warn_of_threads(MPI, channel, threads):
    """Warn where the ranks of a machine have more threads than it has cores."""
    node = channel.comm.Split_type(MPI.COMM_TYPE_SHARED)
    ranks, first, cores = node.Get_size(), node.Get_rank() == 0, os.cpu_count() or 1
    node.Free()
    if first and ranks * threads > cores:
        warnings.warn(
            f"{ranks} ranks with {threads} {'threads' if threads > 1 else 'thread'} each exceed "
            f"the {cores} cores of this machine: they wait for each other. Start fewer ranks a "
            "machine, or pass fewer threads to mpi.fit",
            stacklevel=4,
        )


def _fit(
    net, channel, prepared, found, groups, checkpoint, epochs, batch_size, shuffle, class_weight,
    progress,
):  # fmt: skip
    """The fit, once all ranks have agreed on it."""
    X, y, weight = prepared["X"], prepared["y"], prepared["weight"]
    shards = not hasattr(X, "shape")
    total = prepared["rows"] if shards else sum(each["rows"] for each in found)
    cut = Groups(groups_of(groups, total) if total else (0,), batch_size)
    check_groups(net, cut)
    count = len(cut.sizes)
    shares = [owned(count, rank, channel.size) for rank in range(channel.size)]
    mine = shares[channel.rank]
    max_nodes = max(len(roots(each.start, each.stop, count)) for each in shares)
    channel.reserve(max(len(TAIL) * max_nodes, 1))
    if not shards:
        _check_shares(cut.sizes, shares, [each["rows"] for each in found])
    if shards:
        source: Any = GroupShardBatches(X, cut, mine.start, mine.stop)
    else:
        if any(each["weighted"] for each in found) and weight is None:
            weight = np.ones(len(y), net.dtype)
        if class_weight is not None:
            weight = _of_classes(net, class_weight, found, y, weight)
        if weight is not None and "activity_l1" in net._kinds:
            raise ValueError("weights of rows must be None with nn.ActivityL1 on several ranks")
        source = GroupBatches(X, y, weight, cut, shuffle, mine.start, mine.stop)
        source.target_form = prepared["form"]
    callbacks, before = list(prepared["callbacks"] or []), net.epoch
    saved = Checkpoint(channel, cut, checkpoint) if checkpoint is not None else None
    if saved is not None:
        saved.restore(net)
        callbacks.append(saved)
    hooks = Hooks(callbacks)
    left = max(epochs - (net.epoch - before), 0)
    progress = progress and channel.rank == 0
    held_out = prepared["held_out"]
    if isinstance(net.optimizer, LBFGS):
        history = fit_lbfgs(
            net, source, left, held_out, hooks, progress,
            lambda net, source: Objective(net, source, channel),
        )  # fmt: skip
    else:
        history = Loop(net, source, held_out, hooks, channel).run(left, progress)
    if saved is not None:
        history = net._history = saved.history(history)
    channel.gate()
    return history
