"""Training and prediction on a Dask cluster.

The rows of each group lie on one worker, and stay there. For each step, each worker is sent the
parameters, and returns the sums of the gradients over its groups' rows; the client adds these in
the tree of ``relume.engine.tree``, and makes the step. All tasks are functions of their arguments,
so whatever a lost worker had is computed again elsewhere, with the same bits.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import os
import pickle
import socket
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import relume
from relume import validation
from relume.engine.group_training import TAIL, GroupTraining, add_tails
from relume.engine.tree import add_tree
from relume.nn.callbacks.callback import Callback, Hooks
from relume.nn.data import check_data
from relume.nn.data.minibatches import no_mean
from relume.nn.data.rows import SparseRows
from relume.nn.data.shards import GroupedShards, Shards
from relume.nn.data.splits import balanced, weights_of_labels
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.training.group_fit import GroupFitLoop, GroupObjective, check_groups
from relume.nn.training.groups import Groups, groups_of, order
from relume.nn.training.history import History
from relume.nn.training.lbfgs_fit import check_fit as check_lbfgs
from relume.nn.training.lbfgs_fit import fit_lbfgs
from relume.nn.training.run import checked, new_training
from relume.public_names import publish as _publish

if TYPE_CHECKING:
    from relume.nn.network import Network

__all__ = ["fit", "predict", "predict_proba"]

POLL = 2.0  # seconds after which a wait looks whether there still are workers
ATTEMPTS = 5  # at a step whose tasks were lost with workers
GONE = ("cancelled", "lost")  # statuses of futures


def fit(
    net: Network,
    X: Any,
    y: Any = None,
    *,
    client: Any = None,
    groups: int | Sequence[int] | None = None,
    epochs: int = 1,
    batch_size: int = 8192,
    shuffle: bool = True,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | Literal["balanced"] | None = None,
    validation_data: tuple[Any, ...] | None = None,
    progress: bool = False,
    callbacks: Sequence[Callback | Callable[[Network, int, dict[str, float]], Any]] | None = None,
    threads: int = 1,
    timeout: float = 30.0,
) -> History:
    """Train a network on rows that lie in a Dask cluster.

    The bits of the parameters, of the optimizer's state and of the history are those of
    ``net.fit(X, y, groups=groups)`` with all rows in one process, for any number of workers, also
    when workers are lost.

    Parameters
    ----------
    net : Network
        Trained in place, in this process.
    X : dask array of shape (n, n_features), dask dataframe, or Shards
        Input rows. They are computed at the beginning, and stay in the workers' memory.
        ``nn.Shards`` are a folder that each worker sees by the same path, and reads its groups'
        rows from.
    y : dask array of shape (n,) or (n, n_outputs), dask series or dataframe, or None
        Targets, in as many partitions as X. A label may be missing in a partition. None where X
        is ``nn.Shards``, which holds targets and weights.
    client : distributed.Client or None, default=None
        None takes the current one.
    groups : int, sequence of int or None, default=None
        Number of groups that the rows are cut into, or the rows of each. None makes each
        partition a group. Others than the partitions move rows once, at the beginning.
        ``nn.Shards`` need it.
    epochs, shuffle, class_weight, progress, callbacks
        As in ``Network.fit``.
    batch_size : int, default=8192
        Number of rows per minibatch, of all workers together. A step takes the cluster 10 to 50
        ms beyond its arithmetic.
    sample_weight : dask array of shape (n,), dask series or None, default=None
        Weight of each row.
    validation_data : tuple (X, y) or (X, y, sample_weight) or None, default=None
        Held-out rows in memory, evaluated in this process.
    threads : int, default=1
        Number of relume's threads in a worker process.
    timeout : float, default=30.0
        Seconds to wait for a worker where there is none.

    Returns
    -------
    history : History

    Raises
    ------
    TimeoutError
        If the cluster has no workers.
    TypeError, ValueError
        If an argument is invalid; of rows, the message names the partition.
    RuntimeError
        If a partition cannot be computed, or not again after a worker was lost; the message names
        it. Also if workers have another version of relume, or another instruction set.
    FloatingPointError
        As ``Network.fit``.
    """
    epochs = validation.integer(epochs, "epochs")
    batch_size = validation.integer(batch_size, "batch_size")
    shuffle = validation.flag(shuffle, "shuffle")
    progress = validation.flag(progress, "progress")
    threads = validation.integer(threads, "threads")
    _check_network(net)
    hooks = Hooks(callbacks)
    cluster = _Cluster(client, validation.positive(timeout, "timeout"))
    parts: _Partitions | _Folder
    if isinstance(X, Shards):
        others = (class_weight, y, sample_weight)
        parts = _Folder(net, cluster, X, check_data.shard_batches(net, X, 1, shuffle, others))
    else:
        parts = _Partitions(net, cluster, X, y, sample_weight, class_weight)
    sizes = groups_of(parts.sizes if groups is None else groups, sum(parts.sizes))
    cut = Groups(sizes, batch_size)
    check_groups(net, cut)
    check_data.check_enough_rows(net, cut.rows, batch_size)
    held_out = check_data.validation_rows(net, validation_data, parts.width)
    hooks.check_logs(net, held_out is not None)
    cluster.warn_of_threads(parts.hosts, threads)
    source = _Source(cluster, parts, cut, shuffle, threads)
    if isinstance(net.optimizer, LBFGS):
        return fit_lbfgs(net, source, epochs, held_out, hooks, progress, _Objective)
    return _Loop(net, source, held_out, hooks).run(epochs, progress)


def predict(net: Network, X: Any) -> Any:
    """Predictions of ``Network.predict``, computed where and when the rows are.

    Parameters
    ----------
    net : Network
        The result is computed with a copy of the network as it is now.
    X : dask array of shape (n, n_features), or dask dataframe

    Returns
    -------
    y : dask array, series or dataframe
        With a ``meta`` of the right dtype. Those of a dataframe have its index.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np
    >>> from relume import nn
    >>> from relume.distributed import dask
    >>> net = nn.Network([nn.Dense(3)], seed=0)
    >>> net = net.build(8)
    >>> dask.predict(net, da.zeros((1000, 8), chunks=(250, 8), dtype="float32"))
    dask.array<predict, shape=(1000,), dtype=int64, chunksize=(250,), chunktype=numpy.ndarray>
    """
    return _lazily(net, X, "predict")


def predict_proba(net: Network, X: Any) -> Any:
    """Class probabilities of ``Network.predict_proba``, computed where and when the rows are.

    Parameters
    ----------
    net : Network
        The result is computed with a copy of the network as it is now.
    X : dask array of shape (n, n_features), or dask dataframe

    Returns
    -------
    p : dask array or dataframe
        With a ``meta`` of the right dtype. Those of a dataframe have its index.
    """
    return _lazily(net, X, "predict_proba")


def _lazily(net, X, method):
    width = net._built().plan.n_in
    kind = _kind_of(X, "X")
    from dask.delayed import delayed  # installed, since X is one of its collections

    found = len(X.columns) if kind == "dataframe" else X.shape[1:]
    if found not in (width, (width,)):
        raise ValueError(f"X must have {width} features, got {_shown(X)}")
    like = getattr(net, method)(np.empty((0, width), net.dtype))
    data = pickle.dumps(copy.copy(net))
    name = f"network-{hashlib.sha256(data).hexdigest()[:32]}"
    # Workers make the network anew, since Dask would keep the caller's, which may train on.
    shared = delayed(pickle.loads, name=name)(data, dask_key_name=name)
    if kind == "dataframe":
        import pandas

        columns = {"columns": range(like.shape[1])} if like.ndim == 2 else {}
        meta = (pandas.DataFrame if columns else pandas.Series)(like, X._meta.index[:0], **columns)
        return X.map_partitions(_of_frame, shared, method, columns, meta=meta)
    X = X.rechunk({1: -1})
    shape = {"drop_axis": 1} if like.ndim == 1 else {"chunks": (X.chunks[0], like.shape[1:])}
    return X.map_blocks(_of_block, shared, method, dtype=like.dtype, meta=like, name=None,
                        token=method, **shape)  # fmt: skip


def _of_block(X, net, method):
    return getattr(net, method)(X)


def _of_frame(frame, net, method, columns):
    import pandas

    values = getattr(net, method)(frame)
    return (pandas.DataFrame if columns else pandas.Series)(values, frame.index, **columns)


# -- what is refused ------------------------------------------------------------------------------


def _kind_of(values, name):
    """Whether these are Dask's "array", "dataframe" or "series"."""
    kind = check_data.dask_kind(values)
    if kind is None:
        raise TypeError(
            f"{name} must be a dask array or dataframe, got {validation.shown(values)}; net.fit "
            "and net.predict take rows in memory, memory maps and nn.Shards"
        )
    if kind == "array" and name == "X" and values.ndim != 2:
        raise ValueError(f"X must have shape (n_samples, n_features), got {values.shape}")
    return kind


