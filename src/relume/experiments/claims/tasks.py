"""Claims about tasks and designs: mixed activations, periodic targets, an autoencoder."""

import numpy as np

from relume import nn
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, above, below, greater
from relume.experiments.training import accuracy, classifier, digits, hidden, train

# -- mixed-activations ----------------------------------------------------------------------------

ACCURACY = Quantity(
    "accuracy", "held-out accuracy, %", "Accuracy at the end of training", form=".1f"
)
PURE = {"ReLU": ("relu", "relu"), "tanh": ("tanh", "tanh")}
MIXED = {"ReLU early, tanh late": ("relu", "tanh"), "tanh early, ReLU late": ("tanh", "relu")}


def measure_mixed(seeds, epochs, rows=500, units=64):
    """Measure networks with two early and two late hidden layers."""
    data = Data()
    for seed in range(seeds):
        split = digits(seed, rows)
        for condition, (early, late) in (PURE | MIXED).items():
            layers = hidden(early, units, 2) + hidden(late, units, 2)
            net = train(classifier(layers, seed), split, epochs)
            data.add("accuracy", condition, accuracy(net, split))
    return data


def judge_mixed(data: Data) -> list[Part]:
    """Each mixed network compared with each pure one."""
    return [
        greater(f"{mixed} beats {pure} in all layers", data, ACCURACY, mixed, pure)
        for mixed in MIXED
        for pure in PURE
    ]


MIXTURE = Experiment(
    name="mixed-activations",
    title="Different activations in early and late layers",
    question="Is a network better with different activations in early and late layers?",
    claim="Mixing ReLU and tanh between early and late layers beats either one in all layers.",
    method="Networks with two early and two late hidden layers of 64 units are trained on 500 "
    "digits with Adam at 0.001 in batches of 32, with all four combinations of ReLU and tanh. "
    "Each activation has the initialization that suits it. Each seed has its own rows, weights, "
    "order and held-out quarter.",
    rule="With 95 % confidence, paired by seed: each of the two mixed networks is more accurate "
    "than each of the two pure networks.",
    measure=measure_mixed,
    judge=judge_mixed,
    quantities=[ACCURACY],
    full={"seeds": 20, "epochs": 40},
    quick={"seeds": 6, "epochs": 20},
)

# -- periodic-targets -----------------------------------------------------------------------------

INSIDE = Quantity(
    "inside", "R squared, no unit", "Within the training range", form=".3f",
    marks={"perfect": 1.0},
)  # fmt: skip
OUTSIDE = Quantity(
    "outside", "R squared, no unit (worse than -1 counts as -1)",
    "One period beyond the training range", form=".3f",
    marks={"perfect": 1.0, "no better than the mean": 0.0},
)  # fmt: skip


def measure_periodic(seeds, epochs, rows=512, units=64):
    """Fit sin(2 pi t) + sin(4 pi t) / 2 for t from -2 to 2, and predict up to 3."""
    data = Data()
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        times = {"train": rng.uniform(-2, 2, rows), "inside": rng.uniform(-2, 2, rows),
                 "outside": rng.uniform(2, 3, rows)}  # fmt: skip
        t = {name: each[:, None].astype(np.float32) for name, each in times.items()}
        y = {name: wave(each) for name, each in t.items()}
        for condition, activation in (("ReLU", "relu"), ("Sine", nn.Sine(omega=6.0))):
            layers = [*hidden(activation, units, 2), nn.Dense(1)]
            net = nn.Network(layers, loss="mse", optimizer=nn.Adam(3e-3), seed=seed)
            net.fit(t["train"], y["train"], epochs=epochs)
            for name in ("inside", "outside"):
                data.add(name, condition, r_squared(y[name], net.predict(t[name])))
    return data


def wave(t):
    """The target."""
    return (np.sin(2 * np.pi * t) + np.sin(4 * np.pi * t) / 2)[:, 0]


def r_squared(y, found):
    """R squared, but at least -1: how much worse it is does not matter."""
    return max(-1.0, 1 - float(np.mean((y - found) ** 2) / np.var(y)))


def judge_periodic(data: Data) -> list[Part]:
    """Within the training range and beyond it."""
    return [
        above("ReLU fits within the training range: over 0.95", data, INSIDE, "ReLU", 0.95),
        above("Sine fits within the training range: over 0.95", data, INSIDE, "Sine", 0.95),
        below("ReLU does not extrapolate: under 0.5", data, OUTSIDE, "ReLU", 0.5),
        above("Sine extrapolates: over 0.5", data, OUTSIDE, "Sine", 0.5),
    ]


