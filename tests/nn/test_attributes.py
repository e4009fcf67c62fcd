"""Attributes of a network, its layers, loss and optimizer, assigned at three moments.

Before building, after it, and between two fits, an assignment either has the effect that it has on
a new network with the same weights and state, to the last bit, or raises an error that says what
to do. Within a fit, a callback's assignment has the effect that it has between two fits.
"""

import copy
import inspect
import pickle
import warnings

import numpy as np
import pytest

from relume import nn
from relume.nn.parameters.snapshot import Snapshot
from tests.support import twin as plain

X, Y = plain.data(60, 4, 3)
VALUES = X[:, :3].astype("float64") * 2 + 1
MOMENTS = ("before building", "after building", "between two fits")


def layers():
    return [
        nn.Dense(6, activation="tanh"),
        nn.BatchNorm(),
        nn.Dropout(0.25),
        nn.Residual([nn.Dense(6, nn.LeakyReLU(0.1))]),
        nn.LayerNorm(),
        nn.Sine(2.0),
        nn.RReLU(0.1, 0.3),
        nn.ActivityL1(0.01),
        nn.AlphaDropout(0.1),
        nn.Dense(3),
    ]


def network(loss="mse", **options):
    options = {"optimizer": nn.SGD(0.05, momentum=0.9), "seed": 0} | options
    return nn.Network(layers(), loss=loss, **options)


def targets(net):
    return Y if isinstance(net.loss, nn.CrossEntropy) else VALUES


def brought_to(moment, net):
    """The network at a moment of its life."""
    if moment != "before building":
        net.build(4)
    if moment == "between two fits":
        net.fit(X, targets(net), epochs=2, batch_size=16)
    return net


def set_layer(i, name, value):
    def assign(net):
        setattr(net.layers[i], name, value)

    assign.__name__ = f"{name} of layers[{i}] {type(layers()[i]).__name__}"
    return assign


def set_inner(name, value):
    def assign(net):
        setattr(net.layers[3].layers[0], name, value)

    assign.__name__ = f"{name} within Residual"
    return assign


def set_on(part, name, value):
    def assign(net):
        setattr(getattr(net, part), name, value)

    assign.__name__ = f"{name} of {part}"
    return assign


def set_network(name, value):
    def assign(net):
        setattr(net, name, copy.deepcopy(value))

    assign.__name__ = f"{name} of the network: {getattr(value, '__name__', value)!r}"[:60]
    return assign


def fourth_power(y_true, y_pred):
    """Of a tenth of the error: that of the whole lets the network diverge."""
    d = (y_pred - y_true) / 10
    return np.mean(d**4), 0.4 * d**3 / d.size


def replaced(net):
    net.layers[0] = nn.Dense(6, activation="relu", l2=0.01)


def inserted(net):
    net.layers.insert(1, nn.Dropout(0.5))


def appended(net):
    net.layers.append(nn.Dropout(0.5))


def removed(net):
    del net.layers[5]


def replaced_within(net):
    net.layers[3].layers[0] = nn.Dense(6, "sigmoid", max_norm=0.5)


def other_list(net):
    changed = layers()
    changed[2] = nn.Dropout(0.5)
    net.layers = changed


