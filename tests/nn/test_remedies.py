"""Errors that say what to do: the loss that fits, missing data, the name that was meant."""

import re

import numpy as np
import pytest
import scipy.sparse

import relume
from relume import diagnostics, nn
from relume.nn.network import METHODS
from relume.validation import shown

X = np.random.default_rng(0).normal(size=(64, 4))
Y = np.arange(64) % 2
VALUES = X[:, 0]


def network(units, loss="cross_entropy", **options):
    return nn.Network([nn.Dense(8, "relu"), nn.Dense(units)], loss=loss, seed=0, **options)


BINARY = "binary_cross_entropy"
# Loss, outputs, targets, and the remedy.
TARGETS = {
    "two classes, one output": ("cross_entropy", 1, Y, "use loss='binary_cross_entropy'"),
    "values, one output": ("cross_entropy", 1, VALUES, "use loss='mse'"),
    "whole values, one output": ("cross_entropy", 1, np.arange(64.0), "use loss='mse'"),
    "values": ("cross_entropy", 2, VALUES, "use loss='mse'"),
    "rows of values": ("cross_entropy", 3, X, "use loss='mse'"),
    "labels -1 and 1": ("cross_entropy", 2, 2 * Y - 1, "y > 0"),
    "labels 1 and 2": ("cross_entropy", 2, Y + 1, "y - 1"),
    "strings": ("cross_entropy", 2, Y.astype(str), "np.unique(y, return_inverse=True)[1]"),
    "objects": ("cross_entropy", 2, Y.astype(str).astype(object), "np.unique(y, return_inverse"),
    "more classes": ("cross_entropy", 2, np.arange(64) % 5, "nn.Dense(5)"),
    "one-hot rows": ("cross_entropy", 2, np.eye(3)[np.arange(64) % 3], "nn.Dense(3)"),
    "several labels": ("cross_entropy", 3, X > 0, "use loss='binary_cross_entropy'"),
    "binary -1 and 1": (BINARY, 1, 2 * Y - 1, "y > 0"),
    "binary 1 and 2": (BINARY, 1, Y + 1, "y - 1"),
    "binary of 3 classes": (BINARY, 1, np.arange(64) % 3, "cross_entropy' and nn.Dense(3)"),
    "binary of two outputs": (BINARY, 2, Y, "nn.Dense(1)"),
    "binary of strings": (BINARY, 1, Y.astype(str), "np.unique"),
    "binary of values": (BINARY, 1, VALUES, "use loss='mse'"),
    "binary of one-hot rows": (BINARY, 1, np.eye(2)[Y], "nn.Dense(2)"),
    "mse of labels": ("mse", 2, Y, "nn.Dense(1) for one value a row, or use loss='cross_entropy'"),
    "mse of values": ("mse", 2, VALUES, "nn.Dense(1) for one value a row"),
    "mse of rows": ("mse", 1, X, "nn.Dense(4)"),
    "huber of strings": ("huber", 1, Y.astype(str), "use loss='cross_entropy'"),
}  # fmt: skip


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("method", ["fit", "train_on_batch"])
def test_targets_that_a_loss_does_not_take(method, case):
    """The text spoke of labels 0 to 0 where the loss was the wrong one."""
    loss, units, y, remedy = TARGETS[case]
    net = network(units, loss)
    with pytest.raises((TypeError, ValueError), match=r"^y must ") as caught:
        getattr(net, method)(X, y)
    assert remedy in str(caught.value)
    with pytest.raises(RuntimeError, match="not built"):
        net.state_dict()


NO_DATA = "needs validation data: give fit validation_data or validation_split"
MONITORS = {
    "stopping": lambda name: {"callbacks": [nn.EarlyStopping(name, mode="min")]},
    "checkpoint": lambda name: {
        "callbacks": [nn.ModelCheckpoint("x", name, save_best_only=True, mode="min")]
    },
    "path": lambda name: {"callbacks": [nn.ModelCheckpoint(f"x{{{name}}}")]},
    "plateau": lambda name: {"schedule": nn.ReduceOnPlateau(name, mode="min")},
}
NAMES = [
    ("val_loss", False, NO_DATA),
    ("val_accuracy", False, NO_DATA),
    ("accuracy", False, f"{NO_DATA}, and monitor 'val_accuracy'"),
    ("acc", False, f"{NO_DATA}, and monitor 'val_accuracy'"),
    ("accuracy", True, "did you mean 'val_accuracy'?"),
    ("val_acc", True, "did you mean 'val_accuracy'?"),
    ("val_f1", True, "the network reports it with metrics=['f1']"),
    ("strange", True, "must be one of "),
]


