"""The engine's matrix products against NumPy's in float64, at every edge of their tiles."""

import ctypes
import mmap
import sys
from fractions import Fraction

import numpy as np
import pytest

import relume
from relume import nn
from relume.engine import ops
from relume.kernels import dispatch
from tests.support import twin as plain

# Rows, inputs, hidden units, outputs: tails of tiles in each, deeper than a panel (256), rows
# of weights so far apart that they are copied (4,096 bytes), one row, and so many rows and weights
# (512, 2 MB) that shards are larger.
SHAPES = [
    *((rows, 5, 33, 3) for rows in range(1, 20)),
    *((7, 6, width, 4) for width in range(1, 67)),
    *((9, width, 17, width) for width in (1, 2, 15, 16, 17, 31, 32, 33, 64, 65)),
    (1, 300, 600, 10), (3, 300, 600, 10), (70, 300, 600, 10), (129, 520, 40, 300),
    (70, 300, 1100, 10), (601, 520, 1100, 10),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-13)])
def test_products_and_gradients_are_numpys(dtype, tolerance):
    for rows, n_in, hidden, n_out in SHAPES:
        rng = np.random.default_rng(rows + hidden)
        X, dz = rng.normal(size=(rows, n_in)), rng.normal(size=(rows, n_out))
        net = nn.Network([nn.Dense(hidden, "relu", bias_init=0.1), nn.Dense(n_out)], loss="mse",
                         seed=0, dtype=dtype).build(n_in)  # fmt: skip
        state = {name: value.astype(np.float64) for name, value in net.state_dict().items()}
        X, dz = X.astype(dtype), dz.astype(dtype)
        W, V = state["0.weight"], state["2.weight"]
        h = np.maximum(X.astype(np.float64) @ W.T + state["0.bias"], 0)
        dh = (dz.astype(np.float64) @ V) * (h > 0)
        expected = {
            "z": h @ V.T + state["2.bias"], "dX": dh @ W, "0.weight": dh.T @ X,
            "0.bias": dh.sum(axis=0), "2.weight": dz.T @ h, "2.bias": dz.sum(axis=0),
        }  # fmt: skip
        found = {"z": net.forward(X, training=True), "dX": net.backward(dz), **net.gradients()}
        for name, value in expected.items():
            np.testing.assert_allclose(
                found[name], value, rtol=0, atol=tolerance * max(1, abs(value).max()),
                err_msg=f"{name} of {dtype}, shape {(rows, n_in, hidden, n_out)}",
            )  # fmt: skip
        np.testing.assert_array_equal(net.forward(X), found["z"])


@pytest.mark.usefixtures("_all_threads")
@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("rows", [9, 130, 601])
def test_a_step_in_larger_shards_or_tiles_is_the_twins(rows, threads):
    X, y = plain.data(rows, 520, 10)
    net, twin = plain.pair(520, [1100, 10], [("relu", {}), None], optimizer=("SGD", {"lr": 0.1}))
    with relume.num_threads(threads):
        assert net.train_on_batch(X, y) == pytest.approx(twin.train_on_batch(X, y), rel=1e-12)
    plain.assert_close_parameters(net, twin, 1e-12)


# -- the product itself ---------------------------------------------------------------------------

# m, n, k: tails of tiles and halves of a last one, few and many panels, rows that are not aligned
# and are copied, several parts of b, more columns than sums have room for, and a transposed a of
# more than 2 MB for few columns.
PRODUCTS = [
    (1, 40, 30), (2, 3, 1), (5, 33, 17), (7, 17, 64), (8, 16, 300), (13, 8, 257), (14, 50, 192),
    (27, 50, 400), (33, 100, 65), (64, 64, 64), (14, 1030, 20), (26, 513, 520), (31, 1100, 300),
    (129, 200, 700), (125, 19, 4300), (41, 9, 7000),
]  # fmt: skip
by_product = pytest.mark.parametrize(("m", "n", "k"), PRODUCTS)
by_layout = pytest.mark.parametrize(
    "layout", [{}, {"transposed_b": True}, {"transposed_a": True}], ids=["x W", "d W^T", "x^T d"]
)
by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def matrices(m, n, k, dtype):
    rng = np.random.default_rng(m * n + k)
    return (rng.normal(size=shape).astype(dtype) for shape in ((m, k), (k, n), (m, n)))


def product(a, b, out=None, transposed_a=False, transposed_b=False, **options):
    """a b, computed from the transposed of either where so said."""
    out = np.full((len(a), b.shape[1]), np.nan, a.dtype) if out is None else out.copy()
    ops.multiply(np.ascontiguousarray(a.T if transposed_a else a),
                 np.ascontiguousarray(b.T if transposed_b else b), out,
                 transposed_a=transposed_a, transposed_b=transposed_b, **options)  # fmt: skip
    return out


