"""The ufuncs beside NumPy's formulas, forward and backward, with out=, in ns a call."""

import numpy as np

import relume

# Listed, not taken from the table: a history stays comparable only if its parameters stay.
FORWARD = ["relu", "leaky_relu", "sigmoid", "tanh"]
SIZES = [1_000, 100_000, 4_000_000]

NUMPY = {
    "relu": lambda x, out: np.maximum(x, 0, out=out),
    "leaky_relu": lambda x, out: np.maximum(x, np.multiply(x, np.float32(0.01), out=out), out=out),
    "sigmoid": lambda x, out: np.divide(1, 1 + np.exp(-x), out=out),
    "tanh": lambda x, out: 1 - np.divide(2, 1 + np.exp(2 * x), out=out),
}
NUMPY_BACKWARD = {
    "relu": lambda g, y, out: np.multiply(g, y > 0, out=out),
    "leaky_relu": lambda g, y, out: np.multiply(
        g, np.where(y > 0, np.float32(1), np.float32(0.01)), out=out
    ),
    "sigmoid": lambda g, y, out: np.multiply(g, y * (1 - y), out=out),
    "tanh": lambda g, y, out: np.multiply(g, 1 - y * y, out=out),
}


class Ufuncs:
    """float32; arrays are filled: a first write to fresh memory costs as much as the call."""

    params = [FORWARD, SIZES]
    param_names = ["function", "n"]

    def setup(self, function, n):
        rng = np.random.default_rng(0)
        self.x, self.g = rng.standard_normal((2, n), dtype=np.float32)
        self.forward = getattr(relume, function)
        self.backward = getattr(relume, f"{function}_backward_from_output")
        self.y, self.out = self.forward(self.x), np.ones(n, np.float32)

    def time_forward(self, function, n):
        self.forward(self.x, out=self.out)

    def time_forward_numpy(self, function, n):
        NUMPY[function](self.x, self.out)

    def time_backward(self, function, n):
        self.backward(self.g, self.y, out=self.out)

    def time_backward_numpy(self, function, n):
        NUMPY_BACKWARD[function](self.g, self.y, self.out)
