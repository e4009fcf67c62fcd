"""The check of `make digests`: the digests repeat, they can differ, and they are of everything."""

import inspect
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

import relume
from relume import nn

if not (Path(__file__).parents[2] / "setup.py").exists():
    pytest.skip("the source tree is not here", allow_module_level=True)

from tools import digests as driver
from tools.digest import functions
from tools.digest.digests import (
    NETWORKS,
    descriptions,
    digest,
    digests,
    public_names,
    train,
)

NAMES = public_names()
DESCRIPTIONS = descriptions(NAMES["classes"])
CLASSES = [(table, name) for table, names in NAMES["classes"].items() for name in names]
pytestmark = pytest.mark.filterwarnings("ignore")  # of two epochs, which are few


# -- the digest -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        [np.zeros(3, "f4"), {"a": 1.0}],
        [np.zeros(2, "f8"), {"a": 1.0}],
        [np.zeros((1, 2), "f4"), {"a": 1.0}],
        [np.array([0.0, -0.0], "f4"), {"a": 1.0}],
        [np.array([0.0, 1e-45], "f4"), {"a": 1.0}],
        [np.zeros(2, "f4"), {"a": np.nextafter(1, 2)}],
        [np.zeros(2, "f4"), {"b": 1.0}],
        [np.zeros(2, "f4"), "raises ValueError"],
        [[np.zeros(2, "f4"), {"a": 1.0}]],
    ],
    ids=repr,
)
def test_digest_sees_one_change(other):
    value = [np.zeros(2, "f4"), {"a": 1.0}]
    assert digest(value) == digest([np.zeros(2, "f4"), {"a": 1.0}])
    assert digest(value) != digest(other)


def test_all_nans_and_all_layouts_have_the_same_digest():
    bits = np.array([0x7FC00000, 0xFFC00001], "u4")
    assert digest(bits[:1].view("f4")) == digest(bits[1:].view("f4"))
    matrix = np.arange(6.0).reshape(2, 3)
    assert digest(matrix) == digest(np.asfortranarray(matrix))


def test_what_has_no_digest_is_refused():
    with pytest.raises(TypeError, match="has no digest"):
        digest([object()])


# -- functions ------------------------------------------------------------------------------------


def test_every_public_function_is_called():
    """All of relume's names but the modules, and the functions that take no arrays."""
    others = {"get_num_threads", "num_threads", "set_num_threads", "show_config", "simd"}
    public = {name for name in relume.__all__ if not inspect.ismodule(getattr(relume, name))}
    assert set(NAMES["functions"]) == public - others


@pytest.mark.parametrize("name", NAMES["functions"])
def test_each_form_of_a_function_gives_results(name, monkeypatch):
    """A form whose every call raises would compare nothing."""
    monkeypatch.setattr(functions, "SHAPES", [(33,), (6, 45)])
    monkeypatch.setattr(functions, "MATRICES", [(5, 33), (3, 4, 6)])
    for form, values in functions.results(name).items():
        assert not all(isinstance(value, str) for value in values), form


# -- networks -------------------------------------------------------------------------------------


def test_descriptions_are_distinct():
    assert len(set(DESCRIPTIONS)) == len(DESCRIPTIONS) == NETWORKS == 200


@pytest.mark.parametrize(("table", "name"), CLASSES, ids=lambda value: value)
def test_every_class_is_drawn(table, name):
    assert any(f"nn.{name}(" in description for description in DESCRIPTIONS)


@pytest.mark.parametrize(
    "part",
    [
        *("dtype='float64'", "sparse='never'", "sparse='always'", "X='csr'", "X='Fortran'"),
        *("sample_weight", "class_weight", "soft_labels", "validation_data", "validation_split"),
        *("clip_norm", "clip_value", "ema_decay", "weight_decay", "max_norm", "lr_scale"),
        *("trainable=False", "l1=", "l2=", "use_bias=False", "shuffle=False", "callbacks"),
        *(" fit(", " minibatches(", " train_on_batch(", " step(", " partial_fit("),
        *("MLPClassifier(", "MLPRegressor(", "solver='lbfgs'", "solver='sgd'", "solver='adam'"),
        *("early_stopping", "dropout", "normalization='batch'", "normalization='layer'"),
        *("residual=True", "optimizer=nn.Lion", "multilabel", "learning_rate='adaptive'"),
    ],
)
def test_every_option_is_drawn(part):
    assert any(part in description for description in DESCRIPTIONS)


@pytest.mark.parametrize("number", range(NETWORKS))
def test_network_trains(number):
    """A network that raises would compare nothing; one that trains does so to the same bits."""
    first, second = (digest(train(number, DESCRIPTIONS[number])) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("written", "other"),
    [("nn.SGD(0.02)", "nn.SGD(0.020001)"), ("nn.Huber(0.3)", "nn.Huber(0.31)")],
)
def test_a_constant_changes_the_digest_of_a_network(written, other):
    number, description = next(
        (i, each) for i, each in enumerate(DESCRIPTIONS) if written in each and " fit(" in each
    )
    altered = description.replace(written, other)
    assert digest(train(number, description)) != digest(train(number, altered))


# -- the comparison -------------------------------------------------------------------------------


def report(first, second):
    """The exit status for two sides, which were on one of two settings."""
    differing = {"functions": defaultdict(list), "networks": defaultdict(list)}
    driver.compare(first, second, "avx2, 1 threads", differing)
    return driver.report(NAMES["functions"], len(first["networks"]), differing, 2)


@pytest.fixture
def few(monkeypatch):
    """Names of one function, and of few networks."""
    monkeypatch.setattr("tools.digest.digests.NETWORKS", 12)
    return {"functions": ["relu"], "classes": NAMES["classes"]}


def test_two_runs_are_equal(few, capsys):
    first = digests(few)
    assert len(first["networks"]) == 12
    assert report(first, digests(few)) == 0
    assert capsys.readouterr().out.endswith("12 networks: 0 differ\n")


def test_one_value_of_a_function_is_reported(few, monkeypatch, capsys):
    first, relu = digests(few), relume.relu

    def altered(x):
        y = relu(x)
        if y.dtype == np.float32 and y.shape == (127,):
            y[101] = np.nextafter(y[101], np.float32(9))
        return y

    monkeypatch.setattr(relume, "relu", altered)
    assert report(first, digests(few)) == 1
    assert capsys.readouterr().out.splitlines() == [
        *(f"relu: float32, {layout}  [only with avx2, 1 threads]" for layout in functions.LAYOUTS),
        f"{len(NAMES['functions'])} functions, 12 networks: 1 differ",
    ]


def test_one_weight_of_a_network_is_reported(few, monkeypatch, capsys):
    first, state_dict = digests(few), nn.Network.state_dict

    def altered(self):
        state = state_dict(self)
        weight = next(iter(state.values()))
        if len(self.layers) == 3:
            weight.flat[0] = np.nextafter(weight.flat[0], weight.dtype.type(9))
        return state

    monkeypatch.setattr(nn.Network, "state_dict", altered)
    assert report(first, digests(few)) == 1
    *lines, total = capsys.readouterr().out.splitlines()
    assert 0 < len(lines) < 12
    assert all(re.match(r"network \d+: (nn.Network|MLP)", line) for line in lines)
    assert total.endswith(f"12 networks: {len(lines)} differ")


def test_what_only_one_side_has_is_no_difference(capsys):
    assert driver._common(["relu", "selu"], ["elu", "relu"], "main", "here", "relume") == ["relu"]
    assert capsys.readouterr().out == "only in main: relume.selu\nonly in here: relume.elu\n"