PERIODIC = Experiment(
    name="periodic-targets",
    title="Periodic targets with ReLU and Sine",
    question="Does a network learn that a target is periodic?",
    claim="ReLU fits a periodic target only where it has data; Sine also extrapolates it.",
    method="Networks with two hidden layers of 64 units, with ReLU or sin(6 x) as activation, are "
    "trained on sin(2 pi t) + sin(4 pi t) / 2 at 512 random times from -2 to 2 with Adam at 0.003 "
    "in batches of 32. They predict other times in that range, and times from 2 to 3. Each seed "
    "draws other times and weights.",
    rule="With 95 % confidence: from -2 to 2, R squared is over 0.95 for ReLU; and over 0.95 for "
    "Sine; from 2 to 3 it is under 0.5 for ReLU; and over 0.5 for Sine.",
    measure=measure_periodic,
    judge=judge_periodic,
    quantities=[INSIDE, OUTSIDE],
    full={"seeds": 10, "epochs": 300},
    quick={"seeds": 4, "epochs": 200},
)

# -- autoencoder ----------------------------------------------------------------------------------

EXPLAINED = Quantity(
    "explained", "explained variance, %", "Reconstruction of held-out digits", form=".1f"
)
IDLE = Quantity("idle", "units of the code that never change, %", "Idle units of the code",
                form=".1f")  # fmt: skip


def measure_autoencoder(seeds, epochs, units=32, code=8):
    """Measure the reconstruction of 64 pixels from a code of 8 numbers."""
    data = Data()
    for seed in range(seeds):
        split = digits(seed)
        for activation in ("relu", "leaky_relu", "tanh", "sigmoid"):
            encoder = [nn.Dense(units, activation), nn.Dense(code, activation)]
            layers = [*encoder, nn.Dense(units, activation), nn.Dense(split.X.shape[1])]
            net = nn.Network(layers, loss="mse", optimizer=nn.Adam(1e-3), seed=seed)
            net.fit(split.X, split.X, epochs=epochs)
            error = np.mean((net.predict(split.X_test) - split.X_test) ** 2)
            variance = np.mean(np.var(split.X_test, axis=0))
            data.add("explained", activation, 100 * (1 - error / variance))
            data.add("idle", activation, idle_share(net, encoder, split.X))
    return data


def idle_share(net, encoder, X):
    """The share of units of the code that are the same for every row, in per cent."""
    part = nn.Network(encoder, loss="mse").build(X.shape[1])
    state = net.state_dict()
    part.load_state_dict({name: state[name] for name in part.state_dict()})
    return 100 * float(np.mean(np.ptp(part.forward(X), axis=0) == 0))


def judge_autoencoder(data: Data) -> list[Part]:
    """ReLU compared with each other activation."""
    return [
        greater(f"ReLU reconstructs better than {other}", data, EXPLAINED, "relu", other)
        for other in ("tanh", "sigmoid")
    ] + [
        greater("leaky ReLU leaves fewer units of the code idle than ReLU", data, IDLE, "relu",
                "leaky_relu")
    ]  # fmt: skip


AUTOENCODER = Experiment(
    name="autoencoder",
    title="An autoencoder",
    question="Which activation suits an autoencoder with a narrow code?",
    claim="A ReLU autoencoder reconstructs better than one with tanh or sigmoid, but units of its "
    "code die, while those of leaky ReLU do not.",
    method="Layers of 32, 8 and 32 units with the same activation and a linear output layer are "
    "trained to reconstruct the 64 pixels of digits with Adam at 0.001 in batches of 32. The "
    "result is the explained share of the pixels' variance on held-out digits. A unit of the "
    "code is idle if it has the same value for every training row. Each seed has its own "
    "weights, order and held-out quarter.",
    rule="With 95 % confidence, paired by seed: ReLU explains more variance than tanh; more than "
    "sigmoid; and more units of its code are idle than with leaky ReLU.",
    measure=measure_autoencoder,
    judge=judge_autoencoder,
    quantities=[EXPLAINED, IDLE],
    full={"seeds": 10, "epochs": 100},
    quick={"seeds": 5, "epochs": 40},
)
