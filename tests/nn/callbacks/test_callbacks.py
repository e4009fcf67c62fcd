"""Callbacks: which hooks are called when, and what they may do to the network."""

import copy
import pickle

import numpy as np
import pytest

from relume import nn
from relume.nn.callbacks import callback
from tests.support import twin as plain

X, Y = plain.data(100, 4, 3)
VALIDATION = plain.data(40, 4, 3, seed=2)


def network(seed=0, **options):
    layers = [nn.Dense(5, activation="tanh"), nn.Dense(3)]
    return nn.Network(layers, **{"optimizer": nn.Adam(0.01), "seed": seed} | options)


class Recorder(nn.Callback):
    """All hooks, each noting its call."""

    def __init__(self, calls, name=""):
        self.calls, self.name = calls, name


def _noting(hook):
    def call(self, net, *arguments):
        self.calls.append((self.name + hook, net.epoch, *arguments))

    return call


for _hook in callback.HOOKS:
    setattr(Recorder, _hook, _noting(_hook))


# -- Which hooks are called, and when --


def test_calls_in_order():
    calls, net = [], network()
    history = net.fit(
        X, Y, epochs=2, batch_size=50, validation_data=VALIDATION, callbacks=[Recorder(calls)]
    )
    losses = [call[-1] for call in calls if call[0] == "on_batch_end"]
    logs = [
        {key: history[key][i] for key in ("loss", "val_loss", "val_accuracy")} for i in range(2)
    ]
    expected = [("on_fit_begin", 0)]
    for epoch in (1, 2):
        expected.append(("on_epoch_begin", epoch - 1, epoch))
        for batch in (1, 2):
            expected.append(("on_batch_begin", epoch - 1, batch))
            expected.append(("on_batch_end", epoch - 1, batch, losses[2 * epoch + batch - 3]))
        expected.append(("on_epoch_end", epoch, epoch, logs[epoch - 1]))
    assert calls == [*expected, ("on_fit_end", 2)]
    assert history["loss"][0] == pytest.approx(np.mean(losses[:2]), rel=1e-12)
    net.fit(X, Y, callbacks=[Recorder(calls := [])])
    assert ("on_epoch_begin", 2, 3) in calls


def test_each_hook_is_called_for_all_callbacks_in_order():
    calls = []
    network().fit(X, Y, callbacks=[Recorder(calls, "a "), Recorder(calls, "b ")])
    names = [call[0] for call in calls]
    assert names[0::2] == [name.replace("b ", "a ") for name in names[1::2]]
    assert names[1::2] == [name.replace("a ", "b ") for name in names[0::2]]


def test_hooks_that_are_not_overridden_are_not_collected():
    class Empty(nn.Callback):
        pass

    class One(nn.Callback):
        def on_batch_end(self, net, batch, loss):
            pass

    own = nn.Callback()
    own.on_epoch_begin = lambda net, epoch: None
    collected = callback.Hooks([Empty(), One(), own, print])
    assert {name: len(collected[name]) for name in callback.HOOKS if collected[name]} == {
        "on_batch_end": 1,
        "on_epoch_begin": 1,
        "on_epoch_end": 1,
    }


def test_short_minibatches_count_for_less():
    losses = []

    class Batches(nn.Callback):
        def on_batch_end(self, net, batch, loss):
            losses.append(loss)

    history = network().fit(X, Y, batch_size=30, callbacks=[Batches()])
    expected = np.average(losses, weights=[30, 30, 30, 10])
    assert history["loss"] == [pytest.approx(expected, rel=1e-12)]


@pytest.mark.parametrize("schedule", [None, nn.Cosine(3, warmup=1)], ids=["", "cosine"])
@pytest.mark.parametrize("batch_size", [1, 32, 100, 1000])
def test_looking_on_changes_no_bit(batch_size, schedule):
    """Minibatch by minibatch or an epoch at once; predicting between."""

    class Looker(Recorder):
        def on_batch_end(self, net, batch, loss):
            net.predict(X)
            net.snapshot()

    options = {"epochs": 3, "batch_size": batch_size}
    alone, seen = (network(schedule=schedule) for _ in range(2))
    one = alone.fit(X, Y, **options)
    two = seen.fit(X, Y, **options, callbacks=[Looker([])])
    plain.assert_same_bits(alone, seen)
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-12)
    for net in (alone, seen):
        net.fit(X, Y, **options)
    plain.assert_same_bits(alone, seen, "training on")