STRUCTURE = [
    set_layer(0, "activation", "relu"),
    set_layer(0, "activation", None),
    set_layer(0, "trainable", False),
    set_layer(0, "l1", 0.02),
    set_layer(0, "l2", 0.02),
    set_layer(0, "max_norm", 0.3),
    set_layer(0, "lr_scale", 0.1),
    set_layer(1, "eps", 0.1),
    set_layer(1, "momentum", 0.5),
    set_layer(2, "rate", 0.5),
    set_layer(2, "rate", 0.0),
    set_inner("activation", "relu"),
    set_inner("trainable", False),
    set_layer(3, "layers", [nn.Dense(6, "relu", lr_scale=0.5)]),
    set_layer(4, "eps", 0.1),
    set_layer(5, "omega", 3.0),
    set_layer(6, "lower", 0.0),
    set_layer(7, "l1", 0.5),
    set_layer(8, "rate", 0.4),
    set_layer(9, "trainable", False),
    replaced,
    inserted,
    appended,
    removed,
    replaced_within,
    other_list,
    set_network("sparse", "always"),
    set_network("sparse", "never"),
]
SETTINGS = [
    set_on("optimizer", "lr", 0.01),
    set_on("optimizer", "momentum", 0.5),
    set_on("optimizer", "nesterov", True),
    set_on("optimizer", "weight_decay", 0.1),
    set_on("optimizer", "clip_norm", 0.1),
    set_on("optimizer", "clip_value", 0.01),
    set_on("optimizer", "ema_decay", 0.9),
    set_network("loss", "mae"),
    set_network("loss", nn.Huber(0.1)),
    set_network("loss", nn.Quantile(0.9)),
    set_network("loss", fourth_power),
    set_network("schedule", nn.Exponential(0.5)),
    set_network(
        "schedule", nn.ReduceOnPlateau("loss", patience=0, threshold=10.0, threshold_mode="abs")
    ),
    set_network("schedule", None),
    set_network("metrics", ["mae", "r2"]),
    set_network("metrics", None),
    set_network("epoch", 7),
]
by_moment = pytest.mark.parametrize("moment", MOMENTS)


def name_of(assign):
    return assign.__name__


def remade(net, before):
    """A new network with the layers and settings of one, and the values it had before."""
    new = nn.Network(
        copy.deepcopy(net.layers), loss=net.loss, optimizer=net.optimizer, schedule=net.schedule,
        dtype=net.dtype, sparse=net.sparse, seed=0,
    )  # fmt: skip
    new._given_metrics, new._metrics = net._given_metrics, net._metrics
    new._rng.bit_generator.state = before.rng
    new.epoch = net.epoch
    if before.weights is not None:
        new.build(before.n_features)
        new._weights.restore(before.weights)
        new._rng.bit_generator.state = before.rng
    return new


def trained(net):
    """All that a fit and some steps say of a network."""
    y = targets(net)
    history = net.fit(X, y, epochs=2, batch_size=16, validation_data=(X[:9], y[:9]))
    measured = ("seconds", "skipped")  # times, and what was chosen by times
    values = {name: history[name] for name in history if name not in measured}
    steps = [net.train_on_batch(X, y)]
    net.forward(X, training=True)
    net.backward(np.full((60, 3), 0.01, net.dtype))
    net.step()
    found = [values, steps, net.predict(X), net.evaluate(X, y), net.state_dict(), net.epoch]
    return found + ([net.averaged().state_dict()] if net.optimizer.ema_decay else [])


def assert_same(found, expected):
    np.testing.assert_equal(found, expected)


@by_moment
@pytest.mark.parametrize("assign", STRUCTURE + SETTINGS, ids=name_of)
def test_as_a_new_network_with_that_setting(assign, moment):
    net = brought_to(moment, network())
    before = Snapshot.of(net)
    assign(net)
    new = remade(net, before)
    assert_same(trained(net), trained(new))


@pytest.mark.parametrize(
    "assign",
    [assign for assign in STRUCTURE + SETTINGS if "fourth_power" not in assign.__name__],
    ids=name_of,
)
@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_batch_begin"])
def test_a_callback_assigns(assign, hook):
    """From the next step on, as if the fit had ended there and another one had begun."""

    class Assign(nn.Callback):
        calls = 0

    def call(self, net, *arguments):
        self.calls += 1
        if self.calls == (3 if hook == "on_epoch_begin" else 2 if hook == "on_epoch_end" else 9):
            assign(net)

    setattr(Assign, hook, call)
    net, other = network(), network()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.fit(X, VALUES, epochs=4, batch_size=16, callbacks=[Assign()])
    other.fit(X, VALUES, epochs=2, batch_size=16)
    assign(other)
    other.fit(X, VALUES, epochs=2, batch_size=16)
    assert_same(net.state_dict(), other.state_dict())
    assert_same(net.predict(X), other.predict(X))


@pytest.mark.parametrize("assign", STRUCTURE + SETTINGS, ids=name_of)
def test_the_next_single_step_takes_it(assign):
    """What a step keeps for the next one is built anew after an assignment."""
    net = network().build(4)
    for _ in range(2):
        net.train_on_batch(X, VALUES)
    other = copy.copy(net)
    found = []
    for each in (net, other):
        assign(each)
        found.append([each.train_on_batch(X, VALUES) for _ in range(2)] + [each.state_dict()])
    assert_same(found[0], found[1])


