"""The values of a built network: flat buffers in the layout of the engine's plan."""

import math

import numpy as np

from relume.engine.arrays import aligned_zeros
from relume.engine.plan import Plan
from relume.nn.data.rows import SparseRows
from relume.nn.layers.residual import steps_of

STATISTICS = ("running_mean", "running_var", "num_batches_tracked", "mean", "scale")


class Weights:
    """Parameters, gradients and optimizer state of some layers for inputs of one width."""

    def __init__(self, layers, n_features, dtype, sparse="auto"):
        self.layers, self.dtype, self.sparse = layers, dtype, sparse
        self._compile(n_features)
        self.parameters = aligned_zeros(self.plan.n_parameters, dtype)
        self.optimizer_state = aligned_zeros((2, self.plan.n_parameters), dtype)
        self.average = None  # of the parameters, where the optimizer keeps one
        self.steps = 0
        self.gradients = None
        self.standardized = False  # whether a Standardize has seen data

    def _compile(self, n_features):
        self.specs = steps_of(self.layers)
        self.plan = Plan(n_features, self.specs, self.dtype, self.sparse)

    def draw(self, rng):
        """Draw the initial weights."""
        for spec, arrays in self.by_step():
            if arrays:
                spec["layer"].draw(rng, arrays)

    def by_step(self):
        """Each step's spec, and views of its parameters by their names in it."""
        arrays = [{} for _ in self.specs]
        for i, name, view in self._views(self.parameters):
            arrays[i][name] = view
        return list(zip(self.specs, arrays, strict=True))

    def _views(self, flat):
        """The arrays that a flat buffer holds: (step, name in it, view)."""
        for i, name, start, shape in self.plan.layout():
            yield i, name, flat[start : start + math.prod(shape)].reshape(shape)

    def named(self, flat, statistics=True):
        """Views of a flat buffer by the names and shapes of a torch.nn.Sequential."""
        return {
            f"{self.specs[i]['name']}.{name}": view.T
            for i, name, view in self._views(flat)
            if statistics or name not in STATISTICS
        }

    def are_finite(self):
        """Whether all parameters are finite."""
        return self.plan.all_finite(self.parameters)

    def average_for(self, keep):
        """Begin to average, if a step keeps some share of the average and none was begun."""
        if keep and self.average is None:
            self.average = self.parameters.copy()

    def averaged(self):
        """The averaged parameters, with the statistics as they are."""
        flat = self.average.copy()
        pairs = zip(self._views(flat), self._views(self.parameters), strict=True)
        for (_, name, mean), (_, _, now) in pairs:
            if name in STATISTICS:
                mean[...] = now
        return flat

    def standardization(self):
        """Views of a first layer's mean and scale; None for what it has not."""
        first = self.specs[0]
        if first["kind"] != "standardize":
            return None, None
        views = {name: view for i, name, view in self._views(self.parameters) if i == 0}
        return views["mean"] if first["layer"].with_mean else None, views["scale"]

    def adapt(self, X):
        """Let sparse rows be scaled as they are read, since the engine takes them as they are."""
        if isinstance(X, SparseRows):
            X.scale = self.standardization()[1]

    def snapshot(self):
        """All that training changes."""
        average = None if self.average is None else self.average.copy()
        return (
            self.parameters.copy(), self.optimizer_state.copy(), average, self.steps,
            self.standardized,
        )  # fmt: skip

    def restore(self, snapshot):
        """Be again as at the snapshot."""
        (
            self.parameters[:], self.optimizer_state[:], average, self.steps, self.standardized
        ) = snapshot  # fmt: skip
        self.average = None if average is None else average.copy()

    def __getstate__(self):
        """Values, copied, without the plan, which is compiled again, and without gradients."""
        compiled = ("plan", "specs")
        state = {key: value for key, value in self.__dict__.items() if key not in compiled}
        parameters, optimizer_state, average, _, _ = self.snapshot()
        return state | {
            "n_features": self.plan.n_in,
            "layout": self.plan.layout(),
            "parameters": parameters,
            # Many optimizers use but one row, or none.
            "optimizer_state": [row if row.any() else None for row in optimizer_state],
            "average": average,
            "gradients": None,
        }

    def __setstate__(self, state):
        n_features, rows = state.pop("n_features"), state.pop("optimizer_state")
        layout = state.pop("layout")
        self.__dict__.update(state)
        if self.average is not None:
            self.average = np.array(self.average)  # a memory map may be read-only
        self._compile(n_features)
        if self.plan.layout() != layout:
            raise ValueError(
                "layers must have the shapes that the network was built with, got other ones: "
                "undo the change, or make a new network of the changed layers"
            )
        self.parameters = aligned_zeros(self.plan.n_parameters, self.dtype)
        self.parameters[:] = state["parameters"]
        self.optimizer_state = aligned_zeros((2, self.plan.n_parameters), self.dtype)
        for i, row in enumerate(rows):
            if row is not None:
                self.optimizer_state[i] = row


def shapes(specs, n_features):
    """The shapes of all arrays of some steps, by the names that `named` gives, in its order."""
    found, forks, width = {}, [], n_features
    for spec in specs:
        n_in, width = width, spec.get("n_out", width)
        if spec["kind"] == "fork":
            forks.append(width)
        elif spec["kind"] == "join":
            n_in = forks.pop()
        for name, shape in _shapes_of(spec, n_in, width).items():
            found[f"{spec['name']}.{name}"] = shape
    return found


def _shapes_of(spec, n_in, n):
    """Those of one step; relume.engine.plan has them too, turned."""
    kind, affine = spec["kind"], {"weight": (n,), "bias": (n,)}
    if kind == "dense":
        return {"weight": (n, n_in)} | ({"bias": (n,)} if spec["bias"] else {})
    if kind == "join":
        return {"weight": (n, n_in)} if n != n_in else {}
    if kind == "batch_norm":
        return affine | {"running_mean": (n,), "running_var": (n,), "num_batches_tracked": ()}
    return {
        "prelu": {"weight": (n if spec.get("per_unit") else 1,)},
        "layer_norm": affine,
        "standardize": {"mean": (n,), "scale": (n,)},
    }.get(kind, {})
