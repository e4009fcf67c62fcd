"""Threads, BLAS and signals: a network among others in a process, and Ctrl-C."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl

import relume
from relume import diagnostics, nn
from tests.support import twin as plain

needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs POSIX signals")


def network(**options):
    layers = [nn.Dense(64, activation="relu"), nn.Dense(32, activation="tanh"), nn.Dense(5)]
    return nn.Network(layers, **{"seed": 0} | options)


def blas_threads():
    """Return the number of threads of each BLAS in the process."""
    pools = threadpoolctl.threadpool_info()
    return {p["filepath"]: p["num_threads"] for p in pools if p["user_api"] == "blas"}


@pytest.fixture(params=[1, 2, 3], ids="caller's BLAS threads {}".format)
def caller(request):
    """A caller with a BLAS setting of its own; asks that it is so afterwards."""
    X, _ = plain.data(200, 30, 5)
    network().build(30).predict(X)  # loads the engine's BLAS
    with threadpoolctl.threadpool_limits(request.param, user_api="blas"):
        before = blas_threads()
        assert before
        assert set(before.values()) == {request.param}
        yield
        assert blas_threads() == before


# -- Many Python threads --


@pytest.fixture(params=[1, 2], ids="{} threads".format)
def _number_of_threads(request):
    before = relume.get_num_threads()
    relume.set_num_threads(request.param)
    yield
    relume.set_num_threads(before)


@pytest.mark.usefixtures("_number_of_threads")
def test_ten_threads_predict_with_one_network(caller):
    net = network()
    X, y = plain.data(300, 30, 5)
    net.fit(X, y)
    parts = [X[i : i + 7 * (i % 11) + 1].copy() for i in range(0, 200, 4)]
    expected = [(net.predict(p), net.predict_proba(p), net.forward(p)) for p in parts]
    figures = net.evaluate(X, y)
    before, start = plain.bits(net), threading.Barrier(10)

    def work(k):
        start.wait(timeout=30)
        for round_ in range(20):
            i = (7 * k + 3 * round_) % len(parts)
            labels, p, z = expected[i]
            np.testing.assert_array_equal(net.predict(parts[i]), labels)
            np.testing.assert_array_equal(net.predict_proba(parts[i]), p)
            np.testing.assert_array_equal(net.forward(parts[i]), z)
        assert net.evaluate(X, y) == figures

    with ThreadPoolExecutor(10) as pool:
        for result in [pool.submit(work, k) for k in range(10)]:
            result.result(timeout=60)
    assert plain.bits(net) == before


def test_blas_setting_after_overlapping_predictions(caller):
    """The first to begin is not the last to end: restoring what each found would leave 1."""
    layers = [nn.Dense(256, activation="relu"), nn.Dense(256, activation="relu"), nn.Dense(5)]
    net = nn.Network(layers, seed=0).build(30)
    X, _ = plain.data(2000, 30, 5)
    parts = [X[: 200 * k] for k in range(1, 11)]
    expected, before = [net.forward(part) for part in parts], blas_threads()
    for _ in range(5):
        with ThreadPoolExecutor(10) as pool:
            results = list(pool.map(net.forward, parts, timeout=60))
        for result, z in zip(results, expected, strict=True):
            np.testing.assert_array_equal(result, z)
        assert blas_threads() == before


def in_thread(call):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(timeout=60)


@pytest.mark.parametrize("first", ["main", "other"])
def test_same_bits_in_any_python_thread(first, caller):
    """A limit that only the first Python thread to set one can set is none in the others.

    threadpoolctl 3.8 silently ignores all but a "controlling thread": BLAS then splits
    products over the caller's number of threads, which rounds otherwise.
    """
    X, y = plain.data(1000, 60, 5)
    layers = [nn.Dense(256, activation="relu"), nn.Dense(128, activation="relu"), nn.Dense(5)]

    def fitted():
        net = nn.Network(layers, seed=0)
        net.fit(X, y, batch_size=256)
        return net, net.predict_proba(X)

    calls = [fitted, lambda: in_thread(fitted), lambda: in_thread(fitted)]
    results = [call() for call in (calls if first == "main" else calls[::-1])]
    for net, p in results[1:]:
        plain.assert_same_bits(net, results[0][0])
        np.testing.assert_array_equal(p, results[0][1])


def test_blas_setting_when_the_first_to_begin_is_the_first_to_end(caller):
    """The thread that restores the setting need not be the one that made it."""
    layers = [nn.Dense(256, activation="relu"), nn.Dense(256, activation="relu"), nn.Dense(5)]
    net = nn.Network(layers, seed=0).build(30)
    X, _ = plain.data(3000, 30, 5)
    before = blas_threads()
    for i in range(30):
        start = threading.Barrier(2)

        def long(start=start):
            start.wait(timeout=30)
            for _ in range(3):
                net.forward(X)

        other = threading.Thread(target=long)
        other.start()
        start.wait(timeout=30)
        for _ in range(i % 5 + 1):
            net.forward(X[:500])
        other.join(timeout=60)
        assert blas_threads() == before, f"round {i}"


def test_networks_train_in_threads_of_their_own(caller):
    X, y = plain.data(300, 30, 5)
    reference = network()
    reference.fit(X, y, epochs=5)

    def work(_):
        net = network()
        net.fit(X, y, epochs=5, validation_data=(X, y))
        return net

    with ThreadPoolExecutor(5) as pool:
        for net in pool.map(work, range(10), timeout=60):
            plain.assert_same_bits(net, reference)


def test_training_lets_other_threads_run():
    """The GIL is released within an epoch: another thread gets on with its work."""
    net = network()
    X, y = plain.data(20000, 30, 5)
    net.fit(X, y)
    stop, ticks = threading.Event(), []

    def tick():
        while not stop.wait(0.001):
            ticks.append(1)

    ticking = threading.Thread(target=tick)
    ticking.start()
    before = len(ticks)
    net.fit(X, y, epochs=3)
    within = len(ticks) - before
    stop.set()
    ticking.join()
    assert within >= 3


# -- The caller's BLAS setting --


def test_blas_setting_after_every_method(caller):
    X, y = plain.data(300, 30, 5)
    net, before = network(), blas_threads()
    calls = {
        "fit": lambda: net.fit(X, y, validation_data=(X, y)),
        "train_on_batch": lambda: net.train_on_batch(X, y),
        "predict": lambda: net.predict(X),
        "predict_proba": lambda: net.predict_proba(X),
        "evaluate": lambda: net.evaluate(X, y),
        "forward": lambda: net.forward(X, training=True),
        "backward": lambda: net.backward(np.ones((300, 5))),
        "step": net.step,
    }
    for name, call in calls.items():
        call()
        assert blas_threads() == before, name


def test_blas_setting_after_an_exception(caller):
    X, y = plain.data(300, 30, 5)
    nan = X.copy()
    nan[-1, -1] = np.nan
    net, before = network(), blas_threads()
    calls = {
        "NaN": lambda: net.fit(nan, y),
        "label": lambda: net.fit(X, y + 1),
        "epochs": lambda: net.fit(X, y, epochs=0),
        "NaN in predict": lambda: net.predict(nan),
        "NaN in validation": lambda: net.fit(X, y, validation_data=(nan, y)),
    }
    net.fit(X, y)
    for name, call in calls.items():
        with pytest.raises(ValueError, match=r"X|y|epochs"):
            call()
        assert blas_threads() == before, name
    diverging = network(optimizer=nn.SGD(1e38))
    with pytest.raises(FloatingPointError):
        diverging.fit(X, y, epochs=50)
    assert blas_threads() == before


class Stop(Exception):
    """Raised by a handler of the caller's."""


