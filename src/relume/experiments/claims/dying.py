"""Claims about units that die at high learning rates, and about remedies."""

from typing import Any

from relume import nn
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, above, below, greater, within
from relume.experiments.training import (
    accuracy,
    classifier,
    dead_share,
    digits,
    image_sets,
    train,
)

UNITS = (256, 128)
BATCH = 32

# -- dying-units ----------------------------------------------------------------------------------

DEAD_BY_RATE = Quantity(
    "dead", "dead units, %", "Units that are 0 for every training row", x_label="learning rate",
    x_log=True, form=".1f", marks={"20 %": 20.0, "30 %": 30.0},
)  # fmt: skip
BEFORE = Quantity("before", "dead units, %", "Dead before training", form=".1f")
OPTIMIZERS = {
    "Adam": lambda rate: nn.Adam(rate),
    "SGD, momentum 0.9": lambda rate: nn.SGD(rate, momentum=0.9),
}
USUAL_RATE, HIGH_RATE = 0.001, 0.1


def relu_layers(**options):
    """The hidden layers of `relume demo`."""
    return [nn.Dense(n, "relu", **options) for n in UNITS]


def measure_dying(seeds, rates, steps=300):
    """Measure the share of dead units after about the given number of steps."""
    data = Data()
    for name, load in image_sets().items():
        for seed in range(seeds):
            split = load(seed)
            epochs = max(1, round(steps * BATCH / len(split.X)))
            fresh = classifier(relu_layers(), seed).build(split.X.shape[1])
            data.add("before", name, dead_share(fresh, split.X))
            for optimizer, make in OPTIMIZERS.items():
                for rate in rates:
                    net = classifier(relu_layers(), seed, optimizer=make(rate))
                    train(net, split, epochs, batch_size=BATCH)
                    data.add("dead", f"{optimizer}, {name}", dead_share(net, split.X), rate)
    return data


def judge_dying(data: Data) -> list[Part]:
    """At the usual learning rate of Adam, and at a hundred times that."""
    parts = []
    for condition in data.conditions("dead"):
        name = condition.rpartition(", ")[2]
        before = f"; {data.mean('before', name).text(BEFORE.form)} before training"
        judged = [
            below(f"{condition}: under 2 % at rate {USUAL_RATE}", data, DEAD_BY_RATE, condition, 2,
                  USUAL_RATE),
            above(f"{condition}: over 10 % at rate {HIGH_RATE}", data, DEAD_BY_RATE, condition, 10,
                  HIGH_RATE),
            within(f"{condition}: 20 to 30 % at rate {HIGH_RATE}", data, DEAD_BY_RATE, condition,
                   (20, 30), HIGH_RATE),
        ]  # fmt: skip
        parts += [part._replace(numbers=part.numbers + before) for part in judged]
    return parts


DYING = Experiment(
    name="dying-units",
    title="Units die at high learning rates",
    question="What share of ReLU units is dead after a few hundred steps, by learning rate?",
    claim="A high learning rate kills 20 to 30 % of the units within a few hundred steps.",
    method="Hidden layers of 256 and 128 ReLU units with He initialization are trained on images "
    "for about 300 minibatches of 32 rows at constant learning rates. A unit is dead if it is 0 "
    "for every row of the training data. If the loss overflows, the network before that epoch "
    "counts. Each seed has its own weights, order and held-out quarter.",
    rule="For each optimizer and data set, with 95 % confidence: under 2 % of the units are dead "
    "at the usual rate 0.001; over 10 % at the high rate 0.1; and 20 to 30 % at 0.1.",
    measure=measure_dying,
    judge=judge_dying,
    quantities=[DEAD_BY_RATE, BEFORE],
    full={"seeds": 10, "rates": [0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]},
    quick={"seeds": 4, "rates": [0.001, 0.01, 0.1, 1.0]},
)

# -- cures ----------------------------------------------------------------------------------------

