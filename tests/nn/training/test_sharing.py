"""One network in several Python threads: predictions beside training are those of a step."""

import copy
import gc
import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from relume import diagnostics, nn
from relume.runtime.read_write_lock import OneThread, ReadWriteLock
from tests.support import twin as plain

X, Y = plain.data(200, 6, 3)
LIMIT = 60  # seconds: exceeding it means a deadlock


def network(**settings):
    settings.setdefault("optimizer", nn.SGD(0.1))
    return nn.Network([nn.Dense(16, "relu"), nn.Dense(3)], seed=0, **settings)


class Training:
    """A fit in another thread, from the first epoch on, until the block ends."""

    def __init__(self, net, **settings):
        self.net, self.settings = net, settings
        self.begun, self.stop = threading.Event(), threading.Event()

    def __enter__(self):
        def watch(net, epoch, logs):
            self.begun.set()
            return self.stop.is_set()

        def train():
            self.net.fit(X, Y, epochs=10**6, callbacks=[watch], **self.settings)

        self.pool = ThreadPoolExecutor(1)
        self.running = self.pool.submit(train)
        assert self.begun.wait(LIMIT)

    def __exit__(self, *exception):
        self.stop.set()
        self.running.result(LIMIT)
        self.pool.shutdown()


# -- Predictions while another thread trains --


def steps(net, x, n):
    """What a network predicts after each of n steps, with one thread alone."""
    found = {net.forward(x).tobytes()}
    for _ in range(n):
        net.train_on_batch(X, Y)
        found.add(net.forward(x).tobytes())
    return found


@pytest.mark.parametrize("rows", [1, 50])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_predictions_beside_steps_are_those_between_two_steps(rows, optimizer):
    n, x = 200, X[:rows].copy()
    known = steps(network(optimizer=optimizer).build(6), x, n)
    net, ended = network(optimizer=optimizer).build(6), threading.Event()

    def predict():
        found = set()
        while not ended.is_set():
            found.add(net.forward(x).tobytes())
        return found

    with ThreadPoolExecutor(4) as pool:
        predicting = [pool.submit(predict) for _ in range(4)]
        try:
            for _ in range(n):
                net.train_on_batch(X, Y)
        finally:
            ended.set()
        found = set().union(*(each.result(LIMIT) for each in predicting))
    assert found <= known
    assert net.forward(x).tobytes() in known


def test_state_dicts_beside_a_fit_are_those_between_two_steps():
    """All weights begin equal and get the same gradients, so that they stay so."""
    layers = [nn.Dense(1, use_bias=False)]
    net = nn.Network(layers, loss="mse", optimizer=nn.SGD(1e-5), seed=0).build(5000)
    net.load_state_dict({"0.weight": np.zeros((1, 5000))})
    x, y = np.ones((4, 5000), "f4"), np.ones((4, 1), "f4")
    ended = threading.Event()

    def look():
        while not ended.is_set():
            weight = net.state_dict()["0.weight"]
            assert (weight == weight[0, 0]).all()

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        try:
            for _ in range(100):
                net.train_on_batch(x, y)
        finally:
            ended.set()
        for each in looking:
            each.result(LIMIT)


def test_settings_that_change_in_several_threads_are_all_noticed():
    """Each change of a layer is followed by predictions with it, whoever compiled the plan."""
    net = nn.Network([nn.Dense(8, nn.LeakyReLU(0.1)), nn.Dense(3)], seed=0).build(6)
    ended = threading.Event()

    def predict():
        while not ended.is_set():
            net.forward(X)

    def change(k):
        for i in range(100):
            net.layers[k % 2].l2 = 0.001 * (i + 1)

    with ThreadPoolExecutor(5) as pool:
        predicting = [pool.submit(predict) for _ in range(2)]
        try:
            for each in [pool.submit(change, k) for k in range(3)]:
                each.result(LIMIT)
            net.layers[0].activation = nn.LeakyReLU(0.9)
            expected = copy.deepcopy(net).forward(X)
            np.testing.assert_array_equal(net.forward(X), expected)
        finally:
            ended.set()
        for each in predicting:
            each.result(LIMIT)