class Alarm(nn.Callback):
    """Sends a signal a moment after the first epoch has begun, however long that takes."""

    def on_epoch_begin(self, net, epoch):
        signal.setitimer(signal.ITIMER_REAL, 0.2)


@needs_timer
@pytest.mark.parametrize("progress", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop])
def test_signal_handler_that_raises(error, progress, caller):
    """What Ctrl-C does, from a timer: one long epoch is left within a minibatch."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400_000, 8)).astype("float32"), rng.integers(5, size=400_000)
    layers = [nn.Dense(256, activation="relu"), nn.Dense(256, activation="relu"), nn.Dense(5)]
    net = nn.Network(layers, seed=0).build(8)
    initial, rung = plain.bits(net), []

    def ring(*_):
        if plain.bits(net) == initial:  # no minibatch is done yet: ring again a little later
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            return
        rung.append(error)
        raise error

    previous = signal.signal(signal.SIGALRM, ring)
    try:
        with pytest.raises(error):
            net.fit(X, y, epochs=100, batch_size=1, progress=progress, callbacks=[Alarm()])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert rung
    assert net._weights.steps < len(X), "the epoch was not left before its end"
    learned = plain.bits(net)
    assert learned != initial, "nothing was kept"
    assert np.isfinite(net.predict_proba(X[:100])).all()
    history = net.fit(X[:1000], y[:1000])
    assert np.isfinite(history["loss"]).all()
    assert plain.bits(net) != learned


@needs_timer
def test_signal_handler_that_returns(caller):
    """It is called while the fit is under way, and the fit goes on to the same bits."""
    X, y = plain.data(40_000, 30, 5)
    rung = []
    net, reference = network(), network()
    previous = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        net.fit(X, y)
        within = len(rung)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert within
    reference.fit(X, y)
    plain.assert_same_bits(net, reference)


@pytest.fixture(scope="module")
def long_prediction():
    """A network and rows for which prediction takes most of a second, or more."""
    X = np.random.default_rng(0).normal(size=(300_000, 8)).astype("float32")
    layers = [nn.Dense(256, activation="relu"), nn.Dense(256, activation="gelu"), nn.Dense(5)]
    net = nn.Network([*layers[:1], nn.Dropout(0.1), *layers[1:]], seed=0).build(8)
    parts = [net.forward(X[i : i + 6400]) for i in range(0, len(X), 6400)]
    return net, X, np.concatenate(parts)


def forward_in_training(net, X):
    return net.forward(X[:100_000], training=True)


LONG = {
    "predict": lambda net, X: net.predict(X),
    "predict_proba": lambda net, X: net.predict_proba(X),
    "forward": lambda net, X: net.forward(X),
    "forward in training": forward_in_training,
    "evaluate": lambda net, X: net.evaluate(X, np.zeros(len(X), int)),
    "inspect": lambda net, X: diagnostics.inspect(net, X[:200_000]),
}


@needs_timer
@pytest.mark.parametrize("name", LONG)
def test_signals_during_a_long_prediction(name, long_prediction):
    """Python would be asked for signals only once, at the end, however long that takes."""
    net, X, expected = long_prediction
    before, rung = plain.bits(net), []

    def ring(*_):
        rung.append(1)
        if len(rung) == 3:
            raise Stop

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        with pytest.raises(Stop):
            LONG[name](net, X)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert plain.bits(net) == before
    np.testing.assert_array_equal(net.forward(X[:20_000]), expected[:20_000])


def test_a_long_prediction_has_the_bits_of_short_ones(long_prediction):
    net, X, expected = long_prediction
    np.testing.assert_array_equal(net.forward(X), expected)


INTERRUPTED = """
import signal
import numpy as np
import threadpoolctl
from relume import nn

