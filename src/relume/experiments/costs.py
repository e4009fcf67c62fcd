"""Time: what exp costs, and what skipping zeros saves."""

import re
import time
from collections.abc import Callable
from functools import partial

import numpy as np

import relume
from relume import nn
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, above, below
from relume.functional.activations import ROWS, parameters_of


def interleaved(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median seconds of each, run in turn so that all meet the same disturbances."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats + 1):
        for name, function in functions.items():
            begin = time.perf_counter()
            function()
            taken[name].append(time.perf_counter() - begin)
    return {name: float(np.median(each[1:])) for name, each in taken.items()}


# -- cost-of-exp ----------------------------------------------------------------------------------

FORWARD = Quantity(
    "forward", "time / time of a copy", "Forward: time beside a copy", form=".2f",
    marks={"a copy": 1.0},
)  # fmt: skip
BACKWARD = Quantity(
    "backward", "time / time of a copy", "Backward: time beside a copy", form=".2f",
    marks={"a copy": 1.0},
)  # fmt: skip
COPY = "copy"


def needs_exp(name):
    """Whether the formula has an exponential, or what is computed by one."""
    return re.search(r"\b(exp|tanh|log|Phi)\b", ROWS[name]["formula"]) is not None


def without_arguments():
    """The activations of the table whose parameters all have defaults."""
    return [name for name, row in ROWS.items() if None not in parameters_of(row).values()]


def measure_exp(seeds, repeats, elements=2**16):
    """Every activation on one thread over float32 that fit the cache, outputs given."""
    data = Data()
    names = without_arguments()
    for seed in range(seeds):
        x, grad = np.random.default_rng(seed).standard_normal((2, elements), np.float32)
        out = np.empty_like(x)
        forward = {COPY: partial(np.copyto, out, x)}
        backward = dict(forward)
        for name in names:
            f, f_backward = getattr(relume, name), getattr(relume, f"{name}_backward")
            forward[name] = partial(f, x, out=out)
            backward[name] = partial(f_backward, grad, x, out=out)
        with relume.num_threads(1):
            for direction, functions in (("forward", forward), ("backward", backward)):
                seconds = interleaved(functions, repeats)
                for name in names:
                    data.add(direction, name, seconds[name] / seconds[COPY])
    return data


def judge_exp(data: Data) -> list[Part]:
    """ReLU beside a copy, and those with exp beside ReLU."""
    names = [name for name in data.conditions("forward") if needs_exp(name)]
    parts = [
        below("relu forward costs less than 1.5 copies", data, FORWARD, "relu", 1.5),
        below("relu backward, which reads two arrays, less than 2.5", data, BACKWARD, "relu", 2.5),
    ]
    for direction in ("forward", "backward"):
        ratios = {name: data.ratio(direction, name, "relu") for name in names}
        least = min(ratios, key=lambda name: ratios[name].mean)
        statement = f"{direction}: all {len(names)} functions with exp take over twice as long"
        numbers = f"the quickest: {least}, {ratios[least].text()} times relu"
        parts.append(Part(statement, all(each.low > 2 for each in ratios.values()), numbers))
    return parts


EXP = Experiment(
    name="cost-of-exp",
    title="What exp costs",
    question="How long does each activation take beside a copy of the same array?",
    claim="ReLU is cheap, hardly more than a copy; functions with an exponential are not.",
    method="Each activation of relume, forward and backward, computes 65,536 float32 numbers "
    "(standard normal; array and result fit the cache) on one thread into an array that is "
    "there. All are run in turn, many times; the median counts, divided by that of a copy. Each "
    "seed is a round with numbers and arrays of its own.",
    rule="With 95 % confidence over the rounds: relu takes less than 1.5 copies forward and 2.5 "
    "backward; each function whose formula holds exp, tanh, log or the normal distribution takes "
    "over twice relu's time forward; and backward.",
    measure=measure_exp,
    judge=judge_exp,
    quantities=[FORWARD, BACKWARD],
    full={"seeds": 10, "repeats": 400},
    quick={"seeds": 4, "repeats": 60},
)

# -- sparsity-pays --------------------------------------------------------------------------------

SPEED_UP = Quantity(
    "speed-up", "dense time / time that skips zeros", "What skipping zeros gains", log=True,
    x_label="zeros in the input, %", marks={"break even": 1.0}, form=".2f",
)  # fmt: skip
BATCHES = {"one row": 1, "batch of 128": 128}
AT_START, AT_BEST = 50, 90  # per cent: ReLU's zeros at initialisation, and of a very sparse one


def measure_sparsity(seeds, repeats, zeros=(0, 30, 50, 70, 80, 90, 95, 98), width=1024):
    """Prediction of one layer whose input has so many zeros."""
    data = Data()
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        dense, skipping = (
            nn.Network([nn.Dense(width)], loss="mse", seed=seed, sparse=how).build(width)
            for how in ("never", "always")
        )
        for condition, rows in BATCHES.items():
            for share in zeros:
                X = rng.random((rows, width), np.float32)
                X[rng.random(X.shape) < share / 100] = 0
                ways = {
                    "dense": partial(dense.predict, X),
                    "skipping": partial(skipping.predict, X),
                }
                seconds = interleaved(ways, repeats)
                data.add("speed-up", condition, seconds["dense"] / seconds["skipping"], share)
    return data


def break_even(data, condition):
    """The least share of zeros from which on skipping is faster on average."""
    found = None
    for share in reversed(data.places("speed-up", condition)):
        if data.mean("speed-up", condition, share).mean < 1:
            break
        found = share
    return "at no share measured" if found is None else f"from {found:g} % zeros"


def judge_sparsity(data: Data) -> list[Part]:
    """At the zeros that ReLU has at first, and at many."""
    parts = []
    for condition in BATCHES:
        for share in (AT_START, AT_BEST):
            part = above(f"{condition}: faster at {share} % zeros", data, SPEED_UP, condition, 1,
                         share)  # fmt: skip
            numbers = f"{part.numbers}; faster {break_even(data, condition)}"
            parts.append(part._replace(numbers=numbers))
    return parts


SPARSITY = Experiment(
    name="sparsity-pays",
    title="Sparsity pays",
    question="From how many zeros on is a product that skips them faster than a dense one?",
    claim="ReLU's zeros are time saved.",
    method="A layer of 1,024 inputs and outputs predicts one row, and 128 rows, with zeros at "
    "random places: by a network with sparse='never', and by the same with sparse='always', whose "
    "time includes finding the zeros. Both run in turn, many times; the medians are divided. Each "
    "seed is a round with numbers of its own.",
    rule="With 95 % confidence over the rounds, skipping is faster: at 50 % zeros, as ReLU has at "
    "initialisation, and at 90 %; for one row, and for a batch of 128.",
    measure=measure_sparsity,
    judge=judge_sparsity,
    quantities=[SPEED_UP],
    full={"seeds": 10, "repeats": 25},
    quick={"seeds": 4, "repeats": 9},
)
