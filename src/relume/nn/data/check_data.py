"""Checks of the data that a network is given, which become what the engine takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.engine.arrays import Centered
from relume.nn.data.minibatches import Features, IterableBatches, ShardBatches, no_mean
from relume.nn.data.rows import MappedRows, RawRows, SparseRows, features_of, parts_of
from relume.nn.data.shards import Shards
from relume.nn.data.splits import weights_of_labels
from relume.nn.layers.normalization import Standardize
from relume.nn.losses import PythonLoss

if TYPE_CHECKING:
    from relume.nn.network import Network

Rows = tuple[Features, NDArray[Any], NDArray[Any] | None]  # X, y and the weights of rows
NAMES = ("X", "y", "sample_weight")
VALIDATION_NAMES = tuple(f"validation_data {name}" for name in NAMES)


def features(
    net: Network, X: Any, name: str = "X", width: int | None = None, no_rows: bool = False
) -> Features:
    """X as a matrix of the network's dtype, or as rows that are read in parts.

    Parameters
    ----------
    net : Network
    X : array_like or sparse matrix
    name : str
        What errors call it.
    width : int or None
        The number of features, where the network is not built yet.
    no_rows : bool
        Whether X may have no rows, as in prediction.
    """
    weights, first = net._weights, net._layers[0]
    _refuse_dask(X, name)
    if isinstance(X, Centered):  # rows that have been here before
        return validation.contiguous(X, net.dtype)
    raw = isinstance(first, Standardize) and first.with_mean
    width = weights.plan.n_in if weights else width
    if isinstance(X, Shards):
        validation.shape(X.shape, name, width)
        column = X.column("X")
        X = RawRows(column, net.dtype) if raw else MappedRows(column, net.dtype)
    else:
        X = features_of(X, name, net.dtype, width, no_rows, raw)
    if isinstance(X, SparseRows):
        _check_sparse(net, name)
    elif isinstance(X, RawRows) and weights is not None and weights.standardized:
        weights.adapt(X)
        return X.all() if X.in_memory else X
    return X


def _check_sparse(net: Network, name: str) -> None:
    """Raise unless the first layer can read a sparse matrix."""
    kinds = net._kinds
    if kinds[:1] == ["standardize"]:
        kinds = kinds[1:]
    if kinds[:1] != ["dense"]:
        raise TypeError(
            f"{name} must be dense, unless the first layer is a Dense, or a Standardize and a "
            f"Dense; got a sparse matrix for layers={list(net.layers)!r}"
        )
    weights = net._weights
    mean = None if weights is None else weights.standardization()[0]
    if mean is not None and mean.any():
        raise TypeError(
            f"{name} must be dense, since nn.Standardize has learnt a mean of dense data; "
            "got a sparse matrix. nn.Standardize(with_mean=False) takes both"
        )


def targets(net: Network, y: Any, name: str = "y", learns: bool = False) -> NDArray[Any]:
    """The targets y as the network's loss takes them, scaled if the network scales them.

    Parameters
    ----------
    net : Network
    y : array_like
    name : str
        What errors call it.
    learns : bool
        Whether the scale will be learned from y if it has not been: y then comes in float64.
    """
    form, loss = net._target_form, net.loss
    if not net.scale_targets or not (form.learned or learns):
        return loss.targets(y, name, net.n_outputs, net.dtype)
    y = loss.targets(y, name, net.n_outputs, np.float64)
    return form.scaled(y, name, net.dtype) if form.learned else y


def rows(
    net: Network,
    X: Any,
    y: Any,
    weight: Any = None,
    names: tuple[str, ...] = NAMES,
    width: int | None = None,
    all_zero: bool = False,
    learns: bool = False,
) -> Rows:
    """X, y and the weights of rows as the engine takes them.

    The weights may be `all_zero`; `learns` is that of `targets`. Shards as X hold the others.
    """
    if isinstance(X, Shards):
        if y is not None or weight is not None:
            raise ValueError(
                f"{names[1]} and {names[2]} must be None where {names[0]} is nn.Shards, which "
                "holds them"
            )
        y = X.column("y")[:]
        weight = X.column("sample_weight")[:] if X.has_weights else None
    if 1 == _ndim(X) < _ndim(y):
        raise ValueError(
            f"{names[0]} must have shape (n_samples, n_features), got {np.shape(X)}, and "
            f"{names[1]} {np.shape(y)}; they may be swapped"
        )
    for values, name in zip((X, y, weight), names, strict=True):
        _refuse_dask(values, name)
    X, y = features(net, X, names[0], width), validation.as_array(y, names[1])
    validation.same_length(X, y, names)
    y = targets(net, y, names[1], learns)
    if weight is not None:
        if isinstance(net.loss, PythonLoss):
            raise ValueError(f"{names[2]} must be None for a loss written in Python")
        # A copy, which nobody changes once it has been checked.
        weight = np.array(validation.weights(weight, names[2], net.dtype, len(X), all_zero))
    return X, y, weight


def dask_kind(values: Any) -> str | None:
    """Dask's "array", "dataframe" or "series"; None for anything else. Dask is not imported."""
    if not hasattr(values, "__dask_graph__") or values.__dask_graph__() is None:
        return None  # None: xarray's, of an array in memory
    if hasattr(values, "map_blocks"):
        return "array"
    if hasattr(values, "map_partitions") and hasattr(values, "ndim"):
        return "dataframe" if values.ndim == 2 else "series"
    return None


