"""What ReLU networks are for: mixed layers, periodic targets, an autoencoder."""

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
    """Two early and two late layers."""
    data = Data()
    for seed in range(seeds):
        split = digits(seed, rows)
        for condition, (early, late) in (PURE | MIXED).items():
            layers = hidden(early, units, 2) + hidden(late, units, 2)
            net = train(classifier(layers, seed), split, epochs)
            data.add("accuracy", condition, accuracy(net, split))
    return data


def judge_mixed(data: Data) -> list[Part]:
    """Each mixture against each pure network."""
    return [
        greater(f"{mixed} beats {pure} throughout", data, ACCURACY, mixed, pure)
        for mixed in MIXED
        for pure in PURE
    ]


MIXTURE = Experiment(
    name="mixed-activations",
    title="Different activations in early and late layers",
    question="Is a network better with one activation in early layers and another in late ones?",
    claim="Mixing ReLU and tanh between early and late layers beats either throughout.",
    method="Two early and two late hidden layers of 64 units learn 500 digits by Adam at 0.001 in "
    "batches of 32, with all four combinations of ReLU and tanh, each with the initialisation "
    "that suits it. Each seed has its own rows, weights, order and held-out quarter.",
    rule="With 95 % confidence, paired by seed: each of both mixtures is more accurate than each "
    "of both pure networks.",
    measure=measure_mixed,
    judge=judge_mixed,
    quantities=[ACCURACY],
    full={"seeds": 20, "epochs": 40},
    quick={"seeds": 6, "epochs": 20},
)

# -- periodic-targets -----------------------------------------------------------------------------

INSIDE = Quantity(
    "inside", "R squared, no unit", "Within the range trained on", form=".3f",
    marks={"perfect": 1.0},
)  # fmt: skip
OUTSIDE = Quantity(
    "outside", "R squared, no unit (worse than -1 counts as -1)", "One period beyond it",
    form=".3f", marks={"perfect": 1.0, "no better than the mean": 0.0},
)  # fmt: skip


def measure_periodic(seeds, epochs, rows=512, units=64):
    """sin(2 pi t) + sin(4 pi t) / 2 for t from -2 to 2, then on to 3."""
    data = Data()
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        places = {"train": rng.uniform(-2, 2, rows), "inside": rng.uniform(-2, 2, rows),
                  "outside": rng.uniform(2, 3, rows)}  # fmt: skip
        t = {name: each[:, None].astype(np.float32) for name, each in places.items()}
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
    """At least -1: how much worse it is than the mean is of no interest."""
    return max(-1.0, 1 - float(np.mean((y - found) ** 2) / np.var(y)))


def judge_periodic(data: Data) -> list[Part]:
    """Within the data and beyond them."""
    return [
        above("ReLU fits within the data: over 0.95", data, INSIDE, "ReLU", 0.95),
        above("Sine fits within the data: over 0.95", data, INSIDE, "Sine", 0.95),
        below("ReLU does not go on beyond: under 0.5", data, OUTSIDE, "ReLU", 0.5),
        above("Sine does: over 0.5", data, OUTSIDE, "Sine", 0.5),
    ]


PERIODIC = Experiment(
    name="periodic-targets",
    title="Periodic targets with ReLU and Sine",
    question="Does a network learn that a target repeats?",
    claim="ReLU fits a periodic target only where it has data; Sine also goes on beyond.",
    method="Two hidden layers of 64 units, of ReLU or of sin(6 x), learn sin(2 pi t) + "
    "sin(4 pi t) / 2 at 512 random times from -2 to 2 by Adam at 0.003 in batches of 32. Other "
    "times within, and times from 2 to 3, are predicted. Each seed draws other times and weights.",
    rule="With 95 % confidence: within the data R squared is over 0.95 for ReLU; and for Sine; "
    "from 2 to 3 it is under 0.5 for ReLU; and over 0.5 for Sine.",
    measure=measure_periodic,
    judge=judge_periodic,
    quantities=[INSIDE, OUTSIDE],
    full={"seeds": 10, "epochs": 300},
    quick={"seeds": 4, "epochs": 200},
)

# -- autoencoder ----------------------------------------------------------------------------------

EXPLAINED = Quantity(
    "explained", "variance given back, %", "Held-out digits, given back", form=".1f"
)
IDLE = Quantity("idle", "units of the code that never change, %", "Idle units of the code",
                form=".1f")  # fmt: skip


def measure_autoencoder(seeds, epochs, units=32, code=8):
    """64 pixels through a code of 8 numbers and back."""
    data = Data()
    for seed in range(seeds):
        split = digits(seed)
        for activation in ("relu", "leaky_relu", "tanh", "sigmoid"):
            encoder = [nn.Dense(units, activation), nn.Dense(code, activation)]
            layers = [*encoder, nn.Dense(units, activation), nn.Dense(split.X.shape[1])]
            net = nn.Network(layers, loss="mse", optimizer=nn.Adam(1e-3), seed=seed)
            net.fit(split.X, split.X, epochs=epochs)
            rest = np.mean((net.predict(split.X_test) - split.X_test) ** 2)
            spread = np.mean(np.var(split.X_test, axis=0))
            data.add("explained", activation, 100 * (1 - rest / spread))
            data.add("idle", activation, idle_share(net, encoder, split.X))
    return data


def idle_share(net, encoder, X):
    """Units of the code that say the same for every row, in per cent."""
    part = nn.Network(encoder, loss="mse").build(X.shape[1])
    state = net.state_dict()
    part.load_state_dict({name: state[name] for name in part.state_dict()})
    return 100 * float(np.mean(np.ptp(part.forward(X), axis=0) == 0))


def judge_autoencoder(data: Data) -> list[Part]:
    """ReLU against each."""
    return [
        greater(f"ReLU gives back more than {other}", data, EXPLAINED, "relu", other)
        for other in ("tanh", "sigmoid")
    ] + [
        greater("leaky ReLU leaves fewer units of the code idle than ReLU", data, IDLE, "relu",
                "leaky_relu")
    ]  # fmt: skip


AUTOENCODER = Experiment(
    name="autoencoder",
    title="An autoencoder",
    question="Which activation serves an autoencoder with a narrow code?",
    claim="A ReLU autoencoder gives back more than one of tanh or sigmoid, but units of its code "
    "die where leaky ones do not.",
    method="Layers of 32, 8 and 32 units with one activation, and a linear one, learn to give "
    "back the 64 pixels of digits by Adam at 0.001 in batches of 32. What is given back of "
    "held-out digits is the share of the pixels' variance. A unit of the code is idle if it says "
    "the same for every training row. Each seed has its own weights, order and held-out quarter.",
    rule="With 95 % confidence, paired by seed: ReLU gives back more than tanh; more than "
    "sigmoid; more units of its code are idle than of leaky ReLU's.",
    measure=measure_autoencoder,
    judge=judge_autoencoder,
    quantities=[EXPLAINED, IDLE],
    full={"seeds": 10, "epochs": 100},
    quick={"seeds": 5, "epochs": 40},
)
