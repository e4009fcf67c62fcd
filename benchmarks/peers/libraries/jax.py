"""JAX: an epoch in one compiled scan, which owns weights and moments."""

import functools
import math
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from jax import numpy as jnp
from problems import BETAS, EPS, LEARNING_RATE

from . import Fit


def set_up(threads, **arguments):
    """Check the affinity: XLA uses as many threads as the process has CPUs."""
    assert len(os.sched_getaffinity(0)) == threads


def logits(parameters, x):
    for weight, bias in parameters[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = parameters[-1]
    return x @ weight + bias


def loss(parameters, x, y):
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits(parameters, x)), y[:, None], 1)
    return -chosen.mean()


def adam(state, gradients):
    parameters, m, v, t = state
    (beta1, beta2), t = BETAS, t + 1
    m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, gradients)
    v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, gradients)
    one, two = (-jnp.expm1(t * math.log(beta)) for beta in BETAS)  # 1 - beta**t, all digits of it
    rate, root = LEARNING_RATE / one, jax.lax.rsqrt(two)
    parameters = jax.tree.map(
        lambda p, m, v: p - rate * m / (root * jnp.sqrt(v) + EPS), parameters, m, v
    )
    return parameters, m, v, t


@functools.partial(jax.jit, donate_argnums=0)
def epoch(state, X, y, order):
    """`order` has a row for each step."""

    def step(state, rows):
        x, labels = (a.at[rows].get(mode="promise_in_bounds") for a in (X, y))
        return adam(state, jax.grad(loss)(state[0], x, labels)), None

    return jax.lax.scan(step, state, order)[0]


def training(problem):
    X, y = jnp.asarray(problem.X), jnp.asarray(problem.y, jnp.int32)
    state = rng = None

    def reset():
        nonlocal state, rng
        rng = problem.rng()
        parameters, m, v = (jax.tree.map(jnp.array, problem.weights) for _ in range(3))
        m, v = (jax.tree.map(jnp.zeros_like, moments) for moments in (m, v))
        state = jax.block_until_ready((parameters, m, v, jnp.float32(0)))

    def run(epochs, n):
        nonlocal state
        for _ in range(epochs):
            order = rng.permutation(n).astype(np.int32).reshape(-1, problem.batch_size)
            state = epoch(state, X, y, order)
        jax.block_until_ready(state)

    return Fit(reset, run, lambda: jax.tree.map(np.array, state[0]))


def prediction(problem):
    parameters, X = jax.tree.map(jnp.asarray, problem.weights), problem.X
    predict = jax.jit(lambda parameters, x: jax.nn.softmax(logits(parameters, x)))
    return lambda: np.asarray(predict(parameters, X))