def _shown(X):
    return len(X.columns) if hasattr(X, "columns") else X.shape[1]


def _check_network(net):
    if net._has_batch_norm():
        raise ValueError(
            "layers must not hold nn.BatchNorm on a Dask cluster, since it needs sums over all "
            "rows within a step; use nn.LayerNorm, or relume.distributed.mpi"
        )
    if isinstance(net.optimizer, LBFGS):
        check_lbfgs(net, False)
    if check_data.lacks_mean(net):
        raise no_mean()
    if net.scale_targets and not net._target_form.learned:
        raise ValueError(
            "scale_targets=True must have learned the targets' mean and std before: give fit or "
            "train_on_batch some rows in memory first, or load a state that has them"
        )


# -- the cluster ----------------------------------------------------------------------------------


class _Lost(RuntimeError):
    """The tasks of a step were lost with their workers."""

    def __init__(self, what: object) -> None:
        super().__init__(f"workers are lost again and again: {what}")


class _Cluster:
    """The workers of a client, and waits that have a limit.

    Parameters
    ----------
    client : distributed.Client or None
    timeout : float
        Seconds to wait for a worker where there is none.
    """

    def __init__(self, client, timeout):
        try:
            import distributed
        except ImportError as error:
            raise ImportError(
                f"relume.distributed.dask needs dask with distributed: {error}. "
                "pip install 'relume[dask]'"
            ) from error

        if client is None:
            try:
                client = distributed.get_client()
            except ValueError:
                raise ValueError(
                    "client must be a dask.distributed.Client where there is no current one: make "
                    "one with Client(address), or Client() for processes of this machine"
                ) from None
        if not isinstance(client, distributed.Client):
            raise TypeError(
                f"client must be a dask.distributed.Client, got {validation.shown(client)}"
            )
        self.client, self.timeout = client, timeout
        self.workers()

    def workers(self):
        """The addresses of the workers, at least one."""
        end = time.monotonic() + self.timeout
        while True:
            found = sorted(self.client.scheduler_info(n_workers=-1)["workers"])
            if found:
                return found
            if time.monotonic() > end:
                address = getattr(self.client.scheduler, "address", "an unknown address")
                raise TimeoutError(
                    f"the Dask cluster at {address} has had no workers for "
                    f"{self.timeout:g} s; start some, or pass a longer timeout"
                )
            time.sleep(min(0.1, self.timeout))

    def wait(self, futures, chosen=frozenset()):
        """Wait until futures are done, in whatever way.

        `_Lost` is raised where all workers are lost that they were meant for: the scheduler would
        keep them waiting for these, also where they may run on others.
        """
        import distributed

        while True:
            try:
                distributed.wait(futures, timeout=POLL)
                return
            except distributed.TimeoutError:
                if chosen.isdisjoint(self.workers()) and chosen:
                    raise _Lost(f"all of {sorted(chosen)}") from None
            except distributed.CancelledError:
                return

    def assign(self, sizes, holders):
        """A worker for each group: consecutive groups, and about the same number of rows each.

        Parameters
        ----------
        sizes : tuple of int
            Number of rows of each group.
        holders : list of list of str
            The workers that have rows of each group now.
        """
        workers, total = self.workers(), max(sum(sizes), 1)
        # Those that have the first rows come first, so that few rows move.
        middle = {
            worker: [g for g, each in enumerate(holders) if worker in each] for worker in workers
        }
        workers.sort(key=lambda worker: np.mean(middle[worker] or len(sizes)))
        owners, start = [], 0
        for size in sizes:
            k = int((start + size / 2) / total * len(workers))
            owners.append(workers[min(k, len(workers) - 1)])
            start += size
        return owners

    def on(self, worker):
        """Arguments of `Client.submit` for a task that had best be on a worker; see `free`."""
        return {"workers": [worker], "allow_other_workers": True}

    def free(self, futures):
        """Let the scheduler compute futures again on any worker.

        If all workers were lost, it would wait for the one that a task was meant for, though it
        may be on others.
        """
        if futures:
            scheduler: Any = self.client.scheduler
            none: dict[Any, list[str]] = {future.key: [] for future in futures}
            self.client.sync(scheduler.set_restrictions, worker=none)

    def check_data(self, names, futures, again=""):
        """Raise where the rows of a group or partition are lost, or cannot be computed."""
        for name, future in zip(names, futures, strict=True):
            if future.status in GONE:
                raise RuntimeError(
                    f"{name} cannot be computed{again}: what it is made of was lost with a "
                    "worker; data that were scattered cannot be computed again, those of files "
                    "and functions can"
                )
            if future.status == "error":
                error = future.exception()
                if isinstance(error, TypeError | ValueError) and str(error).startswith(name):
                    raise error
                raise RuntimeError(
                    f"{name} cannot be computed{again}: {type(error).__name__}: {error}"
                ) from error

    def results(self, futures):
        """The results of futures that are done; `_Lost` where they went with a worker."""
        import distributed

        try:
            return self.client.gather(futures)
        except (distributed.CancelledError, distributed.KilledWorker) as error:
            raise _Lost(str(error)) from error

    def warn_of_threads(self, hosts, threads):
        """Warn where the workers of a machine have more threads than it has cores."""
        for host, (processes, cores) in sorted(hosts.items()):
            if processes * threads > cores:
                warnings.warn(
                    f"{processes} workers on {host} with threads={threads} have more threads than "
                    f"its {cores} cores; start fewer workers there",
                    RuntimeWarning,
                    stacklevel=3,
                )