def test_a_python_loss_may_predict():
    """It is called within a step, before any weight has changed."""
    net = network(loss="mse").build(6)

    def loss(y_true, y_pred):
        net.forward(X[:5])
        with ThreadPoolExecutor(1) as pool:
            pool.submit(net.forward, X[:5]).result(LIMIT)
        difference = y_pred - np.eye(3, dtype="f4")[y_true.astype(int).ravel()]
        return float((difference**2).mean()), 2 * difference / difference.size

    net.loss = nn.PythonLoss(loss)
    net.fit(X, Y[:, None].astype("f4"), epochs=2)


# -- What only one thread at a time may do --

CHANGES = {
    "fit": lambda net: net.fit(X, Y),
    "fit by L-BFGS": lambda net: net.fit(X, Y),
    "train_on_batch": lambda net: net.train_on_batch(X, Y),
    "forward": lambda net: net.forward(X, training=True),
    "backward": lambda net: net.backward(np.ones((1, 3))),
    "step": lambda net: net.step(),
    "load_state_dict": lambda net: net.load_state_dict(net.state_dict()),
    "restore": lambda net: net.restore(network().build(6).snapshot()),
    "train a part": lambda net: net.part(0, 1).train_on_batch(X, np.ones((200, 16))),
}
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "snapshot": lambda net: net.snapshot(),
    "save": lambda net: net.save(os.devnull),
    "inspect": lambda net: diagnostics.inspect(net, X, Y),
    "compact": lambda net: net.compact(X),
}


@pytest.mark.parametrize("use", (CHANGES | COPIES).values(), ids=CHANGES | COPIES)
def test_a_network_that_trains_in_another_thread_refuses(use):
    net = network().build(6)
    with Training(net):
        with pytest.raises(RuntimeError, match="another Python thread is training this network"):
            use(net)
        net.predict(X)
    net.fit(X, Y)
    copy.copy(net)


def test_the_thread_that_trains_may_do_all_of_it(tmp_path):
    seen = []

    class Everything(nn.Callback):
        def on_epoch_end(self, net, epoch, logs):
            net.restore(net.snapshot())
            net.save(tmp_path / "net")
            pickle.loads(pickle.dumps(copy.copy(net))).fit(X, Y)
            net.train_on_batch(X, Y)
            net.fit(X, Y)
            seen.append(epoch)

    network().fit(X, Y, epochs=2, callbacks=[Everything()])
    assert len(seen) == 2


def test_a_failed_fit_lets_other_threads_train():
    net = network().build(6)

    def fail(net, epoch, logs):
        raise KeyError("x")

    with pytest.raises(KeyError):
        net.fit(X, Y, callbacks=[fail])
    with ThreadPoolExecutor(1) as pool:
        pool.submit(net.fit, X, Y).result(LIMIT)


# -- The locks --


def test_one_thread():
    lock = OneThread("busy")
    with lock, lock:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: lock.elsewhere).result(LIMIT)
            with pytest.raises(RuntimeError, match=r"^busy$"):
                pool.submit(lock.__enter__).result(LIMIT)
        assert not lock.elsewhere
        with lock.absent(), pickle.loads(pickle.dumps(lock)):
            pass
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lock.__enter__).result(LIMIT)
        pool.submit(lock.__exit__).result(LIMIT)


def test_a_thread_that_enters_meanwhile_is_noticed():
    lock = OneThread("busy")
    absent = lock.absent()
    absent.__enter__()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lock.__enter__).result(LIMIT)
        pool.submit(lock.__exit__).result(LIMIT)
    with pytest.raises(RuntimeError, match="busy"):
        absent.__exit__(None, None, None)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_forgets_the_threads_that_it_does_not_have():
    """A read, a write and a change of other threads would never end there."""
    reads, writes, changes = ReadWriteLock(), ReadWriteLock(), OneThread("busy")
    begun, end = threading.Barrier(4), threading.Event()

    def hold(lock):
        with lock:
            begun.wait(LIMIT)
            end.wait(LIMIT)

    with ThreadPoolExecutor(3) as pool:
        held = [pool.submit(hold, each) for each in (reads.reading(), writes.writing(), changes)]
        begun.wait(LIMIT)
        gc.collect()
        child = os.fork()
        if child == 0:
            signal.alarm(LIMIT)
            with reads.writing(), writes.reading(), changes:
                os._exit(0)
        end.set()
        for each in held:
            each.result(LIMIT)
    assert os.waitpid(child, 0)[1] == 0
    with reads.writing(), writes.reading(), changes:
        pass
