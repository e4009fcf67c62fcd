"""Writes the model files beside it, with what they predict: run once, by commit 6b11aa3.

Its output is test data: later versions must load these files and go on training. Run it again only
to add a directory for another version of the format. ``python write.py FOLDER``
"""

import json
import sys
from pathlib import Path

import numpy as np

import relume
from relume import nn

OPTIMIZERS = [
    nn.Adam(0.02, (0.8, 0.99), 1e-7, 1e-4, ema_decay=0.9),
    nn.AdamW(0.02, weight_decay=0.05, clip_norm=1.0),
    nn.LBFGS(8, 5, 1e-6, 1e-12),
    nn.Lion(0.005, weight_decay=0.01, clip_value=0.5),
    nn.NAdam(0.02, momentum_decay=0.01),
    nn.RMSprop(0.005, 0.9, momentum=0.5),
    nn.SGD(0.05, 0.9, nesterov=True, ema_decay=0.8),
]
SCHEDULES = [
    nn.ReduceOnPlateau("loss", 0.7, 1, 0.0, 0.1, warmup=0.5),
    nn.ConstantRate(warmup=2),
    None,  # L-BFGS takes none
    nn.Step(20, 0.5),
    nn.Exponential(0.99),
    nn.Cosine(60, 0.1),
    nn.InverseScaling(0.25),
]
LOSSES = [
    (nn.CrossEntropy(0.1), ["accuracy", "balanced_accuracy", "f1", "log_loss", "top_5_accuracy"]),
    (nn.BinaryCrossEntropy([1.0, 0.5, 2.0]), ["accuracy", "f1", "log_loss"]),
    (nn.MSE(), ["mae", "mse", "r2", "rmse"]),
    (nn.MAE(), ["r2"]),
    (nn.Huber(0.5), ["rmse"]),
    (nn.Quantile(0.7), []),
    (nn.Poisson(), ["mse"]),
]
INITIALIZERS = [
    nn.HeNormal(), nn.HeUniform(), nn.GlorotNormal(), nn.GlorotUniform(), nn.LecunNormal(),
    nn.LecunUniform(), nn.Orthogonal(1.5),
]  # fmt: skip
ACTIVATIONS = [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.Threshold(0.1, -0.2), nn.Hardtanh(-0.5, 2.0),
    nn.ReLUSquared(), nn.Hardshrink(0.2), nn.Softshrink(0.1), nn.Hardsigmoid(), nn.Hardswish(),
    nn.ELU(0.5), nn.SELU(), nn.CELU(2.0), nn.Softplus(3.0), nn.LogSigmoid(), nn.Sigmoid(),
    nn.Tanh(), nn.Tanhshrink(), nn.SiLU(), nn.QuickGELU(), nn.GELU(), nn.GELUTanh(), nn.Mish(),
    nn.Softsign(), nn.Squareplus(1.5),
]  # fmt: skip


def data():
    """X of 40 rows, and y for each kind of loss."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 6)).astype("float32")
    scores = X @ rng.normal(size=(6, 3))
    return X, {
        "labels": scores.argmax(axis=1),
        "binary": (scores > 0).astype("float32"),
        "values": np.exp(scores / 4).astype("float32"),
    }


def kind_of(loss):
    """Which y a loss takes."""
    kinds = {"CrossEntropy": "labels", "BinaryCrossEntropy": "binary"}
    return kinds.get(type(loss).__name__, "values")


def networks():
    """Name, network and epochs of training; None is a network that is not built."""
    layers = [
        nn.Standardize(),
        nn.Dense(8, nn.PReLU(0.1, per_unit=True), l2=1e-4, l1=1e-5, max_norm=2.0),
        nn.BatchNorm(1e-4, 0.2),
        nn.Residual([nn.Dense(8, "relu"), nn.Dropout(0.2), nn.Residual([nn.Dense(8)])]),
        nn.LayerNorm(1e-6),
        nn.Residual([nn.Dense(7, nn.RReLU(0.1, 0.4)), nn.AlphaDropout(0.1)]),
        nn.Dense(6, nn.Sine(2.0), trainable=False),
        nn.Dense(6, nn.FATReLU(0.05), lr_scale=0.5, bias_init=nn.Constant(0.1)),
        nn.ActivityL1(1e-5),
        nn.Dense(3, use_bias=False),
    ]
    yield (
        "layers",
        nn.Network(
            layers, seed=0, optimizer=nn.NAdam(0.01, ema_decay=0.9), schedule=nn.OneCycle(100)
        ),
        4,
    )
    layers = [nn.Residual([nn.Dense(6, activation)]) for activation in ACTIVATIONS]
    yield "activations", nn.Network(
        [nn.LayerNorm(), *layers, nn.LayerNorm(), nn.Dense(3)], seed=1, dtype="float64",
        optimizer=nn.Adam(0.002),
    ), 3  # fmt: skip
    cases = zip(LOSSES, OPTIMIZERS, SCHEDULES, INITIALIZERS, strict=True)
    for i, ((loss, metrics), optimizer, schedule, weight_init) in enumerate(cases):
        generators = [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64]
        yield type(loss).__name__, nn.Network(
            [nn.Dense(5, "tanh", weight_init=weight_init), nn.Dense(3)], loss=loss,
            metrics=metrics, optimizer=optimizer, schedule=schedule,
            dtype=["float32", "float64"][i % 2], sparse=["auto", "never", "always"][i % 3],
            seed=np.random.Generator(generators[i % 4](i)),
        ), 5  # fmt: skip
    yield "unbuilt", nn.Network([nn.Dense(4, "relu"), nn.Dense(3)], seed=9), None


def write(folder):
    """All files, and expected.npz: the data and each network's outputs for X."""
    X, y = data()
    expected = {"X": X, **y}
    for name, net, epochs in networks():
        if epochs is not None:
            net.fit(X, y[kind_of(net.loss)], epochs=epochs, batch_size=16)
            expected[f"{name}.outputs"] = net.forward(X)
            expected[f"{name}.epoch"] = np.array(net.epoch)
        net.save(folder / f"{name}.safetensors")
    np.savez(folder / "expected.npz", **expected)
    from relume.nn.settings import CLASSES

    text = json.dumps({"relume": relume.__version__, "classes": sorted(CLASSES)}, indent=1)
    (folder / "classes.json").write_text(text + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