def _about():
    """What must be the same on all machines for equal bits."""
    return {"relume": relume.__version__, "RELUME_SIMD": relume.simd()}


def _check_about(found):
    mine = _about()
    for name, value in found.items():
        if value != mine[name]:
            remedy = "install the same" if name == "relume" else f"set {name} to the same"
            raise RuntimeError(
                f"workers must have {name} {mine[name]} as this process, got {value}; {remedy} "
                "on all of them"
            )


# -- rows -----------------------------------------------------------------------------------------


class _Rows:
    """Rows of a partition or group, as the engine takes them, in the memory of a worker."""

    def __init__(self, X, y, weight):
        self.X, self.y, self.weight = X, y, weight
        self._order: Any = None

    def __len__(self):
        return len(self.y)

    def __getstate__(self):
        return {**vars(self), "_order": None}

    def __sizeof__(self):
        return sum(each.nbytes for each in (self.X, self.y, self.weight) if each is not None)

    def take(self, seed, epoch, group, rows, shuffle, out):
        """Some rows of the order of an epoch: their X goes to `out`; y and weights (or None)."""
        position, found = self._order or (None, np.empty(0, np.int64))
        if position != (seed, epoch):
            found = order(seed, epoch, group, len(self)) if shuffle else np.arange(len(self))
            self._order = (seed, epoch), found
        rows = found[rows]
        np.take(self.X, rows, 0, out, mode="clip")  # "raise" would copy once more
        return self.y[rows], None if self.weight is None else self.weight[rows]

    def all(self, out):
        """All rows, as `take`."""
        out[:] = self.X
        return self.y, self.weight


