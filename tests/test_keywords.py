"""Errors for wrong arguments: the function that was called, and the keyword that was meant."""

import inspect
import pickle

import numpy as np
import pytest

import relume
from relume import datasets, diagnostics, nn, plots
from relume.keywords import SYNONYMS, meant

X = np.float32([[-1.0], [1.0]])
NET = nn.Network([nn.Dense(1)], loss="mse", seed=0)

# A call with a name of Keras, PyTorch or scikit-learn; the function; the keyword meant.
CALLS = {
    "leaky_relu": (lambda: relume.leaky_relu(X, alpha=0.1), "leaky_relu()", "negative_slope"),
    "leaky_relu_backward": (
        lambda: relume.leaky_relu_backward(X, X, slope=0.1),
        "leaky_relu_backward()",
        "negative_slope",
    ),
    "relu": (lambda: relume.relu(X, inplace=True), "relu()", "out"),
    "relu with out": (lambda: relume.relu(X, out=X * 0, inplace=True), "relu()", "out"),
    "relu_backward": (lambda: relume.relu_backward(X, X, mask=True), "relu_backward()", "where"),
    "selu": (lambda: relume.selu(X, in_place=True), "selu()", "out"),
    "swish": (lambda: relume.swish(X, output=X), "silu()", "out"),
    "elu": (lambda: relume.elu(X, inplace=True), "elu()", "out"),
    "gelu": (lambda: relume.gelu(X, "tanh", approximation="none"), "gelu()", "approximate"),
    "gelu_backward": (
        lambda: relume.gelu_backward(X, X, approximation="tanh"),
        "gelu_backward()",
        "approximate",
    ),
    "glu": (lambda: relume.glu(X, dim=0), "glu()", "axis"),
    "glu_backward": (lambda: relume.glu_backward(X, X, dim=0), "glu_backward()", "axis"),
    "crelu": (lambda: relume.crelu(X, dim=0), "crelu()", "axis"),
    "maxout": (lambda: relume.maxout(X, dim=0), "maxout()", "axis"),
    "rrelu": (lambda: relume.rrelu(X, inplace=True), "rrelu()", "out"),
    "rrelu_backward": (
        lambda: relume.rrelu_backward(X, X, slopes=1),
        "rrelu_backward()",
        "slope",
    ),
    "maxout_backward": (
        lambda: relume.maxout_backward(X, X, 2, dim=0),
        "maxout_backward()",
        "axis",
    ),
    "softmax": (lambda: relume.softmax(X, dim=0), "softmax()", "axis"),
    "log_softmax": (lambda: relume.log_softmax(X, dim=(0, 1)), "log_softmax()", "axis"),
    "logsumexp": (lambda: relume.logsumexp(X, 0, keepdim=True), "logsumexp()", "keepdims"),
    "softmax_backward": (
        lambda: relume.softmax_backward(X, X, dim=0),
        "softmax_backward()",
        "axis",
    ),
    "logsumexp_backward": (
        lambda: relume.logsumexp_backward(X, X, keepdim=True),
        "logsumexp_backward()",
        "keepdims",
    ),
    "set_num_threads": (
        lambda: relume.set_num_threads(num_threads=1),
        "set_num_threads()",
        "'n'",
    ),
    "num_threads": (lambda: relume.num_threads(threads=1), "num_threads()", "'n'"),
    "LeakyReLU": (lambda: nn.LeakyReLU(alpha=0.1), "LeakyReLU()", "negative_slope"),
    "Dense": (lambda: nn.Dense(3, kernel_initializer="he"), "Dense()", "weight_init"),
    "Dense bias": (lambda: nn.Dense(3, bias=False), "Dense()", "use_bias"),
    "Dense units": (lambda: nn.Dense(out_features=3), "Dense()", "units"),
    "Dropout": (lambda: nn.Dropout(p=0.5), "Dropout()", "rate"),
    "BatchNorm": (lambda: nn.BatchNorm(epsilon=1e-3), "BatchNorm()", "eps"),
    "Adam": (lambda: nn.Adam(learning_rate=0.1), "Adam()", "lr"),
    "Adam betas": (lambda: nn.Adam(beta_1=0.9), "Adam()", "betas"),
    "Adam option": (lambda: nn.Adam(clipnorm=1.0), "Adam()", "clip_norm"),
    "SGD": (lambda: nn.SGD(0.1, nesterovs_momentum=True), "SGD()", "nesterov"),
    "SGD decay": (lambda: nn.SGD(0.1, l2=0.1), "SGD()", "weight_decay"),
    "Huber": (lambda: nn.Huber(beta=1.0), "Huber()", "delta"),
    "EarlyStopping": (
        lambda: nn.EarlyStopping(restore_best_weights=True),
        "EarlyStopping()",
        "'restore_best'",
    ),
    "ModelCheckpoint": (
        lambda: nn.ModelCheckpoint(filepath="x"),
        "ModelCheckpoint()",
        "'path'",
    ),
    "Network": (
        lambda: nn.Network([nn.Dense(1)], random_state=0),
        "Network()",
        "seed",
    ),
    "Network.fit": (lambda: NET.fit(X, X, n_epochs=3), "Network.fit()", "'epochs'"),
    "Network.fit weights": (
        lambda: NET.fit(X, X, sample_weights=[1, 1]),
        "Network.fit()",
        "'sample_weight'",
    ),
    "Network.fit verbose": (lambda: NET.fit(X, X, verbose=0), "Network.fit()", "progress"),
    "Network.forward": (lambda: NET.forward(X, train=True), "Network.forward()", "training"),
    "Network.predict": (lambda: NET.predict(X, verbose=0), "Network.predict()", ""),
    "load_digits": (lambda: datasets.load_digits(return_Xy=True), "load_digits()", "return_X_y"),
    "inspect": (lambda: diagnostics.inspect(NET, X, labels=X), "inspect()", "'y'"),
    "load": (lambda: nn.load(filename="x"), "load()", "path"),
    "activations": (lambda: plots.activations(style="dark"), "activations()", "theme"),
}


