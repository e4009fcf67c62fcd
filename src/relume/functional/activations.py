"""The public activation functions, made from the kernels' table.

A row without parameters, or whose parameter is learnable, is its ufunc. A row with parameters is a
thin function over a ufunc in which each parameter is one more broadcasting input. By hand there
are those that are more than one ufunc: `prelu_backward`, `gelu`, which has two forms, and `rrelu`,
which draws its slopes.
"""

import functools
import math
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relume.functional.docstrings import INPUTS, docstring, domain_of
from relume.ufuncs import along_axis as kernels
from relume.ufuncs import elementwise as ufuncs

ROWS: dict[str, dict[str, Any]] = {row["name"]: row for row in ufuncs.rows()}


def parameters_of(row: dict[str, Any]) -> dict[str, float | None]:
    """The parameters of a row as {name: default, or None where it has none}."""
    pairs = (text.partition("=") for text in row["parameters"].split(",") if text)
    return {name.strip(): float(value) if value else None for name, _, value in pairs}


def holds(domain: str, values: dict[str, Any]) -> bool:
    """Whether a domain, a Python expression in the parameters' names, is true of these values."""
    return not domain or bool(eval(domain, {"inf": math.inf}, dict(values)))


def _require(condition, domain, values, arrays):
    """Raise unless a condition on parameters holds; on arrays it counts only if `arrays`."""
    values = {
        name: value if isinstance(value, int | float) else np.asarray(value)
        for name, value in values.items()
    }
    fulfilled = condition(**values)
    if np.all(fulfilled) or (np.ndim(fulfilled) and not arrays):
        return
    got = ", ".join(f"{name}={value!r}" for name, value in values.items())
    raise ValueError(f"{got} is outside the domain; allowed is {domain}")


def _function(row, direction, name, ufunc):
    """The function `name(*inputs, <parameter>[=<default>], *, out=None, **kwargs)` over a ufunc.

    Written as source and compiled, as dataclasses does, so that it costs a call no more than a
    function written by hand, and has its signature. A call that unpacks no kwargs takes 1.0 us
    instead of 1.3.
    """
    parameters = parameters_of(row)
    names = ", ".join(parameters)
    inputs = ", ".join(INPUTS[direction])
    defaults = ", ".join(
        key if default is None else f"{key}={default!r}" for key, default in parameters.items()
    )
    lines = [f"def {name}({inputs}, {defaults}, *, out=None, **kwargs):"]
    if domain := domain_of(row, direction):
        floats = " and ".join(f"type({key}) is float" for key in parameters)
        values = ", ".join(f"{key}={key}" for key in parameters)
        arrays = direction != "forward"
        lines += [
            f"    if not ({floats} and {domain}):",
            f"        require(lambda {names}: {domain}, {domain!r}, dict({values}), {arrays})",
        ]
    lines += [
        "    if kwargs:",
        f"        return ufunc({inputs}, {names}, out=out, **kwargs)",
        f"    return ufunc({inputs}, {names}, out=out)",
    ]
    scope = {"require": _require, "ufunc": ufunc, "inf": math.inf, "__name__": __name__}
    exec(compile("\n".join(lines), f"<relume.{name}>", "exec"), scope)
    function = scope[name]
    function.__doc__ = docstring(row, direction, name, parameters)
    function.ufunc = ufunc
    return function


def _make(row, direction):
    """The public function or ufunc of one direction of a row."""
    name = row["name"] if direction == "forward" else f"{row['name']}_{direction}"
    parameters = {} if direction == "parameter_gradient" else parameters_of(row)
    shared = list(ROWS.values())[row["same_kernel_as"]]
    if direction == "forward" and shared is not row:
        ufunc = getattr(ufuncs, shared["name"])
    else:
        doc = docstring(row, direction, name, parameters)
        ufunc = ufuncs.make_ufunc(row["index"], direction, len(parameters), name, doc)
    if not parameters or "parameter_gradient" in row["directions"]:
        return name, ufunc
    return name, _function(row, direction, name, ufunc)