def _prepared(net, i, X, y, weight):
    """The rows of a partition as the engine takes them."""
    try:
        if not hasattr(X, "shape"):
            X = np.asarray(X)
        if len(X) == 0:
            validation.same_length(X, np.asarray(y), ("X", "y"))
            return i, None, X.shape[1:], None
        shape = np.shape(y)
        rows = check_data.rows(net, X, y, weight, all_zero=True)
        if isinstance(rows[0], SparseRows):
            raise TypeError("X must be dense on a Dask cluster, got a sparse matrix")
    except (TypeError, ValueError) as error:
        raise type(error)(f"partition {i} of the data: {error}") from None
    X = rows[0] if isinstance(rows[0], np.ndarray) else rows[0].take(slice(None))
    return i, _Rows(X, *rows[1:]), X.shape[1:], shape[1:]


@dataclass(frozen=True)
class _Description:
    n: int
    width: int
    y_like: Any
    y_shape: Any
    counts: Any
    about: Any
    host: str
    cores: int


def _process():
    """What must be the same everywhere, the machine's name, and its cores."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return _about(), socket.gethostname(), cores


def _describe(net, part, class_weight):
    _, rows, shape, y_shape = part
    counts = None
    if class_weight is not None and rows is not None:
        weights_of_labels(class_weight, net.loss, net.n_outputs, rows.y, rows.weight)
        kept = None if rows.weight is None else rows.weight > 0
        counts = np.bincount(net.loss.expected(rows.y), kept, max(net.n_outputs, 2))
    return _Description(
        0 if rows is None else len(rows), shape[0] if shape else 0,
        None if rows is None else rows.y[:0], y_shape, counts, *_process(),
    )  # fmt: skip


def _joined(slices, weights, expected, *parts):
    """A group of rows of some partitions, with the weights of their classes."""
    chosen = [
        [None if a is None else a[rows] for a in (part[1].X, part[1].y, part[1].weight)]
        for rows, part in zip(slices, parts, strict=True)
        if part[1] is not None and rows.stop > rows.start
    ]
    if not chosen:
        return 0, None, (), None
    columns: list[Any] = [
        None if each[0] is None else each[0] if len(each) == 1 else np.concatenate(each)
        for each in zip(*chosen, strict=True)
    ]
    X, y, weight = columns
    if weights is not None:
        of_class = weights[expected(y)]
        weight = of_class if weight is None else of_class * weight
    return 0, _Rows(X, y, weight), X.shape[1:], None


class _Partitions:
    """The partitions of X, y and weights, prepared on the workers.

    Parameters
    ----------
    net : Network
    cluster : _Cluster
    X, y, weight
        Dask's collections, or None for the weights.
    class_weight
        As of ``Network.fit``.
    """

    def __init__(self, net, cluster, X, y, weight, class_weight):
        from dask.delayed import delayed

        self.cluster, self.expected = cluster, net.loss.expected
        columns = _aligned(X, y, weight)
        names = [f"partition {i} of the data" for i in range(len(columns[0]))]
        self.names = names
        client = cluster.client
        spare = delayed(copy.copy(net), pure=False, traverse=False)
        prepared = delayed(_prepared, pure=False)
        # No task of the data is meant for one worker: the scheduler could compute it again on none
        # if it was alone when it was lost.
        self.futures = client.compute(
            [prepared(spare, i, *(column[i] for column in columns)) for i in range(len(names))]
        )
        pending = [
            client.submit(_describe, net, part, class_weight, pure=False) for part in self.futures
        ]
        cluster.wait(pending)
        cluster.check_data(names, self.futures)
        cluster.check_data(names, pending)
        found = cluster.results(pending)
        for each in found:
            _check_about(each.about)
        self.sizes = tuple(each.n for each in found)
        full = [i for i, n in enumerate(self.sizes) if n]
        if not full:
            raise ValueError("X must have at least one row in all partitions together, got none")
        first = found[full[0]]
        for i in full:
            each, forms = found[i], []
            for one in (first, each):
                forms.append((one.width, one.y_like.shape[1:], one.y_like.dtype, one.y_shape))
            if forms[0] != forms[1]:
                raise ValueError(
                    f"all partitions must have the columns of the first one: {first.width} "
                    f"features and y of shape {('n', *first.y_shape)}; got {each.width} and "
                    f"{('n', *each.y_shape)} in {names[i]}"
                )
        self.width, self.y_like = first.width, first.y_like
        self.target_form = net._target_form.of_shape(np.empty((0, *first.y_shape)))
        self.hosts: dict[str, tuple[int, int]] = {}
        who = client.who_has(self.futures)
        holders: dict[str, set[str]] = {}
        for future, each in zip(self.futures, found, strict=True):
            holders.setdefault(each.host, set()).update(who[future.key])
            self.hosts[each.host] = len(holders[each.host]), each.cores
        self.each = None
        if class_weight is not None:
            weights = (
                balanced(sum(found[i].counts for i in full))
                if isinstance(class_weight, str)
                else weights_of_labels(class_weight, net.loss, net.n_outputs, self.y_like, None)
            )
            self.each = np.asarray(weights, net.dtype)

    def groups(self, sizes):
        """Names and futures of groups, each on the worker that `_Cluster.assign` chooses."""
        cluster, parts = self.cluster, range(len(self.sizes))
        ends = np.cumsum(self.sizes)
        starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        who = cluster.client.who_has(self.futures)
        holders = [who[future.key] for future in self.futures]
        group_slices = []
        for start, end in itertools.pairwise(starts):
            slices = {}
            for i in parts:
                begin = int(ends[i]) - self.sizes[i]
                a, b = max(start, begin), min(end, int(ends[i]))
                if a < b:
                    slices[i] = slice(a - begin, b - begin)
            group_slices.append(slices)
        same = sizes == self.sizes and self.each is None
        owners = cluster.assign(
            sizes, [[h for i in each for h in holders[i]] for each in group_slices]
        )
        names, futures, moved = [], [], []
        for g, (slices, owner) in enumerate(zip(group_slices, owners, strict=True)):
            name = f"group {g} of the data, of partitions {[*slices]},"
            if same:
                name = self.names[g]
                if owner in holders[g] or not slices:
                    names.append(name)
                    futures.append(self.futures[g])
                    continue
            future = cluster.client.submit(
                _joined, list(slices.values()), self.each, self.expected,
                *(self.futures[i] for i in slices), pure=False, **cluster.on(owner),
            )  # fmt: skip
            names.append(name)
            futures.append(future)
            moved.append(future)
        cluster.wait(futures)
        cluster.check_data(self.names, self.futures)
        cluster.check_data(names, futures)
        cluster.free(moved)
        self.futures = []
        return names, futures


class _ShardRows:
    """Rows of a group that a worker reads from shards as they are needed.

    Parameters
    ----------
    source : ShardBatches
    sizes : tuple of int
        Number of rows of all groups.
    group : int
    """

    def __init__(self, source, sizes, group):
        self._source, self._sizes, self._group = source, sizes, group
        self._data: Any = None
        self._lock = threading.Lock()

    def __len__(self):
        return self._sizes[self._group]

    def __getstate__(self):
        return {**vars(self), "_data": None, "_lock": None}

    def __setstate__(self, state):
        vars(self).update(state, _lock=threading.Lock())

    def take(self, seed, epoch, group, rows, shuffle, out):
        """As `_Rows.take`."""
        with self._lock:
            if self._data is None:
                self._data = GroupedShards(self._source.shards, self._sizes, shuffle)
            found = self._data.rows(seed, epoch, group, rows)
        out[:], y, weight = self._source._taken(found)
        return y, weight

    def all(self, out):
        """As `_Rows.all`."""
        first = sum(self._sizes[: self._group])
        found = self._source.shards.rows(first, first + len(self))
        out[:], y, weight = self._source._taken(found)
        return y, weight


def _opened(source, sizes, group):
    if not sizes[group]:
        return group, None, (), None
    return group, _ShardRows(source, sizes, group), (source.width,), None


class _Folder:
    """Shards as `_Partitions`.

    Parameters
    ----------
    net : Network
    cluster : _Cluster
    shards : Shards
    source : ShardBatches
    """

    def __init__(self, net, cluster, shards, source):
        self.cluster, self.source = cluster, source
        self.sizes, self.width = (len(shards),), source.width
        self.y_like, self.target_form = source.y_like, source.target_form
        found = cluster.client.run(_process)
        self.hosts: dict[str, tuple[int, int]] = {}
        for about, host, cores in found.values():
            _check_about(about)
            self.hosts[host] = self.hosts.get(host, (0, 0))[0] + 1, cores

    def groups(self, sizes):
        """Names and futures of groups."""
        cluster, submit = self.cluster, self.cluster.client.submit
        source = submit(_received, self.source, pure=False)
        futures = [
            submit(_opened, source, sizes, g, pure=False, **cluster.on(owner))
            for g, owner in enumerate(cluster.assign(sizes, [()] * len(sizes)))
        ]
        names = [f"group {g} of the shards" for g in range(len(sizes))]
        cluster.wait(futures)
        cluster.check_data(names, futures)
        cluster.free(futures)
        return names, futures


def _aligned(X, y, weight):
    """Delayed partitions of X, y and weights, as many of each."""
    known: Any = None
    columns: list[Any] = []
    for values, name in zip((X, y, weight), check_data.NAMES, strict=True):
        if values is None and name != "y":
            columns.append(None)
            continue
        kind = _kind_of(values, name)
        if kind == "array":
            if values.ndim == 2 and values.numblocks[1] > 1:
                values = values.rechunk({1: -1})
            rows = values.chunks[0]
            if name == "X":
                known = rows
            elif known is not None and not np.isnan([*known, *rows]).any():
                if sum(known) != sum(rows):
                    raise ValueError(
                        f"X and {name} must have the same length, got {sum(known)} and {sum(rows)}"
                    )
                values = values.rechunk({0: known})
        parts = [*np.ravel(values.to_delayed())]
        if columns and len(parts) != len(columns[0]):
            raise ValueError(
                f"X and {name} must have the same partitions, got {len(columns[0])} and "
                f"{len(parts)}; rechunk or repartition one of them"
            )
        columns.append(parts)
    return [[None] * len(columns[0]) if each is None else each for each in columns]


# -- a worker's part ------------------------------------------------------------------------------


class _Spec:
    """What a worker knows of a fit, and keeps from step to step while the fit lasts.

    What a task uses of what is kept is a function of the task's arguments, so that nothing depends
    on what a process did before.

    Parameters
    ----------
    net : bytes
        Pickled.
    groups : Groups
    shuffle : bool
    threads : int
    y_like : ndarray
    """

    def __init__(self, net, groups, shuffle, threads, y_like):
        self.net, self.groups, self.shuffle = net, groups, shuffle
        self.threads, self.y_like = threads, y_like
        self._kept: dict[tuple[int, int, int], _Kept] = {}

    def __getstate__(self):
        return {**vars(self), "_kept": {}}

    def take(self, first, last, rows):
        """What is kept for some groups, which is for the caller alone until it is put back."""
        return self._kept.pop((first, last, rows), None) or _Kept(self, first, last, rows)

    def put_back(self, first, last, rows, kept):
        """Keep it for the next step."""
        self._kept[first, last, rows] = kept


def _received(spec):
    return spec


class _Kept:
    """What a process keeps for the next step over some groups: a training, and memory for rows."""

    def __init__(self, spec, first, last, rows):
        self.net = pickle.loads(spec.net)  # as all arguments of Dask's tasks come; never a file's
        self.training = new_training(self.net, rows, spec.y_like, steps=False, kind=GroupTraining)
        self.training.own(first, last, len(spec.groups.sizes))
        # New memory in each step would take its pages longer to come than the rows to be copied.
        self.X = np.empty((rows, self.net._built().plan.n_in), self.net.dtype)


def _sums(spec, parameters, position, runs, *parts):
    """The sums of losses and gradients over the rows of a worker's groups.

    Parameters
    ----------
    spec : _Spec
    parameters : ndarray
    position : tuple of int
        Seed, epoch, step and key; or just the key, for all rows.
    runs : list of tuple of int
        Consecutive groups, each without the last.
    *parts : tuple
        What `_prepared` or `_joined` returned, of each group.
    """
    from distributed import get_worker

    parts, nodes, values, tails = list(parts), [], [], []
    with relume.num_threads(spec.threads):
        for first, last in runs:
            mine, parts = parts[: last - first], parts[last - first :]
            rows = spec.groups.max_rows(first, last)
            if len(position) == 1:
                rows = max(sum(spec.groups.sizes[first:last]), 1)
            kept = spec.take(first, last, rows)
            training = kept.training
            X, y, weight, counts = _taken(spec, position, first, last, mine, kept.X)
            kept.net._built().parameters[:] = parameters
            sums = np.zeros((len(training.nodes), len(parameters)), parameters.dtype)
            ends = np.zeros((len(training.nodes), len(TAIL)))
            training.sums(X, y, weight, None, counts, sums, ends, position[-1])
            nodes += training.nodes
            values.append(sums)
            tails.append(ends)
            spec.put_back(first, last, rows, kept)
    return get_worker().address, _about(), nodes, np.concatenate(values), np.concatenate(tails)


def _taken(spec, position, first, last, parts, out):
    """X, y and weights of a step's rows, and how many are of each group; X is part of `out`."""
    columns, counts, n = [], [], 0
    for group, part in zip(range(first, last), parts, strict=True):
        rows = part[1]
        which = slice(0, 0 if rows is None else len(rows))
        if len(position) > 1:
            which = spec.groups.slice(group, position[2])
        counts.append(which.stop - which.start)
        if not counts[-1]:
            continue
        X = out[n : n + counts[-1]]
        if len(position) == 1:
            columns.append(rows.all(X))
        else:
            seed, epoch = position[:2]
            columns.append(rows.take(seed, epoch, group, which, spec.shuffle, X))
        n += counts[-1]
    if not columns:
        return out[:0], spec.y_like, None, counts
    y, weight = (
        None if each[0] is None else np.concatenate(each) for each in zip(*columns, strict=True)
    )
    return out[:n], y, weight, counts