@pytest.mark.parametrize("name", CALLS)
def test_names_the_function_and_the_keyword(name):
    """Wrong keywords of leaky_relu were refused in the name of prelu, its ufunc."""
    call, function, keyword = CALLS[name]
    with pytest.raises(TypeError, match="unexpected keyword argument") as caught:
        call()
    assert str(caught.value).startswith(function)
    assert keyword in str(caught.value).partition(";")[2]
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: nn.Adam(foo=1), "it takes lr, betas, eps, weight_decay, amsgrad, clip_norm"),
        (lambda: datasets.load_digits(foo=1), "it takes return_X_y"),
        (lambda: nn.ReLU(foo=1), "it takes none"),
        (lambda: relume.tanh(X, alpha=1), "it takes out, where, casting, order, dtype, subok"),
        (lambda: relume.leaky_relu(X, foo=1), "it takes x, negative_slope, out, where, casting"),
    ],
)
def test_lists_the_keywords_in_the_order_of_the_signature(call, text):
    with pytest.raises(TypeError) as caught:
        call()
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: NET.fit(X, X, 3), r"^Network.fit\(\) takes at most 2 .* \(X, y\), "
         "got 3; pass by keyword: epochs, batch_size, "),
        (lambda: nn.Network([nn.Dense(1)], "mse"), r"^Network\(\) takes at most 1 .*\(layers\), "
         "got 2; pass by keyword: loss, optimizer"),
        (lambda: nn.LeakyReLU(1, 2), r"LeakyReLU\(\) takes at most 1 .*negative_slope"),
        (lambda: relume.crelu(X, 0, X), r"crelu\(\) takes at most 2 .*pass by keyword: out"),
        (lambda: relume.leaky_relu(X, 0.1, True), r"leaky_relu\(\) takes from 1 to 2 positional"),
        (lambda: relume.relu(x=X), r"^relu\(\) takes its inputs by position; got 0 of 1, .*'x'"),
        (lambda: relume.relu_backward(X, x=X), r"^relu_backward\(\) .*; got 1 of 2, .*'x'"),
        (lambda: relume.relu(X, X, X, where=True), r"^relu\(\) takes from 1 to 2 positional"),
        (lambda: nn.Dense(), r"Dense\(\) is missing the required argument units"),
        (lambda: nn.Dense(3, units=3), r"Dense\(\) got multiple values for argument 'units'"),
    ],
)  # fmt: skip
def test_other_wrong_calls(call, text):
    with pytest.raises(TypeError, match=text):
        call()


