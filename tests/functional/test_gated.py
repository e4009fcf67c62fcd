"""Gated functions f(a) * b of two arrays, or of one array that is split; forward and backward."""

import itertools
import pickle

import numpy as np
import pytest

import relume
from tests.support.ops import DTYPES, INF, assert_same, each_dtype, exact, mp, ulps, wake_threads
from tests.support.reference import ROWS
from tests.ufuncs.test_memory import LAYOUTS

pytestmark = pytest.mark.op

NAN = float("nan")
# The activation of each function, and the index of its input: glu's gate is the second input.
ACTIVATIONS = {"glu": ("sigmoid", 1), "reglu": ("relu", 0), "geglu": ("gelu", 0)}
ACTIVATIONS["swiglu"] = ("silu", 0)
each_gated = pytest.mark.parametrize("name", ACTIVATIONS)


def forward(name):
    return getattr(relume, name)


def backward(name):
    return getattr(relume, f"{name}_backward")


def operands(dtype, *shapes, seed=0):
    """An array of ordinary values for each shape."""
    generator = np.random.default_rng(seed)
    return [np.asarray(generator.normal(scale=2, size=shape)).astype(dtype) for shape in shapes]


# -- the oracle --


def activation(name, x, derivative):
    """f(x) or f'(x), also at infinity; x must not be NaN."""
    row = ROWS[ACTIVATIONS[name][0]]
    if abs(x) == INF:
        return mp.mpf(row.limits()[derivative][int(x > 0)])
    return mp.mpf((row.derivative if derivative else row.forward)(mp.mpf(x)))


def factors(name, result, grad, a, b):
    """The factors besides f of a result or gradient, the gate, and whether f is a derivative."""
    gate, other = (b, a) if ACTIVATIONS[name][1] else (a, b)
    of_gate = "grad_b" if ACTIVATIONS[name][1] else "grad_a"
    outside = {"forward": [other], of_gate: [grad, other]}.get(result, [grad])
    return outside, gate, result == of_gate


def exactly(name, result, grad, a, b):
    """The exact value, the outside factors, and the factor of f.

    A factor f of exactly 0 gives 0 even with infinity; NaN gives NaN.
    """
    outside, gate, derivative = factors(name, result, grad, a, b)
    product = mp.mpf(1)
    for factor in outside:
        product *= mp.mpf(factor)
    if any(value != value for value in [*outside, gate]):
        return mp.nan, outside, mp.nan
    f = activation(name, gate, derivative)
    value = product * f if f else mp.zero
    return value, outside, f


def assert_close(name, result, actual, grads, a, b, tolerance=0.0):
    """Check the bounds of the contract plus a tolerance, and exact results at special values."""
    dtype = actual.dtype
    smallest = float(np.finfo(np.promote_types(dtype, np.float32)).tiny)
    columns = [np.broadcast_to(c, actual.shape).ravel().tolist() for c in (grads, a, b)]
    elements = list(zip(*columns, strict=True))
    found = [exactly(name, result, *element) for element in elements]
    finite = [mp.isfinite(value) for value, *_ in found]
    expected = exact([v if ok else mp.zero for (v, *_), ok in zip(found, finite, strict=True)])
    # The error of a gradient is relative to at least 2**-6 of its outside factors. A product that
    # underflows on the way loses its last bits before it is multiplied by another factor.
    with np.errstate(all="ignore"):
        outside = abs(np.array([factors for _, factors, _ in found]))
        product = outside.prod(1) * 2.0**-6 * (result != "forward" and dtype != np.float16)
        floor = np.maximum(product, np.maximum(1, outside.max(1)) * smallest)
    error = ulps(actual.ravel(), expected, np.where(np.isfinite(floor), floor, 0))
    bound = 0.51 if dtype == np.float16 else 4 if result == "forward" else 5
    for i, (got, (value, _, f)) in enumerate(zip(actual.ravel().tolist(), found, strict=True)):
        if finite[i]:
            good = error[i] <= bound + tolerance
            if abs(value) < smallest and dtype != np.float16:
                good = abs(got) <= smallest
        else:
            good = got != got if value != value else got == float(value)
            # f may have underflowed to 0 before it is multiplied by infinity; the result of any
            # other 0 times infinity is not specified.
            good |= bool(got == 0 and (0 < abs(f) < smallest or 0 in elements[i]))
        assert good, (
            f"{name} {result} of grad, a, b = {elements[i]} in {dtype}: {got!r}, not "
            f"{mp.nstr(value, 20)}, {error[i]:.3g} ULP"
        )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_oracle_of_gradients_is_the_derivative(name):
    step = mp.mpf(10) ** -13
    for a, b in [(0.3, -1.7), (-2.5, 0.4), (4.0, 3.0), (-0.01, -6.0)]:
        for result, (da, db) in {"grad_a": (step, 0), "grad_b": (0, step)}.items():
            up, down = (
                exactly(name, "forward", 1, a + sign * da, b + sign * db)[0] for sign in (1, -1)
            )
            slope = (up - down) / (2 * step)
            assert abs(slope - exactly(name, result, 1, a, b)[0]) < 1e-22, (name, result, a, b)


