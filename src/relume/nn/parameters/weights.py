"""The values of a built network: flat buffers in the layout of the engine's plan."""

import itertools
import math
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relume.engine.arrays import aligned_zeros, copy_values
from relume.engine.ops import COUNT_BASE, DIGITS, LEARNT
from relume.engine.plan import Plan
from relume.engine.prediction import Predictor
from relume.nn.data.rows import RawRows, SparseRows
from relume.nn.layers.normalization import Standardize
from relume.nn.layers.ops import ops_of
from relume.runtime.read_write_lock import ReadWriteLock


class View(NamedTuple):
    """An array of parameters in a flat buffer."""

    op: int
    name: str  # in the op
    values: NDArray[Any]
    role: str  # LEARNT, STATISTIC, COUNT or DIGITS of relume.engine.ops


class Weights:
    """Parameters, gradients and optimizer state of some layers for inputs of one width.

    Several Python threads may read the parameters while one trains. Whoever writes them in place
    holds `lock` for writing; who reads what must belong together holds it for reading.
    """

    def __init__(self, layers, n_features, dtype, sparse="auto"):
        self.layers, self.dtype = layers, dtype
        self._compile(n_features, sparse)
        # The first moment; the root of the second, negative where a unit was revived; and what
        # some optimizers keep besides.
        self.optimizer_state = aligned_zeros((2, self.plan.n_parameters), dtype)
        # Upper bounds of |parameters| and of |optimizer_state[0]| that the engine has left; None
        # as soon as anybody else may have written.
        self.bounds: tuple[float, float] | None = None
        # Of the parameters, where the optimizer keeps one.
        self.average: NDArray[np.floating] | None = None
        self.steps = 0
        self.gradients: NDArray[np.floating] | None = None
        self.standardized = False  # whether a Standardize has seen data
        self.shared = False  # whether other weights use the same memory for their parameters

    def _compile(self, n_features, sparse):
        specs = ops_of(self.layers)
        plan = Plan(n_features, specs, self.dtype, sparse)
        parameters = aligned_zeros(plan.n_parameters, self.dtype)
        # The plan and the parameters are one attribute, so that other threads find both changed.
        self.predictor = Predictor(plan, specs, sparse, parameters, ReadWriteLock())
        self.with_mean = getattr(self.layers[0], "with_mean", None)

    @property
    def plan(self):
        """The plan of the layers."""
        return self.predictor.plan

    @property
    def specs(self):
        """An OpSpec for each op of the plan."""
        return self.predictor.specs

    @property
    def sparse(self):
        """Whether products skip zeros."""
        return self.predictor.sparse

    @property
    def lock(self):
        """That of the parameters; parts share it."""
        return self.predictor.lock

    def _hold(self, parameters, lock=None):
        self.predictor = Predictor(
            self.plan, self.specs, self.sparse, parameters, lock or self.lock
        )

    parameters = property(attrgetter("predictor.parameters"), _hold, doc="In one flat buffer.")

    def write(self, values):
        """Set all parameters."""
        with self.lock.writing():
            self.parameters[:] = values
        self.bounds = None

    def recompile(self, layers, sparse):
        """Let the plan be that of other layers, or of ones with other settings, for these values.

        Returns whether the plan has changed; ValueError where the layers need other shapes.
        """
        with_mean = getattr(layers[0], "with_mean", None)
        if self.standardized and with_mean != self.with_mean:
            raise ValueError(
                f"with_mean of nn.Standardize must stay {self.with_mean} once it has learned from "
                f"data, got {with_mean}; build a new nn.Network"
            )
        specs, now = ops_of(layers), self.predictor
        changed = specs != now.specs or sparse != now.sparse
        if changed:
            plan = Plan(now.plan.n_in, specs, self.dtype, sparse)
            _check_shapes(_arrays(now.plan, now.specs), _arrays(plan, specs))
            self.predictor = Predictor(plan, specs, sparse, now.parameters, now.lock)
        self.layers, self.with_mean = layers, with_mean
        return changed

    def part(self, layers, first, width):
        """Weights of layers that begin with the network's layer `first`, on the same memory.

        The layers are a run of the network's, or those on the way to a layer within a Residual;
        `width` is that of their input, None where it is the network's.
        """
        part = Weights(layers, width or self.plan.n_in, self.dtype, self.sparse)
        first_op = len(ops_of(self.layers[:first])) if first else 0
        arrays, own = self.plan.layout(), part.plan.layout()
        arrays = [each for each in arrays if each[0] >= first_op][: len(own)]
        begin = arrays[0][2] if arrays else 0
        if [(name, start - begin, shape) for _, name, start, shape, _ in arrays] != [
            (name, start, shape) for _, name, start, shape, _ in own
        ]:
            raise AssertionError("the arrays of some layers are no run of the network's")
        part._hold(self.parameters[begin : begin + part.plan.n_parameters], self.lock)
        part.standardized = self.standardized
        return part

    def assign(self, other):
        """Take the values of new weights of the same layout; parts of these then have them too."""
        self.write(other.parameters)
        self.standardized, self.gradients = other.standardized, None
        self.forget_steps()

    def forget_steps(self):
        """Let another optimizer begin: without moments, average and steps."""
        # New zeros take no memory until they are used, and no time.
        self.optimizer_state = aligned_zeros(self.optimizer_state.shape, self.dtype)
        self.average, self.steps, self.bounds = None, 0, None

    def draw(self, rng):
        """Draw the initial weights."""
        for spec, arrays in self.by_op():
            if arrays:
                spec.layer.draw(rng, arrays)

    def by_op(self, flat=None):
        """Each op's spec, and views of its parameters by their names in it."""
        arrays: list[dict[str, NDArray[np.floating]]] = [{} for _ in self.specs]
        for view in self.views(self.parameters if flat is None else flat):
            arrays[view.op][view.name] = view.values
        return list(zip(self.specs, arrays, strict=True))

    def views(self, flat):
        """The arrays that a flat buffer holds."""
        self.bounds = None
        for i, name, start, shape, role in self.plan.layout():
            values = flat[start : start + math.prod(shape)].reshape(shape)
            yield View(i, name, values, role)

    def named(self, flat, statistics=True):
        """Views of a flat buffer by the names and shapes of a torch.nn.Sequential."""
        return {
            f"{self.specs[view.op].name}.{view.name}": view.values.T
            for view in self.views(flat)
            if view.role == LEARNT or (statistics and view.role != DIGITS)
        }

    def are_finite(self):
        """Whether all parameters are finite."""
        return self.plan.all_finite(self.parameters)

    def average_for(self, keep):
        """Begin to average, if a step keeps some share of the average and none was begun."""
        if keep and self.average is None:
            self.average = self.parameters.copy()

    def state_for(self, rows):
        """Give an optimizer that keeps so many arrays a state of as many."""
        old = self.optimizer_state
        if len(old) != rows:
            self.optimizer_state = aligned_zeros((rows, self.plan.n_parameters), self.dtype)
            self.optimizer_state[: len(old)] = old[:rows]

    def averaged(self):
        """The averaged parameters, with the statistics as they are; None if none are averaged."""
        if self.average is None:
            return None
        with self.lock.reading():
            flat = self.average.copy()
            for mean, now in zip(self.views(flat), self.views(self.parameters), strict=True):
                if now.role != LEARNT:
                    mean.values[...] = now.values
        return flat

    def standardization(self):
        """Views of a first layer's mean and scale; None for what it has not."""
        layer = self.specs[0].layer
        if not isinstance(layer, Standardize):
            return None, None
        bounds = self.bounds
        _, views = self.by_op()[0]
        self.bounds = bounds  # neither is learnt
        return views["mean"] if layer.with_mean else None, views["scale"]

    def learn_standardization(self, mean, scale):
        """Set a first layer's mean, None to keep its zeros, and scale; checked by the caller."""
        views = self.by_op()[0][1]
        with self.lock.writing():
            if mean is not None:
                assign(views, "mean", mean)
            views["scale"][...] = scale
        self.standardized = True

    def adapt(self, X):
        """Let rows that the engine does not take as they are be scaled or centered as read."""
        if isinstance(X, SparseRows):
            X.scale = self.standardization()[1]
        elif isinstance(X, RawRows):
            X.mean = self.center()

    def center(self):
        """The mean that a first layer subtracts, in float64; 0 for other layers."""
        if not isinstance(self.specs[0].layer, Standardize):
            return np.float64(0)
        arrays = {}  # nothing is changed, unlike with `views`
        for i, name, start, shape, _ in self.plan.layout():
            if i == 0:
                arrays[name] = self.parameters[start : start + math.prod(shape)].reshape(shape)
        return whole(arrays, "mean")

    def snapshot(self):
        """All that training changes, in the memory of a recycled snapshot if there is one."""
        # Removed in one operation, so that no two Python threads get the same memory.
        parameters, state = vars(self).pop("spare", (None, None))
        with self.lock.reading():
            average = None if self.average is None else self.average.copy()
            if parameters is None or state.shape != self.optimizer_state.shape:
                parameters, state = self.parameters.copy(), self.optimizer_state.copy()
            else:
                copy_values(self.parameters, parameters)
                copy_values(self.optimizer_state, state)
        return parameters, state, average, self.steps, self.standardized

    def recycle(self, snapshot):
        """Keep the memory of a snapshot that nobody needs any more for the next one.

        For 8 million parameters, new memory from the system takes longer than the copy itself.
        """
        parameters, state, _, _, _ = snapshot
        if parameters.shape == self.parameters.shape and parameters.dtype == self.dtype:
            self.spare = parameters, state

    def restore(self, snapshot):
        """Be again as at the snapshot."""
        parameters, state, average, self.steps, self.standardized = snapshot
        self.write(parameters)
        self.state_for(len(state))
        self.optimizer_state[:] = state
        self.average = None if average is None else average.copy()

    def __getstate__(self):
        """Values, copied, without the plan, which is compiled again, and without gradients."""
        left_out = ("predictor", "spare")
        state = {key: value for key, value in self.__dict__.items() if key not in left_out}
        parameters, optimizer_state, average, _, _ = self.snapshot()
        return state | {
            "n_features": self.plan.n_in,
            "sparse": self.sparse,
            "layout": self.plan.layout(),
            "parameters": parameters,
            # Many optimizers use but one row, or none.
            "optimizer_state": [row if row.any() else None for row in optimizer_state],
            "average": average,
            "gradients": None,
            "shared": False,
            "bounds": None,
        }

    def __setstate__(self, state):
        n_features, rows = state.pop("n_features"), state.pop("optimizer_state")
        layout, sparse = state.pop("layout"), state.pop("sparse")
        parameters = state.pop("parameters")
        self.__dict__.update(state)
        if self.average is not None:
            self.average = np.array(self.average)  # a memory map may be read-only
        self._compile(n_features, sparse)
        if self.plan.layout() != layout:
            raise ValueError(
                "layers must have the shapes that the network was built with, got other ones: "
                "undo the change, or make a new network of the changed layers"
            )
        self.parameters[:] = parameters
        self.optimizer_state = aligned_zeros((len(rows), self.plan.n_parameters), self.dtype)
        for i, row in enumerate(rows):
            if row is not None:
                self.optimizer_state[i] = row


