"""Wrong arguments of layers, optimizers and networks raise where they are given."""

import re

import numpy as np
import pytest

from relume import nn
from tests.support import twin as plain

NAN, INF = float("nan"), float("inf")


def network(**options):
    return nn.Network([nn.Dense(6, activation="relu"), nn.Dense(3)], **options)


CONSTRUCTORS = {
    "softmax": (
        lambda: nn.Dense(3, activation="softmax"),
        ValueError,
        ["activation must be None", "'softmax'", "loss='cross_entropy'", "predict_proba"],
    ),
    "Activation": (lambda: nn.Activation("relu"), TypeError, ["Activation", r"nn\.ReLU\(\)"]),
    "units 0": (lambda: nn.Dense(0), ValueError, ["units", "at least 1", r"\b0$"]),
    "units -3": (lambda: nn.Dense(-3), ValueError, ["units", "at least 1", "-3"]),
    "units 2.5": (lambda: nn.Dense(2.5), TypeError, ["units", "integer", r"2\.5"]),
    "units True": (lambda: nn.Dense(True), TypeError, ["units", "integer", "True"]),
    "units '3'": (lambda: nn.Dense("3"), TypeError, ["units", "integer", "'3'"]),
    "units None": (lambda: nn.Dense(None), TypeError, ["units", "integer", "None"]),
    "units [3]": (lambda: nn.Dense([3]), TypeError, ["units", "integer", r"\[3\]"]),
    "activation 'rellu'": (
        lambda: nn.Dense(3, "rellu"),
        ValueError,
        ["activation", "'rellu'", r"\brelu\b.*\btanh\b", r"\brelu\b.*\bsigmoid\b"],
    ),
    "activation 'tahn'": (
        lambda: nn.Dense(3, "tahn"),
        ValueError,
        ["activation", "'tahn'", r"\btanh\b.*\brelu\b", r"\btanh\b.*\bsigmoid\b"],
    ),
    "activation 'sigmiod'": (
        lambda: nn.Dense(3, activation="sigmiod"),
        ValueError,
        ["activation", r"\bsigmoid\b.*\brelu\b"],
    ),
    "activation 'ReLU'": (
        lambda: nn.Dense(3, "ReLU"),
        ValueError,
        ["activation", "'ReLU'", r"\brelu\b.*\btanh\b"],
    ),
    "activation 3": (lambda: nn.Dense(3, 3), TypeError, ["activation", r"got 3;", "name"]),
    "activation function": (
        lambda: nn.Dense(3, np.tanh),
        TypeError,
        ["activation", "tanh", "name"],
    ),
    "activation 'heaviside'": (
        lambda: nn.Dense(3, "heaviside"),
        ValueError,
        ["activation", "heaviside", "derivative is 0 everywhere", "learn", r"\bsigmoid\b"],
    ),
    "activation np.heaviside": (
        lambda: nn.Dense(3, activation=np.heaviside),
        ValueError,
        ["activation", "heaviside", "derivative is 0 everywhere", "learn", r"\bsigmoid\b"],
    ),
    "activation 'threshold'": (
        lambda: nn.Dense(3, "threshold"),
        ValueError,
        ["activation", r"nn\.Threshold\(threshold, value\)", "'threshold'"],
    ),
    "activation class Threshold": (
        lambda: nn.Dense(3, nn.Threshold),
        ValueError,
        ["activation", r"nn\.Threshold\(threshold, value\)", "'threshold'"],
    ),
    "threshold without value": (lambda: nn.Threshold(1.0), TypeError, ["value"]),
    "slope 'a'": (lambda: nn.LeakyReLU("a"), TypeError, ["negative_slope", "number", "'a'"]),
    "slope nan": (lambda: nn.LeakyReLU(NAN), ValueError, ["negative_slope", "finite", "nan"]),
    "slope inf": (lambda: nn.LeakyReLU(INF), ValueError, ["negative_slope", "finite", "inf"]),
    "sgd lr 0": (lambda: nn.SGD(0), ValueError, [r"\blr\b", "greater than 0", r"\b0$"]),
    "sgd lr -1": (lambda: nn.SGD(-1.0), ValueError, [r"\blr\b", "greater than 0", "-1"]),
    "sgd lr nan": (lambda: nn.SGD(NAN), ValueError, [r"\blr\b", "greater than 0", "nan"]),
    "sgd lr inf": (lambda: nn.SGD(INF), ValueError, [r"\blr\b", "inf"]),
    "sgd lr 'a'": (lambda: nn.SGD("a"), TypeError, [r"\blr\b", "number", "'a'"]),
    "sgd lr None": (lambda: nn.SGD(None), TypeError, [r"\blr\b", "number", "None"]),
    "momentum 1": (
        lambda: nn.SGD(0.1, momentum=1.0),
        ValueError,
        ["momentum", "less than 1", r"1\.0"],
    ),
    "momentum -0.1": (
        lambda: nn.SGD(0.1, momentum=-0.1),
        ValueError,
        ["momentum", "at least 0", r"-0\.1"],
    ),
    "momentum nan": (lambda: nn.SGD(0.1, momentum=NAN), ValueError, ["momentum", "nan"]),
    "momentum 'a'": (lambda: nn.SGD(0.1, momentum="a"), TypeError, ["momentum", "'a'"]),
    "nesterov": (lambda: nn.SGD(0.1, nesterov=True), ValueError, ["nesterov", "momentum"]),
    "nesterov 'yes'": (lambda: nn.SGD(0.1, 0.9, "yes"), TypeError, ["nesterov", "'yes'"]),
    "adam lr 0": (lambda: nn.Adam(0.0), ValueError, [r"\blr\b", "greater than 0", r"0\.0"]),
    "adam lr nan": (lambda: nn.Adam(NAN), ValueError, [r"\blr\b", "greater than 0", "nan"]),
    "adam lr inf": (lambda: nn.Adam(INF), ValueError, [r"\blr\b", "inf"]),
    "one beta": (lambda: nn.Adam(betas=(0.9,)), (TypeError, ValueError), ["betas", r"\(0\.9,\)"]),
    "betas 0.9": (lambda: nn.Adam(betas=0.9), TypeError, ["betas", "two", r"0\.9"]),
    "second beta 1": (
        lambda: nn.Adam(betas=(0.9, 1.0)),
        ValueError,
        ["betas", "less than 1", r"1\.0"],
    ),
    "first beta -0.1": (
        lambda: nn.Adam(betas=(-0.1, 0.9)),
        ValueError,
        ["betas", "at least 0", r"-0\.1"],
    ),
    "beta nan": (lambda: nn.Adam(betas=(0.9, NAN)), ValueError, ["betas", "nan"]),
    "eps 0": (lambda: nn.Adam(eps=0.0), ValueError, [r"\beps\b", "greater than 0", r"0\.0"]),
    "eps nan": (lambda: nn.Adam(eps=NAN), ValueError, [r"\beps\b", "nan"]),
    "layers empty": (lambda: nn.Network([]), ValueError, ["layers", "at least one", "empty"]),
    "layers None": (lambda: nn.Network(None), TypeError, ["layers", "list", "None"]),
    "layers Dense": (
        lambda: nn.Network(nn.Dense(3)),
        TypeError,
        ["layers", "list", r"Dense\(3\)"],
    ),
    "layers 'relu'": (lambda: nn.Network("relu"), TypeError, ["layers", "list", "'relu'"]),
    "layers of numbers": (lambda: nn.Network([10, 3]), TypeError, ["layers", "10", "Dense"]),
    "a string of layers": (
        lambda: nn.Network([nn.Dense(3), "relu"]),
        TypeError,
        [r"layers\[1\]", "'relu'", "Dense"],
    ),
    "class for a layer": (lambda: nn.Network([nn.Dense]), TypeError, [r"layers\[0\]", "Dense"]),
    "loss": (
        lambda: network(loss="mes"),
        ValueError,
        ["loss", "'mes'", "mse.*cross_entropy"],
    ),
    "loss 3": (lambda: network(loss=3), (TypeError, ValueError), ["loss", "mse", r"\b3\b"]),
    "optimizer": (
        lambda: network(optimizer="adamm"),
        ValueError,
        ["optimizer", "'adamm'", "adam.*sgd"],
    ),
    "optimizer 3": (lambda: network(optimizer=3), TypeError, ["optimizer", "Adam", r"\b3$"]),
    "optimizer class": (lambda: network(optimizer=nn.SGD), TypeError, ["optimizer", "SGD"]),
    "dtype float16": (
        lambda: network(dtype="float16"),
        ValueError,
        ["dtype", "'float16'", "float32", "float64"],
    ),
    "dtype 'flaot32'": (
        lambda: network(dtype="flaot32"),
        ValueError,
        ["dtype", "'flaot32'", "float32.*float64"],
    ),
    "dtype 3": (lambda: network(dtype=3), (TypeError, ValueError), ["dtype", r"\b3$", "float32"]),
    "seed -1": (lambda: network(seed=-1), ValueError, ["seed", "-1"]),
    "seed 1.5": (lambda: network(seed=1.5), TypeError, ["seed", r"1\.5"]),
    "seed 'a'": (lambda: network(seed="a"), TypeError, ["seed", "'a'"]),
}


@pytest.mark.parametrize(("call", "error", "words"), CONSTRUCTORS.values(), ids=CONSTRUCTORS)
def test_bad_constructor(call, error, words):
    plain.assert_raises(error, words, call)


@pytest.mark.parametrize("name", ["rellu", "", "linaer", "no such thing"])
def test_unknown_activation_lists_all_known_ones(name):
    with pytest.raises(ValueError, match="activation") as caught:
        nn.Dense(3, activation=name)
    missing = [
        known for known in nn.ACTIVATIONS if not re.search(rf"\b{known}\b", f"{caught.value}")
    ]
    assert not missing
    assert repr(name) in str(caught.value)
