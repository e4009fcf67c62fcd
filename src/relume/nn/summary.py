"""The table of a network's layers."""

import math

from relume.nn.layers.residual import Residual, steps_of, width_of
from relume.nn.parameters.weights import STATISTICS, shapes

HEAD = ("layer", "outputs", "parameters")


def summary_of(layers, n_features):
    """A line for each layer, and the sums; n_features is None as long as it is not known."""
    lines = list(_lines(layers, n_features))
    if n_features is not None:
        total = sum(learnt for _, _, learnt, _ in lines)
        frozen = sum(frozen for *_, frozen in lines)
        lines += [("total", "", total, 0), ("trainable", "", total - frozen, 0)]
    table = [HEAD] + [(label, _text(width), _text(count)) for label, width, count, _ in lines]
    sizes = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        f"{label:{sizes[0]}}  {width:>{sizes[1]}}  {count:>{sizes[2]}}"
        for label, width, count in table
    )


def _text(value):
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:,}"


def _lines(layers, width, indent=""):
    """What a layer is, its width, its parameters, and those of them that training leaves alone.

    Statistics are not parameters. A Residual has its projection; its layers follow it.
    """
    for layer in layers:
        after, inner = width_of([layer]) or width, isinstance(layer, Residual)
        label = indent + (type(layer).__name__ if inner else repr(layer))
        yield (label, after, *_counts(layer, width))
        if inner:
            yield from _lines(layer.layers, width, indent + "  ")
        width = after


def _counts(layer, n_features):
    if n_features is None:
        return None, None
    specs = steps_of([layer])
    frozen = {spec["name"] for spec in specs if not spec.get("trainable", True)}
    sizes = {
        tuple(name.rsplit(".", 1)): math.prod(shape)
        for name, shape in shapes(specs, n_features).items()
        if not isinstance(layer, Residual) or name == "0.projection.weight"
    }
    learnt = {name: size for name, size in sizes.items() if name[1] not in STATISTICS}
    return sum(learnt.values()), sum(size for name, size in learnt.items() if name[0] in frozen)
