"""The works to measure. Each makes its problem, prepares a contender, and runs turns of it.

`problem` and `differences` run in the driving process, the other methods in a contender's process.
"""

import gc
import statistics
import time
import timeit
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import problems

TURN = 0.05  # minimum seconds for which a contender runs in one turn
LOSS_ROWS = 2_000  # at most as many rows are used to compare the losses of random shapes
MINIBATCHES = 56  # losses are compared closely after this many: all of digits with batch size 32
OTHER_ADAM = 1e-2  # tolerance if 1 - beta**t has 5 digits, or eps is added before bias correction
OTHER_ADAMS = ["PyTorch compiled", "scikit-learn", "relume.sklearn"]
AFTER_AN_EPOCH, AT_THE_END, PROBABILITY, PRODUCT = 1e-4, 0.1, 1e-5, 1e-4  # tolerances


def spelled(layers):
    return "-".join(map(str, layers))


@dataclass(frozen=True)
class Training:
    """Whole fits from the same initial weights, in seconds per step.

    The relative differences of losses from PyTorch's, or another contender's, are checked
    twice: closely after an epoch of the first minibatches, and roughly at the end. By then
    rounding errors have grown: they decide whether a unit at its kink passes on a gradient, and
    for weights without earlier gradients, Adam turns any gradient into a step as large as the
    learning rate. On Fashion-MNIST, the losses of NumPy in float32 and float64 agree to 4e-7 in
    the first 150 minibatches, and to 4e-2 at the end.
    """

    data: str
    layers: tuple
    batch_size: int
    epochs: int
    fresh = False  # whether each turn needs a process of its own

    def __str__(self):
        return f"{self.data} {spelled(self.layers)}, batch {self.batch_size}"

    def problem(self):
        return problems.training_problem(self.data, self.layers, self.batch_size, self.epochs)

    def prepare(self, library, problem, arguments):
        return library.training(problem, **arguments), problem

    def answer(self, prepared):
        """The weights after an epoch of the first minibatches, and at the end of the fit."""
        (reset, run, weights), problem = prepared
        found = []
        for epochs, n in ((1, self.checked(problem)), (problem.epochs, len(problem.X))):
            reset()
            run(epochs, n)
            found.append([(np.array(w), np.array(b)) for w, b in weights()])
        return found

    def checked(self, problem):
        return min(MINIBATCHES * problem.batch_size, len(problem.X))

    def turn(self, prepared):
        (reset, run, _), problem = prepared
        taken = []
        while sum(taken) < TURN:
            reset()
            begin = time.perf_counter()
            run(problem.epochs, len(problem.X))
            taken.append(time.perf_counter() - begin)
        return statistics.median(taken) / problem.steps

    def differences(self, answers, problem):
        """The difference of each loss from the reference, and whether it is acceptable."""
        n = min(self.checked(problem), len(problem.X))
        losses = {
            key: [problems.loss_of(weights, problem, n) for weights in both]
            for key, both in answers.items()
        }
        reference = min(losses, key=lambda key: (key[0] != "PyTorch", key[0] != "NumPy", key[1]))
        for key, both in losses.items():
            found = [abs(a / b - 1) for a, b in zip(both, losses[reference], strict=True)]
            close = OTHER_ADAM if key[0] in OTHER_ADAMS else AFTER_AN_EPOCH
            fine = found[0] <= close and found[1] <= AT_THE_END
            yield key, (
                f"loss {both[0]:.6f} after {n:,} rows, {found[0]:.1e} from {reference[0]}'s; "
                f"{both[1]:.6f} and {found[1]:.1e} at the end"
            ), fine  # fmt: skip


