"""A random draw of objects of relume.nn, as the Python expressions that make them.

Every class of the public tables is drawn, also one that comes later: only a class whose defaults
would show little has its arguments in ARGUMENTS.
"""

import inspect
import random

import numpy as np

from relume import nn

TABLES = {
    "layers": nn.Layer,
    "activations": nn.Activation,
    "losses": nn.Loss,
    "optimizers": nn.Optimizer,
    "schedules": nn.Schedule,
    "initializers": nn.Initializer,
}
APART = {"optimizers": ["LBFGS"]}  # no subclass, since it makes no steps

ARGUMENTS = {
    "ActivityL1": ["0.01"],
    "AlphaDropout": ["0.1"],
    "BatchNorm": ["", "0.001, momentum=0.3"],
    "Dropout": ["0.2", "0.5"],
    "FATReLU": ["0.2"],
    "LayerNorm": ["", "0.001"],
    "PReLU": ["", "0.1, per_unit=True"],
    "RReLU": ["", "0.1, 0.4"],
    "Sine": ["", "3.0"],
    "Standardize": ["", "with_mean=False"],
    "CELU": ["", "0.5"],
    "ELU": ["", "0.5"],
    "LeakyReLU": ["", "0.2"],
    "Threshold": ["0.1, 0.0", "-0.2, 0.5"],
    "CrossEntropy": ["", "label_smoothing=0.1"],
    "BinaryCrossEntropy": ["", "pos_weight=[1.0, 0.5, 3.0]"],
    "Huber": ["", "0.3"],
    "PythonLoss": ["log_cosh"],
    "Quantile": ["", "0.9"],
    "Adam": ["0.01", "0.003, (0.8, 0.99), weight_decay=0.01"],
    "AdamW": ["0.01", "0.01, weight_decay=0.1"],
    "LBFGS": ["4", "6, history_size=3"],
    "Lion": ["0.001", "0.001, weight_decay=0.1"],
    "NAdam": ["", "0.01, weight_decay=0.01"],
    "RMSprop": ["0.002", "0.002, momentum=0.5, weight_decay=0.01"],
    "SGD": ["0.02", "0.02, momentum=0.9", "0.01, momentum=0.9, nesterov=True, weight_decay=0.01"],
    "Constant": ["0.1"],
    "ConstantRate": ["warmup=1.5"],
    "Cosine": ["2", "3, final=0.1, warmup=0.5"],
    "Exponential": ["0.5", "0.9, warmup=0.5"],
    "InverseScaling": ["", "1.0"],
    "OneCycle": ["3"],
    "ReduceOnPlateau": ["'loss', factor=0.5, patience=0, mode='max'"],
    "Step": ["1, 0.5"],
}


def log_cosh(y_true, y_pred):
    """A loss in Python, with its gradient."""
    d = y_pred - y_true.reshape(y_pred.shape)
    return np.mean(np.log(np.cosh(d))), np.tanh(d) / d.size


def halved(epoch, lr):
    """A learning rate for each epoch."""
    return lr / 2


NAMES = {"nn": nn, "log_cosh": log_cosh, "halved": halved}  # that expressions may hold


def public_classes():
    """{table: names of its classes} of relume.nn."""
    public = {name: getattr(nn, name) for name in nn.__all__}
    classes = {name: value for name, value in public.items() if inspect.isclass(value)}
    return {
        table: sorted(
            name
            for name, cls in classes.items()
            if (issubclass(cls, base) and cls is not base) or name in APART.get(table, [])
        )
        for table, base in TABLES.items()
    }


def call(name, *arguments):
    """The expression of a call; arguments that are empty are left out."""
    return f"{name}({', '.join(filter(None, arguments))})"


class Draw:
    """Random choices, of which none comes again before all others of its set have come."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._left = {}

    def chance(self, probability):
        return self._random.random() < probability

    def one(self, *choices):
        left = self._left.setdefault(choices, [])
        if not left:
            left += self._random.sample(choices, len(choices))
        return left.pop()

    def some(self, probability, *choices):
        """One of them, or nothing."""
        return self.one(*choices) if self.chance(probability) else ""

    def object(self, *names, more=()):
        """An object of one of these classes of relume.nn, with these arguments beside its own."""
        name = self.one(*names)
        return call(f"nn.{name}", self.one(*ARGUMENTS.get(name, [required(name)])), *more)


def required(name):
    """Arguments for the parameters of a class that have no default: an integer is 2, else 0.5."""
    given = [
        f"{each.name}={2 if each.annotation in (int, 'int') else 0.5}"
        for each in inspect.signature(getattr(nn, name)).parameters.values()
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    return ", ".join(given)
