"""Claims about time: what exp costs, and what skipping zeros saves."""

import re
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

import relume
from relume import nn
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, above, below
from relume.functional.activations import ROWS, parameters_of


def interleaved(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The median time of each in seconds; they run in turn, so disturbances affect all alike."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats + 1):
        for name, function in functions.items():
            begin = time.perf_counter()
            function()
            taken[name].append(time.perf_counter() - begin)
    return {name: float(np.median(each[1:])) for name, each in taken.items()}


# -- cost-of-exp ----------------------------------------------------------------------------------

FORWARD = Quantity(
    "forward", "time / time of a copy", "Forward: time relative to a copy", form=".2f",
    marks={"a copy": 1.0},
)  # fmt: skip
BACKWARD = Quantity(
    "backward", "time / time of a copy", "Backward: time relative to a copy", form=".2f",
    marks={"a copy": 1.0},
)  # fmt: skip
COPY = "copy"


def needs_exp(name):
    """Whether the formula has an exponential, or a function computed by one."""
    return re.search(r"\b(exp|tanh|log|Phi)\b", ROWS[name]["formula"]) is not None


def without_arguments():
    """The activations whose parameters all have defaults."""
    return [name for name, row in ROWS.items() if None not in parameters_of(row).values()]


def measure_exp(seeds, repeats, elements=2**16):
    """Time every activation on one thread over float32 arrays that fit the L2 cache, with out=."""
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
    """ReLU compared with a copy, and functions with exp compared with ReLU."""
    names = [name for name in data.conditions("forward") if needs_exp(name)]
    parts = [
        below("relu forward costs less than 1.5 copies", data, FORWARD, "relu", 1.5),
        below("relu backward, which reads two arrays, costs less than 2.5 copies", data, BACKWARD,
              "relu", 2.5),
    ]  # fmt: skip
    for direction in ("forward", "backward"):
        ratios = {name: data.ratio(direction, name, "relu") for name in names}
        fastest = min(ratios, key=lambda name: ratios[name].mean)
        statement = f"{direction}: all {len(names)} functions with exp take over twice as long"
        numbers = f"the fastest, {fastest}, takes {ratios[fastest].text()} times as long as relu"
        parts.append(Part(statement, all(each.low > 2 for each in ratios.values()), numbers))
    return parts


EXP = Experiment(
    name="cost-of-exp",
    title="What exp costs",
    question="How long does each activation take, compared with a copy of the same array?",
    claim="ReLU costs little more than a copy; functions with an exponential cost far more.",
    method="Each activation of relume, forward and backward, computes 65,536 float32 numbers "
    "(standard normal; arrays fit the L2 cache) on one thread into an existing array. All "
    "functions run in turn, many times. The median time is divided by that of a copy. Each seed "
    "is a round with its own numbers and arrays.",
    rule="With 95 % confidence over the rounds: relu takes less than 1.5 copies forward and 2.5 "
    "backward. Every function whose formula contains exp, tanh, log or the normal distribution "
    "takes over twice as long as relu forward, and also backward.",
    measure=measure_exp,
    judge=judge_exp,
    quantities=[FORWARD, BACKWARD],
    full={"seeds": 10, "repeats": 400},
    quick={"seeds": 4, "repeats": 60},
)

# -- sparsity-pays --------------------------------------------------------------------------------

SPEED_UP = Quantity(
    "speed-up", "dense time / time when skipping zeros", "Speedup from skipping zeros", log=True,
    x_label="zeros in the input, %", marks={"break even": 1.0}, form=".2f",
)  # fmt: skip
BATCHES = {"one row": 1, "batch of 128": 128}
AT_START, AT_BEST = 50, 90  # per cent zeros: of ReLU at initialization, and if very sparse


def measure_sparsity(seeds, repeats, zeros=(0, 30, 50, 70, 80, 90, 95, 98), width=1024):
    """Time the prediction of one layer whose input has a given share of zeros."""
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
    """The share of zeros above which skipping is faster on average, as text."""
    found = None
    for share in reversed(data.x_values("speed-up", condition)):
        if data.mean("speed-up", condition, share).mean < 1:
            break
        found = share
    return "at none of the shares" if found is None else f"from {found:g} % zeros"


def judge_sparsity(data: Data) -> list[Part]:
    """At the share of zeros that ReLU has at initialization, and at a high one."""
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
    title="Skipping zeros",
    question="From which share of zeros is a product that skips them faster than a dense one?",
    claim="Skipping the zeros of ReLU saves time.",
    method="A layer with 1,024 inputs and outputs predicts one row and 128 rows, with zeros at "
    "random positions. One network has sparse='never', the other sparse='always', whose time "
    "includes finding the zeros. Both run in turn, many times, and the medians are divided. Each "
    "seed is a round with its own numbers.",
    rule="With 95 % confidence over the rounds, skipping is faster at 50 % zeros, which ReLU has "
    "at initialization, and at 90 %, each for one row and for a batch of 128.",
    measure=measure_sparsity,
    judge=judge_sparsity,
    quantities=[SPEED_UP],
    full={"seeds": 10, "repeats": 25},
    quick={"seeds": 4, "repeats": 9},
)