@pytest.mark.parametrize(("name", "validated", "remedy"), NAMES)
@pytest.mark.parametrize("user", MONITORS)
def test_a_metric_that_is_not_among_the_logs(user, name, validated, remedy):
    """It was found after the first epoch, and the text did not say what was missing."""
    options = MONITORS[user](name)
    callbacks = options.pop("callbacks", [])
    net = network(2, **options)
    with pytest.raises(ValueError, match=f"got '{name}'") as caught:
        net.fit(X, Y, validation_split=0.25 * validated, callbacks=callbacks)
    assert remedy in str(caught.value)
    assert net.epoch == 0
    with pytest.raises(RuntimeError, match="not built"):
        net.state_dict()


def test_logs_that_a_callback_adds_may_be_monitored():
    def add(net, epoch, logs):
        logs["mine"] = 1.0 / epoch

    net = network(2, optimizer="sgd")
    net.fit(X, Y, epochs=2, callbacks=[add, nn.EarlyStopping("mine", mode="min")])
    assert net.epoch == 2
    with pytest.raises(ValueError, match=NO_DATA):
        net.fit(X, Y, callbacks=[add, nn.EarlyStopping("val_loss")])


def test_a_name_of_another_library_for_a_metric_in_mode_auto():
    with pytest.raises(ValueError, match="did you mean 'val_accuracy'"):
        nn.EarlyStopping("val_acc")
    with pytest.raises(ValueError, match="did you mean 'val_loss'"):
        nn.ReduceOnPlateau("validation_loss")


OPTIONS = {
    "loss case": (lambda: network(1, "MSE"), "'mse'"),
    "loss of Keras": (lambda: network(2, "sparse_categorical_crossentropy"), "'cross_entropy'"),
    "loss of Keras, binary": (lambda: network(1, "binary_crossentropy"), "'binary_cross_entropy'"),
    "loss of scikit-learn": (lambda: network(1, "squared_error"), "'mse'"),
    "loss of PyTorch": (lambda: network(1, "smooth_l1"), "'huber'"),
    "optimizer": (lambda: network(2, optimizer="Adam"), "'adam'"),
    "activation case": (lambda: nn.Dense(2, "ReLU"), "'relu'"),
    "activation dash": (lambda: nn.Dense(2, "leaky-relu"), "'leaky_relu'"),
    "activation class": (lambda: nn.Dense(2, "LeakyReLU"), "'leaky_relu'"),
    "activation of scikit-learn": (lambda: nn.Dense(2, "logistic"), "'sigmoid'"),
    "initializer": (lambda: nn.Dense(2, weight_init="xavier_uniform"), "'glorot_uniform'"),
    "metrics in a list": (lambda: network(2, metrics=["acc"]), "'accuracy'"),
    "metrics": (lambda: network(2, metrics="acc"), "['accuracy']"),
    "mode": (lambda: nn.EarlyStopping(mode="maximum"), "'max'"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_names_of_options(case):
    call, name = OPTIONS[case]
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value).endswith(f"; did you mean {name}?")
    with pytest.raises((TypeError, ValueError)) as again:
        call()
    assert str(again.value) == str(caught.value)


def test_a_metric_of_another_kind_of_loss():
    with pytest.raises(ValueError, match="got 'r2', which is for values"):
        network(2, metrics=["r2"])
    with pytest.raises(ValueError, match="got 'accuracy', which is for class labels"):
        network(1, "mse", metrics=["accuracy"])


@pytest.mark.parametrize(
    ("X", "y", "remedy"),
    [
        (X[:, 0], Y, "X.reshape(-1, 1)"),
        (X.reshape(16, 4, 4), Y[:16], "X.reshape(len(X), -1)"),
        (Y, X, "swapped"),
        (X, Y[:5], "64 and 5"),
    ],
)
def test_shapes(X, y, remedy):
    with pytest.raises(ValueError, match=r"^X ") as caught:
        network(2).fit(X, y)
    assert remedy in str(caught.value)


def _optimizers():
    return [nn.SGD(), nn.RMSprop(), nn.Adam(), nn.AdamW(), nn.NAdam(), nn.Lion()]


@pytest.mark.parametrize("optimizer", _optimizers(), ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("value", [-1, 0, "0.1", None, np.nan, np.inf, X, [0.1]])
def test_a_wrong_learning_rate_is_refused_where_it_is_assigned(optimizer, value):
    net = network(2, optimizer=optimizer)
    before = net.optimizer.config()
    with pytest.raises((TypeError, ValueError), match=r"^lr must be ") as caught:
        net.optimizer.lr = value
    assert len(str(caught.value)) < 200
    assert net.optimizer.config() == before


@pytest.mark.parametrize(
    ("settings", "name", "meant"),
    [
        (nn.Adam(), "learning_rate", "lr"),
        (nn.SGD(), "clipnorm", "clip_norm"),
        (nn.Dense(3), "kernel_initializer", "weight_init"),
        (nn.Dropout(0.5), "p", "rate"),
        (nn.Cosine(10), "epoch", "epochs"),
        (nn.ReduceOnPlateau(), "gamma", "factor"),
    ],
)
def test_a_misspelt_setting_is_not_assigned_in_silence(settings, name, meant):
    with pytest.raises(AttributeError, match=f"'{name}'; did you mean '{meant}'"):
        setattr(settings, name, 0.5)
    assert not hasattr(settings, name)


class Own(nn.Adam):
    """An optimizer of a user's, with attributes of its own."""


def test_attributes_of_users():
    own, adam = Own(), nn.Adam()
    own.learning_rate = 1
    adam.note = "mine"
    assert (own.learning_rate, adam.note) == (1, "mine")


# -- no error prints an array --

LARGE = np.arange(10_000.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda value: nn.Dense(value),
        lambda value: nn.Dense(3, value),
        lambda value: nn.Dense(3, use_bias=value),
        lambda value: nn.Adam(value),
        lambda value: nn.Adam(betas=value),
        lambda value: nn.Network(value),
        lambda value: network(2, loss=value),
        lambda value: network(2, optimizer=value),
        lambda value: network(2, metrics=value),
        lambda value: network(2, dtype=value),
        lambda value: network(2, sparse=value),
        lambda value: network(2, schedule=value),
        lambda value: network(2).fit(X, Y, epochs=value),
        lambda value: network(2).fit(X, Y, shuffle=value),
        lambda value: network(2).fit(X, Y, callbacks=value),
        lambda value: network(2).fit(X, Y, class_weight=value),
        lambda value: network(2).fit(X, Y, validation_split=value),
        lambda value: network(2).restore(value),
        lambda value: network(2).save(value),
        lambda value: nn.EarlyStopping(value),
        lambda value: nn.EarlyStopping(patience=value),
        lambda value: nn.from_sklearn(value),
    ],
)
@pytest.mark.parametrize(
    "value", [LARGE, LARGE.tolist(), [LARGE.tolist()] * 50, tuple(LARGE)],
    ids=["array", "list", "lists", "tuple"],
)  # fmt: skip
def test_no_error_prints_an_array(call, value):
    with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
        call(value)
    assert len(str(caught.value)) < 600
    assert "777" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        ("text", "'text'"),
        (True, "True"),
        (np.float32(1.5), repr(np.float32(1.5))),
        (np.zeros((2, 3)), "<ndarray of shape (2, 3), dtype float64>"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, ...]"),
        ({"b", "a", "c"}, "{'a', 'b', 'c'}"),
        (nn.Adam, "<class 'relume.nn.Adam'>"),
        (nn.ReLU(), "ReLU()"),
        (None, "None"),
    ],
)
def test_shown(value, text):
    assert shown(value) == text


