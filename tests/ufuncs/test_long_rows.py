"""Rows that are too long to be packed as a whole: the same bits, with bounded scratch memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import relume
from relume.ufuncs import along_axis
from tests.support.along_axis import FUNCTIONS, each_axis_function, each_forward
from tests.support.ops import assert_same, each_dtype

pytestmark = pytest.mark.op

LONG = along_axis.LONG_ROW
PIECE, SUM = 2048, 1024  # elements that are packed, and summed, together


def spread(a):
    """Every second element of memory twice as long."""
    memory = np.full((*a.shape[:-1], 2 * a.shape[-1]), 7, a.dtype)
    memory[..., ::2] = a
    return memory[..., ::2]


def misaligned(a):
    memory = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    memory[...] = a
    return memory


LAYOUTS = {
    "strided": spread,
    "reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
    "Fortran": np.asfortranarray,
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "misaligned": misaligned,
}
SIZES = [LONG, LONG + 1, LONG + SUM, LONG + PIECE - 1, LONG + PIECE + 1, LONG + 3 * SUM + 5]


def operands_of(function, dtype, shape):
    """Operands with a dominating element, close to a border of pieces, in the first row."""
    operands = function.operands(dtype, shape)
    if not function.from_output and len(shape) == 2:
        operands[-1][0, PIECE] = 60
    return operands


@each_axis_function
@each_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bits_are_those_of_a_contiguous_row(function, dtype, layout):
    """float16 is rounded once from the float32 result, so it has an oracle in float32."""
    for n in SIZES if (layout, dtype) == ("strided", np.float32) else SIZES[-1:]:
        operands = operands_of(function, dtype, (2, n))
        single = [a.astype(np.float32) if dtype is np.float16 else a for a in operands]
        expected = np.asarray(function(*single)).astype(dtype)
        laid_out = [LAYOUTS[layout](a) if a.ndim == 2 else a for a in operands]
        what = f"{function} of rows of {n}, {layout}"
        assert_same(function(*laid_out), expected, what)
        assert_same(function(*operands), expected, f"{what}, contiguous")
        if expected.ndim == 2:
            out = LAYOUTS[layout](np.zeros_like(expected))
            assert function(*laid_out, out=out) is out
            assert_same(out.astype(dtype), expected, f"{what}, out")
            assert function(*laid_out, out=laid_out[-1]) is laid_out[-1]
            assert_same(laid_out[-1].astype(dtype), expected, f"{what}, in place")


@each_axis_function
def test_bits_of_many_long_columns(function):
    """More columns than a tile, of which only some share cache lines."""
    operands = [
        np.asfortranarray(a) for a in function.operands(np.float16, (20, LONG + PIECE + 5))
    ]
    single = [a.astype(np.float32, order="C") for a in operands]
    expected = np.asarray(function(*single)).astype(np.float16)
    assert_same(function(*operands), expected, f"{function} of long columns")


@each_forward
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [0, PIECE - 1, PIECE, LONG + 5])
def test_special_values_in_any_piece(function, special, index):
    x = function.operands(np.float32, (LONG + PIECE,))[0]
    x[index] = special
    assert_same(function(spread(x)), function(x), f"{function}, {special} at {index}")
    x[...] = special
    assert_same(function(spread(x)), function(x), f"{function}, all {special}")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("layout", ["strided", "reversed", "Fortran"])
def test_maxout_crelu_and_prelu(dtype, layout):
    """Oracles: NumPy's maximum, and the library on contiguous rows."""
    x, grad = np.random.default_rng(0).normal(size=(2, 3, LONG + PIECE + 1)).astype(dtype)
    x[1, LONG] = x[1, 3] = 50  # the first one counts
    x[2, PIECE:] = np.nan
    laid_out = LAYOUTS[layout](x)
    best, which = relume.maxout(laid_out)
    assert_same(best, np.max(x, -1), f"maxout, {layout}")
    assert_same(which, np.argmax(x, -1), f"maxout's index, {layout}")
    out = LAYOUTS[layout](np.ones_like(x))
    relume.maxout_backward(best, which - x.shape[1], x.shape[1], out=out)
    expected = np.zeros_like(x)
    expected[[0, 1, 2], which] = best
    assert_same(np.asarray(out), expected, f"maxout_backward, {layout}")
    with pytest.raises(IndexError):
        relume.maxout_backward(best, which + x.shape[1], x.shape[1], out=out)
    joined = np.concatenate((np.maximum(x, 0), np.maximum(-x, 0)), -1)
    assert_same(relume.crelu(laid_out), joined, f"crelu, {layout}")
    two = np.concatenate((grad, -grad), -1)
    back = relume.crelu_backward(two, x)
    assert_same(relume.crelu_backward(LAYOUTS[layout](two), laid_out), back, f"{layout}")
    weight = np.full((3, 1), 0.25, dtype)
    expected = along_axis.prelu_backward(grad, x, weight[:, 0])
    actual = along_axis.prelu_backward(LAYOUTS[layout](grad), laid_out, weight[:, 0])
    for a, b in zip(actual, expected, strict=True):
        assert_same(a, b, f"prelu_backward, {layout}")


LIMITED = """
import resource, sys
import numpy as np
import relume
from tests.ufuncs.test_long_rows import LAYOUTS

layout, dtype, name = sys.argv[1:]
n = 2**22
function = getattr(relume, name)
operands = [LAYOUTS[layout](np.zeros(n, dtype)) for _ in range(1 + ("_backward" in name))]
if name == "logsumexp_backward":
    operands[0] = np.ones((), dtype)
out = [] if name == "logsumexp" else [LAYOUTS[layout](np.zeros(n, dtype))]
small = [a[:8].copy() if a.ndim else a for a in operands]
function(*small)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 6 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
with relume.num_threads(1):
    function(*operands, **({"out": out[0]} if out else {}))
"""


@pytest.mark.parametrize(
    ("name", "dtype", "layout"),
    [
        ("logsumexp", "float16", "strided"),
        ("logsumexp", "float32", "strided"),
        ("logsumexp", "float64", "swapped"),
        ("log_softmax", "float16", "swapped"),
        ("log_softmax", "float32", "misaligned"),
        ("softmax_backward", "float32", "swapped"),
        ("softmax_backward", "float64", "reversed"),
        ("logsumexp_backward", "float32", "strided"),
    ],
)
def test_scratch_does_not_grow_with_the_row(name, dtype, layout):
    """6 MB are allowed; a copy of one operand in its own dtype takes 8 MB or more."""
    pytest.importorskip("resource", reason="Windows has no limit on the address space")
    if not Path("/proc/self/statm").exists():
        pytest.skip("the size of the address space is read from /proc, which Linux has")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, layout, dtype, name],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_function_is_tested():
    """All functions along an axis have passes over long rows, and are in the tests above."""
    others = {"maxout", "maxout_backward", "crelu", "crelu_backward", "prelu_backward"}
    assert set(along_axis.KERNELS) == {str(function) for function in FUNCTIONS} | others
