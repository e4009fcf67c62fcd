"""A claim about training time: ReLU compared with tanh and sigmoid, to a given accuracy."""

import time

import numpy as np

from relume import nn
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, times
from relume.experiments.training import Split, classifier, hidden, image_sets

EPOCHS = Quantity(
    "epochs", "epochs to the target accuracy", "Epochs, each at its best learning rate", form=".2f"
)
SECONDS = Quantity(
    "seconds", "seconds to the target accuracy", "Seconds, each at its best learning rate",
    form=".3f",
)  # fmt: skip
ACTIVATIONS = ("relu", "tanh", "sigmoid")
TARGETS = {"digits": 0.95, "Fashion-MNIST": 0.82}
RATES = (0.0003, 0.001, 0.003, 0.01)
BATCH, STEPS_PER_CHECK = 32, 10
MAX_CHECK_ROWS = 500  # held-out rows per check, which then costs about as much as the steps before
FIRST_TUNING_SEED = 1000  # the runs that choose the learning rates have seeds of their own


def network(activation, rate, seed):
    """Two hidden layers, as in `relume demo`."""
    layers = hidden(activation, 256, 1) + hidden(activation, 128, 1)
    return classifier(layers, seed, optimizer=nn.Adam(rate))


def minibatches(split, seed):
    """Minibatches without end, in a new random order in each epoch."""
    rng = np.random.default_rng(seed)
    while True:
        rows = rng.permutation(len(split.X))
        for start in range(0, len(rows) - BATCH + 1, BATCH):
            batch = rows[start : start + BATCH]
            yield split.X[batch], split.y[batch]


def epochs_to(target, net, split, seed, max_epochs):
    """The epochs until held-out accuracy reaches the target, checked every 10 minibatches."""
    steps_per_epoch = len(split.X) // BATCH
    X, y = split.X_test[:MAX_CHECK_ROWS], split.y_test[:MAX_CHECK_ROWS]
    checks = max_epochs * steps_per_epoch // STEPS_PER_CHECK
    history = net.fit(
        minibatches(split, seed), epochs=checks, steps_per_epoch=STEPS_PER_CHECK,
        validation_data=(X, y),
        callbacks=[lambda net, epoch, logs: logs["val_accuracy"] >= target],
    )  # fmt: skip
    return len(history["loss"]) * STEPS_PER_CHECK / steps_per_epoch


def best_rates(target, load, seeds, max_epochs):
    """For each activation, the learning rate that takes the fewest epochs."""
    splits = [(seed, load(seed)) for seed in range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + seeds)]
    found = {}
    for activation in ACTIVATIONS:
        needed = {
            rate: sum(
                epochs_to(target, network(activation, rate, seed), split, seed, max_epochs)
                for seed, split in splits
            )
            for rate in RATES
        }
        found[activation] = min(needed, key=needed.__getitem__)
    return found


def seconds_per_epoch(split: Split, repeats: int) -> dict[str, float]:
    """The median time per epoch; activations run in turn, so disturbances affect all alike."""
    nets = {activation: network(activation, 0.001, 0) for activation in ACTIVATIONS}
    taken: dict[str, list[float]] = {activation: [] for activation in ACTIVATIONS}
    for _ in range(repeats + 1):
        for activation, net in nets.items():
            begin = time.perf_counter()
            net.fit(split.X, split.y, epochs=1, batch_size=BATCH)
            taken[activation].append(time.perf_counter() - begin)
    return {activation: float(np.median(each[1:])) for activation, each in taken.items()}


def measure(seeds, choosing_seeds, max_epochs, repeats):
    """Measure epochs to the target, and multiply them by the seconds per epoch."""
    data = Data()
    for name, load in image_sets().items():
        target = TARGETS[name]
        rates = best_rates(target, load, choosing_seeds, max_epochs)
        for seed in range(seeds):
            split = load(seed)
            cost = seconds_per_epoch(split, repeats)
            for activation, rate in rates.items():
                net = network(activation, rate, seed)
                epochs = epochs_to(target, net, split, seed, max_epochs)
                data.add("epochs", f"{activation}, {name}", epochs)
                data.add("seconds", f"{activation}, {name}", epochs * cost[activation])
    return data


def six_times(data, quantity, other, relu):
    """The statement that the interval of the ratio contains six and excludes one."""
    found = data.ratio(quantity.name, other, relu)
    statement = f"{other}: six times ReLU's {quantity.name}"
    return Part(statement, found.low > 1 and found.low <= 6 <= found.high, f"ratio {found.text()}")


def judge(data: Data) -> list[Part]:
    """For each data set, ReLU compared with tanh and sigmoid."""
    parts = []
    for relu in data.conditions("epochs"):
        activation, name = relu.split(", ")
        if activation != "relu":
            continue
        for quantity in (EPOCHS, SECONDS):
            for other in (f"tanh, {name}", f"sigmoid, {name}"):
                statement = f"{other}: more {quantity.name} than ReLU"
                parts.append(times(statement, data, quantity, other, relu, 1))
            parts.append(six_times(data, quantity, f"tanh, {name}", relu))
    return parts


SIX_TIMES = Experiment(
    name="six-times",
    title="Six times faster than tanh",
    question="How long does ReLU take to reach a given accuracy, compared with tanh and sigmoid?",
    claim="ReLU trains faster than tanh and sigmoid: six times faster than tanh.",
    method="Hidden layers of 256 and 128 units are trained on images with Adam in batches of 32 "
    "until accuracy on at most 500 held-out rows reaches 95 % (digits) or 82 % (Fashion-MNIST), "
    "checked every 10 minibatches. A run that does not reach it counts with its last epoch. Each "
    "activation has the best of four learning rates, chosen with other seeds. Seconds are epochs "
    "times the median time per epoch, measured with the activations in turn. Each seed has its "
    "own weights, order and held-out quarter.",
    rule="For each data set, with 95 % confidence, paired by seed (geometric mean of ratios): "
    "tanh takes more epochs than ReLU; sigmoid takes more epochs than ReLU; 6 lies within the "
    "interval of the ratio of tanh; and the same three statements for seconds.",
    measure=measure,
    judge=judge,
    quantities=[EPOCHS, SECONDS],
    full={"seeds": 10, "choosing_seeds": 3, "max_epochs": 10, "repeats": 7},
    quick={"seeds": 5, "choosing_seeds": 2, "max_epochs": 10, "repeats": 5},
)