def run_of(*layers, **options):
    return nn.Network([nn.Dense(4, "relu"), *layers, nn.Dense(2)], seed=0, **options)


GIVEN = {
    "evaluate without y": (lambda: run_of().build(4).evaluate(X, None), "y must be given"),
    "sparse y": (
        lambda: run_of().fit(X, scipy.sparse.csr_array(np.eye(2)[Y])), "y must be dense",
    ),
    "class of an optimizer": (lambda: run_of(optimizer=nn.Adam), r"did you mean nn\.Adam\(\)\?"),
    "class of a layer": (lambda: run_of(nn.BatchNorm), r"did you mean nn\.BatchNorm\(\)\?"),
    "class of a loss": (lambda: run_of(loss=nn.MSE), r"did you mean nn\.MSE\(\)\?"),
    "class of a schedule": (lambda: run_of(schedule=nn.Cosine), r"nn\.Cosine\(\)\?"),
    "class of a callback": (
        lambda: run_of().fit(X, Y, callbacks=[nn.EarlyStopping]), r"nn\.EarlyStopping\(\)\?",
    ),
    "widths of PyTorch": (lambda: nn.Dense(4, 16), r"write nn\.Dense\(16\)"),
    "a name instead of a list": (
        lambda: diagnostics.revive(run_of().build(4), X, layers="layer 1"), "must be a list of",
    ),
    "part of a state": (
        lambda: run_of().build(4).load_state_dict({"0.bias": np.zeros(4)}),
        r"pass net\.state_dict\(\) \| state",
    ),
    "state of another module": (
        lambda: run_of().load_state_dict({"fc1.weight": np.zeros((4, 4))}), "got fc1.weight",
    ),
    "a single pos_weight": (
        lambda: nn.Network([nn.Dense(1)], loss=nn.BinaryCrossEntropy([1.0, 2.0])).fit(X, Y),
        "pos_weight must hold 1 weight,",
    ),
    "iterable in predict": (lambda: run_of().build(4).predict(iter([X])), "X must hold .*: it is"),
}  # fmt: skip


