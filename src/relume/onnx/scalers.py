"""What scikit-learn's fitted scalers do, in the operators of ONNX."""

from collections.abc import Callable
from typing import Any

import numpy as np

from relume import validation
from relume.onnx.graph import Graph


def shifted(g: Graph, x: str, shift: Any, scale: Any) -> str:
    """(x - shift) / scale, either of which may be None."""
    x = x if shift is None else g.node("Sub", x, shift)
    return x if scale is None else g.node("Div", x, scale)


def standard_scaler(g: Graph, x: str, scaler: Any) -> str:
    """It keeps a mean that it does not subtract."""
    return shifted(g, x, scaler.mean_ if scaler.with_mean else None, scaler.scale_)


def min_max_scaler(g: Graph, x: str, scaler: Any) -> str:
    """Its own order: a product, then a sum."""
    x = g.node("Add", g.node("Mul", x, scaler.scale_), scaler.min_)
    return g.node("Clip", x, *map(float, scaler.feature_range)) if scaler.clip else x


def max_abs_scaler(g: Graph, x: str, scaler: Any) -> str:
    """Into -1 to 1; scikit-learn has a clip since 1.9."""
    x = g.node("Div", x, scaler.scale_)
    return g.node("Clip", x, -1.0, 1.0) if getattr(scaler, "clip", False) else x


def normalizer(g: Graph, x: str, scaler: Any) -> str:
    """Rows of norm 0 stay as they are."""
    operator = {"l1": "ReduceL1", "l2": "ReduceL2", "max": "ReduceMax"}[scaler.norm]
    size = g.node("Abs", x)
    if g.opset < 18:
        norm = g.node(operator, size, axes=[1], keepdims=1)
    else:
        norm = g.node(operator, size, np.array([1]), keepdims=1)
    return g.node("Div", x, g.node("Where", g.node("Equal", norm, 0.0), 1.0, norm))


SCALERS: dict[str, Callable[[Graph, str, Any], str]] = {
    "StandardScaler": standard_scaler,
    "MinMaxScaler": min_max_scaler,
    "MaxAbsScaler": max_abs_scaler,
    "RobustScaler": lambda g, x, scaler: shifted(g, x, scaler.center_, scaler.scale_),
    "Normalizer": normalizer,
}


def scaled(g: Graph, x: str, scaler: Any, n_features: int) -> str:
    """What a fitted scaler makes of x; "passthrough" and None make nothing of it."""
    if scaler is None or (isinstance(scaler, str) and scaler == "passthrough"):
        return x
    cls = type(scaler)
    if cls.__name__ not in SCALERS or not cls.__module__.startswith("sklearn."):
        raise TypeError(
            f"a step before the network must be one of {', '.join(SCALERS)} of scikit-learn, "
            f"got {validation.shown(scaler)}"
        )
    if scaler.n_features_in_ != n_features:
        raise ValueError(
            f"{scaler!r} must have {n_features} features, as the network, "
            f"got {scaler.n_features_in_}"
        )
    return SCALERS[cls.__name__](g, x, scaler)
