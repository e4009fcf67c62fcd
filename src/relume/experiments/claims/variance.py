"""A claim about initialization: whether it keeps the size of a signal through 50 layers."""

import numpy as np

from relume import nn
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, below, within

SIZE = Quantity(
    "size", "mean square of the outputs (log10)", "Size of the signal, layer by layer",
    x_label="layer", form=".2f", marks={"as at the input": 0.0},
)  # fmt: skip
# condition: activation, initialization, factor for the input
STACKS = {
    "ReLU, He": ("relu", "he_normal", 1.0),
    "ReLU, Glorot": ("relu", "glorot_normal", 1.0),
    "ReLU, LeCun": ("relu", "lecun_normal", 1.0),
    "tanh, Glorot": ("tanh", "glorot_normal", 1.0),
    "SELU, LeCun": ("selu", "lecun_normal", 1.0),
    "SELU, LeCun, input times 3": ("selu", "lecun_normal", 3.0),
}


def measure(seeds, depth=50, width=256, rows=256):
    """Run networks of one layer each in sequence, so that every layer's outputs are available."""
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
    last = data.x_values("size")[-1]
    return [
        within("ReLU with He keeps the signal within a factor of 10", data, SIZE, "ReLU, He",
               (-1, 1), last),
        below("ReLU with Glorot loses the signal: under 1/1000", data, SIZE, "ReLU, Glorot", -3,
              last),
        below("ReLU with LeCun loses the signal: under 1/1000", data, SIZE, "ReLU, LeCun", -3,
              last),
        within("SELU with LeCun brings the signal to 1, within a factor of 2", data, SIZE,
               "SELU, LeCun", (-0.3, 0.3), last),
        within("SELU with LeCun does so for an input 3 times as large", data, SIZE,
               "SELU, LeCun, input times 3", (-0.3, 0.3), last),
    ]  # fmt: skip


VARIANCE = Experiment(
    name="variance",
    title="The signal through 50 layers",
    question="Which initialization keeps the size of a signal through many layers?",
    claim="With ReLU, He initialization keeps the variance, while Glorot and LeCun lose it; SELU "
    "normalizes itself.",
    method="Standard normal inputs with 256 features pass through 50 layers of 256 units with "
    "initial weights and zero biases. The mean square of all outputs is taken after each layer. "
    "(He initialization keeps the mean square, not the variance, because the mean of ReLU is not "
    "0.) Each seed draws other inputs and weights.",
    rule="At the last layer, with 95 % confidence: ReLU with He is within a factor of 10 of 1; "
    "ReLU with Glorot is under 1/1000; ReLU with LeCun is under 1/1000; SELU with LeCun is within "
    "a factor of 2 of 1, for inputs of size 1 and of size 3.",
    measure=measure,
    judge=judge,
    quantities=[SIZE],
    full={"seeds": 20},
    quick={"seeds": 4},
)
