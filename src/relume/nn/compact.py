"""Units that say nothing on some data, taken out of a network.

A unit whose activation is 0 for every row adds nothing to the next layer, and one whose activation
is some other constant adds the same to every row, which the next bias can do instead. Between a
`Dense` and the next one only what works on each unit for itself may stand, since what mixes units,
as a normalization does, or adds them to others, as a `Residual` does, would miss the ones removed.
"""

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume.nn.data import check_data
from relume.nn.data.rows import CHUNK
from relume.nn.layers.dense import Dense
from relume.nn.layers.residual import Residual, width_of


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
        """The units that are left."""
        return self.units - self.dead - self.constant


class CompactReport:
    """What `Network.compact` removed, and for which inputs that makes no difference.

    Attributes
    ----------
    layers : list of CompactedLayer
        One for each `Dense` and `Residual` in the list of layers: ``units`` before, how many of
        them were ``dead`` (0 for every row) and ``constant`` (another value, the same for every
        row), how many are ``left``, and a ``note`` where the layer was left as it is.
    parameters : tuple of int
        The network's parameters before and after.
    """

    def __init__(
        self, layers: list[CompactedLayer], parameters: tuple[int, int], removed: Any
    ) -> None:
        self.layers: list[CompactedLayer] = layers
        self.parameters: tuple[int, int] = parameters
        self._removed = removed  # (network up to there, units removed, their values)

    def same_for(self, X: ArrayLike) -> NDArray[np.bool_]:
        """For which rows the smaller network gives the same outputs, up to rounding.

        These are the rows for which all units that were removed are what they were. For other
        rows the outputs may differ.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n, n_features)

        Returns
        -------
        same : ndarray of bool of shape (n,)

        Raises
        ------
        TypeError, ValueError
            If X is not as said, or not finite.
        """
        if not self._removed:
            return np.ones(np.shape(X)[0], bool)
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


class Compacted(NamedTuple):
    """A smaller network, and what was removed."""

    network: Any
    report: CompactReport


def compact(net, X):
    """Take units out of a network that are the same for all rows of X; see `Network.compact`."""
    net._built()
    features = check_data.features(net, X)
    layers, state = list(net.layers), net.state_dict()
    found, removed = [], []
    for i, layer in enumerate(net.layers):
        if not isinstance(layer, Dense | Residual):
            continue
        end, note = _next(net.layers, i)
        dead = constant = 0
        if not note:
            start = _beginning(net, end)
            values, keep, note = _survivors(net, start, end, features)
            dead, constant = int((values[~keep] == 0).sum()), int((values[~keep] != 0).sum())
            if dead + constant:
                _take_out(net, i, end, state, values, keep)
                layers[i] = Dense(**layer.config() | {"units": int(keep.sum())})
                removed.append((start, np.flatnonzero(~keep), values[~keep]))
        units = width_of(net.layers[: i + 1])
        found.append(CompactedLayer(_named(layer, i), units, dead, constant, note))
    small = _copy_with(net, layers, state)
    sizes = (_size(net.state_dict()), _size(state))
    return Compacted(small, CompactReport(found, sizes, removed))


def _next(layers, i):
    """The Dense that reads the units of layers[i] one by one, or why they must stay."""
    if isinstance(layers[i], Residual):
        return None, "a Residual adds its units to those of its input; left as it is"
    for end in range(i + 1, len(layers)):
        if isinstance(layers[end], Dense):
            return end, ""
        if not layers[end].unitwise:
            name = type(layers[end]).__name__
            return None, f"a {name} follows, which would miss its units; left as it is"
    return None, "the outputs"


def _survivors(net, start, end, features):
    """The value of each unit for the first row, and which units must stay; a note why some do."""
    low = high = None
    for part in _outputs(start, features):
        least, most = part.min(axis=0), part.max(axis=0)
        low = least if low is None else np.minimum(low, least)
        high = most if high is None else np.maximum(high, most)
    keep, note = low != high, ""
    if not net.layers[end].use_bias and (low[~keep] != 0).any():
        keep |= low != 0
        note = "constant units stay, since the next layer has no bias"
    if not keep.any():  # a layer has at least one unit
        keep[0] = True
    return low, keep, note


def _take_out(net, i, end, state, values, keep):
    """Remove units of layers[i] from a state, and let the bias of layers[end] stand for them."""
    first, last = _module(net.layers, i), _module(net.layers, end)
    for name, value in state.items():
        # The layers in between have parameters of each unit, or of all alike: PReLU's one slope.
        if first <= int(name.partition(".")[0]) < last and value.shape[:1] == keep.shape:
            state[name] = value[keep]
    weight = state[f"{last}.weight"]
    state[f"{last}.weight"] = weight[:, keep]
    if f"{last}.bias" in state:
        told = weight[:, ~keep].astype(np.float64) @ values[~keep].astype(np.float64)
        state[f"{last}.bias"] = (state[f"{last}.bias"] + told).astype(net.dtype)


def _module(layers, i):
    return sum(len(layer.modules()) for layer in layers[:i])


def _beginning(net, end):
    """The network of the layers before layers[end]: its outputs are what that one reads."""
    layers = net.layers[:end]
    names = {f"{module}" for module in range(_module(net.layers, end))}
    state = {k: v for k, v in net.state_dict().items() if k.partition(".")[0] in names}
    start = type(net)(layers, loss="mse", dtype=net.dtype)
    start.load_state_dict(state)
    return start


def _outputs(net, X):
    """The outputs for some rows at a time."""
    features = check_data.features(net, X) if not hasattr(X, "part") else X
    for first in range(0, features.shape[0], CHUNK):
        rows = slice(first, first + CHUNK)
        yield net._outputs(features[rows] if isinstance(features, np.ndarray) else
                           features.part(rows))  # fmt: skip


def _copy_with(net, layers, state):
    """The network with other layers and parameters; its optimizer begins afresh."""
    small = copy.copy(net)
    small._weights = None
    small.layers = layers
    small.load_state_dict(state)
    return small


def _size(state):
    return sum(value.size for name, value in state.items() if not name.endswith("_tracked"))


def _named(layer, i):
    return f"layers[{i}] {layer!r}" if isinstance(layer, Dense) else f"layers[{i}] Residual"