@by_moment
@pytest.mark.parametrize("settings", [{"loss": nn.CrossEntropy()}, {"loss": "cross_entropy"}])
def test_settings_of_a_loss(settings, moment):
    net = brought_to(moment, network(**settings))
    before = Snapshot.of(net)
    net.loss.label_smoothing = 0.3
    new = remade(net, before)
    assert_same(trained(net), trained(new))
    probabilities = net.predict_proba(X).astype(float)
    own = -np.log(probabilities[np.arange(60), Y])
    every = -np.log(probabilities).mean(axis=1)
    assert net.evaluate(X, Y)["loss"] == pytest.approx((0.7 * own + 0.3 * every).mean(), rel=1e-5)


@by_moment
def test_the_metrics_follow_the_loss(moment):
    net = brought_to(moment, network("cross_entropy"))
    assert [metric.name for metric in net.metrics] == ["accuracy"]
    net.loss = "mse"
    assert net.metrics == ()
    net.fit(X, VALUES)
    assert set(net.evaluate(X, VALUES)) == {"loss"}


@by_moment
def test_a_network_of_one_precision_is_built_in_another(moment):
    net = brought_to(moment, network())
    if moment == "before building":
        net.dtype = "float64"
        assert_same(trained(net), trained(network(dtype="float64")))
        return
    with pytest.raises(ValueError, match=r"dtype must stay float32.*nn.Network.*load_state_dict"):
        net.dtype = "float64"
    net.dtype = "float32"
    assert net.dtype == np.float32


# -- Another optimizer --


@by_moment
@pytest.mark.parametrize(
    "optimizer", [nn.Adam(0.01), nn.SGD(0.1, 0.5), nn.Lion(), "nadam"], ids=repr
)
def test_another_optimizer_starts_afresh(optimizer, moment):
    """Without moments, steps and average: as on a new network with the same parameters."""
    net = brought_to(moment, network(optimizer=nn.Adam(0.03, ema_decay=0.5)))
    before = Snapshot.of(net)
    net.optimizer = optimizer
    new = remade(net, before)
    if new._weights is not None:
        new._weights.optimizer_state[:], new._weights.steps, new._weights.average = 0, 0, None
    with pytest.raises(RuntimeError, match="nothing was averaged"):
        net.averaged()
    assert_same(trained(net), trained(new))


@by_moment
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (nn.Adam(0.03, amsgrad=True), nn.Adam(0.01)),
        (nn.RMSprop(0.03, centered=True), nn.SGD(0.1, 0.5)),
        (nn.AdamW(0.03, amsgrad=True), nn.RMSprop(0.01, centered=True)),
        (nn.Adam(0.03), nn.Adam(0.01, amsgrad=True)),
    ],
    ids=repr,
)
def test_an_optimizer_may_keep_fewer_arrays_than_the_one_before(first, second, moment):
    """The engine refused the third array that amsgrad and centered had left."""
    net = brought_to(moment, network(optimizer=first))
    before = Snapshot.of(net)
    net.optimizer = second
    new = remade(net, before)
    if new._weights is not None:
        state, new._weights.steps = np.zeros((2, before.weights[0].size), np.float32), 0
        new._weights.optimizer_state = state
    assert_same(trained(net), trained(new))


@pytest.mark.parametrize(
    ("optimizer", "name", "rows"),
    [(nn.Adam(0.03), "amsgrad", [0, 1]), (nn.RMSprop(0.03), "centered", [0, 1])],
    ids=["amsgrad", "centered"],
)
def test_an_option_is_switched_off_again(optimizer, name, rows):
    """What the optimizer keeps in any case is kept."""
    net = network(optimizer=copy.copy(optimizer))
    setattr(net.optimizer, name, True)
    net.fit(X, VALUES, epochs=2, batch_size=16)
    other = network(optimizer=copy.copy(optimizer)).build(4)
    state = list(net._weights.snapshot())
    state[1] = state[1][rows]
    other._weights.restore(tuple(state))
    other._rng.bit_generator.state, other.epoch = net._rng.bit_generator.state, net.epoch
    setattr(net.optimizer, name, False)
    assert_same(trained(net), trained(other))


