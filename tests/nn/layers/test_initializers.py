"""Initial weights: their distributions, orthogonality, seeds, and what the activation decides."""

import copy
import json
import pickle

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from relume import nn
from relume.nn.layers.initializers import INITIALIZERS, draw, initializer_of
from tests.support import twin as plain

NAN, INF = float("nan"), float("inf")
STD = {
    "he": lambda n_in, n_out: np.sqrt(2 / n_in),
    "glorot": lambda n_in, n_out: np.sqrt(2 / (n_in + n_out)),
    "lecun": lambda n_in, n_out: np.sqrt(1 / n_in),
}
VARIANCE = [name for name in INITIALIZERS if name.endswith(("_normal", "_uniform"))]
by_name = pytest.mark.parametrize("name", INITIALIZERS)
by_variance = pytest.mark.parametrize("name", VARIANCE)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_names():
    families = [f"{family}_{kind}" for family in STD for kind in ("normal", "uniform")]
    assert set(INITIALIZERS) == {*families, "orthogonal", "constant"}
    for name, cls in INITIALIZERS.items():
        assert getattr(nn, cls.__name__) is cls
        assert cls.__name__.lower() == name.replace("_", "")


@by_variance
@pytest.mark.parametrize(("n_in", "n_out"), [(300, 200), (50, 1200)])
def test_moments(n_in, n_out, name):
    """60,000 weights: mean, standard deviation, fourth moment and range."""
    family, kind = name.split("_")
    w = initializer_of(name).draw(rng(), n_in, n_out)
    assert w.shape == (n_in, n_out)
    assert w.dtype == np.float64
    std = STD[family](n_in, n_out)
    assert w.std() == pytest.approx(std, rel=0.02)
    assert abs(w.mean()) < 5 * std / np.sqrt(w.size)
    assert np.mean((w / std) ** 4) == pytest.approx({"normal": 3, "uniform": 1.8}[kind], rel=0.05)
    largest = np.abs(w).max() / std
    if kind == "uniform":
        assert 1.73 < largest < np.sqrt(3)
    else:
        assert 3 < largest < 6
    assert len(np.unique(w)) == w.size


@pytest.mark.parametrize("name", ["he_normal", "he_uniform"])
@pytest.mark.parametrize("slope", [0.01, 0.25, 1.0, -0.5])
def test_slope_enters_the_gain_of_he(slope, name):
    plainly = initializer_of(name).draw(rng(), 30, 20)
    sloped = initializer_of(name).draw(rng(), 30, 20, slope)
    np.testing.assert_allclose(sloped, plainly / np.sqrt(1 + slope**2), rtol=1e-14)
    through_activation = draw(rng(), nn.LeakyReLU(slope), 30, 20, initializer_of(name))
    np.testing.assert_array_equal(through_activation, sloped)


@pytest.mark.parametrize("name", sorted(set(VARIANCE) - {"he_normal", "he_uniform"}))
def test_slope_enters_nothing_else(name):
    plainly, sloped = (initializer_of(name).draw(rng(), 30, 20, s) for s in (0.0, 0.5))
    np.testing.assert_array_equal(sloped, plainly)


@pytest.mark.parametrize(("n_in", "n_out"), [(40, 40), (70, 20), (20, 70), (1, 5), (5, 1), (1, 1)])
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_orthogonal(gain, n_in, n_out):
    w = nn.Orthogonal(gain).draw(rng(), n_in, n_out)
    assert w.shape == (n_in, n_out)
    assert w.flags.c_contiguous
    product = w.T @ w if n_in >= n_out else w @ w.T
    np.testing.assert_allclose(product, gain**2 * np.eye(min(n_in, n_out)), atol=1e-13 * gain**2)


def test_orthogonal_is_uniform_among_all():
    """Without the signs of R, Householder's Q has a diagonal of one sign."""
    draws = np.array([nn.Orthogonal().draw(generator, 3, 3) for generator in [rng()] * 4000])
    assert np.abs(draws.mean(0)).max() < 0.05
    np.testing.assert_allclose((draws**2).mean(0), np.full((3, 3), 1 / 3), atol=0.02)
    determinants = np.linalg.det(draws)
    assert 0.45 < np.mean(determinants > 0) < 0.55


