"""What initialisation keeps: the size of a signal through 50 layers."""

import numpy as np

from relume import nn
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, below, within

SIZE = Quantity(
    "size", "mean square of the outputs (log10)", "Size of the signal, layer by layer",
    x_label="layer", form=".2f", marks={"as at the input": 0.0},
)  # fmt: skip
# condition: activation, initialisation, factor of the input
STACKS = {
    "ReLU, He": ("relu", "he_normal", 1.0),
    "ReLU, Glorot": ("relu", "glorot_normal", 1.0),
    "ReLU, LeCun": ("relu", "lecun_normal", 1.0),
    "tanh, Glorot": ("tanh", "glorot_normal", 1.0),
    "SELU, LeCun": ("selu", "lecun_normal", 1.0),
    "SELU, LeCun, input times 3": ("selu", "lecun_normal", 3.0),
}


def measure(seeds, depth=50, width=256, rows=256):
    """A stack of networks of one layer each is one network, whose insides can be read."""
    data = Data()
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        start = rng.standard_normal((rows, width))
        for condition, (activation, weight_init, factor) in STACKS.items():
            X = factor * start
            for layer in range(1, depth + 1):
                dense = nn.Dense(width, activation, weight_init=weight_init)
                X = nn.Network([dense], loss="mse", seed=rng, dtype="float64").forward(X)
                data.add("size", condition, np.log10(np.mean(X**2)), layer)
    return data


def judge(data: Data) -> list[Part]:
    """At the last layer."""
    last = data.places("size")[-1]
    return [
        within("ReLU with He keeps the signal within a factor of 10", data, SIZE, "ReLU, He",
               (-1, 1), last),
        below("ReLU with Glorot loses it: under 1/1000", data, SIZE, "ReLU, Glorot", -3, last),
        below("ReLU with LeCun loses it: under 1/1000", data, SIZE, "ReLU, LeCun", -3, last),
        within("SELU with LeCun brings it to 1, within a factor of 2", data, SIZE, "SELU, LeCun",
               (-0.3, 0.3), last),
        within("and does so from an input 3 times as large", data, SIZE,
               "SELU, LeCun, input times 3", (-0.3, 0.3), last),
    ]  # fmt: skip


VARIANCE = Experiment(
    name="variance",
    title="The signal through 50 layers",
    question="Which initialisation keeps a signal's size through many layers?",
    claim="He initialisation keeps the variance under ReLU where Glorot and LeCun lose it; SELU "
    "normalises itself.",
    method="Standard normal inputs of 256 features go through 50 layers of 256 units with fresh "
    "weights and no bias learnt; the mean square of all outputs is taken after each layer. (The "
    "mean square, not the variance, is what He initialisation keeps: ReLU's mean is not 0.) Each "
    "seed draws other inputs and weights.",
    rule="At the last layer, with 95 % confidence: ReLU with He within a factor of 10 of 1; ReLU "
    "with Glorot under 1/1000; ReLU with LeCun under 1/1000; SELU with LeCun within a factor of 2 "
    "of 1, from inputs of size 1 and of size 3.",
    measure=measure,
    judge=judge,
    quantities=[SIZE],
    full={"seeds": 20},
    quick={"seeds": 4},
)
