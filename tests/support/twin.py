"""The slow obvious twin of `relume.nn.Network`: the same network in plain NumPy and float64.

It is the oracle of the trainer's tests: it shares no line with the engine and knows nothing of
shards, blocks or threads. Its activations are the rows of tests/support/reference.py, element by
element.
"""

import re

import numpy as np
import pytest

import relume
from relume import nn
from tests.support.reference import ROWS


def parameters_of(name, values=None):
    """A set of parameters by name, the first of the reference if none is given."""
    values = ROWS[name].parameters[0] if values is None else values
    return dict(zip(ROWS[name].forward.__code__.co_varnames[1:], values, strict=False))


def _cases(name):
    """The defaults, a second set of parameters, and those for which the input must be kept."""
    row = ROWS[name]
    has_defaults = (
        not row.parameters[0] or "=" in relume.functional.activations.ROWS[name]["parameters"]
    )
    yield name, {} if has_defaults else parameters_of(name)
    for values in row.parameters[1:]:
        if values == row.parameters[1] or not row.from_output_needs(*values):
            yield name, parameters_of(name, values)


# (name, parameters) for every activation of the library; and some for tests of the trainer itself.
CASES = [case for name in nn.ACTIVATIONS if name in ROWS for case in _cases(name)]
SAMPLE = [case for case in CASES if case[0] in ("relu", "leaky_relu", "sigmoid", "tanh", "silu")]


def case_id(case):
    """Return how pytest is to name a row of CASES, or None for a linear layer."""
    if case is None:
        return "linear"
    return case[0] + "".join(f"-{value}" for value in case[1].values())


def activation(case):
    """Return the library's activation of a row of CASES."""
    return nn.ACTIVATIONS[case[0]](**case[1])


def initial_std(case, n_in, n_out):
    """Return the standard deviation of initial weights; `case` is None for a linear layer."""
    if case is None:
        return np.sqrt(1 / n_in)
    name, parameters = case
    family = relume.functional.activations.ROWS[name]["initializer"]
    slope = (parameters_of(name) | parameters).get("negative_slope", 0)
    return {
        "he": np.sqrt(2 / (1 + slope**2) / n_in),
        "glorot": np.sqrt(2 / (n_in + n_out)),
        "lecun": np.sqrt(1 / n_in),
    }[family]


def activate(x, case, derivative=False):
    """The activation of a case, or its derivative, of each element; x itself if linear."""
    if case is None:
        return x
    row = ROWS[case[0]]
    arguments = [*(parameters_of(case[0]) | case[1]).values(), *map(float, row.constants)]
    function = row.derivative if derivative else row.forward
    result = np.frompyfunc(lambda element: function(element, *arguments), 1, 1)(x)
    return result.astype("float64")


class SGD:
    """As torch.optim.SGD."""

    def __init__(self, lr=0.01, momentum=0.0, nesterov=False):
        self.lr, self.momentum, self.nesterov = lr, momentum, nesterov
        self.velocity = None

    def step(self, parameters, gradients):
        if self.velocity is None:
            self.velocity = [np.zeros_like(p) for p in parameters]
        for p, g, v in zip(parameters, gradients, self.velocity, strict=True):
            v[...] = self.momentum * v + g
            p -= self.lr * (g + self.momentum * v if self.nesterov else v)


class Adam:
    """As torch.optim.Adam."""

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        self.lr, self.betas, self.eps = lr, betas, eps
        self.t, self.m, self.v = 0, None, None

    def step(self, parameters, gradients):
        if self.m is None:
            self.m = [np.zeros_like(p) for p in parameters]
            self.v = [np.zeros_like(p) for p in parameters]
        self.t += 1
        b1, b2 = self.betas
        for p, g, m, v in zip(parameters, gradients, self.m, self.v, strict=True):
            m[...] = b1 * m + (1 - b1) * g
            v[...] = b2 * v + (1 - b2) * g * g
            p -= self.lr * (m / (1 - b1**self.t)) / (np.sqrt(v / (1 - b2**self.t)) + self.eps)


class Lion:
    """As the paper's second algorithm."""

    def __init__(self, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        self.lr, self.betas, self.weight_decay = lr, betas, weight_decay
        self.m = None

    def step(self, parameters, gradients):
        if self.m is None:
            self.m = [np.zeros_like(p) for p in parameters]
        b1, b2 = self.betas
        for p, g, m in zip(parameters, gradients, self.m, strict=True):
            p -= self.lr * (np.sign(b1 * m + (1 - b1) * g) + self.weight_decay * p)
            m[...] = b2 * m + (1 - b2) * g


def cross_entropy(z, y):
    """Return the mean over rows of -log softmax at the label, and its gradient by z."""
    log_sum = np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True))
    log_p = z - z.max(1, keepdims=True) - log_sum
    target = np.arange(z.shape[1]) == np.reshape(y, (-1, 1))
    return -log_p[target].mean(), (np.exp(log_p) - target) / len(z)