@pytest.mark.parametrize("function", [relume.leaky_relu, relume.rrelu, relume.leaky_relu_backward])
def test_a_dtype_is_refused_in_the_name_of_the_function(function):
    inputs = [X * 1j] * (2 if "backward" in function.__name__ else 1)
    with pytest.raises(TypeError, match=rf"\b{function.__name__}\b") as caught:
        function(*inputs)
    assert "prelu" not in str(caught.value)


def test_a_containers_error_is_its_own():
    class Container:
        def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
            raise TypeError("Container has no room")

    with pytest.raises(TypeError, match=r"^Container has no room$"):
        relume.relu(Container(), where=True)


def test_an_error_that_is_no_type_error_is_left_alone():
    with pytest.raises(ValueError, match="broadcast"):
        relume.relu(np.ones(3), out=np.ones(2))


def test_errors_within_a_function_are_its_own():
    """A TypeError is explained only where the arguments do not fit the signature."""
    with pytest.raises(TypeError, match="units must be an integer"):
        nn.Dense("3")

    def broken(net, epoch, logs):
        raise TypeError("broken() got an unexpected keyword argument 'epochs'")

    with pytest.raises(TypeError, match=r"^broken\(\)"):
        nn.Network([nn.Dense(1)], loss="mse", seed=0).fit(X, X, callbacks=[broken])


class Wide(nn.Dense):
    """A layer of a user's own."""

    def __init__(self, width):
        super().__init__(width, breadth=width)


class Plain(nn.Dense):
    """One with the constructor that it inherits."""


def test_subclasses_of_users():
    with pytest.raises(TypeError, match=r"^Plain\(\) .*'weight_init'"):
        Plain(3, kernel_initializer="he")
    with pytest.raises(TypeError, match=r"^Dense\(\) got an unexpected .*'breadth'"):
        Wide(3)
    with pytest.raises(TypeError, match=r"Wide.*__init__\(\) got an unexpected .*'units'"):
        Wide(units=3)


def test_of_estimators():
    pytest.importorskip("sklearn")
    from relume.sklearn import MLPClassifier

    with pytest.raises(TypeError, match=r"^MLPClassifier\(\) .*'max_iter'"):
        MLPClassifier(epochs=3)
    with pytest.raises(TypeError, match=r"^MLPClassifier.fit\(\) .*'sample_weight'"):
        MLPClassifier().fit(X, [0, 1], sample_weights=[1, 1])
    with pytest.raises(TypeError, match=r"^MLPClassifier.predict\(\) .*'verbose'"):
        MLPClassifier().predict(X, verbose=0)


@pytest.mark.parametrize(
    "made", [relume.crelu, relume.prelu_backward, relume.set_num_threads, nn.load, nn.Adam]
)
def test_public_functions_pickle_and_keep_their_signatures(made):
    assert pickle.loads(pickle.dumps(made)) is made
    assert "keywords" not in str(inspect.signature(made))
    assert made.__doc__


@pytest.mark.parametrize(
    ("name", "allowed", "expected"),
    [
        ("MSE", ["mae", "mse"], "mse"),
        ("leaky-relu", ["relu", "leaky_relu"], "leaky_relu"),
        ("LeakyReLU", ["relu", "leaky_relu"], "leaky_relu"),
        ("acc", ["f1", "accuracy"], "accuracy"),
        ("val_acc", ["loss", "val_loss", "val_accuracy"], "val_accuracy"),
        ("sparse_categorical_crossentropy", ["cross_entropy", "mse"], "cross_entropy"),
        ("xyz", ["cross_entropy", "mse"], None),
        (3, ["cross_entropy"], None),
    ],
)
def test_meant(name, allowed, expected):
    assert meant(name, allowed) == expected