ACCURACY = Quantity(
    "accuracy", "held-out accuracy, %", f"Accuracy after training at rate {HIGH_RATE}", form=".1f"
)
DEAD = Quantity("dead", "dead units, %", "Dead units at the end", form=".1f")
NONE = "no remedy"


def normalized(layer):
    """Dense layers with a normalization before each ReLU."""
    return [each for n in UNITS for each in (nn.Dense(n), layer(), nn.ReLU())]


def activated(activation):
    """The same layers with another activation."""
    return [nn.Dense(n, activation) for n in UNITS]


def remedies() -> dict[str, tuple[list[Any], dict[str, Any]]]:
    """By name: the hidden layers, and what else differs from the network without a remedy."""
    return {
        NONE: (relu_layers(), {}),
        "leaky ReLU": (activated("leaky_relu"), {}),
        "PReLU": (activated("prelu"), {}),
        "ELU": (activated("elu"), {}),
        "Glorot initialization": (relu_layers(weight_init="glorot_normal"), {}),
        "orthogonal initialization": (relu_layers(weight_init="orthogonal"), {}),
        "batch norm": (normalized(nn.BatchNorm), {}),
        "layer norm": (normalized(nn.LayerNorm), {}),
        "warm-up, 5 epochs": (relu_layers(), {"schedule": nn.ConstantRate(warmup=5)}),
        "clipping to norm 1": (relu_layers(), {"clip_norm": 1.0}),
        "rate 0.001": (relu_layers(), {"rate": 0.001}),
        "revival": (relu_layers(), {"revive": nn.Revive()}),
        "revival, advised rate": (relu_layers(), {"revive": nn.Revive(lr="advised")}),
    }


def treated(layers, split, seed, epochs, rate=HIGH_RATE, clip_norm=None, schedule=None,
            revive=None):  # fmt: skip
    """A network trained with one remedy."""
    optimizer = nn.Adam(rate, clip_norm=clip_norm)
    net = classifier(layers, seed, optimizer=optimizer, schedule=schedule)
    callbacks = [nn.TerminateOnNaN(), *([revive] if revive else [])]
    return train(net, split, epochs, callbacks=callbacks)


def measure_cures(seeds, epochs):
    """Measure held-out accuracy and dead units with each remedy, and without."""
    data = Data()
    for seed in range(seeds):
        split = digits(seed)
        for name, (layers, options) in remedies().items():
            net = treated(layers, split, seed, epochs, **options)
            data.add("accuracy", name, accuracy(net, split))
            data.add("dead", name, dead_share(net, split.X))
    return data


def judge_cures(data: Data) -> list[Part]:
    """Each remedy compared with none."""
    return [
        greater(f"{name} raises accuracy", data, ACCURACY, name, NONE)
        for name in data.conditions("accuracy")
        if name != NONE
    ]


CURES = Experiment(
    name="cures",
    title="Remedies for dying units",
    question="Which remedies help a ReLU network at a learning rate that is too high?",
    claim="Leaky slopes, PReLU, ELU, another initialization, batch and layer norm, warm-up, "
    "gradient clipping, a lower learning rate and revival each help.",
    method="Hidden layers of 256 and 128 ReLU units are trained on the digits with Adam at 0.1, "
    "a hundred times the usual learning rate, in batches of 32: once without a remedy, and once "
    "with each remedy alone. Revival gives dead units new weights after each epoch; one variant "
    "also lowers the learning rate to the one that relume.diagnostics advises. Each seed has its "
    "own weights, order and held-out quarter.",
    rule="A remedy helps if held-out accuracy is higher with it than without, with 95 % "
    "confidence, paired by seed.",
    measure=measure_cures,
    judge=judge_cures,
    quantities=[ACCURACY, DEAD],
    full={"seeds": 20, "epochs": 20},  # without a remedy, seeds differ by about 20 points
    quick={"seeds": 10, "epochs": 10},
)
