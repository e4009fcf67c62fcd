"""The measurement of `make sweep`, at every 4099th of the 2**32 inputs of float32."""

import numpy as np
import pytest

from tests.support.ops import each
from tools import sweep

pytestmark = pytest.mark.op

STEP = 4099  # a prime, so that the last bits differ
each_swept = each(sweep.SWEPT.values())


@each_swept
def test_the_reference_in_float64_is_exact_enough(op):
    assert sweep.check_reference(op, 300) < 2**-10


@each_swept
def test_sweep(op):
    found = sweep.measure(op, step=STEP)
    assert not found.above, f"{op}({found.x!r}) is wrong by {found.error:.3g} ULP"


def test_a_wrong_value_is_found():
    """An error at the largest input, NaN instead of a limit, or a number instead of NaN."""
    op = sweep.SWEPT["relu"]
    bits = np.array([0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x3F800000], np.uint32)
    largest, infinity, nan, one = bits.view(np.float32)
    for x, value, error in [(largest, 0x7F7FFFFC, 3), (infinity, nan, np.inf), (nan, one, np.inf)]:
        wrong = np.uint32(value).view(np.float32) if value == 0x7F7FFFFC else value

        def function(points, x=x, wrong=wrong):
            return np.where(
                points.view(np.uint32) == x.view(np.uint32), wrong, op.function(points)
            )

        start = int(x.view(np.uint32))
        found = sweep.measure(op._replace(function=function), start - 5, start + 5)
        assert (found.error, found.above) == (error, 1)
        assert found.x == x or np.isnan(found.x)