@pytest.mark.parametrize("answer", [True, np.True_])
def test_true_ends_the_fit_and_calls_all(answer):
    calls, net = [], network()
    ending = [lambda net, epoch, logs: epoch == 3 and answer, Recorder(calls)]
    history = net.fit(X, Y, epochs=9, callbacks=ending)
    assert len(history["loss"]) == net.epoch == 3
    assert [call[0] for call in calls[-2:]] == ["on_epoch_end", "on_fit_end"]
    other = network()
    other.fit(X, Y, epochs=3)
    plain.assert_same_bits(net, other)


@pytest.mark.parametrize("answer", [None, False, 1, "yes", np.ones(3), {"a": 1}], ids=repr)
def test_no_other_answer_ends_it(answer):
    history = network().fit(X, Y, epochs=2, callbacks=[lambda *_: answer])
    assert len(history["loss"]) == 2


BAD = {
    "callbacks": ({"callbacks": nn.EarlyStopping()}, ["callbacks must be a list", "Early"]),
    "callbacks 3": ({"callbacks": 3}, ["callbacks must be a list", r"\b3$"]),
    "number": ({"callbacks": [print, 3]}, [r"callbacks\[1\] must be", r"\b3$"]),
    "class": ({"callbacks": [nn.EarlyStopping]}, [r"callbacks\[0\] must be", "Early.*'>"]),
}


@pytest.mark.parametrize(("options", "words"), BAD.values(), ids=BAD)
def test_bad_callbacks(options, words):
    net = network()
    plain.assert_raises(TypeError, words, lambda: net.fit(X, Y, **options))
    with pytest.raises(RuntimeError, match="not built"):
        net.state_dict()


# -- What a hook may do to the network --


class At(nn.Callback):
    """Do something in one call of one hook."""

    def __init__(self, hook, at, action):
        def call(net, number=None, *_):
            if number == at:
                action(net)

        setattr(self, hook, call)


PLACES = [
    ("on_epoch_begin", 2),
    ("on_batch_begin", 1),
    ("on_batch_end", 2),
    ("on_epoch_end", 2),
]


@pytest.mark.parametrize(("hook", "at"), PLACES)
@pytest.mark.parametrize("error", [ValueError, FloatingPointError, ZeroDivisionError])
def test_error_in_a_hook(error, hook, at):
    """The network is as after the last complete epoch, and trains on from there."""

    def fail(net):
        if net.epoch >= 1:
            raise error("on purpose")

    net, other = network(), network()
    with pytest.raises(error, match="on purpose"):
        net.fit(X, Y, epochs=5, batch_size=40, callbacks=[At(hook, at, fail)])
    done = 2 if hook == "on_epoch_end" else 1
    other.fit(X, Y, epochs=done, batch_size=40)
    assert net.epoch == done
    plain.assert_same_bits(net, other)
    for n in (net, other):
        n.fit(X, Y, epochs=2, batch_size=40)
    plain.assert_same_bits(net, other, "training on")


def test_error_at_the_begin_and_end_of_a_fit():
    def fail(net):
        raise ValueError("on purpose")

    net, other = network(), network()
    with pytest.raises(ValueError, match="on purpose"):
        net.fit(X, Y, callbacks=[At("on_fit_begin", None, fail)])
    with pytest.raises(RuntimeError, match="not built"):
        net.state_dict()
    with pytest.raises(ValueError, match="on purpose"):
        net.fit(X, Y, epochs=2, callbacks=[At("on_fit_end", None, fail)])
    other.fit(X, Y, epochs=2)
    plain.assert_same_bits(net, other)


def test_interrupt_in_a_hook_keeps_what_was_learned():
    """As Ctrl-C between minibatches."""

    def interrupt(net):
        raise KeyboardInterrupt

    net, other = network(), network()
    stopping = At("on_batch_end", 2, interrupt)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, Y, batch_size=40, shuffle=False, callbacks=[stopping])
    assert net.epoch == 0
    for i in (0, 40):
        other.train_on_batch(X[i : i + 40], Y[i : i + 40])
    plain.assert_same_bits(net, other)


