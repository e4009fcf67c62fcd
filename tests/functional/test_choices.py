"""Names that select functions of the table: gelu's `approximate` and the alias swish."""

import numpy as np
import pytest

import relume
from tests.support.ops import assert_same, each_dtype

pytestmark = pytest.mark.op

each_choice = pytest.mark.parametrize("approximate", ["none", "tanh"])


def data(dtype, shape=(70, 30)):
    return np.random.default_rng(0).normal(scale=3, size=(2, *shape)).astype(dtype)


@each_choice
@each_dtype
def test_approximate_chooses_the_function(approximate, dtype):
    grad, x = data(dtype)
    if approximate == "tanh":
        forward, backward = relume.gelu_tanh, relume.gelu_tanh_backward
    else:
        forward, backward = relume.gelu, relume.gelu_backward
    assert_same(relume.gelu(x, approximate), forward(x), f"gelu(x, {approximate!r})")
    actual = relume.gelu(x, approximate=approximate)
    assert_same(actual, forward(x), f"gelu(x, approximate={approximate!r})")
    expected = backward(grad, x)
    what = f"gelu_backward with {approximate!r}"
    assert_same(relume.gelu_backward(grad, x, approximate), expected, what)
    assert_same(relume.gelu_backward(grad, x, approximate=approximate), expected, what)


@each_dtype
def test_the_two_differ_and_none_is_the_default(dtype):
    x = np.array([-2.0], dtype)
    assert relume.gelu(x) == relume.gelu(x, "none") != relume.gelu(x, "tanh")
    one = np.ones(1, dtype)
    default, exact, tanh = (relume.gelu_backward(one, x, *a) for a in ((), ("none",), ("tanh",)))
    assert default == exact != tanh


@each_choice
def test_keywords_of_a_ufunc(approximate):
    grad, x = data(np.float32)
    mask = x > 0.3
    for call in (
        lambda **keywords: relume.gelu(x, approximate, **keywords),
        lambda **keywords: relume.gelu_backward(grad, x, approximate, **keywords),
    ):
        expected = call()
        out = np.full_like(x, 5)
        assert call(out=out, where=mask) is out
        assert_same(out, np.where(mask, expected, np.float32(5)), f"{approximate}, where")
        assert call(dtype=np.float64).dtype == np.float64
        with pytest.raises(TypeError):
            call(axis=0)


@pytest.mark.parametrize("approximate", ["erf", "", "None", "TANH", None, True, 0, 1.0], ids=repr)
def test_approximate_that_is_neither(approximate):
    out = np.full(3, 7.0)
    with pytest.raises(ValueError, match="approximate"):
        relume.gelu(np.ones(3), approximate, out=out)
    with pytest.raises(ValueError, match="approximate"):
        relume.gelu_backward(np.ones(3), np.ones(3), approximate=approximate, out=out)
    assert (out == 7).all(), "it wrote before it raised"


def test_swish_is_silu():
    assert relume.swish is relume.silu
    assert relume.swish_backward is relume.silu_backward
    assert {"swish", "swish_backward"} <= set(relume.__all__)
