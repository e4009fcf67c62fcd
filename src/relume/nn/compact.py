"""Removing units that are constant on given data from a network.

A unit that is 0 for every row contributes nothing to the next layer. A unit that has another
constant value adds the same to every row, which the bias of the next layer can do instead. Between
a `Dense` and the next one there may only be layers that treat each unit separately: a
normalization, which mixes units, or a `Residual`, which adds them to others, would change without
the removed units.
"""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume.nn.data import check_data
from relume.nn.data.rows import CHUNK, MappedRows, SparseRows
from relume.nn.data.target_form import MEAN, SCALE
from relume.nn.layers.dense import Dense
from relume.nn.layers.residual import Residual, width_of

if TYPE_CHECKING:
    from relume.nn.network import Network


@dataclass(frozen=True)
class CompactedLayer:
    """What `Network.compact` did to one layer."""

    layer: str
    units: int
    dead: int = 0
    constant: int = 0
    note: str = ""

    @property
    def left(self) -> int:
        """The number of units that remain."""
        return self.units - self.dead - self.constant


class CompactReport:
    """What `Network.compact` removed, and for which inputs the outputs stay the same.

    Attributes
    ----------
    layers : list of CompactedLayer
        One entry for each `Dense` and `Residual` among the network's layers. It has the number of
        ``units`` before, how many of them were ``dead`` (0 for every row) and ``constant``
        (another value, the same for every row), how many are ``left``, and a ``note`` if the layer
        was not changed.
    parameters : tuple of int
        Number of the network's parameters before and after.
    """

    def __init__(
        self,
        layers: list[CompactedLayer],
        parameters: tuple[int, int],
        removed: list["RemovedUnits"],
    ) -> None:
        self.layers: list[CompactedLayer] = layers
        self.parameters: tuple[int, int] = parameters
        self._removed = removed

    def same_for(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Find the rows for which the smaller network gives the same outputs, up to rounding.

        These are the rows for which all removed units have the values that they had when they were
        removed. For other rows the outputs may differ.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features)

        Returns
        -------
        same : ndarray of bool of shape (n,)

        Raises
        ------
        TypeError, ValueError
            If X has the wrong shape or type, or is not finite.
        """
        if not self._removed:
            return np.ones(np.shape(X)[0], bool)
        X = check_data.features(self._removed[0][0], X, no_rows=True)
        if len(X) == 0:
            return np.zeros(0, bool)
        tests = [
            np.concatenate([(part[:, units] == values).all(axis=1) for part in _outputs(net, X)])
            for net, units, values in self._removed
        ]
        return np.logical_and.reduce(tests)

    def __str__(self) -> str:
        width = max(len(each.layer) for each in self.layers)
        lines = [f"{'layer':{width}}  units  dead  constant  left"]
        for each in self.layers:
            line = f"{each.layer:{width}}  {each.units:5}  {each.dead:4}  {each.constant:8}"
            lines.append(f"{line}  {each.left:4}  {each.note}".rstrip())
        before, after = self.parameters
        return "\n".join([*lines, f"parameters: {before:,} before, {after:,} after"])


class RemovedUnits(NamedTuple):
    """Units removed from one layer, and the values that they had."""

    network: "Network"  # the layers up to these units
    units: NDArray[np.intp]
    values: NDArray[np.floating]


class Compacted(NamedTuple):
    """A smaller network, and the report on what was removed."""

    network: "Network"
    report: CompactReport


def compact(net: "Network", X: Any) -> Compacted:
    """Remove the units that are the same for all rows of X; see `Network.compact`."""
    net._built()
    features = check_data.features(net, X)
    layers, state = list(net.layers), net.state_dict()
    found, removed = [], []
    for i, layer in enumerate(net.layers):
        if not isinstance(layer, Dense | Residual):
            continue
        end, note = _next(net.layers, i)
        dead = constant = 0
        if end is not None:
            start = _beginning(net, end)
            values, keep, note = _survivors(net, start, end, features)
            dead, constant = int((values[~keep] == 0).sum()), int((values[~keep] != 0).sum())
            if dead + constant:
                _take_out(net, i, end, state, values, keep)
                layers[i] = Dense(**layer.config() | {"units": int(keep.sum())})
                removed.append(RemovedUnits(start, np.flatnonzero(~keep), values[~keep]))
        units = width_of(net.layers[: i + 1]) or 0
        found.append(CompactedLayer(_named(layer, i), units, dead, constant, note))
    small = _copy_with(net, layers, state)
    sizes = (_size(net.state_dict()), _size(state))
    return Compacted(small, CompactReport(found, sizes, removed))


def _next(layers, i) -> tuple[int | None, str]:
    """The index of the Dense that reads layers[i]; or None, and why the units must stay."""
    if isinstance(layers[i], Residual):
        return None, "not changed: a Residual adds its units to those of its input"
    for end in range(i + 1, len(layers)):
        if isinstance(layers[end], Dense):
            return end, ""
        if not layers[end].unitwise:
            name = type(layers[end]).__name__
            return None, f"not changed: a {name} follows, which mixes units"
    return None, "not changed: these are the outputs"


def _survivors(net, start, end, features):
    """The min of each unit over all rows, which units must stay, and a note on why some do."""
    parts = [(part.min(axis=0), part.max(axis=0)) for part in _outputs(start, features)]
    low = np.minimum.reduce([part_low for part_low, _ in parts])
    high = np.maximum.reduce([part_high for _, part_high in parts])
    keep, note = low != high, ""
    if not net.layers[end].use_bias and (low[~keep] != 0).any():
        keep |= low != 0
        note = "constant units stay, because the next layer has no bias"
    if not keep.any():  # a layer has at least one unit
        keep[0] = True
    return low, keep, note


def _take_out(net, i, end, state, values, keep):
    """Remove units of layers[i] from a state, and add their values to the bias of layers[end]."""
    first, last = _module(net.layers, i), _module(net.layers, end)
    for name, value in state.items():
        if name in (MEAN, SCALE):
            continue
        # The layers in between have one parameter per unit, or one for all, such as PReLU's slope.
        if first <= int(name.partition(".")[0]) < last and value.shape[:1] == keep.shape:
            state[name] = value[keep]
    weight = state[f"{last}.weight"]
    state[f"{last}.weight"] = weight[:, keep]
    if f"{last}.bias" in state:
        shift = weight[:, ~keep].astype(np.float64) @ values[~keep].astype(np.float64)
        state[f"{last}.bias"] = (state[f"{last}.bias"] + shift).astype(net.dtype)


def _module(layers, i):
    return sum(len(layer.modules()) for layer in layers[:i])


def _beginning(net, end):
    """The network of the layers before layers[end], whose outputs are the input of that layer."""
    layers = net.layers[:end]
    names = {f"{module}" for module in range(_module(net.layers, end))}
    state = {k: v for k, v in net.state_dict().items() if k.partition(".")[0] in names}
    start = net._new(layers, loss="mse", dtype=net.dtype)
    start.load_state_dict(state)
    return start


def _outputs(net, X):
    """The outputs for the rows of X, chunk by chunk."""
    features = X if isinstance(X, MappedRows | SparseRows) else check_data.features(net, X)
    for first in range(0, features.shape[0], CHUNK):
        rows = slice(first, first + CHUNK)
        yield net._outputs(features[rows] if isinstance(features, np.ndarray) else
                           features.part(rows))  # fmt: skip


def _copy_with(net, layers, state):
    """A copy of the network with other layers and parameters; its optimizer starts afresh."""
    small = copy.copy(net)
    small._weights = None
    small.layers = layers
    small.load_state_dict(state)
    return small


def _size(state):
    return sum(
        value.size
        for name, value in state.items()
        if not name.endswith("_tracked") and name not in (MEAN, SCALE)
    )


def _named(layer, i):
    return f"layers[{i}] {layer!r}" if isinstance(layer, Dense) else f"layers[{i}] Residual"