def test_an_error_is_noticed():
    one = np.ones(1)
    for wrong in (1.0, 0.5, 0.731058578630006, -0.731058578630005, np.nan, np.inf):
        with pytest.raises(AssertionError, match="glu forward of grad, a, b"):
            assert_close("glu", "forward", np.array([wrong]), one, one, one)
    assert_close("glu", "forward", np.array([0.7310585786300049]), one, one, one)


# -- values --


def points(dtype, n):
    """Pairs of usual values and of all exponents."""
    generator = np.random.default_rng(n)
    info = np.finfo(dtype)
    usual = generator.normal(scale=4, size=(2, n))
    exponents = generator.uniform(info.minexp - info.nmant, info.maxexp, size=(2, n))
    with np.errstate(all="ignore"):
        spread = (np.exp2(exponents) * generator.choice([-1, 1], (2, n))).astype(dtype)
    near = np.array([-12, -6, -3, -1.25, -0.75, -1e-4, 1e-4, 0.5, 2, 9, 20, -20, 88, -90])
    near = np.array(list(itertools.product(near, near))).T
    columns = [usual, spread, near, [usual[0], spread[1]], [spread[0], usual[1]]]
    return np.concatenate([np.asarray(c).astype(dtype) for c in columns], axis=1)


@each_gated
@each_dtype
def test_values(name, dtype):
    a, b = points(dtype, 250)
    assert_close(name, "forward", forward(name)(a, b), 1.0, a, b)


@each_gated
@each_dtype
def test_gradients(name, dtype):
    a, b = points(dtype, 120)
    for grad, tolerance in ((1, 0), (-2.7, 0.5), (300, 0.5)):
        grads = np.full(a.shape, grad, dtype)
        results = backward(name)(grads, a, b)
        for result, actual in zip(("grad_a", "grad_b"), results, strict=True):
            assert_close(name, result, actual, grads, a, b, tolerance if dtype != "e" else 0)


