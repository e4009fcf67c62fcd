"""What the engine does with whole arrays, on several threads where they are large."""

import numpy as np
import pytest

import relume
from relume import nn
from relume.engine.arrays import copy_values

SIZES = [1, 1000, 262_144, 262_145, 1_000_003]  # around one piece of a thread, and several


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_values_are_copied_to_the_end(size, threads):
    values = np.random.default_rng(0).normal(size=size)
    out = np.full(size, np.nan)
    with relume.num_threads(threads):
        copy_values(values, out)
    np.testing.assert_array_equal(out, values)


def test_an_array_of_another_size_or_dtype_or_a_read_only_one_is_refused():
    values, frozen = np.zeros(5), np.zeros(5)
    frozen.flags.writeable = False
    for out in (np.zeros(4), np.zeros(5, np.float32), frozen):
        with pytest.raises(ValueError, match="out must be"):
            copy_values(values, out)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_parameter_that_is_not_finite_is_found_among_a_million(value, threads):
    net = nn.Network([nn.Dense(1001)], seed=0).build(1000)
    weights = net._built()
    n = len(weights.parameters)
    with relume.num_threads(threads):
        assert weights.are_finite()
        for i in (0, 262_143, 262_144, 500_000, n - 1):
            before, weights.parameters[i] = weights.parameters[i], value
            assert not weights.are_finite(), i
            weights.parameters[i] = before
        assert weights.are_finite()