# -- arrays of more digits than the dtype has -----------------------------------------------------


def whole(arrays, name):
    """An array of an op, together with its digits that are in other arrays."""
    value = arrays[name]
    if f"{name}_high" in arrays:
        return value.astype(np.int64) + COUNT_BASE * arrays[f"{name}_high"].astype(np.int64)
    if f"{name}_low" in arrays:
        low, lowest = (arrays[f"{name}_{part}"].astype(np.float64) for part in ("low", "lowest"))
        return value + (low + lowest)
    return value


def assign(arrays, name, value):
    """Set an array of an op, and those of its digits, so that `whole` returns the value."""
    if f"{name}_high" in arrays:
        arrays[f"{name}_high"][...], value = np.divmod(value, COUNT_BASE)
    arrays[name][...] = value
    for part in ("low", "lowest"):
        if f"{name}_{part}" in arrays:
            value = value - np.asarray(arrays[name if part == "low" else f"{name}_low"], float)
            arrays[f"{name}_{part}"][...] = value


def _arrays(plan, specs):
    """Name, offset and shape of all arrays of a plan, as `state_dict` has them."""
    return [
        (f"{specs[i].name}.{name}", start, shape[::-1])
        for i, name, start, shape, _ in plan.layout()
    ]


def _check_shapes(old, new):
    """Raise unless the arrays of two plans have the same kinds and shapes, in the same order."""
    for had, has in itertools.zip_longest(old, new):
        alike = [each and (each[0].rpartition(".")[2], *each[1:]) for each in (had, has)]
        if alike[0] != alike[1]:
            before, now = (f"{each[0]} of shape {each[2]}" if each else "no such array"
                           for each in (had, has))  # fmt: skip
            raise ValueError(
                "layers must keep the shapes of the weights once the network is built, got "
                f"{now} instead of {before}. Undo the change, build a new nn.Network of these "
                "layers, or give this one weights of the new shapes by load_state_dict"
            )