@dataclass(frozen=True)
class Steps(Training):
    """One epoch of random rows: 4 to 500 steps, as many as take about 50 ms."""

    def __str__(self):
        return f"step {spelled(self.layers)}, batch {self.batch_size}"

    def problem(self):
        seconds = 1e-5 + problems.operations(self.layers, self.batch_size) / 1e11
        floats = self.batch_size * self.layers[0]  # the rows take 64 MB at most
        steps = max(4, min(int(TURN / seconds), 500, 16_000_000 // floats))
        return problems.random_problem(
            self.layers, steps * self.batch_size, None, self.batch_size, self.epochs
        )

    def checked(self, problem):
        return 2 * problem.batch_size

    def differences(self, answers, problem):
        n = min(LOSS_ROWS, len(problem.X))
        return super().differences(answers, problem._replace(X=problem.X[:n], y=problem.y[:n]))


@dataclass(frozen=True)
class Memory(Training):
    """The peak memory of a fit beyond that of the process with its rows and library, in bytes.

    Memory for modules that load, or code that compiles, in the first fit is included.
    """

    fresh = True

    def prepare(self, library, problem, arguments):
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # reset the peak
        before = memory("VmRSS")
        fit = library.training(problem, **arguments)
        fit.reset()
        fit.run(problem.epochs, len(problem.X))
        return memory("VmHWM") - before

    def answer(self, prepared):
        return None

    def turn(self, prepared):
        return prepared

    def differences(self, answers, problem):
        return ()


def memory(field):
    """A field of this process's memory usage, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


@dataclass(frozen=True)
class Prediction:
    """Class probabilities, from a NumPy array to a NumPy array, in seconds per call."""

    layers: tuple
    rows: int
    zeros: float | None = None
    fresh = False

    def __str__(self):
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        zeros = "" if self.zeros is None else f", {self.zeros:.0%} zeros"
        return f"{rows}, {spelled(self.layers)}{zeros}"

    def problem(self):
        return problems.random_problem(self.layers, self.rows, self.zeros)

    def prepare(self, library, problem, arguments):
        return self.timed(library.prediction(problem, **arguments))

    @staticmethod
    def timed(function):
        function()
        timer = timeit.Timer(function)
        once = min(timer.repeat(5, 1))
        return function, timer, max(1, int(TURN / once))

    def answer(self, prepared):
        return np.array(prepared[0]())

    def turn(self, prepared):
        _, timer, number = prepared
        return timer.timeit(number) / number

    def differences(self, answers, problem):
        expected = np.exp(problems.log_probabilities(problem.weights, problem.X))
        for key, found in answers.items():
            off = abs(found - expected).max()
            yield key, f"probabilities {off:.1e} off", off <= PROBABILITY


@dataclass(frozen=True)
class Layer(Prediction):
    """One layer without an activation: its product and the library's overhead."""

    def __str__(self):
        return f"{self.rows} rows, one layer {spelled(self.layers)}, {self.zeros:.0%} zeros"

    def problem(self):
        problem = super().problem()
        weights = [(weight, np.zeros_like(bias)) for weight, bias in problem.weights]
        return problem._replace(weights=weights)

    def prepare(self, library, problem, arguments):
        return self.timed(library.layer(problem, **arguments))

    def differences(self, answers, problem):
        expected = problem.X.astype(np.float64) @ problem.weights[0][0]
        for key, found in answers.items():
            off = abs(found - expected).max() / abs(expected).max()
            yield key, f"product {off:.1e} off", off <= PRODUCT


@dataclass(frozen=True)
class Ufunc:
    """A call of an activation on filled float32 arrays, on one thread, in seconds per call.

    A call in place includes a copy of the input. `direction` is "forward" or "backward".
    """

    function: str
    direction: str
    n: int
    in_place: bool = False

    def __str__(self):
        place = ", in place" if self.in_place else ""
        return f"{self.function} {self.direction}, {self.n:,} elements{place}"

    def problem(self):
        rng = np.random.default_rng(problems.SEED)
        x, g = (rng.standard_normal(self.n, np.float32) for _ in range(2))
        return problems.Problem(2 * x, g, [])

    def prepare(self, library, problem, arguments):
        call = library.ufunc(self.function, self.direction)
        x, g, out = problem.X, problem.y, np.ones_like(problem.X)

        def in_place():
            np.copyto(out, x if self.direction == "forward" else g)
            call(out, out, out) if self.direction == "forward" else call(out, x, out)

        return Prediction.timed(in_place if self.in_place else lambda: call(g, x, out))

    turn = Prediction.turn
