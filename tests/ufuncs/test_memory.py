"""Memory layouts, broadcasting, out, where, overlap and reductions do not change any bits."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import relume
from tests.support.ops import (
    DTYPES,
    OPS,
    UFUNCS,
    assert_same,
    each,
    each_dtype,
    each_op,
    each_ufunc,
    wake_threads,
)

pytestmark = pytest.mark.op

each_binary = each(op for op in UFUNCS if op.ufunc.nin == 2)

MILLION = 1_000_000
# Some are larger than the block that the inner loop packs at once. Sizes for several threads have
# tests of their own, so that the other tests stay quick on a busy machine.
SHAPES = [(), (0,), (0, 3), (1,), (65,), (37, 29), (3, 1500), (5, 4, 3), (20_001,)]


def fill(view, a):
    """Write an array into a view of its shape, and return the view."""
    view[...] = a
    return view


def offset(a, n_bytes):
    """The same values, n_bytes after an aligned address."""
    memory = np.zeros(a.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + n_bytes
    return fill(memory[start : start + a.nbytes].view(a.dtype).reshape(a.shape), a)


def strided(a, *steps):
    """The same values as a slice of a larger array with these steps along the last axes."""
    if not a.ndim:
        return a
    steps = (1,) * (a.ndim - len(steps)) + steps[-a.ndim :]
    shape = [n * abs(step) for n, step in zip(a.shape, steps, strict=True)]
    return fill(np.zeros(shape, a.dtype)[tuple(slice(None, None, step) for step in steps)], a)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def field(a):
    """The same values as a field of records, with strides that are no multiple of the itemsize."""
    records = np.zeros(a.shape, [("before", "u1"), ("value", a.dtype), ("after", "u1", 2)])
    return fill(records["value"], a)


LAYOUTS = {
    "C": lambda a: a.copy("C"),
    "F": lambda a: a.copy("F"),
    "transposed": lambda a: np.swapaxes(np.swapaxes(a, 0, -1).copy(), 0, -1) if a.ndim else a,
    "strided": lambda a: strided(a, 2, 3),
    "strided rows": lambda a: strided(a, 2, 1),
    "reversed": lambda a: strided(a, -1, -1),
    "reversed and strided": lambda a: strided(a, -1, -3),
    "offset": lambda a: offset(a, a.itemsize),
    "unaligned": lambda a: offset(a, 1),
    "field": field,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
}
INPUT_LAYOUTS = {**LAYOUTS, "read-only": read_only}


# -- layouts --


@each_op
@pytest.mark.parametrize("layout", INPUT_LAYOUTS)
def test_layout_of_inputs(op, layout):
    for dtype, shape in itertools.product(DTYPES, SHAPES):
        inputs = op.operands(dtype, shape)
        before = [a.copy() for a in inputs]
        expected = np.asarray(op.function(*inputs))
        laid_out = [INPUT_LAYOUTS[layout](a) for a in inputs]
        # First all operands have this layout, then each one alone with the others contiguous.
        assert_same(op.function(*laid_out), expected, f"{op} {layout}")
        for k in range(len(inputs) if len(inputs) > 1 and expected.size < 5000 else 0):
            mixed = [laid_out[i] if i == k else a for i, a in enumerate(inputs)]
            assert_same(op.function(*mixed), expected, f"{op}, input {k} {layout}")
        for k, a in enumerate(laid_out):
            assert_same(a.astype(dtype), before[k], f"{op} {layout}: input {k} after the call")


@each_op
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_of_out(op, layout):
    for dtype, shape in itertools.product(DTYPES, SHAPES):
        inputs = op.operands(dtype, shape)
        expected = np.asarray(op.function(*inputs))
        out = LAYOUTS[layout](np.full(shape, -7, dtype))
        assert op.function(*inputs, out=out) is out
        assert_same(out.astype(dtype), expected, f"{op}, out {layout}")
        assert op.function(*map(LAYOUTS[layout], inputs), out=(out,)) is out
        assert_same(out.astype(dtype), expected, f"{op}, all {layout}")


@each_op
def test_writes_nothing_beside_out(op):
    inputs = op.operands(np.float32, (6, 700))
    memory = np.full((12, 2103), 9, np.float32)
    out = memory[1::2, 3::3]
    inside = np.zeros(memory.shape, bool)
    inside[1::2, 3::3] = True
    expected = np.full_like(memory, 9)
    expected[inside] = op.function(*inputs).ravel()
    op.function(*inputs, out=out)
    assert_same(memory, expected, f"{op}, memory around a strided out")


@each_op
@each_dtype
def test_memory_mapped(op, dtype, tmp_path):
    inputs = op.operands(dtype, 5000)
    mapped = []
    for k, a in enumerate(inputs):
        a.tofile(tmp_path / f"{k}")
        mapped.append(np.memmap(tmp_path / f"{k}", dtype, "r"))
    expected = op.function(*inputs)
    assert_same(op.function(*mapped), expected, f"{op} of memory-mapped inputs")
    out = np.memmap(tmp_path / "out", dtype, "w+", shape=expected.shape)
    assert op.function(*mapped, out=out) is out
    out.flush()
    assert_same(np.fromfile(tmp_path / "out", dtype), expected, f"{op}, the file of out")
    del mapped, out


@each_op
@each_dtype
def test_0_d_and_empty(op, dtype):
    inputs = op.operands(dtype, ())
    result = op.function(*inputs)
    assert type(result) is dtype, f"{op} of 0-d: {type(result)}"
    assert_same(result, op.function(*(a[None] for a in inputs))[0], f"{op} of 0-d")
    out = np.empty((), dtype)
    assert op.function(*inputs, out=out) is out
    assert_same(out, result, f"{op} of 0-d into out")
    for shape in [(0,), (3, 0), (0, 3), (2, 0, 4)]:
        actual = op.function(*op.operands(dtype, shape))
        assert_same(actual, np.empty(shape, dtype), f"{op} of shape {shape}")


@each_op
@each_dtype
def test_bits_do_not_depend_on_alignment(op, dtype):
    inputs = op.operands(dtype, 1100)
    expected = op.function(*inputs)
    for n_bytes in range(64):
        moved = [offset(a, n_bytes) for a in inputs]
        out = offset(np.zeros(1100, dtype), 63 - n_bytes)
        assert_same(op.function(*moved, out=out), expected, f"{op}, {n_bytes} bytes off")


@each_op
@settings(derandomize=True, deadline=None, max_examples=30, database=None)
@given(data=st.data())
def test_broadcasting(op, data):
    """The result is that of the same call on full copies, also with a strided out."""
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    nin = op.ufunc.nin
    shapes = data.draw(mutually_broadcastable_shapes(num_shapes=nin, max_dims=4, max_side=9))
    operands = [op.operands(dtype, shape, mixed=True) for shape in shapes.input_shapes]
    full = [operands[k][k] for k in range(nin)]
    if data.draw(st.booleans()):
        full = [LAYOUTS[data.draw(st.sampled_from(list(LAYOUTS)))](a) for a in full]
    copies = [np.broadcast_to(a, shapes.result_shape).astype(dtype) for a in full]
    expected = np.asarray(op.function(*copies))
    what = f"{op} of shapes {shapes.input_shapes}, strides {[a.strides for a in full]}"
    assert_same(op.function(*full), expected, what)
    steps = data.draw(st.tuples(*[st.sampled_from([1, 2, -1, -3])] * len(shapes.result_shape)))
    out = strided(np.zeros(shapes.result_shape, dtype), *steps)
    assert_same(op.function(*full, out=out), expected, f"{what}, out with steps {steps}")


@each_op
@each_dtype
def test_broadcasting_of_large_arrays(op, dtype):
    """Rows, columns and single elements broadcast against a matrix."""
    shapes = itertools.product([(60, 700), (700,), (60, 1), (1, 1), ()], repeat=op.ufunc.nin)
    for chosen in itertools.islice(shapes, 0, None, 1 if op.ufunc.nin < 3 else 7):
        inputs = [op.operands(dtype, shape, mixed=True)[k] for k, shape in enumerate(chosen)]
        result = np.broadcast_shapes(*chosen)
        copies = [np.broadcast_to(a, result).copy() for a in inputs]
        assert_same(op.function(*inputs), op.function(*copies), f"{op} of shapes {chosen}")


@each(op for op in OPS if op.ufunc.nin > 1)
def test_shapes_that_do_not_broadcast(op):
    with pytest.raises(ValueError, match="could not be broadcast together"):
        op.function(*[np.ones(3 + k) for k in range(op.ufunc.nin)])


@each_op
def test_out_that_does_not_broadcast(op):
    with pytest.raises(ValueError, match=r"broadcast|doesn't match"):
        op.function(*op.operands(np.float32, 3), out=np.empty(4, np.float32))


@each_op
@each_dtype
def test_where(op, dtype):
    for n in (7, 600, 70_000):
        inputs = op.operands(dtype, n)
        mask = np.random.default_rng(3).random(n) < 0.4
        mask[: n // 3] = True
        out = np.full(n, 5, dtype)
        expected = np.where(mask, op.function(*inputs), out)
        assert op.function(*inputs, out=out, where=mask) is out
        assert_same(out, expected, f"{op} with where")
        expected = np.where(mask[::-1], op.function(*inputs), inputs[0])
        op.function(*inputs, out=inputs[0], where=mask[::-1])
        assert_same(inputs[0], expected, f"{op} in place with where")


# -- in place and overlapping --


@each_ufunc
@each_dtype
def test_in_place(op, dtype):
    layouts = ("C", "reversed", "strided", "unaligned")
    for n, layout in [*itertools.product((5, 700), layouts), (70_001, "C")]:
        for k in range(op.ufunc.nin):
            inputs = op.operands(dtype, n)
            expected = op.ufunc(*inputs)
            inputs[k] = LAYOUTS[layout](inputs[k])
            assert op.ufunc(*inputs, out=inputs[k]) is inputs[k]
            assert_same(inputs[k], expected, f"{op} in place of input {k}, {layout}")
        same = LAYOUTS[layout](op.operands(dtype, n)[0])
        expected = op.ufunc(*[same.copy() for _ in range(op.ufunc.nin)])
        op.ufunc(*[same] * op.ufunc.nin, out=same)
        assert_same(same, expected, f"{op}, all operands one array, {layout}")


@each_ufunc
@pytest.mark.parametrize("shift", [1, -1, 20_000])
def test_overlap_at_a_million_elements(op, shift):
    size = abs(shift)
    for k in range(op.ufunc.nin):
        inputs = op.operands(np.float32, MILLION)
        memory = op.random(np.float32, MILLION + size, seed=4)[0]
        ahead, behind = memory[size:], memory[:MILLION]
        inputs[k], out = (ahead, behind) if shift > 0 else (behind, ahead)
        with relume.num_threads(1):
            expected = op.ufunc(*[a.copy() for a in inputs])
        wake_threads()
        with relume.num_threads(2):
            op.ufunc(*inputs, out=out)
        assert_same(out, expected, f"{op}, input {k} {shift} elements from out")


@each_ufunc
@each_dtype
def test_overlap_of_all_operands(op, dtype):
    """The operands overlap in one memory in every order, close together and across blocks."""
    nin = op.ufunc.nin
    for n, step in itertools.product((20, 3000), (1, 5, 513)):
        for offsets in itertools.permutations(range(nin + 1)):
            memory = op.random(dtype, n + step * nin, seed=5)[0]
            *inputs, out = [memory[step * i : step * i + n] for i in offsets]
            expected = op.ufunc(*[a.copy() for a in inputs])
            op.ufunc(*inputs, out=out)
            assert_same(out, expected, f"{op}, operands {step} apart in the order {offsets}")


@each_ufunc
@each_dtype
def test_overlap_with_other_strides(op, dtype):
    n = 3000
    views = {
        "reversed": lambda m: m[n - 1 :: -1],
        "every second": lambda m: m[: 2 * n : 2],
        "every second, reversed": lambda m: m[2 * n - 1 :: -2],
        "front": lambda m: m[:n],
        "middle": lambda m: m[n // 2 : n // 2 + n],
        "three bytes on": lambda m: m.view(np.uint8)[3 : 3 + n * m.itemsize].view(m.dtype),
        "one element": lambda m: np.broadcast_to(m[n // 2 : n // 2 + 1], n),
    }
    for k, (source, target) in itertools.product(
        range(op.ufunc.nin), itertools.permutations(views, 2)
    ):
        if target == "one element":
            continue
        inputs = op.operands(dtype, n)
        memory = op.random(dtype, 2 * n, seed=6)[0]
        inputs[k], out = views[source](memory), views[target](memory)
        expected = op.ufunc(*[a.copy() for a in inputs])
        op.ufunc(*inputs, out=out)
        assert_same(out.copy(), expected, f"{op}, input {k} {source}, out {target}")


# -- reduce, accumulate, reduceat, outer, at --


def python_accumulate(ufunc, a):
    """ufunc.accumulate along the first axis, one element after the other."""
    result = a.copy()
    for i in range(1, len(a)):
        for j in np.ndindex(a.shape[1:]):
            result[(i, *j)] = ufunc(result[(i - 1, *j)], a[(i, *j)])
    return result


@each_binary
@each_dtype
def test_reduce_and_accumulate(op, dtype):
    for shape in [(1,), (2,), (7,), (600,), (3, 40), (40, 3)]:
        a = op.random(dtype, shape)[0]
        for axis in range(a.ndim):
            expected = np.moveaxis(python_accumulate(op.ufunc, np.moveaxis(a, axis, 0)), 0, axis)
            what = f"{op} along axis {axis} of {shape}"
            assert_same(op.ufunc.accumulate(a, axis), expected, f"accumulate {what}")
            last = np.take(expected, -1, axis)
            assert_same(op.ufunc.reduce(a, axis), last, f"reduce {what}")
            kept = op.ufunc.reduce(a, axis, keepdims=True)
            assert_same(kept, np.expand_dims(last, axis), f"reduce {what}, keepdims")
            out = np.zeros_like(a)
            op.ufunc.accumulate(a, axis, out=out)
            assert_same(out, expected, f"accumulate {what} into out")
            op.ufunc.accumulate(a, axis, out=a)
            assert_same(a, expected, f"accumulate {what} in place")
            a = op.random(dtype, shape)[0]


@each_binary
@each_dtype
def test_reduceat(op, dtype):
    a = op.random(dtype, 700)[0]
    starts = [0, 5, 5, 300, 299, 650, 699]
    expected = []
    for start, end in zip(starts, [*starts[1:], len(a)], strict=True):
        part = a[start : max(end, start + 1)]
        expected.append(python_accumulate(op.ufunc, part)[-1])
    actual = op.ufunc.reduceat(a, starts)
    assert_same(actual, np.array(expected), f"{op}.reduceat")


@each_binary
@each_dtype
def test_reductions_of_large_arrays(op, dtype):
    """Each accumulated element depends on the one before it, so a race would change the result."""
    # Short chains over many columns, and one long chain. Factors near 1 avoid an early underflow.
    for shape in [(3, 100_000), (200_000,)]:
        a = (op.random(dtype, shape)[0] * 0.01 + 1).astype(dtype)
        a[0] *= -1
        chain = op.ufunc.accumulate(a)
        assert_same(chain[0], a[0], f"{op}.accumulate of {shape}, the first")
        assert_same(chain[1:], op.ufunc(chain[:-1].copy(), a[1:]), f"{op}.accumulate of {shape}")
        assert_same(op.ufunc.reduce(a), chain[-1], f"{op}.reduce of {shape}")
    columns = np.ascontiguousarray(a.reshape(-1, 2))
    chain = op.ufunc.accumulate(columns)
    assert_same(op.ufunc.reduce(columns), chain[-1], f"{op}.reduce of {columns.shape}")


@each_binary
@each_dtype
def test_outer(op, dtype):
    a, b = op.random(dtype, 40)[0], op.random(dtype, 70, seed=7)[0]
    expected = op.ufunc(np.repeat(a, 70).reshape(40, 70), np.tile(b, (40, 1)))
    assert_same(op.ufunc.outer(a, b), expected, f"{op}.outer")


@each(op for op in UFUNCS if op.ufunc.nin < 3)
@each_dtype
def test_at(op, dtype):
    a = op.random(dtype, 50)[0]
    index = [3, 7, 3, 49, 3, 0]
    others = op.random(dtype, len(index), seed=8)[: op.ufunc.nin - 1]
    others = [np.asarray(other) for other in others]
    expected = a.copy()
    for k, i in enumerate(index):
        expected[i] = op.ufunc(expected[i], *(other[k] for other in others))
    op.ufunc.at(a, index, *others)
    assert_same(a, expected, f"{op}.at")


# How `out` of n elements lies: in memory of its own, or in that of an input of n elements.
OUTS = {
    "reversed": lambda a: np.zeros_like(a)[::-1],
    "every second, reversed": lambda a: np.zeros((2 * len(a), *a.shape[1:]), a.dtype)[::-2],
    "the input": lambda a: a,
    "the input, reversed": lambda a: a[::-1],
}


@each_ufunc
def test_calls_into_an_out_with_negative_strides(op):
    """Each element is computed from the inputs as they were before the call."""
    inputs = op.operands(np.float32, 400)
    expected = np.array([op.ufunc(*row) for row in zip(*inputs, strict=True)])
    for k, layout in itertools.product(range(len(inputs)), OUTS):
        given = [a.copy() for a in inputs]
        out = OUTS[layout](given[k])
        op.ufunc(*given, out=out)
        assert_same(out.copy(), expected, f"{op}, out is {layout}, input {k}")


@each_binary
def test_accumulate_into_an_out_with_negative_strides(op):
    for layout, n in itertools.product(OUTS, (1, 2, 300)):
        a = op.random(np.float32, n)[0]
        expected = python_accumulate(op.ufunc, a)
        out = OUTS[layout](a)
        op.ufunc.accumulate(a, out=out)
        assert_same(out.copy(), expected, f"{op}.accumulate of {n}, out is {layout}")
    columns = np.resize(op.random(np.float32, 60)[0], (20, 3))
    for layout, axis in itertools.product(OUTS, (0, 1)):
        a = columns.copy()
        expected = np.moveaxis(python_accumulate(op.ufunc, np.moveaxis(a, axis, 0)), 0, axis)
        out = OUTS[layout](a)
        op.ufunc.accumulate(a, axis, out=out)
        assert_same(out.copy(), expected, f"{op}.accumulate along {axis}, out is {layout}")


@each_binary
def test_reduceat_into_an_out_with_negative_strides(op):
    n = 300
    before = op.random(np.float32, n)[0]
    starts = np.random.default_rng(3).integers(n, size=n)
    expected = []
    for start, end in zip(starts, [*starts[1:], n], strict=True):
        expected.append(python_accumulate(op.ufunc, before[start : max(end, start + 1)])[-1])
    for layout in OUTS:
        a = before.copy()
        out = OUTS[layout](a)
        op.ufunc.reduceat(a, starts, out=out)
        assert_same(out.copy(), np.array(expected), f"{op}.reduceat, out is {layout}")


@each_binary
def test_reduce_into_an_out_with_negative_strides(op):
    before = np.resize(op.random(np.float32, 90)[0], (30, 3))
    expected = python_accumulate(op.ufunc, before)[-1]
    for place in ("apart", "first row", "first row, reversed", "last row"):
        a = before.copy()
        out = {
            "apart": np.zeros(3, np.float32)[::-1], "first row": a[0],
            "first row, reversed": a[0, ::-1], "last row": a[-1],
        }[place]  # fmt: skip
        op.ufunc.reduce(a, 0, out=out)
        assert_same(out.copy(), expected, f"{op}.reduce, out is {place}")


@each_binary
def test_outer_into_an_out_with_negative_strides(op):
    a, b = op.random(np.float32, 20)[0], op.random(np.float32, 30, seed=7)[0]
    expected = np.array([[op.ufunc(x, y) for y in b] for x in a])
    for step in ((-1, 1), (1, -1), (-1, -1)):
        out = np.zeros((20, 30), np.float32)[:: step[0], :: step[1]]
        op.ufunc.outer(a, b, out=out)
        assert_same(out.copy(), expected, f"{op}.outer, out in steps of {step}")
    out = np.zeros((20, 30), np.float32)
    out[0] = b
    op.ufunc.outer(a, out[0], out=out)
    assert_same(out, expected, f"{op}.outer, out holds an input")


@each(op for op in UFUNCS if op.ufunc.nin < 3)
def test_at_with_negative_strides(op):
    memory = op.random(np.float32, 100)[0]
    index = [3, 7, 3, 49, 3, 0, -1]
    for step in (-1, -2):
        a = memory.copy()[::step][:50]
        others = op.random(np.float32, len(index), seed=8)[: op.ufunc.nin - 1]
        others = [np.asarray(other)[::-1] for other in others]
        expected = a.copy()
        for k, i in enumerate(index):
            expected[i] = op.ufunc(expected[i], *(other[k] for other in others))
        op.ufunc.at(a, index, *others)
        assert_same(a.copy(), expected, f"{op}.at in steps of {step}")


@each_ufunc
@pytest.mark.parametrize("layout", LAYOUTS)
def test_threads_in_any_layout(op, layout):
    """Chunks have the same limits for all strides, and together they fill out."""
    data, slopes = op.random(np.float32, 300_001), op.slopes(np.float32, 300_001)
    few = [a[:1] for a in slopes] or [a[:1] for a in data[1:]]
    for inputs in (data + slopes, [*(data + slopes)[: op.ufunc.nin - len(few)], *few]):
        laid_out = [LAYOUTS[layout](a) for a in inputs]
        out = LAYOUTS[layout](np.zeros(300_001, np.float32))
        with relume.num_threads(1):
            expected = op.ufunc(*inputs)
        with relume.num_threads(3):
            assert_same(op.ufunc(*laid_out), expected, f"{op} {layout}, three threads")
            op.ufunc(*laid_out, out=out)
        assert_same(out.astype(np.float32), expected, f"{op}, out {layout}, three threads")