def blas():
    return [p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]

rng = np.random.default_rng(0)
X, y = rng.normal(size=(400_000, 8)).astype("float32"), rng.integers(5, size=400_000)
layers = [nn.Dense(256, activation="relu"), nn.Dense(256, activation="relu"), nn.Dense(5)]
net = nn.Network(layers, seed=0)
net.fit(X[:100], y[:100])
before = blas()
assert before
signal.signal(signal.SIGINT, signal.default_int_handler)    # a background job ignores Ctrl-C
print("fitting", flush=True)
try:
    net.fit(X, y, epochs=1000, batch_size={batch_size}, progress=True)
    print("not interrupted", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
# 4 steps of the first fit; 1,000 epochs would take minutes, and one at batch size 1 some seconds.
assert {batch_size} > 1 or net._weights.steps < 4 + len(X), net._weights.steps
assert blas() == before, (before, blas())
assert np.isfinite(net.predict_proba(X[:1000])).all()
history = net.fit(X[:1000], y[:1000], epochs=2)
assert np.isfinite(history["loss"]).all()
assert all(np.isfinite(value).all() for value in net.state_dict().values())
print("went on", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("batch_size", [1, 20_000])
def test_ctrl_c(batch_size):
    code = textwrap.dedent(INTERRUPTED).replace("{batch_size}", str(batch_size))
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "fitting\n", child.stderr.read()
        time.sleep(0.7)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=600)  # against a hang; an emulator is slow
    finally:
        child.kill()
        child.wait()
    assert (out, child.returncode) == ("interrupted\nwent on\n", 0), err