def _public():
    """The public names and what they are."""
    functions = {}
    for row in ROWS.values():
        for direction in row["directions"]:
            name, made = _make(row, direction)
            # A learnable parameter's row gives its two gradients together, by hand.
            if direction == "forward" or "parameter_gradient" not in row["directions"]:
                functions[name] = made
                if row["alias"]:
                    functions[name.replace(row["name"], row["alias"])] = made
    return functions


_functions = _public()
globals().update(_functions)
__all__ = [
    *_functions,
    "prelu_backward",
    "rrelu",
    "rrelu_backward",
]


# -- prelu ----------------------------------------------------------------------------------------


def _merged(shape, weight_shape):
    """Axes that follow each other and are all summed for the weight, or all not, made one.

    Returns the sizes of what is left, and whether they are summed.
    """
    sizes, summed = [], []
    for n, kept in zip(shape, (1,) * (len(shape) - len(weight_shape)) + weight_shape, strict=True):
        if n == 1:
            continue
        if summed and summed[-1] == (kept == 1):
            sizes[-1] *= n
        else:
            sizes.append(n)
            summed.append(kept == 1)
    return sizes, summed


@functools.lru_cache(maxsize=128)
def _summation(shape, weight_shape):
    """How to sum for the weight; None if there is nothing to sum.

    The sizes of the inputs, the axis that the kernel sums along, which is the longest, the sizes
    of weight and sums there, and the few axes along which the sums are added up after it.
    """
    sizes, summed = _merged(shape, weight_shape)
    if True not in summed:
        return None
    axis = max((n, i) for i, n in enumerate(sizes) if summed[i])[1]
    others = [i for i in range(len(sizes)) if i != axis]
    weight_sizes = [1 if summed[i] else sizes[i] for i in others]
    rest = tuple(k for k, i in enumerate(others) if summed[i])
    return sizes, axis, weight_sizes, [sizes[i] for i in others], rest


def _alike(ufunc, *inputs):
    """The dtype to which a ufunc of one output brings its inputs, and these as arrays of it."""
    dtype = getattr(inputs[0], "dtype", None)
    same = [a for a in inputs if dtype is not None and getattr(a, "dtype", None) is dtype]
    if len(same) < len(inputs) or dtype.char not in "efd" or not dtype.isnative:
        inputs = [a if type(a) in (int, float) else np.asarray(a) for a in inputs]
        dtype = ufunc.resolve_dtypes((*(getattr(a, "dtype", type(a)) for a in inputs), None))[-1]
    return dtype, *(np.asarray(a, dtype) for a in inputs)