def test_synonyms_are_written_once_a_group():
    for group in SYNONYMS:
        assert len(set(group)) == len(group), group


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lr", "Network has no 'lr'; assign net.optimizer.lr"),
        ("learning_rate", "assign net.optimizer.lr"),
        ("solver", "assign net.optimizer"),
        ("criterion", "assign net.loss"),
        ("lr_scheduler", "assign net.schedule"),
        ("random_state", "pass seed to nn.Network"),
        ("epochs", "it is an argument of fit"),
    ],
)
def test_a_network_refuses_settings_that_are_elsewhere(name, text):
    """``net.lr = 0.1`` changed nothing, and nobody said so."""
    net = nn.Network([nn.Dense(1)], loss="mse")
    with pytest.raises(AttributeError, match=text):
        setattr(net, name, 0.1)
    assert not hasattr(net, name)
    assert name not in dir(net)
    with pytest.raises(AttributeError, match=text):
        getattr(net, name)


def test_own_attributes_of_networks_remain_possible():
    class Mine(nn.Network):
        def __init__(self):
            super().__init__([nn.Dense(1)], loss="mse")
            self.lr = 0.5

    net = Mine()
    assert pickle.loads(pickle.dumps(nn.Network([nn.Dense(1)]))).loss == nn.CrossEntropy()
    net.lr += 1
    assert net.lr == 1.5
    del net.lr
    assert not hasattr(net, "lr")
    plain = nn.Network([nn.Dense(1)])
    plain.note = "mine"
    assert plain.note == "mine"


@pytest.mark.parametrize("name", ["parameters", "negative_slope", "alpha"])
def test_activations_do_not_change(name):
    """An assigned parameter made the activation unusable, or was ignored."""
    layer = nn.LeakyReLU(0.2)
    with pytest.raises(AttributeError, match=rf"^{name} of LeakyReLU\(.*make another one by"):
        setattr(layer, name, 0.5)
    assert layer == nn.LeakyReLU(0.2) == pickle.loads(pickle.dumps(layer))


def test_own_attributes_of_activations_remain_possible():
    class Mine(nn.LeakyReLU):
        pass

    layer = Mine(0.2)
    layer.note = "mine"
    with pytest.raises(AttributeError, match="activations do not change"):
        layer.negative_slope = 0.5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("val_loss", "give fit validation_data or validation_split"),
        ("acc", "val_accuracy"),
        ("los", "did you mean 'loss'"),
    ],
)
def test_a_history_says_what_it_lacks(name, text):
    history = nn.Network([nn.Dense(1)], loss="mse").fit(X, X, epochs=1)
    with pytest.raises(KeyError, match=text):
        history[name]
    assert history.get(name) is None
    assert name not in history


def test_a_state_that_is_no_dict_is_refused_by_name():
    net = nn.Network([nn.Dense(1)], loss="mse").build(1)
    with pytest.raises(TypeError, match="state must be a dict of arrays by name, got int"):
        net.load_state_dict(3)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: relume.set_num_threads(np.ones(999)), TypeError, "n must be .*, got ndarray$"),
        (lambda: relume.gelu(X, np.ones(4)), ValueError, r"approximate must .*shape \(4,\)"),
        (lambda: relume.gelu(X, X), ValueError, "approximate must be 'none' or 'tanh'"),
        (lambda: relume.crelu(X, out=3), TypeError, r"out must be an array of shape \(2, 2\)"),
    ],
)
def test_wrong_values_are_named_and_no_array_is_printed(call, error, text):
    """They gave an array's elements, or the text of an accident within NumPy or Python."""
    with pytest.raises(error, match=text):
        call()
