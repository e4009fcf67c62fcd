"""Ratios of interleaved times, which are stable on a noisy machine where times are not."""

from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

import relume
from relume import nn

from .bench_ufuncs import tanh
from .calls import DIRECTIONS, EVERYDAY, named, prepared
from .peers.timing import ratio

PAIRS = 101
NETWORKS = {"64-64-32-10, batch 32": (32, 50), "784-256-128-10, batch 128": (128, 8)}


def operands(n):
    x = np.random.default_rng(0).standard_normal(n, np.float32)
    return x, np.ones_like(x)


def repeated(call, n):
    """Repeat a call for 200,000 elements in total, so that reading the clock is negligible."""

    def calls():
        for _ in range(max(1, 200_000 // n)):
            call()

    return calls


@named("relu over a copy, one thread")
def track_relu_over_copy(n):
    """`relume.relu(x, out=)` over `np.copyto(out, x)`."""
    relume.set_num_threads(1)
    x, out = operands(n)
    first, second = lambda: relume.relu(x, out=out), lambda: np.copyto(out, x)
    return round(ratio(repeated(first, n), repeated(second, n), PAIRS), 3)


@named("relu over tanh, one thread")
def track_relu_over_tanh(peer):
    """`relume.relu(x, out=)` over a tanh of 100,000 elements.

    The tanh is not relume's, because a faster tanh would look like a slower relu.
    """
    relume.set_num_threads(1)
    x, out = operands(100_000)
    tanhs = {
        "NumPy exp": lambda: tanh(x, out),
        "np.tanh": lambda: np.tanh(x, out=out),
    }
    return round(ratio(repeated(lambda: relume.relu(x, out=out), x.size), tanhs[peer], PAIRS), 3)


def has(function, direction):
    """A setup that makes asv skip a function that a commit does not have."""
    prepared("relume", function, direction, "float32", 1_000)


@named("One call over NumPy's formula, one thread")
def track_over_numpy(function, direction):
    """A call of 100,000 float32 over the same computation by NumPy's ufuncs (peers/contenders).

    The backward pass is computed from the output if relume supports it, as in NumPy's formulas.
    """
    relume.set_num_threads(1)
    ours = direction
    if direction == "backward" and hasattr(relume, f"{function}_backward_from_output"):
        ours = "backward_from_output"
    return round(
        ratio(
            prepared("relume", function, ours, "float32", 100_000),
            prepared("numpy", function, direction, "float32", 100_000),
            PAIRS // 2,
        ),
        3,
    )


@named("A training step over its matrix products, one thread")
def track_step_over_gemm(network):
    """A minibatch of `fit` (Adam, relu) over its matrix products as computed by NumPy's BLAS."""
    relume.set_num_threads(1)
    widths = [int(width) for width in network.split(",")[0].split("-")]
    batch, steps = NETWORKS[network]
    rng = np.random.default_rng(0)
    X = rng.standard_normal((steps * batch, widths[0]), np.float32)
    y = rng.integers(widths[-1], size=len(X))
    hidden = [nn.Dense(width, activation="relu") for width in widths[1:-1]]
    net = nn.Network([*hidden, nn.Dense(widths[-1])], seed=0)
    net.fit(X, y, batch_size=batch)
    matrices = [made_products(rng, batch, pair) for pair in pairwise(widths)]
    matrices[0].pop()  # the gradient with respect to the data is not needed

    def products():
        for _ in range(steps):
            for layer in matrices:
                for a, b, out in layer:
                    np.dot(a, b, out=out)

    with threadpool_limits(1):
        return round(ratio(lambda: net.fit(X, y, batch_size=batch), products, PAIRS // 2), 3)


def made_products(rng, batch, widths):
    """Operands and results of a layer's products: forward, weight gradient, input gradient."""
    n_in, n_out = widths
    x, weight, dz = (
        rng.standard_normal(shape, np.float32)
        for shape in ((batch, n_in), (n_in, n_out), (batch, n_out))
    )
    pairs = [(x, weight), (x.T, dz), (dz, weight.T)]
    return [(a, b, np.dot(a, b)) for a, b in pairs]


track_over_numpy.setup = has
for function, params in (
    (track_relu_over_copy, {"n": [1_000, 100_000, 4_000_000]}),
    (track_relu_over_tanh, {"peer": ["NumPy exp", "np.tanh"]}),
    (track_over_numpy, {"function": EVERYDAY, "direction": DIRECTIONS[:2]}),
    (track_step_over_gemm, {"network": list(NETWORKS)}),
):
    function.params, function.param_names = list(params.values()), list(params)
    function.unit, function.version = "ratio", "1"
