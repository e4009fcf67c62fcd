"""PyTorch's functions and gradients: the same values where it is itself exact, the same kinks.

Where PyTorch is further than 4 ULP from mpmath it is no witness of the last bits, and results need
only be near each other: that is so in the tails of gelu, where results are subnormal, and wherever
it has a float32 constant in float64, as 1/6 in hardsigmoid's gradient.
"""

import importlib

import numpy as np
import pytest

from tests.support import pytorch
from tests.support.ops import describe, exact, exact_results, ulps
from tests.support.pytorch.functions import CASES
from tests.support.reference import mp

# Where PyTorch's formula overflows before its result does.
OVERFLOWING = {"hardswish", "softplus", "softplus_backward", "gelu_tanh_backward"}


def each_case(at_kinks):
    names = [name for name, case in CASES.items() if case.at_kinks == at_kinks]
    return pytest.mark.parametrize("name", names)


def call(case, x):
    """relume's result, for a gradient of 1 where it has one."""
    grads = [np.ones_like(x)] * (case.op.n_data - 1)
    return case.op.function(*grads, x, *(x.dtype.type(p) for p in case.parameters))


def recorded(name):
    (result,) = pytorch.load("functions").results[name].values()
    return result


@each_case(at_kinks=False)
def test_finite_values_agree(name):
    case, theirs = CASES[name], recorded(name)
    op, x = case.op, case.x()
    ours = call(case, x)
    inputs = [*[np.ones_like(x)] * (op.n_data - 1), x]
    inputs += [np.full_like(x, p) for p in case.parameters]
    floor = op.reference.floor if op.n_data == 2 else 0
    their_error = ulps(theirs, exact_results(op, inputs), floor)
    witness = (their_error <= 4) & np.isfinite(theirs)
    assert witness.mean() > 0.25, f"PyTorch is exact at {witness.mean():.0%}"
    values = exact([mp.mpf(value) for value in np.where(witness, theirs, 0).tolist()])
    error = ulps(ours, values, floor)
    wrong = np.flatnonzero(witness & (error > 4 + their_error))
    assert not wrong.size, (
        f"{describe(op, x[wrong[0]], *case.parameters)}: {ours[wrong[0]]!r}, "
        f"PyTorch {theirs[wrong[0]]!r}; {wrong.size} points differ"
    )


@each_case(at_kinks=False)
def test_all_values_are_near(name):
    """Those too of which PyTorch is no witness, but for its overflows."""
    case, theirs = CASES[name], recorded(name)
    x = case.x()
    ours = call(case, x)
    with np.errstate(over="ignore"):
        far = ~np.isclose(ours, theirs, rtol=1e-6, atol=1e-6, equal_nan=True)
    if str(case.op) in OVERFLOWING:
        far &= np.isfinite(theirs)
    wrong = np.flatnonzero(far)
    assert not wrong.size, (
        f"{describe(case.op, x[wrong[0]], *case.parameters)}: {ours[wrong[0]]!r}, "
        f"PyTorch {theirs[wrong[0]]!r}; {wrong.size} points differ"
    )


@each_case(at_kinks=True)
def test_kinks_agree(name):
    case, theirs = CASES[name], recorded(name)
    x = case.x()
    for kink, one, other in zip(x, call(case, x), theirs, strict=True):
        # Not to the last bit, since its float64 may have gone through a float32 constant.
        what = f"{describe(case.op, kink, *case.parameters)}: {one!r}, PyTorch {other!r}"
        assert np.isclose(one, other, rtol=1e-6, atol=0), what


# -- the recordings --


@pytest.mark.parametrize("module", pytorch.MODULES)
def test_recorded_are_all_cases_and_no_others(module):
    """And with the inputs they have now. If not: `make test-pytorch RECORD=1`."""
    cases = importlib.import_module(f"tests.support.pytorch.{module}").CASES
    recording = pytorch.load(module)
    assert recording.results.keys() == cases.keys()
    assert recording.digests == {name: pytorch.digest(case) for name, case in cases.items()}


@pytest.mark.parametrize("module", pytorch.MODULES)
def test_recorded_by_the_version_that_make_test_pytorch_installs(module):
    requirements = (pytorch.FOLDER / "requirements.txt").read_text().splitlines()
    assert f"torch=={pytorch.load(module).version}" in requirements


def test_recordings_are_small():
    assert sum(pytorch.path_of(module).stat().st_size for module in pytorch.MODULES) < 2e6