def prelu_backward(
    grad: ArrayLike, x: ArrayLike, weight: ArrayLike
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Compute the gradients of `prelu` with respect to its input and its weight.

    Computes ``grad * (1 where x > 0, else weight)``, and ``grad * (x where x < 0, else 0)``
    summed over the axes along which `weight` was broadcast.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the output.
    x : array_like
        Input of the forward pass.
    weight : array_like
        Slopes of the forward pass, broadcast against `x` as NumPy does (last axes).

    Returns
    -------
    grad_x : ndarray
        Of the inputs' common dtype and broadcast shape.
    grad_weight : ndarray
        Of the same dtype and the shape of `weight`.

    Raises
    ------
    TypeError
        If an input has a dtype that cannot be cast safely to float16, float32 or float64.
    ValueError
        If the shapes do not broadcast.

    Notes
    -----
    At 0 the derivatives are ``weight`` and 0, as PyTorch's. NaN in x or grad gives NaN.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers: surpassing human-level
    performance on ImageNet classification", ICCV 2015.

    Examples
    --------
    >>> import numpy as np
    >>> import relume
    >>> relume.prelu_backward(np.ones(3), np.array([-2.0, 0.0, 3.0]), 0.5)
    (array([0.5, 0.5, 1. ]), array(-2.))
    """
    shape, weight_shape = np.broadcast(grad, x, weight).shape, np.shape(weight)
    summation = _summation(shape, weight_shape)
    if summation is None:
        grad_x = ufuncs.prelu_backward(grad, x, weight)
        grad_weight = np.empty(weight_shape, grad_x.dtype)
        ufuncs.prelu_parameter_gradient(grad, x, out=grad_weight.reshape(shape))
        return grad_x, grad_weight
    sizes, axis, weight_sizes, sums_sizes, rest = summation
    dtype, grad, x, weight = _alike(ufuncs.prelu_backward, grad, x, weight)
    if not grad.shape == x.shape == shape:
        grad, x = np.broadcast_to(grad, shape), np.broadcast_to(x, shape)
    grad_x = np.empty(shape, dtype)
    sums = np.empty(sums_sizes, np.float64 if dtype == np.float64 else np.float32)
    kernels.prelu_backward(
        grad.reshape(sizes), x.reshape(sizes), weight.reshape(weight_sizes),
        out=(grad_x.reshape(sizes), sums), axes=[(axis,), (axis,), (), (axis,), ()],
    )  # fmt: skip
    if rest or sums.dtype != dtype:
        with np.errstate(all="ignore"):
            sums = np.asarray(np.add.reduce(sums, axis=rest), dtype)
    return grad_x, sums.reshape(weight_shape)


# -- gelu -----------------------------------------------------------------------------------------


def _gelu(approximate, exact, by_tanh):
    """The ufunc that `approximate` names."""
    if approximate == "none":
        return exact
    if approximate == "tanh":
        return by_tanh
    raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")


def gelu(x, approximate: Literal["none", "tanh"] = "none", **kwargs):
    return _gelu(approximate, ufuncs.gelu, ufuncs.gelu_tanh)(x, **kwargs)


def gelu_backward(grad, x, approximate: Literal["none", "tanh"] = "none", **kwargs):
    return _gelu(approximate, ufuncs.gelu_backward, ufuncs.gelu_tanh_backward)(grad, x, **kwargs)


for _function_by_hand in (gelu, gelu_backward):
    _ufunc = getattr(ufuncs, _function_by_hand.__name__)
    _function_by_hand.ufunc = _ufunc
    _function_by_hand.__doc__ = _ufunc.__doc__.partition(")\n\n")[2].replace(
        "**kwargs : optional",
        'approximate : {"none", "tanh"}, default="none"\n'
        "    Whether to compute the function itself, or `gelu_tanh`.\n"
        "**kwargs : optional",
    )


# -- rrelu: Xu et al., 2015 -----------------------------------------------------------------------


def _mean_slope(lower, upper):
    if not -math.inf < lower <= upper < math.inf:
        raise ValueError(
            f"lower={lower!r}, upper={upper!r}: lower <= upper, both finite, is needed"
        )
    return (lower + upper) / 2


@functools.lru_cache(maxsize=16)
def _interval(lower, upper, dtype):
    """Of the slopes of a dtype: that of the numbers drawn, the least one, the width, the most."""
    # Rounding may reach `upper`, which the interval does not hold.
    below = np.nextafter(dtype.type(upper), dtype.type(-math.inf))
    drawn = np.promote_types(dtype, np.float32)
    ends = (lower, upper - lower, max(below, dtype.type(lower)))
    return drawn, *(np.asarray(end, drawn) for end in ends)


def _drawn(lower, upper, x, rng):
    """A slope in [lower, upper) for each element of x, of the dtype of the result."""
    x = np.asarray(x)
    dtype = ufuncs.sigmoid.resolve_dtypes((x.dtype, None))[1]
    drawn, least, width, most = _interval(float(lower), float(upper), dtype)
    # Two float32 from one double.
    numbers = rng.random(x.size if drawn == np.float64 else (x.size + 1) // 2).view(drawn)
    slope = ufuncs.uniform(numbers, least, width, most)[: x.size].reshape(x.shape)
    return slope if drawn == dtype else np.minimum(slope.astype(dtype), most.astype(dtype))


@overload
def rrelu(
    x: ArrayLike, lower: float = ..., upper: float = ..., training: bool = ..., *,
    rng: np.random.Generator | None = ..., return_slope: Literal[False] = ..., out: Any = ...,
    **kwargs: Any,
) -> NDArray[Any]: ...  # fmt: skip
@overload
def rrelu(
    x: ArrayLike, lower: float = ..., upper: float = ..., training: bool = ..., *,
    rng: np.random.Generator | None = ..., return_slope: Literal[True], out: Any = ...,
    **kwargs: Any,
) -> tuple[NDArray[Any], Any]: ...  # fmt: skip
def rrelu(
    x,
    lower=1 / 8,
    upper=1 / 3,
    training=False,
    *,
    rng=None,
    return_slope=False,
    out=None,
    **kwargs,
):
    """Randomized leaky rectified linear unit.

    Computes ``x where x > 0, else slope * x``, the slope drawn for each element in training.

    Parameters
    ----------
    x : array_like
        Input.
    lower, upper : float, default=1/8, 1/3
        The slopes are uniform in [lower, upper).
    training : bool, default=False
        Whether to draw the slopes. Otherwise each is their mean.
    rng : numpy.random.Generator, optional
        What draws the slopes; needed in training.
    return_slope : bool, default=False
        Whether to return the slopes too, as the backward pass needs them.
    out : ndarray, optional
        Where the result goes.
    **kwargs : optional
        As for `prelu`, which computes it.

    Returns
    -------
    y : ndarray or scalar
        Of the floating dtype and shape of `x`.
    slope : ndarray or float
        With ``return_slope=True``: of the same dtype and shape; the mean slope out of training.

    Raises
    ------
    TypeError
        If `rng` is no Generator in training.
    ValueError
        If not ``lower <= upper``, both finite.

    Notes
    -----
    The derivative at 0 is the slope, as PyTorch's. NaN in x gives NaN. The error is at most 2 ULP.

    References
    ----------
    B. Xu, N. Wang, T. Chen and M. Li, "Empirical evaluation of rectified activations in
    convolutional network", arXiv:1505.00853.

    Examples
    --------
    >>> import numpy as np
    >>> import relume
    >>> relume.rrelu(np.array([-2.0, 3.0]), 0.25, 0.75)
    array([-1.,  3.])
    >>> y, slope = relume.rrelu(np.array([-2.0, 3.0]), training=True, return_slope=True,
    ...                         rng=np.random.default_rng(0))
    >>> bool(y[0] == -2 * slope[0])
    True
    """
    slope = _mean_slope(lower, upper)
    if training:
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator in training, got {rng!r}")
        slope = _drawn(lower, upper, x, rng)
    y = ufuncs.prelu(x, slope, out=out, **kwargs) if kwargs else ufuncs.prelu(x, slope, out=out)
    return (y, slope) if return_slope else y


def rrelu_backward(
    grad: ArrayLike,
    x: ArrayLike,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    *,
    slope: ArrayLike | None = None,
    out: Any = None,
    **kwargs: Any,
) -> NDArray[Any]:
    """Gradient of `rrelu`.

    Computes ``grad * (1 where x > 0, else slope)``.

    Parameters
    ----------
    grad : array_like
        Gradient with respect to the output.
    x : array_like
        Input of the forward pass.
    lower, upper : float, default=1/8, 1/3
        Where no slopes are given, each is their mean.
    slope : array_like, optional
        The slopes that the forward pass returned.
    out : ndarray, optional
        Where the result goes.
    **kwargs : optional
        As for every `numpy.ufunc`.

    Returns
    -------
    ndarray or scalar
        Of the inputs' common dtype and shape.

    Raises
    ------
    ValueError
        If not ``lower <= upper``, both finite.

    Notes
    -----
    The derivative at 0 is the slope, as PyTorch's. NaN in x or grad gives NaN. The error is at
    most 2 ULP.

    References
    ----------
    B. Xu, N. Wang, T. Chen and M. Li, "Empirical evaluation of rectified activations in
    convolutional network", arXiv:1505.00853.

    Examples
    --------
    >>> import numpy as np
    >>> import relume
    >>> relume.rrelu_backward(np.ones(2), np.array([-2.0, 3.0]), 0.25, 0.75)
    array([0.5, 1. ])
    """
    mean = _mean_slope(lower, upper)
    slope = mean if slope is None else slope
    if kwargs:
        return ufuncs.prelu_backward(grad, x, slope, out=out, **kwargs)
    return ufuncs.prelu_backward(grad, x, slope, out=out)