@each_gated
@each_dtype
def test_special_values(name, dtype):
    """Combinations of zeros, infinities and NaN, at the start, middle and end of a span."""
    special = np.array([0.0, -0.0, INF, -INF, NAN, 1, -1, np.finfo(dtype).max / 2], dtype)
    grad, a, b = np.array(list(itertools.product(special, repeat=3)), dtype).T.copy()
    with np.errstate(all="raise"):
        actual = forward(name)(a, b)
        results = backward(name)(grad, a, b)
    assert_close(name, "forward", actual, 1.0, a, b)
    for result, part in zip(("grad_a", "grad_b"), results, strict=True):
        assert_close(name, result, part, grad, a, b, 0.5)
    for length in range(1, 40):
        for start in (0, 3, len(a) // 2, len(a) - length):
            span = slice(start, start + length)
            what = f"{name}, {length} elements from {start}"
            assert_same(forward(name)(a[span], b[span]), actual[span], what)
            for one, whole in zip(
                backward(name)(grad[span], a[span], b[span]), results, strict=True
            ):
                assert_same(one, whole[span], f"gradients of {what}")


@each_dtype
def test_zero_times_infinity_is_zero(dtype):
    inf = dtype(INF)
    for a, b in [(-1, inf), (0, inf), (-0.0, -inf), (-inf, inf), (-inf, -inf)]:
        assert relume.reglu(dtype(a), dtype(b)) == 0, f"reglu({a}, {b})"
    for name in ("geglu", "swiglu"):
        for a, b in [(0, inf), (-0.0, -inf), (-inf, inf), (-inf, -inf)]:
            assert forward(name)(dtype(a), dtype(b)) == 0, f"{name}({a}, {b})"
    assert relume.glu(inf, -inf) == 0
    assert relume.glu(-inf, -inf) == 0
    assert relume.glu(inf, inf) == inf
    grad_a, grad_b = relume.reglu_backward(inf, dtype(-1), inf)
    assert grad_a == 0
    assert grad_b == 0


# -- one array, split --


@each_gated
@each_dtype
def test_splits_along_an_axis(name, dtype):
    for shape in [(6,), (2, 300), (3, 4), (4, 6, 2), (2, 1, 2, 8), (100_000, 2)]:
        (x,) = operands(dtype, shape)
        for axis in range(-len(shape), len(shape)):
            if shape[axis] % 2:
                continue
            a, b = np.split(x, 2, axis)
            expected = forward(name)(a.copy(), b.copy())
            what = f"{name} of shape {shape}, axis {axis}"
            assert_same(forward(name)(x, axis=axis), expected, what)
            (grad,) = operands(dtype, a.shape, seed=1)
            gradients = backward(name)(grad, a.copy(), b.copy())
            expected_x = np.concatenate(gradients, axis)
            assert_same(backward(name)(grad, x, axis=axis), expected_x, f"gradient of {what}")
            if axis == -1:
                assert_same(forward(name)(x), expected, f"{what}, the default")
                assert_same(backward(name)(grad, x), expected_x, f"gradient of {what}, default")
            out, out_x = np.zeros_like(expected), np.zeros_like(x)
            assert forward(name)(x, axis=axis, out=out) is out
            assert_same(out, expected, f"{what}, out")
            assert backward(name)(grad, x, axis=axis, out=out_x) is out_x
            assert_same(out_x, expected_x, f"gradient of {what}, out")


@each_gated
def test_split_in_place(name):
    for shape, axis in [((40,), 0), ((6, 500), 1), ((6, 500), 0)]:
        (x,) = operands(np.float32, shape)
        half = x.shape[axis] // 2
        expected = forward(name)(x, axis=axis)
        for start in (0, half, 1):
            changed = x.copy()
            out = np.moveaxis(np.moveaxis(changed, axis, 0)[start : start + half], 0, axis)
            assert forward(name)(changed, axis=axis, out=out) is out
            assert_same(out, expected, f"{name} of shape {shape} into itself from {start}")
        (grad,) = operands(np.float32, expected.shape, seed=1)
        expected = backward(name)(grad, x, axis=axis)
        assert backward(name)(grad, x, axis=axis, out=x) is x
        assert_same(x, expected, f"gradient of {name} of shape {shape} in place")


@each_gated
@pytest.mark.parametrize("layout", LAYOUTS)
def test_split_in_any_layout(name, layout):
    for dtype, axis in itertools.product(DTYPES, (0, 1)):
        (x,) = operands(dtype, (6, 700))
        expected = forward(name)(x, axis=axis)
        what = f"{name}, axis {axis}, {layout}"
        assert_same(forward(name)(LAYOUTS[layout](x), axis=axis), expected, what)
        (grad,) = operands(dtype, expected.shape, seed=1)
        laid_out = LAYOUTS[layout](grad), LAYOUTS[layout](x)
        out = LAYOUTS[layout](np.zeros_like(x))
        expected = backward(name)(grad, x, axis=axis)
        assert_same(backward(name)(*laid_out, axis=axis), expected, f"gradient of {what}")
        backward(name)(*laid_out, axis=axis, out=out)
        assert_same(out.astype(dtype), expected, f"gradient of {what}, out")


@each_gated
def test_split_of_nothing(name):
    for shape, axis in [((0,), 0), ((3, 0), 1), ((0, 4), 1)]:
        x = np.ones(shape, np.float32)
        expected = np.split(x, 2, axis)[0]
        assert_same(forward(name)(x, axis=axis), expected, f"{name} of shape {shape}")
        assert_same(backward(name)(expected, x, axis=axis), x, f"gradient, shape {shape}")


# -- two arrays --


@each_gated
@each_dtype
def test_broadcasts(name, dtype):
    shapes = [(5, 70), (70,), (5, 1), (1, 1), (), (3, 5, 70)]
    for shape_a, shape_b in itertools.product(shapes, shapes):
        a, b = operands(dtype, shape_a, shape_b)
        whole = np.broadcast_shapes(shape_a, shape_b)
        copies = [np.broadcast_to(v, whole).copy() for v in (a, b)]
        what = f"{name} of shapes {shape_a} and {shape_b}"
        assert_same(forward(name)(a, b), forward(name)(*copies), what)
        grad = operands(dtype, whole, seed=1)[0]
        for one, other in zip(
            backward(name)(grad, a, b), backward(name)(grad, *copies), strict=True
        ):
            assert_same(one, other, f"gradients of {what}")
            assert_same(one, np.asarray(other).reshape(whole), f"gradients of {what}")


@each_gated
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(name, layout):
    for dtype, shape in itertools.product(DTYPES, [(700,), (37, 29), (5, 4, 3)]):
        grad, a, b = inputs = operands(dtype, shape, shape, shape)
        laid_out = [LAYOUTS[layout](v) for v in inputs]
        what = f"{name} of shape {shape}, {layout}"
        expected, out = forward(name)(a, b), LAYOUTS[layout](np.zeros(shape, dtype))
        assert forward(name)(*laid_out[1:], out=out) is out
        assert_same(out.astype(dtype), expected, what)
        outs = tuple(LAYOUTS[layout](np.zeros(shape, dtype)) for _ in range(2))
        results = backward(name)(*laid_out, out=outs)
        for given, got, wanted in zip(outs, results, backward(name)(grad, a, b), strict=True):
            assert got is given
            assert_same(got.astype(dtype), wanted, f"gradients of {what}")


@each_gated
@each_dtype
def test_in_place(name, dtype):
    for n in (7, 700, 70_001):
        inputs = operands(dtype, n, n, n)
        expected, gradients = forward(name)(*inputs[1:]), backward(name)(*inputs)
        for k in (1, 2):
            changed = [v.copy() for v in inputs]
            forward(name)(*changed[1:], out=changed[k])
            assert_same(changed[k], expected, f"{name} of {n}, in place of input {k - 1}")
        for i, k in itertools.permutations(range(3), 2):
            changed = [v.copy() for v in inputs]
            backward(name)(*changed, out=(changed[i], changed[k]))
            what = f"gradients of {name} of {n}, in place of inputs {i} and {k}"
            assert_same(changed[i], gradients[0], what)
            assert_same(changed[k], gradients[1], what)


@each_gated
@each_dtype
def test_overlap(name, dtype):
    for n, shift in itertools.product((20, 3000), (1, -1, 7)):
        memory = operands(dtype, n + 8, seed=2)[0]
        begin, other = max(0, -shift), max(0, shift)
        for k in range(2):
            inputs = operands(dtype, n, n)
            changed = memory.copy()
            inputs[k] = changed[begin : begin + n]
            out = changed[other : other + n]
            expected = forward(name)(*[v.copy() for v in inputs])
            forward(name)(*inputs, out=out)
            assert_same(out, expected, f"{name}, out {shift} elements from input {k}")


@each_gated
@each_dtype
def test_where_and_dtype(name, dtype):
    a, b = operands(dtype, 700, 700)
    mask = np.random.default_rng(3).random(700) < 0.4
    out = np.full(700, 5, dtype)
    assert forward(name)(a, b, out=out, where=mask) is out
    assert_same(out, np.where(mask, forward(name)(a, b), dtype(5)), f"{name}, where")
    wide = forward(name)(a.astype(np.float64), b.astype(np.float64))
    assert_same(forward(name)(a, b, dtype=np.float64), wide, f"{name}, dtype")


@each_gated
def test_dtypes_promote_as_in_numpy(name):
    for kind_a, kind_b in itertools.product("bhiefd", "Bqefd"):
        a, b = np.ones(3, kind_a), np.full(3, 2, kind_b)
        dtype = np.hypot(a, b).dtype
        expected = forward(name)(a.astype(dtype), b.astype(dtype))
        assert expected.dtype == dtype
        assert_same(forward(name)(a, b), expected, f"{name} of {kind_a} and {kind_b}")
    assert forward(name)([1.0, 2.0], [3, 4]).dtype == np.float64
    assert forward(name)(np.ones(3, "f"), 2.0).dtype == np.float32
    for kind in ("D", "S2", "M8[s]"):
        with pytest.raises(TypeError):
            forward(name)(np.ones(2).astype(int).astype(kind), np.ones(2))


@each_gated
def test_bits_do_not_depend_on_number_of_threads(name):
    grad, a, b = operands(np.float32, 300_001, 300_001, 300_001)
    x = np.concatenate((a, b))
    with relume.num_threads(1):
        expected = [forward(name)(a, b), *backward(name)(grad, a, b), backward(name)(grad, x)]
    for threads in (2, 3):
        wake_threads()
        with relume.num_threads(threads):
            actual = [forward(name)(a, b), *backward(name)(grad, a, b), backward(name)(grad, x)]
        for one, other in zip(actual, expected, strict=True):
            assert_same(one, other, f"{name}, {threads} threads")


@each_gated
def test_is_a_function_over_a_ufunc_that_pickles(name):
    ufunc = forward(name).ufunc
    assert isinstance(ufunc, np.ufunc)
    assert ufunc.nin == 2
    assert pickle.loads(pickle.dumps(ufunc)) is ufunc
    a, b = operands(np.float32, 50, 50)
    assert_same(forward(name)(a, b), ufunc(a, b), f"{name} and its ufunc")


# -- bad arguments --


@each_gated
def test_odd_size(name):
    for shape, axis in [((7,), 0), ((4, 5), 1), ((3, 4), 0), ((1,), -1)]:
        with pytest.raises(ValueError, match=rf"\b{shape[axis]}\b"):
            forward(name)(np.ones(shape), axis=axis)
        with pytest.raises(ValueError, match=rf"\b{shape[axis]}\b"):
            backward(name)(np.ones(shape), np.ones(shape), axis=axis)


@each_gated
def test_axis_given_as_the_second_array(name):
    for axis in (-1, 0, 1):
        with pytest.raises(TypeError, match="axis"):
            forward(name)(np.ones((2, 4)), axis)
        with pytest.raises(TypeError, match="axis"):
            backward(name)(np.ones((2, 2)), np.ones((2, 4)), axis)


@each_gated
def test_axis_out_of_range(name):
    for shape in [(), (4,), (2, 4)]:
        for axis in (len(shape), -len(shape) - 1, 50):
            with pytest.raises(np.exceptions.AxisError):
                forward(name)(np.ones(shape), axis=axis)
            with pytest.raises(np.exceptions.AxisError):
                backward(name)(np.ones(shape), np.ones(shape), axis=axis)


@each_gated
def test_shapes_that_do_not_fit(name):
    fits = r"broadcast|match|shape"
    with pytest.raises(ValueError, match=fits):
        forward(name)(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match=fits):
        backward(name)(np.ones(2), np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match=fits):
        backward(name)(np.ones(3), np.ones(8))
    with pytest.raises(ValueError, match=fits):
        forward(name)(np.ones(8), out=np.ones(3))
    with pytest.raises(ValueError, match=fits):
        backward(name)(np.ones(4), np.ones(8), out=np.ones(7))
