"""Claims about ReLU as a function: half of the outputs are 0, and max(0, a x) = a max(0, x)."""

import numpy as np

import relume
from relume import nn
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, within
from relume.experiments.training import classifier, hidden, hidden_outputs, image_sets, train

# -- half-zero ------------------------------------------------------------------------------------

ZEROS = Quantity(
    "zeros", "outputs that are 0, %", "Zeros during training", x_label="epoch", form=".1f",
    marks={"half": 50.0},
)  # fmt: skip


def measure_half(seeds, epochs, units=256, depth=3):
    """Measure the share of zeros on held-out rows, before training and after each epoch."""
    data = Data()
    for name, load in image_sets().items():
        for seed in range(seeds):
            split = load(seed)
            net = classifier(hidden("relu", units, depth), seed, optimizer=nn.Adam(1e-3))
            net.build(split.X.shape[1])
            for epoch in range(epochs + 1):
                if epoch:
                    train(net, split, 1)
                for i, outputs in enumerate(hidden_outputs(net, split.X_test), 1):
                    share = 100 * np.mean(outputs == 0)
                    data.add("zeros", f"{name}, layer {i}", share, epoch)
    return data


def judge_half(data: Data) -> list[Part]:
    """Each layer at epoch 0. The share after training is shown but not judged."""
    last = data.x_values("zeros")[-1]
    parts = []
    for condition in data.conditions("zeros"):
        part = within(f"{condition}: 40 to 60 % at initialization", data, ZEROS, condition,
                      (40, 60), 0)  # fmt: skip
        later = data.mean("zeros", condition, last).text(ZEROS.form)
        parts.append(part._replace(numbers=f"{part.numbers}; {later} after {last:g} epochs"))
    return parts


HALF = Experiment(
    name="half-zero",
    title="Half of the units are zero",
    question="What share of ReLU outputs is zero before training, and how does it change?",
    claim="Half of the outputs are zero at random initialization.",
    method="Networks have three hidden layers of 256 ReLU units, He initialization and zero "
    "biases. The inputs are images with pixels from 0 to 1. The share of zeros among each "
    "layer's outputs for held-out images is counted before training and after each epoch (Adam "
    "at 0.001, batches of 32). Each seed has its own weights, order and held-out quarter.",
    rule="At initialization, with 95 % confidence, the share is between 40 and 60 % in each "
    "layer.",
    measure=measure_half,
    judge=judge_half,
    quantities=[ZEROS],
    full={"seeds": 10, "epochs": 20},
    quick={"seeds": 6, "epochs": 5},
)

# -- homogeneity ----------------------------------------------------------------------------------

FUNCTION = Quantity(
    "function", "max error, units in the last place",
    "max(0, a x) against a max(0, x), one element", marks={"one rounding": 1.0},
)  # fmt: skip
LAYER = Quantity(
    "layer", "max error, eps times sum of |x| |w| a",
    "A whole layer: scaled weights against scaled outputs",
)  # fmt: skip
POWERS = 2.0 ** np.arange(-6, 7)
TERMS = 256  # terms of each sum of the layer; rounding errors may add up to as many eps


def measure_homogeneity(seeds, elements=20_000):
    """Measure the max error over factors that are powers of two, and over other factors."""
    data = Data()
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        factors = {"powers of two": POWERS, "other factors": rng.uniform(0.1, 10, len(POWERS))}
        for kind, several in factors.items():
            for dtype in ("float16", "float32", "float64"):
                x = rng.standard_normal(elements).astype(dtype)
                found = max(function_error(x, x.dtype.type(a)) for a in several)
                data.add("function", f"{kind}, {dtype}", found)
            for dtype in ("float32", "float64"):
                x, weight = (rng.standard_normal((TERMS, TERMS)).astype(dtype) for _ in "xw")
                found = max(layer_error(x, weight, x.dtype.type(a)) for a in several)
                data.add("layer", f"{kind}, {dtype}", found)
    return data


def function_error(x, a):
    """The max error in units in the last place of the result."""
    inside, outside = relume.relu(a * x), a * relume.relu(x)
    error = np.abs(inside.astype(np.float64) - outside.astype(np.float64))
    return float(np.max(error / np.spacing(np.maximum(outside, np.finfo(x.dtype).tiny))))


def layer_error(x, weight, a):
    """The max error relative to eps times the sum of absolute terms, which bounds rounding."""
    inside, outside = relume.relu(x @ (a * weight)), a * relume.relu(x @ weight)
    scale = np.finfo(x.dtype).eps * a * (np.abs(x) @ np.abs(weight))
    return float(np.max(np.abs(inside - outside) / scale))


def judge_homogeneity(data: Data) -> list[Part]:
    """By the max error over all seeds, because an exact statement allows no exception."""
    parts = []
    for quantity, bound, words in (("function", 1, "one element"), ("layer", TERMS, "a layer")):
        for condition in data.conditions(quantity):
            exact = condition.startswith("powers")
            allowed = 0 if exact else bound
            kind = "exact to the bit" if exact else "within rounding"
            worst = max(data.values(quantity, condition))
            numbers = f"max error {worst:.3g}, allowed {allowed:g}"
            parts.append(Part(f"{words}, {condition}: {kind}", worst <= allowed, numbers))
    return parts


HOMOGENEITY = Experiment(
    name="homogeneity",
    title="ReLU is homogeneous",
    question="Is max(0, a x) the same as a max(0, x) in floating point?",
    claim="max(0, a x) = a max(0, x) for a > 0: exact to the bit for powers of two, within "
    "rounding for others.",
    method="Standard normal numbers are scaled before ReLU and after it, by 13 powers of two "
    "from 1/64 to 64 and by 13 random factors from 0.1 to 10. The same is done with a layer, "
    "whose 256 x 256 weights are scaled before the product. The max error counts. Each seed "
    "draws other numbers, weights and factors.",
    rule="In every dtype and for every seed: for powers of two the error is 0; for other factors "
    "it is at most one unit in the last place for one element, and at most 256 eps times the sum "
    "of absolute terms for a layer of 256 inputs.",
    measure=measure_homogeneity,
    judge=judge_homogeneity,
    quantities=[FUNCTION, LAYER],
    full={"seeds": 20},
    quick={"seeds": 5},
)