def _refuse_dask(values: Any, name: str) -> None:
    """Raise for a Dask collection, which would be loaded into memory as a whole."""
    if values is None or isinstance(values, np.ndarray):
        return  # the usual case, without a search for attributes
    kind = dask_kind(values)
    if kind:
        raise TypeError(
            f"{name} must be in memory, got a Dask {kind}; use "
            "relume.distributed.dask.fit(net, X, y) and .predict(net, X), or load all of it with "
            f"{name}.compute()"
        )


def _ndim(array: Any) -> int:
    return array.ndim if hasattr(array, "ndim") else 0


def validation_rows(net: Network, data: Any, width: int | None) -> Rows | None:
    """The `validation_data` of a fit, all of it finite; width None where it is not known yet."""
    if data is None:
        return None
    if isinstance(data, Shards):
        data = data, None
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        sized = isinstance(data, tuple | list)
        raise TypeError(
            "validation_data must be a tuple (X, y) or (X, y, sample_weight), nn.Shards or None, "
            f"got {f'{type(data).__name__} of {len(data)}' if sized else type(data)}"
        )
    weight = data[2] if len(data) == 3 else None
    X, y, weight = rows(net, data[0], data[1], weight, VALIDATION_NAMES, width, learns=True)
    check_finite(X, VALIDATION_NAMES[0])
    return X, y, weight


def check_finite(X: Features, name: str) -> None:
    """Raise unless X is finite; a sparse X has been checked before."""
    if isinstance(X, SparseRows):
        return
    if isinstance(X, RawRows):
        X = X.part(slice(None))
        X.mean = 0.0
    parts = [X] if isinstance(X, np.ndarray) else parts_of(X)
    if not all(np.isfinite(part).all() for part in parts):
        raise validation.not_finite(name, X.dtype)


def check_enough_rows(net: Network, n: int, batch_size: int = 2) -> None:
    """Raise where all n rows, or a minibatch, are too few to train on."""
    if 1 in (n, batch_size) and net._has_batch_norm():
        name = "the number of rows of X" if n == 1 else "batch_size"
        raise ValueError(f"{name} must be at least 2 with nn.BatchNorm, got 1")


def lacks_mean(net):
    """Whether the first layer is an nn.Standardize that has seen no data."""
    standardizes = isinstance(net.layers[0], Standardize)
    return standardizes and not (net._weights and net._weights.standardized)


def batches(
    net: Network, X: Any, steps: int | None, epochs: int, weights: tuple[Any, ...]
) -> IterableBatches:
    """The minibatches of an iterable that is given as X, without a y."""
    if any(each is not None for each in weights):
        raise ValueError(
            "sample_weight, class_weight and validation_split must be left out where X gives "
            "minibatches, which may hold weights of their own"
        )
    if isinstance(X, np.ndarray) or not isinstance(X, Iterable):
        raise TypeError("y must be given, unless X is an iterable of minibatches (X, y)")
    if isinstance(X, Iterator) and steps is None and epochs > 1:
        raise ValueError(
            "steps_per_epoch must be given for an iterator, which cannot be begun anew"
        )
    if lacks_mean(net):
        raise no_mean()
    if net.scale_targets and not net._target_form.learned:
        raise ValueError(
            "scale_targets=True needs training targets as an array, to learn their mean and "
            "std: give fit or train_on_batch some rows first, or load a state that has them"
        )
    return IterableBatches(X, steps, lambda item: _batch(net, item), net._target_form)


def shard_batches(
    net: Network, X: Shards, batch_size: int, shuffle: bool, weights: tuple[Any, ...]
) -> ShardBatches:
    """The minibatches of shards that are given as X, without a y.

    Parameters
    ----------
    net : Network
    X : Shards
    batch_size : int
    shuffle : bool
    weights : tuple
        The weights of classes, and what must not be given.
    """
    class_weight, *others = weights
    if any(each is not None for each in others):
        raise ValueError(
            "sample_weight, validation_split and steps_per_epoch must be left out where X is "
            "nn.Shards: weights are in the shards, and rows to validate on are validation_data"
        )
    features(net, X)
    form = net._target_form
    if net.scale_targets and not form.learned:
        _, y, weight = rows(net, X, None, learns=True)
        form = form.fitted(y, weight)
    each = None
    if class_weight is not None:
        _, y, weight = rows(net, X, None)
        each = weights_of_labels(class_weight, net.loss, net.n_outputs, y, weight)
        each = np.asarray(each, net.dtype)

    def checked(item: Any) -> Rows:
        X, y, weight = _batch(net, item)
        if each is not None:
            of_class = each[net.loss.expected(y)]
            weight = of_class if weight is None else of_class * weight
        return X, y, weight

    check_enough_rows(net, len(X), batch_size)
    source = ShardBatches(X, batch_size, shuffle, net._has_batch_norm(), checked, form)
    source.begin()
    return source


def _batch(net: Network, item: Any) -> Rows:
    """A minibatch of an iterable as the engine takes it."""
    if not isinstance(item, tuple | list) or len(item) not in (2, 3):
        raise TypeError(
            f"X must give minibatches (X, y) or (X, y, sample_weight), got {type(item)}"
        )
    X, y, *weight = item
    X, y, weight = rows(net, X, y, weight[0] if weight else None, all_zero=True)
    check_enough_rows(net, len(X))
    if net._weights is not None:
        net._weights.adapt(X)
    return X, y, weight