def test_what_a_hook_loads_before_the_first_epoch_stays():
    """The beginning of an epoch comes after on_fit_begin, also where that epoch fails."""
    other = network(seed=1).build(4)

    class Loading(nn.Callback):
        def on_fit_begin(self, net):
            net.load_state_dict(other.state_dict())

        def on_batch_end(self, net, batch, loss):
            raise ValueError("on purpose")

    net = network()
    net.fit(X, Y)
    with pytest.raises(ValueError, match="on purpose"):
        net.fit(X, Y, callbacks=[Loading()])
    plain.assert_same_bits(net, other)


RESTORING = {
    # hook: (epochs trained after it first restores, epochs counted then)
    "on_fit_begin": (2, 2),
    "on_epoch_begin": (2, 2),
    "on_batch_begin": (2, 2),
    "on_batch_end": (1, 2),
    "on_epoch_end": (1, 1),
}


@pytest.mark.parametrize(("hook", "trained", "counted"), [(h, *n) for h, n in RESTORING.items()])
def test_restoring_within_a_fit(hook, trained, counted):
    """Training goes on from what was restored: weights, steps of Adam, all."""
    net, other = network(), network()
    for n in (net, other):
        n.fit(X, Y, epochs=2)
    snapshot = net.snapshot()
    net.fit(X, Y, epochs=3)
    callback, calls = nn.Callback(), []

    def restore_once(net, *_):
        if not calls:
            net.restore(snapshot)
        calls.append(hook)

    setattr(callback, hook, restore_once)
    net.fit(X, Y, epochs=2, batch_size=100, shuffle=False, callbacks=[callback])
    other.fit(X, Y, epochs=trained, batch_size=100, shuffle=False)
    plain.assert_same_bits(net, other)
    assert net.epoch == 2 + counted


def test_loading_stepping_and_fitting_within_a_fit():
    state = network(seed=1).build(4).state_dict()
    net, other = network(), network()
    options = {"batch_size": 100, "shuffle": False}

    def interfere(net):
        net.load_state_dict(state)
        net.train_on_batch(X[:10], Y[:10])
        net.fit(X, Y, **options)
        net.optimizer.lr = 0.5

    net.fit(X, Y, epochs=3, **options, callbacks=[At("on_epoch_begin", 2, interfere)])
    other.fit(X, Y, **options)
    interfere(other)
    other.fit(X, Y, epochs=2, **options)
    plain.assert_same_bits(net, other)
    assert net.epoch == other.epoch == 4


@pytest.mark.parametrize("fitted", [False, True], ids=["first fit", "second fit"])
def test_bad_input_met_between_hooks(fitted):
    """The network is as before the fit, whatever minibatches came before."""
    net, calls, bad = network(), [], X.copy()
    bad[70, 2] = np.nan
    if fitted:
        net.fit(X, Y)
        before = plain.bits(net)
    options = {"batch_size": 20, "shuffle": False, "callbacks": [Recorder(calls)]}
    with pytest.raises(ValueError, match="X must be finite"):
        net.fit(bad, Y, **options)
    assert [call[0] for call in calls].count("on_batch_end") == 3
    if fitted:
        assert plain.bits(net) == before
        assert net.epoch == 1
    else:
        with pytest.raises(RuntimeError, match="not built"):
            net.state_dict()


@pytest.mark.parametrize("batch_size", [100, 32])
def test_divergence_between_hooks(batch_size):
    """Found at the same epoch and step as without hooks, and undone alike."""
    x, y = plain.data(100, 4, 1, "mse")
    seen = {}
    for name, callbacks in (("without", None), ("with", [Recorder([])])):
        net = nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.SGD(30.0), seed=0)
        with pytest.raises(FloatingPointError, match=r"epoch \d+ of this fit, step \d") as caught:
            net.fit(x, y, epochs=1000, batch_size=batch_size, callbacks=callbacks)
        seen[name] = str(caught.value), net.epoch, plain.bits(net)
    assert seen["with"] == seen["without"]


# -- Snapshots and the number of epochs --


