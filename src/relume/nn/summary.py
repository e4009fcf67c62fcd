"""The table of a network's layers."""

import math

from relume.engine.ops import LEARNT
from relume.nn.layers.ops import ops_of, parameters
from relume.nn.layers.residual import Residual, width_of

HEAD = ("layer", "outputs", "parameters")


def summary_of(layers, n_features):
    """A line for each layer, and the sums; n_features is None as long as it is not known."""
    table = [HEAD, *rows_of(layers, n_features)]
    sizes = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        f"{label:{sizes[0]}}  {width:>{sizes[1]}}  {count:>{sizes[2]}}"
        for label, width, count in table
    )


def rows_of(layers, n_features):
    """The lines of the table without its head, each three strings."""
    lines = list(_lines(layers, n_features))
    if n_features is not None:
        total = sum(learnt for _, _, learnt, _ in lines)
        frozen = sum(frozen for *_, frozen in lines)
        lines += [("total", "", total, 0), ("trainable", "", total - frozen, 0)]
    return [(label, _text(width), _text(count)) for label, width, count, _ in lines]


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
    learnt = [
        (math.prod(each.shape), each.op.trainable)
        for each in parameters(ops_of([layer]), n_features).values()
        if each.role == LEARNT and (not isinstance(layer, Residual) or each.op.layer is layer)
    ]
    return sum(size for size, _ in learnt), sum(size for size, trained in learnt if not trained)
