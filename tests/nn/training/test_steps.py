"""Single steps: what `train_on_batch` keeps from one to the next is built anew where need be."""

import copy
import pickle

import numpy as np
import pytest

import relume
from relume import nn
from relume.nn.training.run import Steps

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 5)).astype("float32")
Y = RNG.integers(0, 3, 40)


def network(**options):
    layers = [nn.Dense(8, activation="relu", l2=0.01), nn.Dropout(0.2), nn.Dense(3)]
    options = {"optimizer": nn.Adam(0.01), "seed": 0} | options
    return nn.Network(layers, **options).build(5)


def nothing(net):
    pass


def larger(net):
    net.train_on_batch(X, Y)


def smaller(net):
    net.train_on_batch(X[:3], Y[:3])


def weighted(net):
    net.train_on_batch(X[:16], Y[:16], np.arange(16.0))


def probabilities(net):
    net.train_on_batch(X[:16], np.eye(3)[Y[:16]])


def loaded(net):
    net.load_state_dict(network(seed=1).state_dict())


def restored(net):
    snapshot = net.snapshot()
    net.train_on_batch(X, Y)
    net.restore(snapshot)


def fitted(net):
    net.fit(X, Y, batch_size=16)


def custom_loop(net):
    net.forward(X, training=True)
    net.backward(np.full((40, 3), 0.01, "float32"))
    net.step()


def part(net):
    first = net.part(0, 1)
    first.train_on_batch(X, np.ones((40, 8)))


def failed(net):
    with pytest.raises(ValueError, match="X must be finite"):
        net.train_on_batch(np.full_like(X, np.nan), Y)


def other_optimizer(net):
    net.optimizer = nn.NAdam(0.01)


def averaging(net):
    net.optimizer.ema_decay = 0.5


def third_array(net):
    net.optimizer.amsgrad = True


def smoothed(net):
    net.loss.label_smoothing = 0.2


def other_loss(net):
    net.loss = "mse"
    net.train_on_batch(X[:16], np.eye(3)[Y[:16]])
    net.loss = "cross_entropy"


CHANGES = [
    nothing, larger, smaller, weighted, probabilities, loaded, restored, fitted, custom_loop, part,
    failed, other_optimizer, averaging, third_array, smoothed, other_loss,
]  # fmt: skip


class Forgetful(nn.Network):
    """A network that keeps nothing for the next step."""

    @property
    def _steps(self):
        return None

    @_steps.setter
    def _steps(self, value):
        pass


@pytest.mark.parametrize("copied", [lambda net: net, copy.copy], ids=["same", "copy"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_step_is_that_of_a_network_that_keeps_nothing(change, copied):
    """The engine's `Training` of one step served the next one too, whatever came between."""
    net, other = network(), network()
    other.__class__ = Forgetful
    del other.__dict__["_steps"]
    found = []
    for each in (net, other):
        losses = [each.train_on_batch(X[:16], Y[:16]) for _ in range(2)]
        change(each)
        each = copied(each)
        losses += [each.train_on_batch(X[i : i + 16], Y[i : i + 16]) for i in range(3)]
        weights = each._weights
        found.append([losses, each.state_dict(), weights.optimizer_state, weights.steps])
    np.testing.assert_equal(found[0], found[1])


def test_steps_on_small_minibatches_share_their_memory():
    net = network()
    net.train_on_batch(X, Y)
    kept = net._steps
    assert kept is not None
    net.train_on_batch(X[:7], Y[:7])
    assert net._steps is kept


def test_another_number_of_threads_holds_from_the_next_step_on():
    net = network()
    for n in (1, 2, 1):
        with relume.num_threads(n):
            net.train_on_batch(X, Y)
            assert net._steps.training.max_threads == n


def test_python_threads_have_steps_of_their_own():
    """A step of another Python thread may be reading its arrays in the kept memory."""
    net = network()
    net.train_on_batch(X, Y)
    kept = net._steps
    assert kept.idle.acquire(blocking=False)  # as that thread does
    net.train_on_batch(X, Y)
    assert net._steps is not kept


def test_memory_of_a_large_minibatch_is_given_back():
    net = network()
    many = np.resize(X, (Steps.MAX_ROWS + 1, 5))
    net.train_on_batch(many, np.resize(Y, len(many)))
    assert net._steps is None


@pytest.mark.parametrize(
    "use",
    [
        lambda net: net.fit(X, Y),
        lambda net: pickle.loads(pickle.dumps(net)),
        lambda net: net.load_state_dict(net.state_dict()),
    ],
    ids=["fit", "pickle", "load"],
)
def test_what_is_kept_is_no_part_of_the_network(use):
    net = network()
    net.train_on_batch(X, Y)
    use(net)
    assert np.isfinite(net.train_on_batch(X, Y))