def test_snapshot_and_restore():
    options = {"schedule": nn.ReduceOnPlateau(factor=0.5, patience=0, threshold=9.0)}
    net, other = network(**options), network(**options)
    for n in (net, other):
        n.fit(X, Y, epochs=2)
    snapshot = pickle.loads(pickle.dumps(net.snapshot()))
    for _ in range(2):
        net.fit(X, Y, epochs=3)
        net.optimizer.lr = 7.0
        assert net.schedule(0.0) < other.schedule(0.0)
        net.restore(snapshot)
        assert net.epoch == 2
        assert net.optimizer.lr == 0.01
        assert net.schedule(0.0) == other.schedule(0.0)
        plain.assert_same_bits(net, other)
    fresh = network(**options)
    fresh.restore(snapshot)
    for n in (net, other, fresh):
        n.fit(X, Y, epochs=2)
    plain.assert_same_bits(net, other, "training on")
    plain.assert_same_bits(fresh, other, "of another network")


def test_snapshot_of_an_unbuilt_network():
    net = network()
    snapshot = net.snapshot()
    net.fit(X, Y)
    net.restore(snapshot)
    assert net.epoch == 0
    with pytest.raises(RuntimeError, match="not built"):
        net.state_dict()
    plain.assert_same_bits(net.build(7), network().build(7))


def test_bad_snapshots():
    net = network().build(4)
    before = plain.bits(net)
    wide = nn.Network([nn.Dense(5, "relu"), nn.Dense(3)]).build(4)
    double = network(dtype="float64").build(4)
    for bad, error, words in [
        (None, TypeError, ["snapshot", "None"]),
        (net.state_dict(), TypeError, ["snapshot", "0.weight"]),
        (wide.snapshot(), ValueError, ["snapshot", "same|of a network", r"ReLU\(\)"]),
        (double.snapshot(), ValueError, ["snapshot", "float32", "float64"]),
    ]:
        plain.assert_raises(error, words, lambda bad=bad: net.restore(bad))
    assert plain.bits(net) == before


def test_restore_forgets_forward_and_backward():
    net = network().build(4)
    snapshot = net.snapshot()
    net.forward(X, training=True)
    net.restore(snapshot)
    with pytest.raises(RuntimeError, match="call forward"):
        net.backward(np.ones((100, 3)))
    net.backward(net.forward(X, training=True))
    net.restore(snapshot)
    with pytest.raises(RuntimeError, match="call backward"):
        net.step()


def test_epoch_counts_over_the_networks_life():
    net = network()
    assert net.epoch == 0
    net.fit(X, Y, epochs=2)
    net.train_on_batch(X, Y)
    net.fit(X, Y)
    assert net.epoch == 3
    for other in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.epoch == 3
        other.fit(X, Y)
        assert (other.epoch, net.epoch) == (4, 3)


def test_optimizer_is_a_networks_own():
    optimizer = nn.SGD(0.1)
    one, two = network(optimizer=optimizer), network(optimizer=optimizer)
    copied = copy.copy(one)
    one.optimizer.lr = 0.5
    assert optimizer.lr == two.optimizer.lr == copied.optimizer.lr == 0.1


def test_a_method_that_is_no_hook_is_refused():
    """A hook of another library's name was never called, and nobody said so."""
    with pytest.raises(TypeError, match=r"on_train_begin is not a hook .* the hooks are on_fit_"):

        class Keras(nn.Callback):
            def on_train_begin(self, logs=None):
                pass

    with pytest.raises(TypeError, match="did you mean 'on_epoch_end'"):

        class Misspelt(nn.Callback):
            def on_epochs_end(self, net, epoch, logs):
                pass


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_what_a_callback_adds_to_the_logs_is_recorded(optimizer):
    """It was in the logs of later callbacks, but not in the history."""

    def add(net, epoch, logs):
        if epoch > 1:
            logs["mine"] = float(epoch)

    net = nn.Network([nn.Dense(2)], seed=0, optimizer=optimizer)
    history = net.fit(np.eye(4), [0, 1, 0, 1], epochs=3, callbacks=[add])
    np.testing.assert_array_equal(history["mine"], [np.nan, 2.0, 3.0])
    assert len(history["loss"]) == 3


def test_an_object_with_hooks_that_is_no_callback():
    class Duck:
        def on_epoch_end(self, net, epoch, logs):
            pass

    with pytest.raises(TypeError, match=r"derive its class from nn\.Callback"):
        nn.Network([nn.Dense(2)]).fit(np.eye(2), [0, 1], callbacks=[Duck()])
