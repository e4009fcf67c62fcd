"""Layers in plain NumPy and float64, from the formulas of their papers: the oracle of test_layers.

`forward` walks a list of layers with the arrays of a state_dict, by the names that
`torch.nn.Sequential` would give them. Noise has no twin: its rate is 0, or it is not training.
"""

import numpy as np

from relume import nn
from tests.support import twin as plain


def activation_case(layer):
    """An activation of relume.nn as a case of tests/support/twin.py."""
    name = next(name for name, cls in nn.ACTIVATIONS.items() if cls is type(layer))
    return name, layer.config()


def dense(x, layer, state, prefix):
    z = x @ state[f"{prefix}weight"].T
    return z + state[f"{prefix}bias"] if layer.use_bias else z


def prelu(x, layer, state, prefix):
    return np.where(x > 0, x, state[f"{prefix}weight"] * x)


def batch_norm(x, layer, state, prefix, training):
    mean, variance = state[f"{prefix}running_mean"], state[f"{prefix}running_var"]
    if training:
        mean, variance = x.mean(0), x.var(0)
    normal = (x - mean) / np.sqrt(variance + layer.eps)
    return normal * state[f"{prefix}weight"] + state[f"{prefix}bias"]


def layer_norm(x, layer, state, prefix):
    mean, variance = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    normal = (x - mean) / np.sqrt(variance + layer.eps)
    return normal * state[f"{prefix}weight"] + state[f"{prefix}bias"]


def residual(x, layer, state, prefix, training):
    inner = forward(layer.layers, state, x, training, f"{prefix}layers.")
    projection = state.get(f"{prefix}projection.weight")
    return inner + (x if projection is None else x @ projection.T)


def one(x, layer, state, prefix, training):
    """The output of one module."""
    if isinstance(layer, nn.Dense):
        return dense(x, layer, state, prefix)
    if isinstance(layer, nn.PReLU):
        return prelu(x, layer, state, prefix)
    if isinstance(layer, nn.BatchNorm):
        return batch_norm(x, layer, state, prefix, training)
    if isinstance(layer, nn.LayerNorm):
        return layer_norm(x, layer, state, prefix)
    if isinstance(layer, nn.Residual):
        return residual(x, layer, state, prefix, training)
    if isinstance(layer, nn.Standardize):
        return (x - state[f"{prefix}mean"]) / state[f"{prefix}scale"]
    if isinstance(layer, nn.Sine):
        return np.sin(layer.omega * x)
    if isinstance(layer, nn.FATReLU):
        return np.where(x > layer.threshold, x, 0)
    if isinstance(layer, nn.RReLU):
        assert not training or layer.lower == layer.upper
        return np.where(x > 0, x, (layer.lower + layer.upper) / 2 * x)
    if isinstance(layer, nn.ActivityL1):
        return x
    if isinstance(layer, nn.Dropout):  # AlphaDropout too
        assert not training or layer.rate == 0
        return x
    return plain.activate(x, activation_case(layer))


def forward(layers, state, X, training=False, prefix=""):
    """The outputs of all layers; a Dense's activation is a module of its own."""
    modules = []
    for layer in layers:
        modules.append(layer)
        if isinstance(layer, nn.Dense) and layer.activation is not None:
            modules.append(layer.activation)
    x = np.asarray(X, "float64")
    for i, module in enumerate(modules):
        x = one(x, module, state, f"{prefix}{i}.", training)
    return x