@by_dtype
@by_layout
@by_product
def test_bits_of_a_row_do_not_depend_on_the_others_nor_on_what_is_copied(m, n, k, layout, dtype):
    """A tile that adds the rows of b in another order has other bits."""
    a, b, c = matrices(m, n, k, dtype)
    bias = c[0].copy()
    rows = np.concatenate([product(a[i : i + 1], b, bias=bias, scratch=0) for i in range(m)])
    for scratch in (0, m * 256 + 200, m * 512 + 200, None):
        np.testing.assert_array_equal(product(a, b, bias=bias, scratch=scratch, **layout), rows)


@by_dtype
@by_layout
@by_product
def test_the_error_is_that_of_a_sum(m, n, k, layout, dtype):
    a, b, c = matrices(m, n, k, dtype)
    exact = a.astype(np.longdouble) @ b + c
    bound = (k + 1) * np.finfo(dtype).eps * (abs(a).astype(np.longdouble) @ abs(b) + abs(c))
    found = product(a, b, out=c, accumulate=True, **layout)
    assert (abs(found - exact) <= bound).all()


@pytest.mark.skipif(dispatch.name == "baseline", reason="it has no fused multiply-add")
@by_layout
def test_products_are_added_in_order_and_rounded_once(layout):
    a, b, c = matrices(13, 97, 259, "float32")
    found = product(a, b, bias=c[0], **layout)
    for i, j in ((0, 0), (5, 16), (6, 95), (12, 96)):
        total = c[0, j]
        for x, y in zip(a[i], b[:, j], strict=True):
            total = rounded(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(total)))
        assert found[i, j] == total


def rounded(x):
    """A fraction in float32, rounded once, to even where it lies halfway."""
    near = np.float32(float(x))
    others = [
        near,
        np.nextafter(near, np.float32(np.inf)),
        np.nextafter(near, np.float32(-np.inf)),
    ]
    return min(others, key=lambda y: (abs(Fraction(float(y)) - x), int(y.view(np.int32)) & 1))


@by_dtype
@by_layout
@by_product
def test_what_is_applied_to_a_product_is_applied_to_its_last_sum(m, n, k, layout, dtype):
    a, b, c = matrices(m, n, k, dtype)
    plain, added = product(a, b), product(a, b, out=c, accumulate=True)
    rectified = product(a, b, rectify=True, **layout)
    np.testing.assert_array_equal(rectified, np.maximum(plain, 0))
    masked = product(a, b, out=c, accumulate=True, positive=plain, **layout)
    np.testing.assert_array_equal(masked, np.where(plain > 0, added, 0))


@by_dtype
@by_layout
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_special_values_stay_in_their_rows_and_columns(value, layout, dtype):
    a, b, _ = matrices(31, 1100, 300, dtype)
    plain = product(a, b)
    a[17, 3] = b[299, 1099] = value
    found = product(a, b, **layout)
    hit = np.zeros(found.shape, bool)
    hit[17] = hit[:, 1099] = True
    assert not np.isfinite(found[hit]).any()
    np.testing.assert_array_equal(found[~hit], plain[~hit])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(found[hit], (a @ b)[hit])


@by_dtype
@by_layout
def test_subnormal_products_are_exact(layout, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    a, b = np.ones((27, 300), dtype), np.full((300, 250), tiny)
    np.testing.assert_array_equal(product(a, b, **layout), np.full((27, 250), 300 * tiny))


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect is called")
@by_dtype
@by_layout
@pytest.mark.parametrize(("m", "n", "k"), [*PRODUCTS, (3, 9, 5), (25, 201, 259)])
def test_no_operand_is_read_past_its_end(m, n, k, layout, dtype):
    """A whole vector read at the end of an operand crashes where the next page is nobody's."""
    a, b, c = matrices(m, n, k, dtype)
    expected = product(a, b, bias=c[0], positive=c)
    a = a.T if layout.get("transposed_a") else a
    b = b.T if layout.get("transposed_b") else b
    held = [before_a_wall(x) for x in (a, b, c, c[0], c)]
    (a, b, out, bias, positive), pages = zip(*held, strict=True)
    ops.multiply(a, b, out, bias=bias, positive=positive, **layout)
    np.testing.assert_array_equal(out, expected)
    assert pages


def before_a_wall(x):
    """A copy of an array that ends where a page begins that may not be read; and its memory."""
    size = -(-x.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, size + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + size), mmap.PAGESIZE, 0) == 0
    copy = np.frombuffer(memory, x.dtype, x.size, size - x.nbytes).reshape(x.shape)
    copy[...] = x
    return copy, memory
