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


def dense(x, layer, state, prefix, training):
    z = x @ state[f"{prefix}weight"].T
    return z + state[f"{prefix}bias"] if layer.use_bias else z


def prelu(x, layer, state, prefix, training):
    return np.where(x > 0, x, state[f"{prefix}weight"] * x)


def rrelu(x, layer, state, prefix, training):
    assert not training or layer.lower == layer.upper
    return np.where(x > 0, x, (layer.lower + layer.upper) / 2 * x)


def affine(normal, state, prefix):
    return normal * state[f"{prefix}weight"] + state[f"{prefix}bias"]


def batch_norm(x, layer, state, prefix, training):
    mean, variance = state[f"{prefix}running_mean"], state[f"{prefix}running_var"]
    if training:
        mean, variance = x.mean(0), x.var(0)
    return affine((x - mean) / np.sqrt(variance + layer.eps), state, prefix)


def layer_norm(x, layer, state, prefix, training):
    mean, variance = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    return affine((x - mean) / np.sqrt(variance + layer.eps), state, prefix)


def group_norm(x, layer, state, prefix, training):
    groups = x.reshape(len(x), layer.groups, -1)
    mean, variance = groups.mean(2, keepdims=True), groups.var(2, keepdims=True)
    normal = (groups - mean) / np.sqrt(variance + layer.eps)
    return affine(normal.reshape(x.shape), state, prefix)


def noise(x, layer, state, prefix, training):
    assert not training or layer.rate == 0
    return x


def residual(x, layer, state, prefix, training):
    inner = forward(layer.layers, state, x, training, f"{prefix}layers.")
    projection = state.get(f"{prefix}projection.weight")
    return inner + (x if projection is None else x @ projection.T)


TWINS = {
    nn.Dense: dense,
    nn.PReLU: prelu,
    nn.RReLU: rrelu,
    nn.Sine: lambda x, layer, *_: np.sin(layer.omega * x),
    nn.FATReLU: lambda x, layer, *_: np.where(x > layer.threshold, x, 0),
    nn.BatchNorm: batch_norm,
    nn.LayerNorm: layer_norm,
    nn.GroupNorm: group_norm,
    nn.Scale: lambda x, layer, state, prefix, _: x * state[f"{prefix}weight"],
    nn.Standardize: lambda x, layer, state, prefix, _: (
        (x - state[f"{prefix}mean"]) / state[f"{prefix}scale"]
    ),
    nn.Dropout: noise,
    nn.AlphaDropout: noise,
    nn.ActivityL1: lambda x, *_: x,
    nn.Residual: residual,
}


def one(x, layer, state, prefix, training):
    """The output of one module."""
    if type(layer) in TWINS:
        return TWINS[type(layer)](x, layer, state, prefix, training)
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