def test_the_same_optimizer_goes_on():
    net = brought_to("between two fits", network())
    other = copy.copy(net)
    net.optimizer = net.optimizer
    assert_same(trained(net), trained(other))


def test_an_optimizer_given_by_a_callback_starts_afresh():
    net, other = network(), network()

    def swap(net, epoch, logs):
        if epoch == 2:
            net.optimizer = nn.Adam(0.01, ema_decay=0.9)

    net.fit(X, VALUES, epochs=4, batch_size=16, callbacks=[swap])
    other.fit(X, VALUES, epochs=2, batch_size=16)
    other.optimizer = nn.Adam(0.01, ema_decay=0.9)
    other.fit(X, VALUES, epochs=2, batch_size=16)
    assert_same(net.averaged().state_dict(), other.averaged().state_dict())
    assert net._weights.steps == other._weights.steps == 8


def test_a_snapshot_holds_the_optimizer_of_its_state():
    net = brought_to("between two fits", network())
    snapshot, other = net.snapshot(), copy.copy(net)
    net.optimizer = "adam"
    net.fit(X, VALUES)
    net.restore(snapshot)
    assert net.optimizer == other.optimizer
    assert_same(trained(net), trained(other))


@pytest.mark.parametrize(("first", "second"), [("sgd", "lbfgs"), ("lbfgs", "sgd")])
def test_no_change_between_steps_and_lbfgs_within_a_fit(first, second):
    def swap(net, epoch, logs):
        net.optimizer = second

    net = nn.Network([nn.Dense(3)], loss="mse", optimizer=first, seed=0)
    with pytest.raises(RuntimeError, match=r"optimizer must .*call fit again"):
        net.fit(X, VALUES, epochs=2, callbacks=[swap])
    net.fit(X, VALUES)


def test_lbfgs_trains_what_a_callback_loads():
    """The function to minimize was bound to the weights at the beginning of the fit."""
    other = nn.Network([nn.Dense(3)], loss="mse", seed=1).build(4)

    def load(net, epoch, logs):
        if epoch == 1:
            net.load_state_dict(other.state_dict())

    optimizer = nn.LBFGS(max_iter=2)
    net = nn.Network([nn.Dense(3)], loss="mse", optimizer=optimizer, seed=0)
    net.fit(X, VALUES, epochs=2, callbacks=[load])
    other.optimizer = optimizer
    other.fit(X, VALUES)
    assert_same(net.state_dict(), other.state_dict())


# -- What is refused --


def units(net):
    net.layers[9].units = 5


def no_bias(net):
    net.layers[0].use_bias = False


def wider(net):
    net.layers[0] = nn.Dense(7)


def learnt_slope(net):
    net.layers[0].activation = nn.PReLU()


def another_layer(net):
    net.layers.append(nn.Dense(3))


def no_normalization(net):
    net.layers.pop(1)


def other_inner_width(net):
    net.layers[3].layers[0].units = 5


@pytest.mark.parametrize("moment", MOMENTS[1:])
@pytest.mark.parametrize(
    "change",
    [units, no_bias, wider, learnt_slope, another_layer, no_normalization, other_inner_width],
    ids=name_of,
)
@pytest.mark.parametrize(
    "use",
    [
        lambda net: net.predict(X),
        lambda net: net.fit(X, VALUES),
        lambda net: net.train_on_batch(X, VALUES),
        lambda net: net.forward(X),
        lambda net: net.state_dict(),
        lambda net: net.evaluate(X, VALUES),
        copy.copy,
        pickle.dumps,
        lambda net: net.summary(),
        lambda net: net.snapshot(),
        lambda net: net.n_outputs,
    ],
)
def test_other_shapes_are_refused(change, use, moment):
    net = brought_to(moment, network())
    before = net.state_dict()
    kept = copy.deepcopy(net.layers)
    change(net)
    with pytest.raises(ValueError, match=r"layers must keep the shapes.*build a new nn\.Network"):
        use(net)
    assert_same(nn.Network(net.layers, seed=0).build(4).predict_proba(X).shape[0], 60)
    net.layers[:] = kept
    assert_same(net.state_dict(), before)


