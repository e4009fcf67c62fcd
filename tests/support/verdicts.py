"""For each experiment, data that support its claim and data that contradict it.

Written from the text of the rules. Each entry is (quantity, condition, x, supporting value,
contradicting value).
"""

from relume.experiments import Data

ACTIVATIONS_WITH_EXP = ("sigmoid", "tanh", "elu")

CASES = {
    "vanishing-gradients": [
        ("ratio", "sigmoid, Glorot", 50, -9, 0), ("ratio", "tanh, Glorot", 50, -4, 0),
        ("ratio", "ReLU, He", 50, 0.1, -5),
    ],
    "half-zero": [
        (q, f"digits, layer {i}", epoch, *values)
        for i in (1, 2)
        for q, epoch, values in (("zeros", 0, (50, 80)), ("zeros", 9, (70, 50)))
    ],
    "homogeneity": [
        ("function", "powers of two, float32", None, 0, 0.5),
        ("function", "other factors, float32", None, 1, 1.5),
        ("layer", "powers of two, float32", None, 0, 0.1),
        ("layer", "other factors, float32", None, 4, 300),
    ],
    "dying-units": [
        ("dead", "Adam, digits", 0.001, 0, 5), ("dead", "Adam, digits", 0.1, 25, 5),
        ("before", "digits", None, 0, 0),
    ],
    "cures": [
        ("accuracy", "no remedy", None, 20, 80), ("accuracy", "PReLU", None, 95, 70),
        ("accuracy", "revival", None, 95, 80), ("dead", "no remedy", None, 80, 0),
    ],
    "six-times": [
        (q, f"{activation}, digits", None, *values)
        for q in ("epochs", "seconds")
        for activation, values in (("relu", (1, 2)), ("tanh", (6, 2)), ("sigmoid", (9, 1)))
    ],
    "cost-of-exp": [
        ("forward", "relu", None, 1.1, 3), ("backward", "relu", None, 1.3, 3),
        *((q, name, None, 4, 4) for q in ("forward", "backward") for name in ACTIVATIONS_WITH_EXP),
        ("forward", "hardswish", None, 1.1, 3), ("backward", "hardswish", None, 1.1, 3),
    ],
    "variance": [
        ("size", "ReLU, He", 50, 0, -9), ("size", "ReLU, Glorot", 50, -9, 0),
        ("size", "ReLU, LeCun", 50, -9, 0), ("size", "SELU, LeCun", 50, 0.1, 1),
        ("size", "SELU, LeCun, input times 3", 50, 0.1, 1),
    ],
    "sparsity-pays": [
        ("speed-up", condition, share, 2, 0.5)
        for condition in ("one row", "batch of 128")
        for share in (50, 90)
    ],
    "dropout": [
        ("accuracy", "no dropout", None, 90, 90), ("accuracy", "dropout 0.2", None, 92, 89),
        ("accuracy", "dropout 0.5", None, 92, 90),
    ],
    "large-batches": [
        ("accuracy", "batch of 32", None, 98, 98), ("accuracy", "batch of 512", None, 90, 98),
        ("accuracy", "batch of 512, warm-up", None, 97.5, 90),
    ],
    "skewed-inputs": [
        ("accuracy", f"{shape}, {way}", None, *values)
        for shape in ("skewed", "heavy-tailed")
        for way, values in (("raw", (70, 90)), ("Standardize", (90, 70)))
    ],
    "residual": [
        ("accuracy", "plain", None, 20, 90), ("accuracy", "layer norm", None, 30, 90),
        ("accuracy", "layer norm and shortcuts", None, 95, 80),
    ],
    "mixed-activations": [
        ("accuracy", "ReLU", None, 90, 90), ("accuracy", "tanh", None, 90, 90),
        ("accuracy", "ReLU early, tanh late", None, 92, 90),
        ("accuracy", "tanh early, ReLU late", None, 92, 80),
    ],
    "periodic-targets": [
        ("inside", "ReLU", None, 0.99, 0.5), ("inside", "Sine", None, 0.99, 0.5),
        ("outside", "ReLU", None, -1, 0.9), ("outside", "Sine", None, 0.9, -1),
    ],
    "sparse-inputs": [
        ("accuracy", "relu", None, 97, 50), ("accuracy", "tanh", None, 97.5, 60),
        ("seconds", "dense", None, 9, 1), ("seconds", "sparse (CSR)", None, 1, 1),
    ],
    "autoencoder": [
        *(("explained", name, None, *values) for name, values in
          (("relu", (80, 50)), ("tanh", (70, 50)), ("sigmoid", (60, 70)))),
        ("idle", "relu", None, 20, 0), ("idle", "leaky_relu", None, 0, 0),
    ],
    "small-signals": [
        (q, name, 0.01, *values)
        for q in ("kept", "accuracy")
        for name, values in (("relu", (50, 90)), ("leaky_relu", (60, 90)), ("tanh", (90, 80)))
    ],
}  # fmt: skip


def supporting(name):
    """Data of three equal seeds that support the claim."""
    return Data.of((q, c, x, [value] * 3) for q, c, x, value, _ in CASES[name])


def contradicting(name):
    """Data of three equal seeds that contradict the claim."""
    return Data.of((q, c, x, [value] * 3) for q, c, x, _, value in CASES[name])
