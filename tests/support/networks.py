"""Networks for tests, with every layer, optimizer, loss and schedule."""

import numpy as np

from relume import nn
from relume.nn.optimizers.scikit_learn import AdamOfScikitLearn, SGDOfScikitLearn
from tests.support import twin as plain

# One object of each class that model files can hold, with arguments other than the defaults.
EXAMPLES = [
    nn.Dense(
        5, "relu", use_bias=False, weight_init="orthogonal", bias_init=nn.Constant(0.5), l1=0.1,
        l2=0.2, max_norm=3.0, trainable=False, lr_scale=0.5,
    ),
    nn.Residual([nn.Dense(5, nn.PReLU(0.5)), nn.Residual([nn.Dense(4)])]),
    nn.Dropout(0.3), nn.AlphaDropout(0.1), nn.ActivityL1(0.01), nn.BatchNorm(1e-4, 0.2),
    nn.LayerNorm(1e-6), nn.GroupNorm(2, 1e-6), nn.Scale(), nn.Standardize(with_mean=False),
    nn.PReLU(0.1, per_unit=True), nn.RReLU(0.1, 0.4), nn.Sine(3.0), nn.FATReLU(0.3),
    *(plain.activation(case) for case in plain.CASES),
    nn.HeNormal(), nn.HeUniform(), nn.GlorotNormal(), nn.GlorotUniform(), nn.LecunNormal(),
    nn.LecunUniform(), nn.Orthogonal(1.5), nn.Constant(1e-300),
    nn.CrossEntropy(0.1), nn.BinaryCrossEntropy([1.0, 0.1, 3.0]), nn.MSE(), nn.MAE(),
    nn.Huber(2.5), nn.Quantile(0.9), nn.Poisson(),
    nn.SGD(0.1, 0.9, True, 1e-4, clip_norm=1.0), nn.RMSprop(0.01, 0.9, 1e-7, 0.5, clip_value=0.5),
    nn.Adam(1 / 3, (0.8, 0.99), ema_decay=0.99), nn.AdamW(), nn.NAdam(momentum_decay=0.01),
    nn.Lion(weight_decay=0.1), nn.LBFGS(20, 5, 1e-6, 1e-9),
    SGDOfScikitLearn(0.1, 0.5, nesterov=False), AdamOfScikitLearn(0.1, (0.8, 0.99)),
    nn.ConstantRate(2), nn.Step(3, 0.5), nn.Exponential(0.9, warmup=1), nn.Cosine(10, 0.1),
    nn.OneCycle(10, 0.2), nn.InverseScaling(0.25),
    nn.ReduceOnPlateau("loss", 0.5, 1, 0.0, 0.1, warmup=0.5),
]  # fmt: skip

OPTIMIZERS = {
    "SGD": nn.SGD(0.05),
    "momentum": nn.SGD(0.02, 0.9, nesterov=True, ema_decay=0.9),
    "RMSprop": nn.RMSprop(0.002, momentum=0.5),
    "Adam": nn.Adam(0.01, clip_norm=1.0, ema_decay=0.99),
    "AdamW": nn.AdamW(0.01, weight_decay=0.1),
    "NAdam": nn.NAdam(0.01),
    "Lion": nn.Lion(0.001, weight_decay=0.1, clip_value=0.1),
    "LBFGS": nn.LBFGS(5),
}

SCHEDULES = {
    "none": None,
    "constant": nn.ConstantRate(warmup=2.5),
    "step": nn.Step(3, 0.5),
    "exponential": nn.Exponential(0.9),
    "cosine": nn.Cosine(8, 0.1, warmup=1),
    "one cycle": nn.OneCycle(9),
    "inverse scaling": nn.InverseScaling(),
    "plateau": nn.ReduceOnPlateau("loss", 0.7, 0, 0.01, warmup=1),
    "plateau of the validation": nn.ReduceOnPlateau(factor=0.5, patience=1),
}


def all_layers(**options):
    """A network with every kind of layer, for 6 features; without BatchNorm for L-BFGS."""
    layers = [
        nn.Standardize(),
        nn.Dense(8, nn.PReLU(per_unit=True), l2=1e-4, max_norm=2.0),
        nn.BatchNorm(),
        nn.Residual(
            [
                nn.Dense(8, "relu", use_bias=False),
                nn.Dropout(0.2),
                nn.Residual([nn.Dense(8, use_bias=False)]),
            ]
        ),
        nn.LayerNorm(),
        nn.Residual([nn.Dense(7, nn.RReLU()), nn.AlphaDropout(0.1)]),
        nn.PReLU(),
        nn.Dense(6, nn.Sine(2.0), trainable=False),
        nn.Dense(6, nn.LeakyReLU(0.2), lr_scale=0.5),
        nn.GroupNorm(2),
        nn.Scale(),
        nn.Dense(3),
    ]
    options = {"seed": 0, "optimizer": nn.NAdam(0.01, ema_decay=0.9)} | options
    if isinstance(options["optimizer"], nn.LBFGS):
        del layers[2]
    return nn.Network(layers, **options)


def targets(loss, rows, seed=3):
    """Targets that a loss takes for networks of 3 outputs."""
    rng = np.random.default_rng(seed)
    if isinstance(loss, nn.CrossEntropy):
        return rng.integers(3, size=rows)
    return rng.integers(2, size=(rows, 3)).astype("float32")


def saved(net, path):
    """The bytes of the file in which a network is saved: everything that training needs."""
    net.save(path)
    return path.read_bytes()
