"""Ten Python threads at once give the same bits as one, for all functions and for training.

`make parallel` also runs these and the other tests of the ufuncs under pytest-run-parallel.
"""

import inspect
import threading

import numpy as np
import pytest

import relume
from relume import nn
from tests.support import networks
from tests.support.ops import OPS, assert_same

N_THREADS = 10
LIMIT = 300  # seconds, for calls that take a few: exceeding it means a deadlock

SETTINGS = {"get_num_threads", "num_threads", "set_num_threads", "show_config", "simd"}
FUNCTIONS = {
    name: function
    for name in relume.__all__
    if name not in SETTINGS and not inspect.ismodule(function := getattr(relume, name))
}
ELEMENTWISE = {op.name: op for op in OPS}
# Large enough for each of relume's own threads to have a part.
SHAPE = (400, 256)


def normal(shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def operands(name):
    """The arguments of a public function, by its name."""
    if name in ELEMENTWISE and FUNCTIONS[name] is ELEMENTWISE[name].function:
        return ELEMENTWISE[name].operands(np.float32, SHAPE)
    x, grad = normal(SHAPE, 0), normal(SHAPE, 1)
    half, twice = grad[:, : SHAPE[1] // 2].copy(), np.hstack([grad, grad])
    which = relume.maxout(x.reshape(-1, 4))[1]
    special = {
        "prelu_backward": (grad, x, normal(SHAPE[1], 2)),
        "rrelu_backward": (grad, x),
        "logsumexp_backward": (grad[:, 0].copy(), x),
        "glu_backward": (half, x),
        "crelu_backward": (twice, x),
        "maxout": (x.reshape(-1, 4),),
        "maxout_backward": (which.astype("float32"), which, 4),
    }
    for gated in ("reglu", "geglu", "swiglu"):
        special[f"{gated}_backward"] = special["glu_backward"]
    plain = (grad, x) if "backward" in name else (x,)
    return special.get(name, plain)


def results(name, arguments):
    """The results of a function, always as a tuple."""
    draws = {"training": True, "rng": np.random.default_rng(0)} if name == "rrelu" else {}
    returned = FUNCTIONS[name](*arguments, **draws)
    return returned if isinstance(returned, tuple) else (returned,)


def at_once(work):
    """Run `work(k)` in ten threads that start together; return their results by k."""
    barrier, returned, failures = threading.Barrier(N_THREADS), {}, []

    def run(k):
        try:
            barrier.wait(LIMIT)
            returned[k] = work(k)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(N_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive(), "a thread hangs"
    if failures:
        raise failures[0]
    return returned


@pytest.fixture
def two_threads():
    """Two threads of relume's own for each Python thread."""
    before = relume.get_num_threads()
    relume.set_num_threads(2)
    yield
    relume.set_num_threads(before)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_called_again_gives_the_same_bits(name):
    """Under pytest-run-parallel, many threads call the same function at once."""
    arguments = operands(name)
    before = [np.copy(argument) for argument in arguments]
    first, again = (results(name, arguments) for _ in range(2))
    for actual, expected in zip([*again, *arguments], [*first, *before], strict=True):
        assert_same(actual, expected, name)


@pytest.mark.thread_unsafe
@pytest.mark.usefixtures("two_threads")
def test_ten_threads_call_every_function():
    names, arguments = list(FUNCTIONS), {name: operands(name) for name in FUNCTIONS}
    alone = {name: results(name, arguments[name]) for name in names}

    def work(k):
        start = k * len(names) // N_THREADS  # so that threads run different functions at once
        for name in names[start:] + names[:start]:
            for actual, expected in zip(results(name, arguments[name]), alone[name], strict=True):
                assert_same(actual, expected, f"{name} in thread {k}")
        return len(names)

    assert set(at_once(work).values()) == {len(FUNCTIONS)}


# -- networks --

LOSSES = ["cross_entropy", nn.CrossEntropy(0.1), "binary_cross_entropy", "mse", nn.MAE()]
LOSSES += [nn.Huber(2.0), nn.Quantile(0.9), nn.Poisson()]


def trained(k, path):
    """The bytes of the model file of the k-th of ten different networks after training."""
    optimizer = list(networks.OPTIMIZERS.values())[k % len(networks.OPTIMIZERS)]
    loss = nn.MSE() if isinstance(optimizer, nn.LBFGS) else LOSSES[k % len(LOSSES)]
    net = networks.all_layers(optimizer=optimizer, loss=loss, seed=k)
    X = normal((300, 6), k)
    y = networks.targets(net.loss, len(X), seed=k)
    net.fit(X, y, epochs=3, batch_size=64)
    net.predict(X)
    return networks.saved(net, path)


@pytest.mark.thread_unsafe
@pytest.mark.usefixtures("two_threads")
def test_ten_threads_train_ten_networks(tmp_path):
    alone = [trained(k, tmp_path / "alone") for k in range(N_THREADS)]
    assert len(set(alone)) == N_THREADS
    together = at_once(lambda k: trained(k, tmp_path / f"net{k}"))
    differing = [k for k in range(N_THREADS) if together[k] != alone[k]]
    assert not differing, f"networks {differing} have other bits"


@pytest.mark.parametrize("optimizer", networks.OPTIMIZERS)
def test_a_network_trained_again_gives_the_same_bits(optimizer):
    """Under pytest-run-parallel, many threads train at once, each its own network."""

    def weights():
        net = networks.all_layers(optimizer=networks.OPTIMIZERS[optimizer], loss="mse")
        X = normal((100, 6), 0)
        net.fit(X, normal((100, 3), 1), epochs=2)
        return net.state_dict()

    first, again = weights(), weights()
    for name, expected in first.items():
        assert_same(again[name], expected, name)
