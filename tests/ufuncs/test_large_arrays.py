"""Calls on arrays beyond a core's cache fetch memory ahead, with the bits of small calls."""

import mmap

import numpy as np
import pytest

import relume
from tests.support.ops import each_dtype

N = 1_200_003  # 2.4 MB of float16 in each operand
PART = 1_000

CALLS = {
    "relu": (relume.relu, 1),
    "gelu": (relume.gelu, 1),
    "gelu_backward": (relume.gelu_backward, 2),
    "leaky_relu": (lambda x: relume.leaky_relu(x, 0.3), 1),
    "prelu": (relume.prelu, 2),
    "rrelu_backward": (lambda g, x, slope: relume.rrelu_backward(g, x, slope=slope), 3),
    "glu": (relume.glu, 2),
    "swiglu_backward": (relume.swiglu_backward, 3),
}
each_call = pytest.mark.parametrize("name", CALLS)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"], autouse=True)
def _threads(request):
    with relume.num_threads(request.param):
        yield


def random(seed, n, dtype):
    return (np.random.default_rng(seed).integers(-4096, 4097, n) / 1024).astype(dtype)


def operands(count, n, dtype, shift=0, step=1):
    """Arrays that begin `shift` elements after others do, with a step."""
    for seed in range(count):
        array = np.zeros(shift + n * abs(step), dtype)[shift:][::step]
        array[...] = random(seed, n, dtype)
        yield array


def in_parts(function, inputs):
    """The results of calls on contiguous parts."""
    parts = [
        results(function(*(np.ascontiguousarray(x[i : i + PART]) for x in inputs)))
        for i in range(0, len(inputs[0]), PART)
    ]
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def results(result):
    return result if isinstance(result, tuple) else (result,)


def assert_bits(result, expected):
    for one, other in zip(results(result), expected, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        differ = np.argwhere(one != other)
        assert len(differ) == 0, f"{len(differ)} differ, the first at {differ[0]}"


@each_call
@each_dtype
@pytest.mark.parametrize(("shift", "step"), [(0, 1), (3, 1), (1, 2), (0, -1), (5, 20)])
def test_layouts(name, dtype, shift, step):
    function, count = CALLS[name]
    inputs = list(operands(count, N if abs(step) == 1 else N // 4, dtype, shift, step))
    assert_bits(function(*inputs), in_parts(function, inputs))


@each_dtype
@pytest.mark.parametrize("shift", [-700, -1, 0, 1, 700])
def test_an_output_that_overlaps_its_input(dtype, shift):
    memory = random(0, N + 1_400, dtype)
    x, out = memory[700:-700], memory[700 + shift :][:N]
    expected = in_parts(relume.gelu, [x.copy()])
    assert relume.gelu(x, out=out) is out
    assert_bits(out, expected)


@each_dtype
def test_gradients_in_place(dtype):
    grad, a, b = operands(3, N, dtype)
    expected = in_parts(relume.swiglu_backward, [grad.copy(), a.copy(), b.copy()])
    assert_bits(relume.swiglu_backward(grad, a, b, out=(a, b)), expected)


@each_dtype
@pytest.mark.parametrize("columns", [2, 26, 200, 3_000])
def test_halves_of_rows(dtype, columns):
    x = random(0, N // columns * columns, dtype).reshape(-1, columns)
    halves = [np.ascontiguousarray(half).ravel() for half in np.split(x, 2, axis=1)]
    (expected,) = in_parts(relume.glu, halves)
    assert_bits(relume.glu(x), (expected.reshape(-1, columns // 2),))


@each_dtype
@pytest.mark.parametrize("columns", [1, 3, 100, 3_000])
@pytest.mark.parametrize("along", ["rows", "columns"])
def test_a_parameter_for_each_row_or_column(dtype, columns, along):
    x = random(0, N // columns * columns, dtype).reshape(-1, columns)
    shape = (1, columns) if along == "columns" else (len(x), 1)
    weight = random(1, max(shape), dtype).reshape(shape)
    whole = np.ascontiguousarray(np.broadcast_to(weight, x.shape)).ravel()
    (expected,) = in_parts(relume.prelu, [x.ravel(), whole])
    assert_bits(relume.prelu(x, weight), (expected.reshape(x.shape),))


def test_integers():
    x = np.random.default_rng(0).integers(-100, 100, N, np.int32)
    assert_bits(relume.relu(x), (np.maximum(x, 0),))


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="memory has its end elsewhere")
def test_fetching_beyond_the_end_of_memory_is_harmless():
    memory = mmap.mmap(-1, N // 1024 * 4096)
    x = np.frombuffer(memory, np.float32)
    x[...] = random(0, x.size, "float32")
    assert_bits(relume.gelu(x), in_parts(relume.gelu, [x]))


AXIS_CALLS = {
    "softmax": (relume.softmax, 1),
    "softmax_backward": (relume.softmax_backward, 2),
    "log_softmax": (relume.log_softmax, 1),
    "log_softmax_backward_from_output": (relume.log_softmax_backward_from_output, 2),
    "logsumexp": (relume.logsumexp, 1),
    "crelu": (relume.crelu, 1),
}


@pytest.mark.parametrize("name", AXIS_CALLS)
@each_dtype
@pytest.mark.parametrize("columns", [10, 100, 3_000])
def test_rows(name, dtype, columns):
    function, count = AXIS_CALLS[name]
    rows = N // columns // 16 * 16 + 1
    inputs = [random(seed, (rows, columns), dtype) for seed in range(count)]
    few = max(1, 8_000 // columns)
    parts = [
        results(function(*(x[i : i + few].copy() for x in inputs))) for i in range(0, rows, few)
    ]
    assert_bits(function(*inputs), tuple(map(np.concatenate, zip(*parts, strict=True))))


@each_dtype
def test_rows_in_place(dtype):
    grad, x = (random(seed, (N // 100, 100), dtype) for seed in range(2))
    expected = relume.softmax_backward(grad[:50], x[:50]), relume.softmax_backward(grad, x)
    assert_bits(relume.softmax_backward(grad, x, out=x), expected[1:])
    assert_bits(x[:50], expected[:1])
