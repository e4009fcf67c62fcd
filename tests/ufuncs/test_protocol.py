"""Other array types, NumPy's protocols, and pickling."""

import copy
import pickle
import subprocess
import sys

import dask.array
import numpy as np
import pandas
import pytest

from tests.support.ops import (
    OPS,
    assert_same,
    each,
    each_dtype,
    each_op,
)

pytestmark = pytest.mark.op


# -- other array types --


class Marked(np.ndarray):
    """A subclass that keeps an attribute."""

    def __array_finalize__(self, other):
        self.mark = getattr(other, "mark", None)


@each_op
def test_ndarray_subclasses(op):
    inputs = op.operands(np.float32, 50)
    expected = op.function(*inputs)
    for k in range(len(inputs)):
        marked = inputs[k].view(Marked)
        marked.mark = "here"
        result = op.function(*(marked if i == k else a for i, a in enumerate(inputs)))
        assert type(result) is Marked, f"{op}, input {k} of a subclass"
        assert result.mark == np.hypot(marked, inputs[0]).mark
        assert_same(result.view(np.ndarray), expected, f"{op}, input {k} of a subclass")
    out = np.empty(50, np.float32).view(Marked)
    assert op.function(*inputs, out=out) is out


@each_op
def test_order_and_subok(op):
    inputs = [a.copy("F") for a in op.operands(np.float64, (4, 5))]
    for order in "CFAK":
        flags = op.function(*inputs, order=order).flags
        assert flags.c_contiguous == (order == "C"), f"{op}, order {order}"
    marked = [a.view(Marked) for a in inputs]
    assert type(op.function(*marked, subok=False)) is np.ndarray


@each_op
def test_masked_arrays(op):
    inputs = op.operands(np.float64, 9)
    mask = np.arange(9) % 3 == 0
    masked = [np.ma.array(inputs[0], mask=mask), *inputs[1:]]
    result = op.function(*masked)
    assert isinstance(result, np.ma.MaskedArray)
    assert (result.mask == mask).all()
    assert_same(result.data[~mask], op.function(*inputs)[~mask], f"{op} of a masked array")


class Recorder:
    """Returns the arguments that NumPy passes to __array_ufunc__."""

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        return ufunc, method, inputs, keywords


@each_op
def test_array_ufunc_is_asked(op):
    for k in range(op.ufunc.nin):
        inputs = [1.5] * op.ufunc.nin
        inputs[k] = recorder = Recorder()
        if k >= op.n_data and op.row["from_output_domain"] + op.row["domain"]:
            continue  # a parameter is first compared with its domain
        ufunc, method, seen, keywords = op.function(*inputs, where=False)
        assert (ufunc, method, keywords) == (op.ufunc, "__call__", {"where": False})
        assert seen[k] is recorder
        assert seen == tuple(inputs)
    ufunc, _, inputs, keywords = op.function(*[1.5] * op.ufunc.nin, out=recorder)
    assert ufunc is op.ufunc
    assert keywords == {"out": (recorder,)}


@each(op for op in OPS if op.function is not op.ufunc and op.has_defaults)
def test_defaults_reach_array_ufunc_as_inputs(op):
    inputs = [Recorder()] * op.n_data
    ufunc, _, seen, _ = op.function(*inputs)
    assert ufunc is op.ufunc
    assert len(seen) == op.ufunc.nin


@each_op
def test_array_ufunc_none_is_a_type_error(op):
    class Refuses:
        __array_ufunc__ = None

    with pytest.raises(TypeError, match="does not support ufuncs"):
        op.function(Refuses(), *[0.5] * (op.ufunc.nin - 1))


@each_op
@each_dtype
def test_dask(op, dtype):
    inputs = op.operands(dtype, (30, 40))
    expected = op.function(*inputs)
    lazy = [dask.array.from_array(a, chunks=(16, 17)) for a in inputs]
    result = op.function(*lazy)
    assert isinstance(result, dask.array.Array)
    assert result.dtype == dtype
    assert_same(result.compute(scheduler="sync"), expected, f"{op} of dask arrays")
    for parameters in op.parameter_sets:
        result = op.function(*lazy[: op.n_data], *parameters)
        expected = op.function(*inputs[: op.n_data], *parameters)
        assert isinstance(result, dask.array.Array)
        assert_same(result.compute(scheduler="sync"), expected, f"{op}{parameters} of dask arrays")


@each_op
@each_dtype
def test_pandas(op, dtype):
    inputs = op.operands(dtype, 20)
    index = pandas.Index(range(100, 120), name="row")
    columns = [pandas.Series(a, index=index, name="activity") for a in inputs]
    for parameters in (columns[op.n_data :], *op.parameter_sets):
        plain = [np.asarray(p) if isinstance(p, pandas.Series) else p for p in parameters]
        expected = op.function(*inputs[: op.n_data], *plain)
        result = op.function(*columns[: op.n_data], *parameters)
        assert isinstance(result, pandas.Series)
        assert result.name == "activity"
        assert result.index.equals(index)
        assert_same(result.to_numpy(), expected, f"{op} of Series")
    # With a parameter, pandas passes a DataFrame to any ufunc as float64.
    frames = [pandas.DataFrame({"activity": a}, index=index) for a in inputs[: op.n_data]]
    parameters = op.parameter_sets[0]
    result = op.function(*frames, *parameters)
    assert isinstance(result, pandas.DataFrame)
    assert result.index.equals(index)
    expected = op.function(*inputs[: op.n_data], *parameters)
    tolerance = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(result["activity"], expected, rtol=tolerance, err_msg=f"{op}")


# -- pickling --


@each_op
def test_pickle_and_copy(op):
    for made in {op.function, op.ufunc}:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(made, protocol)) is made, f"{op}, protocol {protocol}"
        assert copy.copy(made) is made
        assert copy.deepcopy(made) is made


def test_pickles_load_in_a_process_that_has_not_imported_relume():
    everything = [made for op in OPS for made in (op.function, op.ufunc)]
    for protocol in (2, pickle.HIGHEST_PROTOCOL):
        script = (
            "import pickle, sys\n"
            "loaded = pickle.load(sys.stdin.buffer)\n"
            "print(*(made.__name__ for made in loaded))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=pickle.dumps(everything, protocol),
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout.decode().split() == [made.__name__ for made in everything]