# -- the client's part ----------------------------------------------------------------------------


class _Source:
    """The rows of a fit, which lie on the workers."""

    in_memory = False
    X: Any = ()  # of which L-BFGS asks the length, for observers

    def __init__(self, cluster, parts, groups, shuffle, threads):
        self.cluster, self.groups = cluster, groups
        self.first, self.last = 0, 0  # no group is this process's
        self.batch_size, self.steps, self.rows = groups.batch_size, groups.steps, 1
        self.width, self.y_like = parts.width, parts.y_like
        self.target_form = parts.target_form
        self.shuffle, self.threads = shuffle, threads
        self.names, self.data = parts.groups(groups.sizes)
        self.spec: Any = None
        self.plan: Any = None

    def adopt_loss(self, net, old):
        raise RuntimeError(
            "loss must stay as it is within a fit on a Dask cluster; end the fit, and call fit "
            "again"
        )

    def standardize(self, weights):
        """Nothing: the mean and scale were learned before."""

    def sample(self, n):
        """None: no row is in this process."""
        return

    def all(self):
        """None of the rows, as one minibatch."""
        return None, None, None, None, []

    def tell(self, net):
        """Let workers know the network as it is now."""
        spec = _Spec(pickle.dumps(net), self.groups, self.shuffle, self.threads, self.y_like)
        self.spec = self.cluster.client.submit(_received, spec, pure=False)

    def sums(self, parameters, position):
        """The sum over all groups, of gradients and of what travels with them."""
        for attempt in range(ATTEMPTS):
            try:
                found = self._found(parameters, position)
                break
            except _Lost:
                self.plan = None
                if attempt == ATTEMPTS - 1:
                    raise
        nodes = [node for each in found for node in each[2]]
        rank = sorted(range(len(nodes)), key=nodes.__getitem__)
        nodes = [nodes[k] for k in rank]
        # What Dask has received may be read-only, and need not be aligned.
        values = [
            np.require(row, requirements=["C", "A", "W"]) for each in found for row in each[3]
        ]
        tails = np.concatenate([each[4] for each in found])[rank]
        count = len(self.groups.sizes)
        (total,), _ = add_tree([values[k] for k in rank], nodes, count)
        return total, add_tails(tails, nodes, count)[0]

    def _found(self, parameters, position):
        client = self.cluster.client
        if self.plan is None:
            self.plan = self._planned()
        # Sent with the tasks, not scattered: what is scattered is lost with a worker, and to
        # scatter while one dies hangs or fails. Two workers take 27 ms a step this way, not 36.
        sent = parameters.copy()
        futures = [
            client.submit(
                _sums, self.spec, sent, position, runs, *(self.data[g] for g in mine),
                pure=False, **self.cluster.on(worker),
            )
            for worker, runs, mine in self.plan
        ]  # fmt: skip
        self.cluster.wait(futures, {worker for worker, _, _ in self.plan})
        if any(future.status != "finished" for future in futures):
            self.cluster.check_data(self.names, self.data, " again")
            if any(future.status in GONE for future in futures):
                raise _Lost("tasks of a step")
        found = self.cluster.results(futures)
        for (worker, _, _), each in zip(self.plan, found, strict=True):
            _check_about(each[1])
            if each[0] != worker:
                self.plan = None  # a worker was lost: from now on, where its groups are now
                break
        return found

    def _planned(self):
        """Each worker with its groups: their runs, and all of them."""
        workers = self.cluster.workers()
        who = self.cluster.client.who_has(self.data)
        holders = [[each for each in who[data.key] if each in workers] for data in self.data]
        owners = self.cluster.assign(self.groups.sizes, holders)
        groups: dict[str, list[int]] = {}
        last: Any = None
        for g, (owner, found) in enumerate(zip(owners, holders, strict=True)):
            if not self.groups.sizes[g]:
                found = workers
            if last not in found:
                last = owner if owner in found or not found else min(found)
            groups.setdefault(last, []).append(g)
        plan = []
        for worker, mine in groups.items():
            runs: list[tuple[int, int]] = []
            for g in mine:
                if runs and runs[-1][1] == g:
                    runs[-1] = runs[-1][0], g + 1
                else:
                    runs.append((g, g + 1))
            plan.append((worker, runs, mine))
        return plan


class _Loop(GroupFitLoop):
    """A fit whose sums come from workers."""

    def new_training(self):
        self.source.tell(self.net)
        return super().new_training()

    def step(self, i, rate, key):
        if self.observers:
            raise ValueError(
                "callbacks must not observe minibatches, as nn.Monitor does, on a Dask cluster: "
                "the rows are on the workers"
            )
        training, net = self.training, self.net
        source: Any = self.source
        position = self.seed, net.epoch, i, key
        sums, tail = source.sums(self.weights.parameters, position)
        result = training.begin_update(sums, tail)
        total, loss = checked(result, training, net.dtype)
        if total:
            training.end_update(rate)
            loss = training.finish_update()
        return total, loss

    def begin_epoch(self, seed, epoch):
        self.seed = seed


class _Objective(GroupObjective):
    """The loss over all rows and its gradient, whose sums come from workers."""

    def __init__(self, net, source):
        source.tell(net)
        super().__init__(net, source)

    def sums(self):
        source: Any = self.source
        sums, tail = source.sums(self.weights.parameters, (self.key,))
        self.gradient[:] = sums
        return tail


_publish(globals())