def mse(z, y):
    """Return the mean over all elements of the squared difference, and its gradient by z."""
    difference = z - np.reshape(y, z.shape)
    return np.mean(difference**2), 2 * difference / z.size


def mae(z, y):
    """Return the mean over all elements of the distance, and its gradient by z."""
    difference = z - np.reshape(y, z.shape)
    return np.mean(np.abs(difference)), np.sign(difference) / z.size


def quantile(z, y, q=0.9):
    """Return the mean over all elements of the loss whose optimum is the quantile, as `mae`."""
    above = z - np.reshape(y, z.shape)
    slope = np.where(above > 0, 1 - q, -q)
    return np.mean(slope * above), slope / z.size


LOSSES = {"cross_entropy": cross_entropy, "mse": mse, "mae": mae, "quantile": quantile}


class Twin:
    """A network with the weights of `state`, as torch's; a case for each layer, None if linear."""

    def __init__(self, state, cases, loss=cross_entropy, optimizer=None):
        arrays = [np.array(a, dtype="float64") for a in state.values()]
        self.weights, self.biases = arrays[0::2], arrays[1::2]
        self.cases, self.loss, self.optimizer = cases, loss, optimizer

    def forward(self, X):
        self.inputs, self.sums = [], []
        a = np.asarray(X, dtype="float64")
        for weight, bias, case in zip(self.weights, self.biases, self.cases, strict=True):
            self.inputs.append(a)
            self.sums.append(a @ weight.T + bias)
            a = activate(self.sums[-1], case)
        return a

    def backward(self, dz):
        """Return the gradient by X and those by the parameters, in the order of the state."""
        gradients, g = [], np.asarray(dz, dtype="float64")
        for k in reversed(range(len(self.weights))):
            if self.cases[k]:
                g = g * activate(self.sums[k], self.cases[k], derivative=True)
            gradients[:0] = [g.T @ self.inputs[k], g.sum(0)]
            g = g @ self.weights[k]
        return g, gradients

    def parameters(self):
        return [p for pair in zip(self.weights, self.biases, strict=True) for p in pair]

    def train_on_batch(self, X, y):
        loss, dz = self.loss(self.forward(X), y)
        self.optimizer.step(self.parameters(), self.backward(dz)[1])
        return loss


# -- What the tests of the trainer share --


def data(rows, n_in, n_out, loss="cross_entropy", seed=1):
    """Return X in float32, and labels or values (of shape (rows,) for one output)."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, n_in)).astype("float32")
    if loss == "cross_entropy":
        return X, rng.integers(n_out, size=rows)
    return X, rng.normal(size=(rows, n_out) if n_out > 1 else rows).astype("float32")


def pair(n_in, widths, cases, loss="cross_entropy", optimizer=("Adam", {}), dtype="float64"):
    """Return a network with random biases, and its twin."""
    name, options = optimizer
    layers = [nn.Dense(w, c and activation(c)) for w, c in zip(widths, cases, strict=True)]
    made = getattr(nn, name)(**options)
    ours = nn.Quantile(0.9) if loss == "quantile" else loss
    net = nn.Network(layers, loss=ours, optimizer=made, seed=0, dtype=dtype).build(n_in)
    state, rng = net.state_dict(), np.random.default_rng(2)
    net.load_state_dict(
        {k: rng.normal(size=a.shape) if "bias" in k else a for k, a in state.items()}
    )
    twin = {"SGD": SGD, "Adam": Adam, "Lion": Lion}[name](**options)
    return net, Twin(net.state_dict(), cases, LOSSES[loss], twin)


def bits(net):
    """Return the parameters of a network as bytes, by name."""
    return {key: value.tobytes() for key, value in net.state_dict().items()}


def assert_same_bits(net, other, message=""):
    mine, others = bits(net), bits(other)
    assert mine.keys() == others.keys(), message
    wrong = [key for key in mine if mine[key] != others[key]]
    assert not wrong, f"{message}: bits differ in {wrong}"


def assert_close(actual, expected, tolerance, message=""):
    """Compare to the largest element: one near 0 owes its error to the others of its sum."""
    assert actual.shape == expected.shape, f"{message}: {actual.shape}, not {expected.shape}"
    error = np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-3)
    assert error <= tolerance, f"{message}: error {error:.2e} over {tolerance:.0e}"


def assert_close_parameters(net, twin, tolerance, message=""):
    for (key, value), expected in zip(net.state_dict().items(), twin.parameters(), strict=True):
        assert_close(value, expected, tolerance, f"{message} {key}")


def assert_raises(error, words, call):
    """Call, and ask that the message has each of the regular expressions `words`."""
    with pytest.raises(error) as caught:
        call()
    missing = [word for word in words if not re.search(word, str(caught.value))]
    assert not missing, f"{caught.type.__name__}: {caught.value!s} lacks {missing}"
