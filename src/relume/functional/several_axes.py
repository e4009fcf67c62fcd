"""Calls of the functions along an axis that their generalized ufuncs do not take as they are.

These are calls along several axes, on input without axes, and on large arrays that NumPy would
copy as a whole before it calls a ufunc: other dtypes, another byte order, memory that is not
aligned. Such arrays are converted in blocks of rows, and a long row in chunks, so that scratch
memory grows neither with the array nor with the row.
"""

import math
import operator
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray
from numpy.lib.array_utils import normalize_axis_tuple

from relume.ufuncs import along_axis

LONG: int = along_axis.LONG_ROW
BLOCK = 2 * LONG  # maximum number of elements that are converted together
CHUNK = LONG  # elements of a longer row
_SCALARS = (bool, int, float)


def is_small(axis: Any, x: Any) -> bool:
    """Whether a ufunc takes x as it is because it is a small array with axes; a quick test."""
    return type(x) is ndarray and type(axis) is int and 1 < x.size <= LONG


def is_direct(axis: Any, options: dict[str, Any], *operands: Any) -> bool:
    """Whether a ufunc takes these operands as they are, without a copy of a large array."""
    if type(axis) is not int:
        return False
    char = options.get("dtype")
    for a in operands:
        if isinstance(a, np.ndarray):
            if type(a) is not ndarray and isinstance(a, np.ma.MaskedArray):
                return False
            if a.size <= LONG:
                if a.ndim == 0:
                    return False
            elif (
                a.dtype.char not in "efd"
                or not (a.flags.aligned and a.dtype.isnative)
                or (char is not None and char != a.dtype.char)
            ):
                return False
            else:
                char = a.dtype.char
        elif a is not None and not getattr(a, "ndim", 0) and not np.ndim(a):
            return False
    return True


def is_foreign(a: Any) -> bool:
    """Whether an object handles ufuncs itself, as arrays of Dask and pandas do."""
    return not isinstance(a, np.ndarray | np.generic) and hasattr(a, "__array_ufunc__")


