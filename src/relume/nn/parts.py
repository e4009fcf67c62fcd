"""Parts of a network: networks of some of its layers, on the same weights, and layers' outputs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from relume.nn.data import check_data
from relume.nn.data.rows import SparseRows, parts_of
from relume.nn.layers.activations import Activation
from relume.nn.layers.layer import Layer
from relume.nn.layers.residual import width_of
from relume.nn.units.layer_nodes import network_nodes, walk
from relume.validation import not_finite

if TYPE_CHECKING:
    from relume.nn.network import Network
    from relume.nn.units.layer_nodes import LayerNode

Layers = list[Layer | Activation]


def part(net: Network, first: int, last: int | None) -> Network:
    """A network of some layers, on the same weights; see `Network.part`."""
    weights = net._built()
    n = len(net.layers)
    last = n if last is None else last
    for name, value in (("first", first), ("last", last)):
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
            raise TypeError(f"{name} must be an index of layers, got {value!r}")
    begin, end = (value + n if value < 0 else value for value in (first, last))
    if not 0 <= begin < end <= n:
        raise ValueError(
            f"first and last must hold 0 <= first < last <= {n}, the number of layers; "
            f"got {first} and {last}"
        )
    first, last = begin, end
    layers = net.layers[first:last]
    if width_of(layers) is None:
        raise ValueError(
            f"the part must hold a layer that sets the number of its outputs, got {layers!r}; "
            "layer_outputs gives the outputs of any layer"
        )
    if first == 0 and weights.standardization()[1] is not None and not weights.standardized:
        raise RuntimeError(
            f"{layers[0]!r} has not learned from data yet, and would learn in the part alone: "
            "call fit first"
        )
    outputs = last == n
    if outputs and net.scale_targets and not net._target_form.learned:
        raise RuntimeError(
            "scale_targets=True has not learned from targets yet, and would learn in the part or "
            "in the network alone: call fit first, or end the part before the last layer"
        )
    rng, sparse = copy.deepcopy(net._rng), cast("Any", net.sparse)
    found = net._new(
        layers, loss=copy.copy(net.loss) if outputs else "mse", optimizer=net.optimizer, seed=rng,
        dtype=net.dtype, metrics=net._given_metrics if outputs else None, schedule=net.schedule,
        sparse=sparse, scale_targets=net.scale_targets and outputs,
    )  # fmt: skip
    found._one_thread = net._one_thread  # one thread at a time trains any of them
    found._weights = own = weights.part(list(found.layers), first, width_of(net.layers[:first]))
    weights.shared = own.shared = True
    if outputs:
        found._target_form = net._target_form
    return found


def layer_outputs(net: Network, X: Any, layer: Any) -> NDArray[np.floating]:
    """The outputs of a layer; see `Network.layer_outputs`."""
    weights = net._built()
    if net._one_thread.elsewhere:  # which makes steps between the blocks
        weights = copy.copy(weights)
    layers = _until(net, layer)
    rows = check_data.features(net, X, no_rows=True)
    own = weights.part(layers, 0, None)
    if len(rows) == 0:
        return np.empty((0, own.plan.n_out), net.dtype)
    if isinstance(rows, np.ndarray):
        blocks: Any = [rows]
    else:
        weights.adapt(rows)
        multiplies = width_of(layers) is not None  # as the engine's sparse rows need
        blocks = parts_of(rows) if multiplies or not isinstance(rows, SparseRows) else rows.dense()
    values: list[Any] = [own.predictor.predict(block) for block in blocks]
    if any(each is None for each in values):
        raise not_finite("X", net.dtype)
    return values[0] if len(values) == 1 else np.concatenate(values)


def _until(net: Network, layer: Any) -> Layers:
    """The layers that compute a layer's outputs from the input: those before it, and itself."""
    nodes = network_nodes(net)
    paths, names = list(_paths(nodes, [])), [node.name for node in walk(nodes)]
    if isinstance(layer, str):
        if layer not in names:
            raise ValueError(f"layer must be one of {', '.join(names)}; got {layer!r}")
        return paths[names.index(layer)]
    if isinstance(layer, int | np.integer) and not isinstance(layer, bool | np.bool_):
        n = len(net.layers)
        if not -n <= layer < n:
            raise ValueError(f"layer must be an index of the {n} layers, got {layer}")
        return list(net.layers[: range(n)[layer] + 1])
    found = [path for path in paths if path[-1] is layer]
    if len(found) != 1:
        what = "is no layer of this network" if not found else "stands in it more than once"
        raise ValueError(
            f"layer must be an index, a name such as 'layer 1', or a layer of net.layers; "
            f"got {layer!r}, which {what}"
        )
    return found[0]


def _paths(nodes: list[LayerNode], before: Layers) -> Iterator[Layers]:
    """For each layer, those within others too, in the order of `walk`: the way to its outputs."""
    for node in nodes:
        yield [*before, node.layer]
        yield from _paths(node.inner, before)
        before = [*before, node.layer]
