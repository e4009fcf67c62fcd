"""Rows held out for validation, and the weights of classes."""

from collections.abc import Mapping

import numpy as np

from relume import validation


def split(X, y, weight, share, validation_data):
    """The rows to train on, and the last `share` of them to evaluate, or None."""
    share = validation.fraction(share, "validation_split")
    if share == 0:
        return (X, y, weight), None
    if validation_data is not None:
        raise ValueError("validation_data must be None where validation_split is given")
    n = len(X) - int(len(X) * share)
    if n == len(X):
        raise ValueError(
            f"validation_split must leave a row of X to evaluate, got {share} of {len(X)}"
        )
    pairs = [
        (None, None) if each is None else (_part(each, slice(n)), _part(each, slice(n, None)))
        for each in (X, y, weight)
    ]
    trained, held_out = zip(*pairs, strict=True)
    return trained, held_out


def _part(values, rows):
    return values[rows] if isinstance(values, np.ndarray) else values.part(rows)


def class_weights(class_weight, loss, n_out, y, weight, dtype):
    """The weights of rows with labels y, multiplied by those of their classes."""
    if class_weight is None:
        return weight
    if not loss.classifies or loss.expected(y).ndim != 1:
        raise ValueError(f"class_weight needs one label a row, which loss={loss.name!r} has not")
    labels, index, counts = np.unique(loss.expected(y), return_inverse=True, return_counts=True)
    if isinstance(class_weight, str):
        validation.choice(class_weight, "class_weight", ["balanced"])
        each = len(y) / (len(labels) * counts)
    elif isinstance(class_weight, Mapping):
        for k in class_weight:
            if k not in range(max(n_out, 2)):  # one output is of two classes
                raise ValueError(
                    f"class_weight must have labels 0 to {max(n_out, 2) - 1} as keys, got {k!r}"
                )
        each = [validation.not_negative(class_weight.get(int(k), 1.0), f"class_weight[{k}]")
                for k in labels]  # fmt: skip
    else:
        raise TypeError(f"class_weight must be a dict, 'balanced' or None, got {class_weight!r}")
    each = np.asarray(each, dtype)[index]
    return validation.weights(
        each if weight is None else each * weight, "class_weight", dtype, len(y)
    )