def test_a_list_of_other_shapes_is_refused_where_it_is_assigned():
    net = brought_to("between two fits", network())
    before, kept = net.state_dict(), net.layers
    with pytest.raises(ValueError, match=r"layers must keep the shapes"):
        net.layers = [nn.Dense(3)]
    assert net.layers is kept
    assert_same(net.state_dict(), before)


@pytest.mark.parametrize("change", [units, no_bias, learnt_slope, other_inner_width], ids=name_of)
def test_before_building_the_shapes_are_free(change):
    net = network("cross_entropy")
    change(net)
    other = nn.Network(copy.deepcopy(net.layers), optimizer=net.optimizer, seed=0)
    assert_same(net.fit(X, Y).get("loss"), other.fit(X, Y).get("loss"))
    assert_same(net.state_dict(), other.state_dict())


def test_weights_of_the_new_shapes_can_be_loaded():
    net = brought_to("between two fits", network())
    net.layers[9].units = 2
    state = nn.Network(net.layers, loss="mse", seed=3).build(4).state_dict()
    net.load_state_dict(state)
    assert net.n_outputs == 2
    assert net.predict(X).shape == (60, 2)
    net.fit(X, VALUES[:, :2])


@by_moment
@pytest.mark.parametrize(
    ("assign", "error", "words"),
    [
        (set_layer(0, "units", 0), ValueError, "units must be at least 1, got 0"),
        (set_layer(0, "units", 2.5), TypeError, "units must be an integer"),
        (set_layer(0, "activation", "rellu"), ValueError, "activation must be one of relu"),
        (set_layer(0, "trainable", 1), TypeError, "trainable must be True or False"),
        (set_layer(0, "l1", -1), ValueError, "l1 must be at least 0"),
        (set_layer(0, "max_norm", 0), ValueError, "max_norm must be greater than 0"),
        (set_layer(0, "lr_scale", 0), ValueError, "lr_scale must be greater than 0"),
        (set_layer(0, "weight_init", "hee"), ValueError, "weight_init must be one of he"),
        (set_layer(1, "momentum", 2), ValueError, "momentum must be greater than 0 and at most 1"),
        (set_layer(2, "rate", 1.0), ValueError, "rate must be at least 0 and less than 1"),
        (set_layer(3, "layers", []), ValueError, "layers of nn.Residual must hold at least one"),
        (set_layer(6, "lower", 0.5), ValueError, "lower must be at most upper=0.3"),
        (set_on("optimizer", "lr", -1), ValueError, "lr must be greater than 0, got -1"),
        (set_on("optimizer", "lr", "fast"), TypeError, "lr must be a number"),
        (set_on("optimizer", "momentum", 1), ValueError, "momentum must be at least 0 and less"),
        (set_on("optimizer", "clip_norm", 0), ValueError, "clip_norm must be greater than 0"),
        (set_on("optimizer", "ema_decay", 1), ValueError, "ema_decay must be at least 0 and less"),
        (set_network("layers", []), ValueError, "layers must hold at least one layer"),
        (set_network("layers", [nn.Dropout(0.5)]), ValueError, "layers must hold a Dense"),
        (set_network("layers", nn.Dense(3)), TypeError, "layers must be a list of layers"),
        (set_network("loss", "msee"), ValueError, "loss must be one of mse"),
        (set_network("loss", 3), TypeError, "loss must be one of"),
        (set_network("loss", nn.BinaryCrossEntropy([1, 2])), ValueError, "pos_weight must hold 1"),
        (set_network("optimizer", "sdg"), ValueError, "optimizer must be one of sgd"),
        (set_network("schedule", 0.5), TypeError, "schedule must be a schedule"),
        (set_network("metrics", ["f1"]), ValueError, "a metric under mse must be one of"),
        (set_network("metrics", "r2"), TypeError, "metrics must be a list"),
        (set_network("sparse", "yes"), ValueError, "sparse must be one of"),
        (set_network("dtype", "float16"), ValueError, "dtype must be one of float"),
        (
            set_network("n_outputs", 4),
            AttributeError,
            "n_outputs follows from the layers, and is 3",
        ),
        (set_network("epoch", -1), ValueError, "epoch must be at least 0"),
        (set_network("epoch", "two"), TypeError, "epoch must be an integer"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_value_is_refused_where_it_is_assigned(assign, error, words, moment):
    net = brought_to(moment, network())
    other = copy.copy(net)
    with pytest.raises(error, match=words):
        assign(net)
    assert_same(trained(net), trained(other))


def emptied(net):
    net.layers.clear()


def no_layer(net):
    net.layers[0] = "relu"


def no_dense(net):
    net.layers[:] = [nn.Dropout(0.5)]


def standardized_late(net):
    net.layers.append(nn.Standardize())


def emptied_within(net):
    net.layers[3].layers.clear()


@by_moment
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (emptied, ValueError, "layers must hold at least one layer"),
        (no_layer, TypeError, r"layers\[0\] must be a layer such as nn.Dense\(64\), got 'relu'"),
        (no_dense, ValueError, "layers must hold a Dense"),
        (standardized_late, ValueError, "nn.Standardize must be the first layer"),
        (emptied_within, ValueError, "layers of nn.Residual must hold at least one layer"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_list_that_makes_no_sense_is_refused_at_the_next_use(change, error, words, moment):
    net = brought_to(moment, network())
    change(net)
    with pytest.raises(error, match=words):
        net.fit(X, VALUES)
    with pytest.raises(error, match=words):
        net.build(4)


def test_metrics_that_do_not_suit_a_loss_are_named():
    net = network("cross_entropy", metrics=["f1"])
    with pytest.raises(ValueError, match="assign metrics = None before it: a metric under mse"):
        net.loss = "mse"
    net.metrics = None
    net.loss = "mse"
    net.metrics = ["r2"]
    assert [metric.name for metric in net.metrics] == ["r2"]


@pytest.mark.parametrize("with_mean", [True, False])
def test_standardize_keeps_what_it_has_learned(with_mean):
    net = nn.Network([nn.Standardize(with_mean), nn.Dense(3)], seed=0).build(4)
    net.layers[0].with_mean = not with_mean
    net.fit(X + 3, Y)
    assert net.state_dict()["0.mean"].any() == (not with_mean)
    net.layers[0].with_mean = with_mean
    with pytest.raises(ValueError, match=r"with_mean of nn.Standardize must stay"):
        net.predict(X)


def test_a_loss_that_takes_other_targets_is_refused_within_a_fit():
    def swap(net, epoch, logs):
        net.loss = "mse"

    net = nn.Network([nn.Dense(1)], loss="binary_cross_entropy", seed=0)
    net.fit(X, Y > 0, epochs=2, callbacks=[swap])  # 0 and 1 are values too
    net = network("cross_entropy")
    before = []
    with pytest.raises(ValueError, match=r"y must have shape|loss must take the same y"):
        net.fit(X, Y, epochs=2, callbacks=[lambda *a: before.append(a[0].state_dict()), swap])
    assert_same(net.state_dict(), before[0])
    assert net.epoch == 1


# -- Copies --


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]
)
def test_a_copy_has_settings_of_its_own(copied):
    net = brought_to("between two fits", network())
    other = copied(net)
    expected = net.forward(X)
    other.layers[0].activation = "relu"
    other.layers[3].layers[0].l2 = 0.3
    other.layers.append(nn.Dropout())
    other.optimizer.lr = 1.0
    other.loss = "mae"
    assert_same(net.forward(X), expected)
    assert net.layers == layers()
    assert net.loss == nn.MSE()
    assert not np.array_equal(other.forward(X), expected)


def test_a_new_setting_makes_what_forward_kept_useless():
    net = brought_to("after building", network())
    net.forward(X, training=True)
    net.layers[0].activation = "relu"
    with pytest.raises(RuntimeError, match="call forward"):
        net.backward(np.ones((60, 3), "float32"))


class Tenfold(nn.SGD):
    """A class derived from an optimizer, whose constructor has other parameters."""

    def __init__(self, tenth):
        super().__init__(lr=10 * tenth)


def test_a_derived_class_without_the_parameter():
    optimizer = Tenfold(0.01)
    optimizer.lr = 0.5
    with pytest.raises(ValueError, match="lr must be greater than 0"):
        optimizer.lr = 0
    assert optimizer.lr == 0.5


class Doubled(nn.Dropout):
    """A constructor that assigns an argument twice."""

    def __init__(self, rate=0.1):
        super().__init__(rate)
        self.rate = 2 * rate


def test_a_constructor_that_assigns_twice():
    layer = Doubled(0.2)
    assert layer.rate == 0.4
    with pytest.raises(ValueError, match="rate must be at least 0 and less than 1"):
        layer.rate = -1


# -- Callbacks --

CALLBACKS = {  # a class: its other arguments, and for each setting a value, and one that is wrong
    nn.EarlyStopping: (
        {},
        {
            "monitor": ("val_accuracy", 3),
            "patience": (3, "a"),
            "min_delta": (0.5, -1),
            "mode": ("max", "most"),
            "restore_best": (False, "no"),
        },
    ),
    nn.ModelCheckpoint: (
        {"path": "net"},
        {
            "path": ("net-{epoch}", "net-{"),
            "monitor": ("loss", ["loss"]),
            "save_best_only": (True, 2),
            "every": (5, 0),
            "mode": ("min", None),
        },
    ),
    nn.CSVLogger: ({"path": "log"}, {"path": ("other", 3), "append": (True, "yes")}),
    nn.LearningRateScheduler: ({"f": max}, {"f": (min, 0.1)}),
    nn.TerminateOnNaN: ({}, {}),
    nn.TensorBoard: (
        {"log_dir": "runs"},
        {"log_dir": ("other", 3), "histograms": (False, "no"), "every": (2, 0)},
    ),
    nn.Monitor: ({}, {"every": (2, 0)}),
    nn.Revive: (
        {"X": [[1.0]]},
        {
            "every": (2, -1),
            "threshold": (0.1, -0.1),
            "how": ("bias", "best"),
            "lr": ("advised", 0),
        },
    ),
}
ANYTHING = {(nn.Monitor, "X"), (nn.Revive, "X"), (nn.Revive, "layers")}  # what a fit checks
EACH = [
    pytest.param(cls, name, *values, id=f"{cls.__name__}.{name}")
    for cls, (_, settings) in CALLBACKS.items()
    for name, values in settings.items()
]
by_setting = pytest.mark.parametrize(("cls", "name", "good", "bad"), EACH)


def arguments_of(cls):
    return list(inspect.signature(cls).parameters)


def test_all_callbacks_and_their_settings_are_tried():
    public = [getattr(nn, name) for name in nn.__all__]
    classes = [cls for cls in public if isinstance(cls, type) and issubclass(cls, nn.Callback)]
    assert set(classes) - {nn.Callback} == set(CALLBACKS)
    for cls, (_, settings) in CALLBACKS.items():
        left = {name for name in arguments_of(cls) if (cls, name) not in ANYTHING}
        assert left == set(settings)


@by_setting
def test_a_setting_of_a_callback_is_as_that_of_a_new_one(cls, name, good, bad):
    given = CALLBACKS[cls][0]
    callback, other = cls(**given), cls(**(given | {name: good}))
    setattr(callback, name, good)
    assert vars(callback) == vars(other)
    assert getattr(callback, name) == good


@by_setting
def test_a_wrong_setting_of_a_callback_is_refused_where_it_is_assigned(cls, name, good, bad):
    given = CALLBACKS[cls][0]
    callback = cls(**given)
    before = dict(vars(callback))
    with pytest.raises((TypeError, ValueError)) as expected:
        cls(**(given | {name: bad}))
    with pytest.raises(type(expected.value)) as found:
        setattr(callback, name, bad)
    assert str(found.value) == str(expected.value)
    assert vars(callback) == before


def test_settings_that_depend_on_each_other():
    revive = nn.Revive()
    with pytest.raises(ValueError, match="X must be given for how='bias'"):
        revive.how = "bias"
    stopping = nn.EarlyStopping()
    with pytest.raises(ValueError, match="monitor='profit' is no metric of relume"):
        stopping.monitor = "profit"
    stopping.mode = "max"
    stopping.monitor = "profit"
    assert stopping._metric.is_better(2.0, 1.0)


def test_a_fit_uses_the_settings_that_were_assigned(tmp_path):
    stopping, checkpoint = nn.EarlyStopping(), nn.ModelCheckpoint(tmp_path / "net")
    stopping.patience, stopping.min_delta, stopping.monitor = 2, 1e9, "loss"
    checkpoint.path = f"{tmp_path}/net-{{epoch}}"
    network().fit(X, VALUES, epochs=9, callbacks=[stopping, checkpoint])
    assert stopping.stopped_epoch == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net-1", "net-2", "net-3"]


class Counting(nn.EarlyStopping):
    """A user's callback, whose constructor must be called once only."""

    made = 0

    def __init__(self, patience=3):
        super().__init__(patience=patience)
        type(self).made += 1
        self.seen = 0


def test_the_constructor_of_a_derived_callback_is_not_called_again():
    callback = Counting()
    made = Counting.made
    callback.seen += 1
    callback.patience = 5
    assert (callback.seen, callback.patience, Counting.made) == (1, 5, made)
    with pytest.raises(ValueError, match="patience must be at least 1"):
        callback.patience = 0
    callback.anything = callback.lr = 1  # a derived class may have attributes of any name


# -- Names of settings that an object does not have --


@pytest.mark.parametrize(
    ("make", "name", "words"),
    [
        (nn.LBFGS, "lr", "its settings are max_iter, history_size, gtol, ftol"),
        (nn.LBFGS, "momentum", "its settings are max_iter"),
        (nn.Adam, "momentum", "its settings are lr, betas"),
        (nn.SGD, "betas", "its settings are lr, momentum"),
        (nn.SGD, "learning_rate", "did you mean 'lr'?"),
        (nn.MSE, "label_smoothing", "it has no settings"),
        (nn.CrossEntropy, "pos_weight", "its settings are label_smoothing"),
        (nn.Dropout, "momentum", "its settings are rate"),
        (lambda: nn.Cosine(9), "patience", "its settings are epochs"),
        (nn.EarlyStopping, "min_change", "did you mean 'min_delta'?"),
        (nn.EarlyStopping, "lr", "its settings are monitor, patience"),
        (nn.TerminateOnNaN, "patience", "it has no settings"),
        (lambda: nn.CSVLogger("log"), "filename", "did you mean 'path'?"),
    ],
)
def test_a_setting_that_an_object_does_not_have_is_refused(make, name, words):
    """Assigning the learning rate of L-BFGS did nothing, and nobody said so."""
    thing = make()
    with pytest.raises(AttributeError, match=f"{type(thing).__name__} has no '{name}'; {words}"):
        setattr(thing, name, 0.1)
    thing.note = "any other name"


# -- What a network keeps ready for its next prediction --


def load_other_values(net):
    net.load_state_dict({name: 2 * value for name, value in net.state_dict().items()})


SINCE_A_PREDICTION = {
    "a layer's setting": lambda net: setattr(net.layers[0], "activation", "elu"),
    "a layer in the list": lambda net: net.layers.__setitem__(0, nn.Dense(6, "sigmoid")),
    "the layers": lambda net: setattr(net, "layers", [nn.Dense(6, "elu"), nn.Dense(3)]),
    "the values": load_other_values,
    "a step": lambda net: net.train_on_batch(X, Y),
    "the loss": lambda net: setattr(net, "loss", "binary_cross_entropy"),
}


@pytest.mark.parametrize("change", SINCE_A_PREDICTION.values(), ids=SINCE_A_PREDICTION)
@pytest.mark.parametrize("copied", [copy.copy, lambda net: net], ids=["of a copy", "itself"])
def test_a_prediction_follows_a_change_since_the_last(change, copied):
    """A network keeps a plan ready for the next prediction, which a change makes an old one."""
    x = X.astype("float32")
    layers = [nn.Dense(6, nn.LeakyReLU(0.1)), nn.Dense(3)]
    net = nn.Network(layers, optimizer=nn.SGD(0.1), seed=0)
    net.fit(X, Y)
    before = [net.predict_proba(x) for _ in range(3)][-1]
    net = copied(net)
    assert net.predict_proba(x).tobytes() == before.tobytes()
    change(net)
    for _ in range(2):
        now = net.predict_proba(x)
        assert abs(now - before).max() > 1e-3
        assert now.tobytes() == net.loss.probabilities(net.forward(x)).tobytes()