@pytest.mark.parametrize("case", GIVEN)
def test_what_was_given_and_what_to_do(case):
    """The text named what was missing, or what is allowed, but not what to do."""
    call, text = GIVEN[case]
    with pytest.raises((TypeError, ValueError), match=text):
        call()


def test_a_lazy_table_of_polars():
    """The text did not say how the table is computed."""
    polars = pytest.importorskip("polars", reason="its tables are optional")
    with pytest.raises(TypeError, match=r"by \.collect\(\)"):
        run_of().fit(polars.LazyFrame({"a": Y}), Y)


class Untrusting:
    """An array of another library that refuses to be converted."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("use .detach() first")


@pytest.mark.parametrize("name", ["X", "y"])
def test_an_array_of_another_library_that_refuses(name):
    """The other library's error did not name the argument."""
    arguments = {"X": X, "y": Y} | {name: Untrusting()}
    with pytest.raises(TypeError, match=rf"^{name} must be .*: use \.detach\(\) first"):
        run_of().fit(**arguments)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("LeakyReLU", "did you mean 'leaky_relu'?"),
        ("sofmax", "did you mean 'softmax'?"),
        ("relu_grad", "use relu_backward(grad, x)"),
        ("gelu_backward_from_output", "use gelu_backward(grad, x)"),
    ],
)
def test_functions_by_other_names(name, remedy):
    with pytest.raises(AttributeError) as caught:
        getattr(relume, name)
    assert str(caught.value) == f"module 'relume' has no attribute {name!r}; {remedy}"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("Linear", "use nn.Dense(units)"),
        ("linear", "use nn.Dense(units)"),
        ("Sequential", "use nn.Network([...])"),
        ("Softmax", "it is part of loss"),
        ("Drop_out", "did you mean 'Dropout'?"),
    ],
)
def test_classes_of_other_libraries(name, remedy):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'; ") as caught:
        getattr(nn, name)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_methods_of_other_libraries(name):
    """The error did not say what does the same here; hasattr is False, as it was."""
    net = run_of()
    with pytest.raises(
        AttributeError, match=rf"^Network has no attribute '{name}'; {re.escape(METHODS[name])}"
    ):
        getattr(net, name)
    assert not hasattr(net, name)


def test_a_keras_callback_does_not_end_a_fit_in_silence():
    """`net.stop_training = True` was stored, and training went on."""

    def stop(net, epoch, logs):
        net.stop_training = True

    with pytest.raises(AttributeError, match="a callback that returns True ends the fit"):
        run_of().fit(X, Y, epochs=2, callbacks=[stop])


def test_a_gradient_of_one_s_own_that_is_not_finite():
    """The error spoke of the loss, which was finite, and only advised a lower learning rate."""

    def wrong(y_true, y_pred):
        return 1.0, np.full_like(y_pred, np.nan)

    with pytest.raises(
        FloatingPointError, match=r"the gradient of .*wrong is wrong.*nn\.check_loss"
    ):
        run_of(loss=wrong).fit(X, Y)


def two(a, b):
    return a


CALLS = {
    "callback": (lambda: run_of().fit(X, Y, callbacks=[two]), r"on_epoch_end\(net, epoch, logs\)"),
    "loss": (lambda: run_of(loss=lambda z: z).fit(X, Y), r"loss\(y_true, y_pred\)"),
    "metric": (
        lambda: run_of(metrics=[lambda y: 1.0]).fit(X, Y, validation_split=0.2),
        r"metric\(y_true, y_pred\)",
    ),
    "schedule": (lambda: run_of(schedule=two).fit(X, Y), r"schedule\(epoch\)"),
    "scheduler": (
        lambda: run_of().fit(X, Y, callbacks=[nn.LearningRateScheduler(lambda e: 0.1)]),
        r"f\(epoch, lr\)",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_functions_that_take_other_arguments(case):
    """Python's error counted arguments, but did not say which ones are passed."""
    call, form = CALLS[case]
    with pytest.raises(TypeError, match=rf"is called as {form}, but takes \("):
        call()


def test_a_type_error_inside_a_function_is_passed_on():
    def fails(net, epoch, logs):
        raise TypeError("mine")

    with pytest.raises(TypeError, match=r"^mine$"):
        run_of().fit(X, Y, callbacks=[fails])


def test_a_schedule_of_many_epochs():
    """The error was one of NumPy's about scalars, without the name of the argument."""
    with pytest.raises(TypeError, match=r"^epoch must be a number, got <ndarray of shape \(3,\)"):
        nn.Cosine(5)(np.linspace(0, 5, 3))
