"""Claims about depth: vanishing gradients and residual connections."""

import numpy as np

from relume import nn
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, above, below, greater, within
from relume.experiments.training import accuracy, classifier, digits, hidden, train

# -- vanishing-gradients --------------------------------------------------------------------------

RATIO = Quantity(
    "ratio", "gradient norm, first / last hidden layer (log10)",
    "Gradient that reaches the first layer", x_label="hidden layers", x_log=True, form=".2f",
)  # fmt: skip
STACKS = {
    "sigmoid, Glorot": ("sigmoid", "glorot_normal"),
    "tanh, Glorot": ("tanh", "glorot_normal"),
    "ReLU, Glorot": ("relu", "glorot_normal"),
    "ReLU, He": ("relu", "he_normal"),
}


def gradient_ratio(net, X, y):
    """log10 of the gradient norm at the first hidden layer's weights over that at the last's."""
    z = net.forward(X, training=True)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1
    net.backward(p / len(y))
    norms = [np.linalg.norm(g) for name, g in net.gradients().items() if name.endswith("weight")]
    return float(np.log10(norms[0] / norms[-2]))


def measure_vanishing(seeds, depths, width=64, rows=256):
    """Measure the ratio at initialization, in float64, so that 50 sigmoids do not underflow."""
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
    depth = data.x_values("ratio")[-1]
    at = f"at {depth:g} layers"
    return [
        below(f"sigmoid: less than 1/1000 is left {at}", data, RATIO, "sigmoid, Glorot", -3,
              depth),
        below(f"tanh: less than 1/1000 is left {at}", data, RATIO, "tanh, Glorot", -3, depth),
        within(f"ReLU with He: 1/10 to 10 times is left {at}", data, RATIO, "ReLU, He",
               (-1, 1), depth),
    ]  # fmt: skip


VANISHING = Experiment(
    name="vanishing-gradients",
    title="Vanishing gradients",
    question="How much of the gradient reaches the first layer of a deep network?",
    claim="Gradients vanish with depth for sigmoid and tanh, but not for ReLU with He "
    "initialization.",
    method="Freshly initialized networks of equal hidden layers get 256 digits as input. The "
    "norm of the gradient at the weights of the first hidden layer is divided by that at the "
    "weights of the last hidden layer. Each seed draws other weights and other digits.",
    rule="At the greatest depth, with 95 % confidence: the ratio is below 1/1000 for sigmoid; "
    "below 1/1000 for tanh; and between 1/10 and 10 for ReLU with He.",
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
    """About `depth` hidden layers: one, then pairs, each of which may have a shortcut."""
    layers = hidden("relu", width, 1)
    for _ in range((depth - 1) // 2):
        pair = hidden("relu", width, 2)
        if route != "plain":
            pair.insert(0, nn.LayerNorm())
        layers += [nn.Residual(pair)] if route.endswith("shortcuts") else pair
    return layers


def measure_residual(seeds, epochs, depth=50, width=64):
    """Measure held-out accuracy after training."""
    data = Data()
    for seed in range(seeds):
        split = digits(seed)
        for route in ROUTES:
            net = classifier(deep_layers(route, depth, width), seed, optimizer=nn.Adam(1e-3))
            data.add("accuracy", route, accuracy(train(net, split, epochs), split))
    return data


def judge_residual(data: Data) -> list[Part]:
    """Shortcuts compared with both other networks."""
    with_shortcuts = ROUTES[2]
    return [
        above("the network with shortcuts learns: over 90 %", data, ACCURACY, with_shortcuts, 90),
        greater("shortcuts help, compared with layer norm alone", data, ACCURACY, with_shortcuts,
                "layer norm"),
        greater("both together help, compared with a plain stack", data, ACCURACY, with_shortcuts,
                "plain"),
    ]  # fmt: skip


RESIDUAL = Experiment(
    name="residual",
    title="Residual connections at depth 50",
    question="Do shortcuts make a network of 50 layers easier to train?",
    claim="With residual connections, a ReLU network of 50 layers learns what a plain one cannot.",
    method="Networks of about 50 layers of 64 ReLU units are trained on the digits with Adam at "
    "0.001, batches of 32 and He initialization: plain, with a layer norm before each pair of "
    "layers, and with layer norm and a shortcut around each pair. Each seed has its own weights, "
    "order and held-out quarter.",
    rule="With 95 % confidence, paired by seed: accuracy with shortcuts is over 90 %, is higher "
    "than with layer norm alone, and is higher than that of the plain network.",
    measure=measure_residual,
    judge=judge_residual,
    quantities=[ACCURACY],
    full={"seeds": 10, "epochs": 20},
    quick={"seeds": 4, "epochs": 5},
)
