"""Depth: gradients that vanish, and shortcuts past layers."""

import numpy as np

from relume import nn
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, above, below, greater, within
from relume.experiments.training import accuracy, classifier, digits, hidden, train

# -- vanishing-gradients --------------------------------------------------------------------------

RATIO = Quantity(
    "ratio", "gradient norm, first / last hidden layer (log10)", "How much gradient is left",
    x_label="hidden layers", x_log=True, form=".2f",
)  # fmt: skip
STACKS = {
    "sigmoid, Glorot": ("sigmoid", "glorot_normal"),
    "tanh, Glorot": ("tanh", "glorot_normal"),
    "ReLU, Glorot": ("relu", "glorot_normal"),
    "ReLU, He": ("relu", "he_normal"),
}


def gradient_ratio(net, X, y):
    """log10 of the gradient's norm at the first hidden layer's weights by that at the last's."""
    z = net.forward(X, training=True)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    net.backward(p / len(y))
    norms = [np.linalg.norm(g) for name, g in net.gradients().items() if name.endswith("weight")]
    return float(np.log10(norms[0] / norms[-2]))


def measure_vanishing(seeds, depths, width=64, rows=256):
    """The ratio at initialisation, in float64, which 50 sigmoids do not underflow."""
    data = Data()
    for seed in range(seeds):
        X, y = digits(seed, rows)[:2]
        for condition, (activation, weight_init) in STACKS.items():
            for depth in depths:
                layers = hidden(activation, width, depth, weight_init=weight_init)
                net = classifier(layers, seed, dtype="float64")
                data.add("ratio", condition, gradient_ratio(net, X, y), depth)
    return data


def judge_vanishing(data: Data) -> list[Part]:
    """At the greatest depth."""
    depth = data.places("ratio")[-1]
    at = f"at {depth:g} layers"
    return [
        below(f"under sigmoid less than 1/1000 is left {at}", data, RATIO, "sigmoid, Glorot", -3,
              depth),
        below(f"under tanh less than 1/1000 is left {at}", data, RATIO, "tanh, Glorot", -3, depth),
        within(f"under ReLU with He 1/10 to 10 times is left {at}", data, RATIO, "ReLU, He",
               (-1, 1), depth),
    ]  # fmt: skip


VANISHING = Experiment(
    name="vanishing-gradients",
    title="Vanishing gradients",
    question="How much of the gradient reaches the first layer of a deep network?",
    claim="Gradients vanish with depth under sigmoid and tanh, not under ReLU with He "
    "initialisation.",
    method="Networks of equal hidden layers, freshly initialised, are shown 256 digits. The norm "
    "of the gradient at the first hidden layer's weights is divided by that at the last hidden "
    "layer's. Each seed draws other weights and other digits.",
    rule="At the greatest depth, with 95 % confidence: the ratio is below 1/1000 under sigmoid; "
    "below 1/1000 under tanh; between 1/10 and 10 under ReLU with He.",
    measure=measure_vanishing,
    judge=judge_vanishing,
    quantities=[RATIO],
    full={"seeds": 20, "depths": [2, 5, 10, 20, 30, 50]},
    quick={"seeds": 6, "depths": [2, 10, 50]},
)

# -- residual -------------------------------------------------------------------------------------

ACCURACY = Quantity(
    "accuracy", "held-out accuracy, %", "Accuracy at the end of training", form=".1f"
)
ROUTES = ("plain", "layer norm", "layer norm and shortcuts")


def deep_layers(route, depth, width):
    """About `depth` hidden layers: one, then pairs, which shortcuts may pass."""
    layers = hidden("relu", width, 1)
    for _ in range((depth - 1) // 2):
        pair = hidden("relu", width, 2)
        if route != "plain":
            pair.insert(0, nn.LayerNorm())
        layers += [nn.Residual(pair)] if route.endswith("shortcuts") else pair
    return layers


def measure_residual(seeds, epochs, depth=50, width=64):
    """Held-out accuracy after some epochs."""
    data = Data()
    for seed in range(seeds):
        split = digits(seed)
        for route in ROUTES:
            net = classifier(deep_layers(route, depth, width), seed, optimizer=nn.Adam(1e-3))
            data.add("accuracy", route, accuracy(train(net, split, epochs), split))
    return data


def judge_residual(data: Data) -> list[Part]:
    """Against both."""
    with_shortcuts = ROUTES[2]
    return [
        above("with shortcuts it learns: over 90 %", data, ACCURACY, with_shortcuts, 90),
        greater("shortcuts help beside layer norm alone", data, ACCURACY, with_shortcuts,
                "layer norm"),
        greater("both help beside a plain stack", data, ACCURACY, with_shortcuts, "plain"),
    ]  # fmt: skip


RESIDUAL = Experiment(
    name="residual",
    title="Residual connections at depth 50",
    question="Do shortcuts make a network of 50 layers easier to train?",
    claim="Residual connections let a ReLU network of 50 layers learn what a plain one does not.",
    method="Networks of about 50 layers of 64 ReLUs learn the digits with Adam at 0.001, batches "
    "of 32, He initialisation: plain; with a layer norm before each pair of layers; with that and "
    "a shortcut past each pair. Each seed has its own weights, order and held-out quarter.",
    rule="With 95 % confidence, paired by seed: accuracy with shortcuts is over 90 %; is higher "
    "than with layer norm alone; is higher than plain.",
    measure=measure_residual,
    judge=judge_residual,
    quantities=[ACCURACY],
    full={"seeds": 10, "epochs": 20},
    quick={"seeds": 4, "epochs": 5},
)
