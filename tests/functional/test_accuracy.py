"""The documented accuracy, at 2,000 points of every function, direction and dtype.

`make accuracy` does the same at 100,000 points, for every instruction set.
"""

import numpy as np
import pytest

from tests.support.ops import (
    OPS,
    accuracy_inputs,
    bound,
    describe,
    each,
    each_dtype,
    each_op,
    errors,
    exact,
    exact_results,
    ulps,
)
from tests.support.reference import mp

pytestmark = pytest.mark.op

N = 2000


@each_op
@each_dtype
def test_accuracy(op, dtype):
    inputs = accuracy_inputs(op, dtype, N)
    actual = op.function(*inputs)
    error = errors(op, actual, exact_results(op, inputs))
    worst = int(error.argmax())
    element = [column[worst] for column in inputs]
    failing = (error > bound(op, dtype)).sum()
    assert not failing, (
        f"{describe(op, *element)} in {dtype.__name__}: {actual[worst]!r} is wrong by "
        f"{error[worst]:.3g} ULP, {bound(op, dtype)} allowed; exactly "
        f"{mp.nstr(op.value(element[: op.n_data], element[op.n_data :], dtype), 20)}; "
        f"{failing} points fail"
    )


@pytest.mark.parametrize(
    ("name", "rate", "last"),
    [
        ("tanh", 1.5625, 9.5),
        ("tanhshrink", 2.375, 9.5),
        ("tanhshrink_backward", 1.5625, 9.5),
        ("gelu", 1.015625, 14.7),
        ("gelu_backward", 1.015625, 14.7),
    ],
)
def test_accuracy_at_the_ends_of_a_tables_intervals(name, rate, last):
    """float32 chooses a polynomial by 1 + rate * |x|; those of two intervals meet here."""
    op = next(op for op in OPS if op.name == name)
    ends = [*((end - 1) / rate for end in (1.5, 2, 3, 4, 6, 8, 12)), last]
    bits = np.array(ends, np.float32).view(np.int32)[:, None] + np.arange(-8, 9, dtype=np.int32)
    x = bits.view(np.float32).ravel()
    x = np.concatenate([x, -x])
    inputs = [x] if op.n_data == 1 else [np.ones_like(x), x]
    error = errors(op, op.function(*inputs), exact_results(op, inputs))
    worst = int(error.argmax())
    assert error[worst] <= bound(op, np.float32), f"{op} at {x[worst]!r}: {error[worst]:.3g} ULP"


@each(op for op in OPS if op.reference.constants and op.direction != "backward_from_output")
def test_docstrings_say_which_constants_are_rounded(op):
    """The bound of quick_gelu holds for 1.702 rounded to the dtype, which only this text says."""
    assert "rounded to the dtype" in " ".join(op.function.__doc__.split()), op


@each_op
@each_dtype
def test_points_are_spread(op, dtype):
    """The points have all exponents of the dtype, and both signs if the domain has both."""
    points = accuracy_inputs(op, dtype, N)[op.n_data - 1]
    ends = [op.domain(parameters, dtype) for parameters in op.parameter_sets]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    info = np.finfo(dtype)
    octaves = np.unique(np.frexp(points[points != 0])[1])
    top = np.frexp(min(max(high, -low), float(info.max)))[1]
    possible = top - (info.minexp - info.nmant) + 1
    assert len(points) == N
    assert len(octaves) > 0.25 * possible, f"{op} {dtype.__name__}: {len(octaves)} of {possible}"
    assert high == 0 or (points > 0).sum() > 0.2 * N
    assert low == 0 or (points < 0).sum() > 0.2 * N


@each_op
@each_dtype
def test_no_parameter_set_is_left_out(op, dtype):
    inputs = accuracy_inputs(op, dtype, N)
    got = {tuple(element) for element in np.column_stack(inputs)[:, op.n_data :].tolist()}
    assert got == {tuple(float(dtype(p)) for p in chosen) for chosen in op.parameter_sets}


@each_dtype
@pytest.mark.parametrize(
    "value_of",
    [
        lambda info: 1.5,
        lambda info: 1,
        lambda info: info.tiny,
        lambda info: info.smallest_subnormal,
        lambda info: info.max,
        lambda info: 0,
    ],
    ids=["1.5", "1", "tiny", "smallest_subnormal", "max", "0"],
)
def test_the_next_number_is_1_ulp_away(dtype, value_of):
    value = dtype(value_of(np.finfo(dtype)))
    with np.errstate(all="ignore"):
        following = np.nextafter(value, dtype(np.inf))
    values = exact([mp.mpf(float(value))])
    assert ulps(np.array([value]), values) == [0]
    assert ulps(np.array([following]), values) == [1]
    assert ulps(np.array([np.nan], dtype), values) == [np.inf]


def test_ulps_of_fractions_and_beyond_the_range():
    assert ulps(np.array([1.0]), exact([1 + mp.mpf(2) ** -60])) == [2**-8]
    assert ulps(np.array([np.inf]), exact([mp.mpf(10) ** 5000])) == [0]
    assert ulps(np.array([0.0]), exact([mp.mpf(10) ** -5000])) < 1e-9
    assert ulps(np.array([0.0]), exact([mp.mpf(2) ** -60]), floor=2**-6) == [2**-2]