def axes_of(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes in ascending order, counted from the end: -ndim to -1.

    Input without axes has one of size 1 in effect, as in NumPy's reductions.
    """
    if axis is None:
        return tuple(range(-ndim, 0))
    if not isinstance(axis, tuple):
        axis = (operator.index(axis),)
    if ndim == 0 and axis in ((0,), (-1,)):
        return ()
    return tuple(sorted(i - ndim for i in normalize_axis_tuple(axis, ndim, "axis")))


class Options(NamedTuple):
    """What a ufunc takes beside operands and axes."""

    out: Any = None
    keepdims: bool = False
    dtype: Any = None
    casting: Any = "same_kind"
    order: Any = "K"
    subok: bool = True


def call(name: str, inputs: tuple[Any, ...], axis: Any, **options: Any) -> Any:
    """Call a function along one or several axes of its last input."""
    ufunc = getattr(along_axis, name)
    if type(axis) is tuple and len(axis) == 1:
        axis = axis[0]
    if _has_mask(*inputs, options.get("out")):
        return _masked(name, inputs, axis, options)
    if axis is not None and type(axis) is not tuple:
        axis = operator.index(axis)
        out = options.get("out")
        if (
            axis >= 0
            and ufunc.signature.startswith("(n),")
            and np.ndim(inputs[0]) != np.ndim(inputs[1])
        ):  # the ufunc counts the axis in each operand from the front
            return ufunc(*inputs, axis=axis, **options)
        reduces = ufunc.signature.endswith("()")
        if is_direct(axis, options, *inputs[reduces and ufunc.nin - 1 :], out) and not (
            reduces and isinstance(out, np.ndarray) and np.may_share_memory(out, inputs[-1])
        ):
            return ufunc(*inputs, axis=axis, **options)
    if options.get("where", True) is not True:
        raise TypeError(f"{name} does not take where: a row is computed as a whole")
    chosen = Options(**options)
    if type(chosen.out) is tuple and len(chosen.out) == 1:
        chosen = chosen._replace(out=chosen.out[0])
    if not (chosen.out is None or isinstance(chosen.out, np.ndarray) or is_foreign(chosen.out)):
        raise TypeError(f"out must be an array, got {type(chosen.out).__name__}")
    if any(is_foreign(a) for a in (*inputs, chosen.out)):
        return _foreign(ufunc, inputs, axis, chosen)
    is_row = [operand == "(n)" for operand in ufunc.signature.replace("->", ",").split(",")]
    arrays = [np.asanyarray(a) for a in inputs]
    subclass = next((a for a in arrays if type(a) is not np.ndarray), None)
    dtype = _dtype(ufunc, inputs, arrays, chosen)
    axes = axes_of(axis, arrays[-1].ndim)
    core = tuple(arrays[-1].shape[i] for i in axes)
    moved = [
        _moved(a.view(np.ndarray), axes, core, row) for a, row in zip(arrays, is_row, strict=False)
    ]
    outer = np.broadcast_shapes(
        *(a.shape[: a.ndim - len(core) * row] for a, row in zip(moved, is_row, strict=False))
    )
    out = _allocated(outer, axes, core, is_row[-1], dtype, chosen)
    overlaps = chosen.out is not None and any(_overlap(out, a) for a in arrays)
    rows = np.empty(out.shape, dtype) if overlaps else out.view(np.ndarray)
    target = rows
    if is_row[-1]:
        rows = _moved(rows, axes, core, True)
    elif chosen.keepdims:
        rows = rows[(..., *(0 if i in axes else slice(None) for i in range(-rows.ndim, 0)))]
    operands = [
        np.broadcast_to(a, outer + core * row)
        for a, row in zip((*moved, rows), is_row, strict=True)
    ]
    operands[-1] = rows
    _run(ufunc, operands, is_row, outer, core, dtype)
    if overlaps:
        np.copyto(out, target, casting="unsafe")
    if chosen.out is not None:
        return out
    if subclass is not None and chosen.subok:
        return subclass.__array_wrap__(out, None, False)
    return out if out.ndim else out[()]


# What stands for an element of the last input that does not count; of a gradient it is 0.
NEUTRAL = {"softmax_backward_from_output": 0.0}


def _masked(name, inputs, axis, options):
    """Call a function on the elements that are not masked; the result is masked where x is.

    A row of which nothing counts is masked as a whole.
    """
    out = options.get("out")
    plain = [np.ma.getdata(a) if isinstance(a, np.ma.MaskedArray) else a for a in inputs]
    *grads, x = plain
    *grad_masks, mask = map(np.ma.getmaskarray, inputs)
    dtype = _dtype(along_axis.softmax, (x,), [np.asanyarray(x)], Options())
    x = np.where(mask, dtype.type(NEUTRAL.get(name, -np.inf)), x) if mask.any() else x
    if name != "logsumexp_backward":  # whose gradient has no axis
        grad_masks = [each | mask for each in grad_masks]
    grads = [dtype.type(g) if type(g) in _SCALARS else g for g in grads]
    grads = [np.where(m, 0, g) if m.any() else g for g, m in zip(grads, grad_masks, strict=True)]
    given = {"out": np.ma.getdata(out)} if isinstance(out, np.ma.MaskedArray) else {}
    with np.errstate(invalid="ignore"):
        values = call(name, (*grads, x), axis, **options | given)
    if name == "logsumexp":
        axes = axes_of(axis, mask.ndim)
        mask = mask.all(axes, keepdims=options.get("keepdims", False))
    for each in grad_masks:
        if name == "logsumexp_backward" and each.ndim < mask.ndim:
            axes = axes_of(axis, mask.ndim)
            each = np.expand_dims(np.broadcast_to(each, np.delete(mask.shape, axes)), axes)
        mask = mask | each
    if out is not None and not given:
        return out
    if out is not None:
        out.mask = mask
        return out
    return np.ma.array(values, mask=mask)


def _dtype(ufunc, inputs, arrays, options):
    """The dtype of the computation, by NumPy's rules; TypeError if there is none."""
    given = [
        type(a) if type(a) in _SCALARS else b.dtype for a, b in zip(inputs, arrays, strict=True)
    ]
    if bool in given:
        given[given.index(bool)] = np.dtype(bool)
    out = None if options.out is None else options.out.dtype
    keywords: dict[str, Any] = {"casting": options.casting}
    if options.dtype is not None:
        keywords["signature"] = (*(None,) * ufunc.nin, np.dtype(options.dtype))
    return ufunc.resolve_dtypes((*given, out), **keywords)[-2]


def _moved(a, axes, core, is_row):
    """View an operand with the axes of its rows at the end."""
    if not is_row:
        return a
    if a.ndim < -min(axes, default=0) or tuple(a.shape[i] for i in axes) != core:
        raise ValueError(
            f"the shapes do not match along the axes {axes}: expected the sizes {core} there, got "
            f"an array of shape {a.shape}"
        )
    axes = [i + a.ndim for i in axes]
    return a.transpose([i for i in range(a.ndim) if i not in axes] + axes)


def _allocated(outer, axes, core, is_row, dtype, options):
    """The result, in the order of the input's axes, or `out` if its shape is right."""
    shape = list(outer)
    if is_row or options.keepdims:
        ndim = len(outer) + len(axes)
        for i, size in zip(axes, core, strict=True):  # ascending
            shape.insert(i + ndim, size if is_row else 1)
    if options.out is None:
        return np.empty(shape, dtype)
    if options.out.shape != tuple(shape):
        raise ValueError(f"out must have the shape {tuple(shape)}, got {options.out.shape}")
    if not options.out.flags.writeable:
        raise ValueError("out is read-only; pass an array that can be written")
    return options.out


def _overlap(out, a):
    """Whether blocks written to `out` could change an input's elements before they are read."""
    same = (out.__array_interface__["data"], out.strides, out.shape, out.dtype)
    if same == (a.__array_interface__["data"], a.strides, a.shape, a.dtype):
        return False
    return np.may_share_memory(out, a)


def _run(ufunc, operands, is_row, outer, core, dtype):
    """Compute rows of several axes, in blocks unless the ufunc can take them without a copy."""
    n = math.prod(core)
    if math.prod(outer) * n > BLOCK and not all(
        _is_plain(a, len(core) * row, dtype) for a, row in zip(operands, is_row, strict=True)
    ):
        longest = max(range(len(outer)), key=outer.__getitem__, default=0)
        if outer and outer[longest] > 1:
            half = outer[longest] // 2
            before = (slice(None),) * longest
            for part in (slice(half), slice(half, None)):
                parts = [a[(*before, part)] for a in operands]
                size = half if part.start is None else outer[longest] - half
                shape = (*outer[:longest], size, *outer[longest + 1 :])
                _run(ufunc, parts, is_row, shape, core, dtype)
        else:
            _run_long_row(ufunc, operands, is_row, n, dtype)
        return
    merged = [
        a.reshape(outer + (n,) * row).astype(dtype, copy=False)
        for a, row in zip(operands[:-1], is_row, strict=False)
    ]
    if _is_plain(operands[-1], len(core) * is_row[-1], dtype):
        ufunc(*merged, out=operands[-1].reshape(outer + (n,) * is_row[-1]))
    else:
        result = ufunc(*merged)
        np.copyto(operands[-1], result.reshape(operands[-1].shape), casting="unsafe")


def _is_plain(a, n_core, dtype):
    """Whether the ufunc takes an operand as it is, its last axes merged to one without a copy."""
    if a.dtype != dtype or not (a.dtype.isnative and a.flags.aligned):
        return False
    if n_core == 0:
        return True
    return n_core == 1 or all(
        a.strides[i] == a.strides[i + 1] * a.shape[i + 1] for i in range(-n_core, -1)
    )


def _run_long_row(ufunc, operands, is_row, n, dtype):
    """Compute one row, of which chunks are converted one after the other in several passes."""
    row = along_axis.LongRow(ufunc.__name__, dtype == np.float64, n)
    single = np.float64 if dtype == np.float64 else np.float32
    spans = [
        np.empty(min(n, CHUNK), single) if is_row[k] else a.astype(single).reshape(1)
        for k, a in enumerate(operands)
    ]
    flat = [a.reshape(-1) if a.ndim and a.size == max(a.shape) else a.flat for a in operands]
    out = len(operands) - 1
    for number in range(row.count):
        for start in range(0, n, CHUNK):
            stop = min(n, start + CHUNK)
            for k in range(out):
                if is_row[k] and row.reads(number, k):
                    # Rounded to float16 first where that is the dtype.
                    spans[k][: stop - start] = flat[k][start:stop].astype(dtype, copy=False)
            row.run(number, start, stop - start, spans)
            if number == row.count - 1 and is_row[out]:
                flat[out][start:stop] = spans[out][: stop - start].astype(dtype, copy=False)
    row.run(row.count, n, 0, spans)
    if not is_row[out]:
        operands[out][...] = spans[out].astype(dtype)[0]


def _foreign(ufunc, inputs, axis, options):
    """Call a ufunc on arrays of other libraries, whose axes they merge themselves if they can."""
    keywords = {k: v for k, v in options._asdict().items() if v != Options._field_defaults[k]}
    x = inputs[-1]
    if axis is not None and type(axis) is not tuple:
        return ufunc(*inputs, axis=axis, **keywords)
    axes = axes_of(axis, x.ndim)
    if len(axes) == 1:
        return ufunc(*inputs, axis=axes[0], **keywords)
    if options.out is not None or not all(
        hasattr(a, "reshape") and hasattr(a, "transpose") for a in inputs
    ):
        arrays = tuple(np.asarray(a) for a in inputs)
        return call(ufunc.__name__, arrays, axis, **keywords)
    rows = [i + x.ndim for i in axes]
    others = [i for i in range(x.ndim) if i not in rows]
    outer = tuple(x.shape[i] for i in others)
    keepdims = keywords.pop("keepdims", False)
    moved = [
        a.transpose(others + rows).reshape((*outer, -1)) if a.ndim == x.ndim else a for a in inputs
    ]
    result = ufunc(*moved, axis=-1, **keywords)
    if result.ndim == len(outer):
        kept = tuple(1 if i in rows else n for i, n in enumerate(x.shape))
        return result.reshape(kept) if keepdims else result
    order = others + rows
    result = result.reshape(tuple(x.shape[i] for i in order))
    return result.transpose([order.index(i) for i in range(x.ndim)])


# -- logsumexp with weights -----------------------------------------------------------------------


def weighted_logsumexp(x, b, axis, *, return_sign=False, **options):
    """The logarithm of the absolute value of sum(b * exp(x)), and the sign of the sum."""
    chosen = Options(**options)
    if not (chosen.out is None or isinstance(chosen.out, np.ndarray)):
        raise TypeError(f"out must be an array, got {type(chosen.out).__name__}")
    arrays = [np.asarray(a) for a in (x, b)]
    dtype = _dtype(along_axis.softmax_backward, (x, b), arrays, chosen)
    hidden = np.ma.getmaskarray(x) | np.ma.getmaskarray(b) if _has_mask(x, b) else None
    if hidden is not None:
        arrays[1] = np.where(hidden, 0, arrays[1])
    arrays = np.broadcast_arrays(*arrays)
    axes = axes_of(axis, arrays[0].ndim)
    core = tuple(arrays[0].shape[i] for i in axes)
    a, b = (_moved(each, axes, core, True) for each in arrays)
    outer = a.shape[: a.ndim - len(core)]
    value, sign = np.empty(outer), np.empty(outer)
    _run_weighted(a, b, value, sign, outer, math.prod(core), dtype)
    if not return_sign:
        value[sign < 0] = np.nan
    out = _allocated(outer, axes, core, False, dtype, chosen)
    np.copyto(out, value.reshape(out.shape), casting="unsafe")
    sign = sign.astype(dtype).reshape(out.shape)
    if hidden is not None:
        nothing = hidden.all(axes, keepdims=True).reshape(out.shape)
        out, sign = np.ma.array(out, mask=nothing), np.ma.array(sign, mask=nothing)
    elif chosen.out is None and not out.ndim:
        out = out[()]
    return (out, sign if sign.ndim else sign[()]) if return_sign else out


def _has_mask(*arrays):
    return any(isinstance(a, np.ma.MaskedArray) for a in arrays)


def _run_weighted(a, b, value, sign, outer, n, dtype):
    if math.prod(outer) * n > BLOCK and outer and max(outer) > 1:
        longest = max(range(len(outer)), key=outer.__getitem__)
        half = outer[longest] // 2
        for part in (slice(half), slice(half, None)):
            index = (*(slice(None),) * longest, part)
            shape = value[index].shape
            _run_weighted(a[index], b[index], value[index], sign[index], shape, n, dtype)
        return
    rows = math.prod(outer)

    def chunks():
        for start in range(0, n, CHUNK):
            for_rows = slice(start, start + CHUNK) if rows == 1 else slice(None)
            x, weight = (
                each.flat[for_rows].astype(dtype).astype(np.float64).reshape(rows, -1)
                for each in (a, b)
            )
            yield np.where(weight == 0, -np.inf, x), weight
            if rows != 1:
                return

    with np.errstate(all="ignore"):
        value[...], sign[...] = (r.reshape(outer) for r in _log_of_weighted_sum(chunks, rows))


def _log_of_weighted_sum(chunks, rows):
    """The maxima count apart from the other terms, which their sum with 1 would lose."""
    top = np.full(rows, -np.inf)
    for x, _ in chunks():
        top = np.maximum(top, x.max(-1))
    ahead, others = np.zeros(rows), np.zeros(rows)
    above, below = np.zeros(rows, bool), np.zeros(rows, bool)
    for x, weight in chunks():
        is_top = x == top[:, None]
        above |= (is_top & (weight > 0)).any(-1)
        below |= (is_top & (weight < 0)).any(-1)
        ahead += np.where(is_top, weight, 0).sum(-1)
        others += np.where(is_top, 0, weight * np.exp(x - top[:, None])).sum(-1)
    total = ahead + others
    small = abs(others) < abs(ahead) / 2
    logarithm = np.where(small, np.log(abs(ahead)) + np.log1p(others / ahead), np.log(abs(total)))
    value, sign = top + logarithm, np.sign(total)
    sign = np.where(top == np.inf, np.where(above & below, np.nan, 1.0 * above - below), sign)
    value = np.where(top == np.inf, np.where(above & below, np.nan, np.inf), value)
    sign = np.where(top == -np.inf, 0, sign)
    return np.where(top == -np.inf, -np.inf, value), sign