def test_orthogonal_has_the_same_bits_for_any_number_of_threads_of_blas():
    draws = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads, "blas"):
            draws.append(nn.Orthogonal().draw(rng(), 700, 500).tobytes())
    assert len(set(draws)) == 1


def test_constant():
    np.testing.assert_array_equal(nn.Constant(-0.5).draw(rng(), 2, 3), np.full((2, 3), -0.5))
    np.testing.assert_array_equal(initializer_of("constant").draw(rng(), 2, 3), np.zeros((2, 3)))


@by_name
def test_seeds(name):
    """The same seed gives the same bits, another one others; successive draws differ."""
    initializer = initializer_of(name)
    one, again = (initializer.draw(rng(3), 9, 7) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    generator = rng(3)
    first, second = (initializer.draw(generator, 9, 7) for _ in range(2))
    np.testing.assert_array_equal(one, first)
    if name != "constant":
        assert (one != initializer.draw(rng(4), 9, 7)).any()
        assert (first != second).any()


# -- What the activation decides --


@pytest.mark.parametrize("case", [*plain.CASES, None], ids=plain.case_id)
def test_none_follows_the_activation(case):
    """The bits are those of standard normal draws times the standard deviation."""
    activation = case and plain.activation(case)
    w = draw(rng(5), activation, 20, 30)
    expected = rng(5).standard_normal((20, 30)) * plain.initial_std(case, 20, 30)
    np.testing.assert_array_max_ulp(w, expected, 1)


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("he", nn.ReLU()),
        ("he", nn.LeakyReLU(0.2)),
        ("he", nn.GELU()),
        ("lecun", nn.SELU()),
        ("lecun", None),
        ("glorot", nn.Tanh()),
        ("glorot", nn.Sigmoid()),
    ],
)
def test_family_of_an_activation(name, activation):
    expected = draw(rng(), activation, 9, 7, initializer_of(f"{name}_normal"))
    np.testing.assert_array_equal(draw(rng(), activation, 9, 7), expected)


# -- Objects --


@by_name
def test_names_classes_and_configs(name):
    initializer = initializer_of(name)
    assert initializer_of(initializer) is initializer
    assert type(initializer) is INITIALIZERS[name]
    made = type(initializer)(**json.loads(json.dumps(initializer.config())))
    assert made == initializer
    assert eval(repr(initializer), vars(nn)) == initializer
    for other in (copy.deepcopy(initializer), pickle.loads(pickle.dumps(initializer))):
        assert other == initializer
    assert initializer_of(None) is None


def test_arguments_tell_initializers_apart():
    assert nn.Orthogonal(2.0) != nn.Orthogonal()
    assert nn.Constant(1) == nn.Constant(1.0)
    assert nn.HeNormal() != nn.HeUniform()
    assert nn.Orthogonal(gain=2).config() == {"gain": 2.0}


BAD = {
    "name": (
        lambda: initializer_of("he_norml"),
        ValueError,
        ["weight_init must be one of he_normal, ", "orthogonal", "'he_norml'"],
    ),
    "argument": (lambda: initializer_of("he", "bias_init"), ValueError, ["bias_init"]),
    "number": (lambda: initializer_of(3), TypeError, ["weight_init", r"nn\.HeNormal", r"\b3$"]),
    "class": (lambda: initializer_of(nn.HeNormal), TypeError, ["weight_init", "HeNormal'>"]),
    "gain 0": (lambda: nn.Orthogonal(0), ValueError, ["gain", "greater than 0", r"\b0$"]),
    "gain nan": (lambda: nn.Orthogonal(NAN), ValueError, ["gain", "nan"]),
    "gain 'a'": (lambda: nn.Orthogonal("a"), TypeError, ["gain", "number", "'a'"]),
    "value inf": (lambda: nn.Constant(INF), ValueError, ["value", "finite", "inf"]),
    "value None": (lambda: nn.Constant(None), TypeError, ["value", "number", "None"]),
    "no argument": (lambda: nn.HeNormal(0.1), TypeError, ["argument"]),
}


@pytest.mark.parametrize(("call", "error", "words"), BAD.values(), ids=BAD)
def test_bad_arguments(call, error, words):
    plain.assert_raises(error, words, call)
