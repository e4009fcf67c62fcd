# Calls that need no conversion: all data are plain arrays of one shape and dtype, and the
# parameters are numbers or plain arrays that broadcast. NumPy would find that out in 0.3 to 1 us,
# would call the inner loop for each row where a parameter has a value for each column, and would
# copy the halves of an array that are outputs. Everything else goes to NumPy: `direct_call` then
# returns NULL without an error. Which of the two computes a call shows in nothing but the time.

from cpython.exc cimport PyErr_Clear, PyErr_Occurred
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.math cimport isinf
from libc.string cimport memcpy

from relume.ufuncs.plain_arrays cimport (
    C_ORDER, F_ORDER, MAX_AXES, MAX_PLAIN, PlainArrays, apart, has_shape, is_plain, merge_axes,
    orders_of,
)

import sys

cdef extern from "runtime/platform.h" nogil:
    void clear_float_flags()

cdef enum:
    WITHOUT_GIL = 500           # elements from which on other Python threads may run, as in NumPy
    SHORT_RUN = BLOCK // 2      # elements up to which runs are joined to blocks
    SHORT_SCALAR_RUN = 32       # the same for runs with one value each, which do not repeat

cdef object OUT = sys.intern("out")


cdef const Loop* loop_for(cnp.ufunc ufunc, int dtype) noexcept:
    cdef int i
    for i in range(ufunc.ntypes):
        if (<PyUFuncObject*> ufunc).types[i * ufunc.nargs] == dtype:
            return <const Loop*> ufunc.data[i]
    return NULL


cdef PyObject* direct_call(PyObject* function, PyObject* const* args, size_t n,
                           PyObject* names) noexcept:
    """A new reference to the result; NULL without an error if the call is not a direct one."""
    cdef cnp.ufunc ufunc = <cnp.ufunc> function
    cdef PlainArrays plain
    cdef cnp.npy_intp strides[MAX_AXES][MAX_PLAIN]
    cdef double numbers[MAX_PLAIN]
    cdef int i, k, ndim, dtype, orders = C_ORDER | F_ORDER
    cdef const Loop* loop
    cdef cnp.ndarray first, array
    cdef const cnp.npy_intp* shape
    cdef object out = None, result
    if PyVectorcall_NARGS(n) != ufunc.nin or not cnp.PyArray_CheckExact(<object> args[0]):
        return NULL
    if names != NULL:
        if (PyTuple_GET_SIZE(<tuple> names) != 1
                or PyTuple_GET_ITEM(<tuple> names, 0) != <PyObject*> OUT):
            return NULL
        out = <object> args[ufunc.nin]
    first = <cnp.ndarray> args[0]
    dtype, ndim, shape = cnp.PyArray_TYPE(first), cnp.PyArray_NDIM(first), cnp.PyArray_DIMS(first)
    loop = loop_for(ufunc, dtype)
    if loop == NULL or not 0 < ndim <= MAX_AXES or cnp.PyArray_SIZE(first) == 0:
        return NULL
    plain.count = ufunc.nargs
    for k in range(ufunc.nin):
        if k >= loop.n_in - loop.n_parameters and not cnp.PyArray_CheckExact(<object> args[k]):
            if not number_to(<object> args[k], dtype, numbers + k):
                return NULL
            plain.data[k] = <char*> (numbers + k)
            for i in range(ndim):
                strides[i][k] = 0
            continue
        array = <cnp.ndarray> args[k]
        if not is_plain(array, dtype):
            return NULL
        plain.data[k] = <char*> cnp.PyArray_DATA(array)
        if k < loop.n_in - loop.n_parameters:
            if not has_shape(array, ndim, shape):
                return NULL
            orders &= orders_of(array)
            for i in range(ndim):
                strides[i][k] = cnp.PyArray_STRIDE(array, i)
        else:
            if not broadcast_strides(array, ndim, shape, &strides[0][k]):
                return NULL
            if cnp.PyArray_SIZE(array) > 1:
                orders &= orders_of(array)
    # The order of a new result is that of the operands, as in NumPy.
    if orders == 0:
        return NULL
    result = results(ufunc, loop, out, ndim, shape, dtype, not orders & C_ORDER)
    if result is None:
        return NULL
    for k in range(ufunc.nin, ufunc.nargs):
        array = <cnp.ndarray> (result[k - ufunc.nin] if ufunc.nout > 1 else result)
        plain.data[k] = <char*> cnp.PyArray_DATA(array)
        orders &= orders_of(array)
        for i in range(ndim):
            strides[i][k] = cnp.PyArray_STRIDE(array, i)
    if orders == 0:
        return NULL
    merge_axes(&plain, ndim, shape, &strides[0][0], not orders & C_ORDER)
    if out is not None:
        for k in range(ufunc.nin, ufunc.nargs):
            for i in range(k):
                if not apart(&plain, i, k, loop.itemsize):
                    return NULL
    if cnp.PyArray_SIZE(first) < WITHOUT_GIL:
        run_plain(loop, &plain)
    else:
        with nogil:
            run_plain(loop, &plain)
    Py_INCREF(result)
    return <PyObject*> result


cdef bint number_to(object value, int dtype, double* memory) noexcept:
    """Convert a float of Python's to the dtype; False if NumPy must do it, as it may warn."""
    cdef double number
    if not PyFloat_CheckExact(value):
        return False
    number = PyFloat_AS_DOUBLE(value)
    if dtype == cnp.NPY_DOUBLE:
        memory[0] = number
    elif dtype == cnp.NPY_FLOAT:
        (<float*> memory)[0] = <float> number
        return isinf((<float*> memory)[0]) == isinf(number)
    else:
        return False
    return True


cdef bint broadcast_strides(cnp.ndarray array, int ndim, const cnp.npy_intp* shape,
                            cnp.npy_intp* strides) noexcept:
    """Set the strides of an array that is broadcast to a shape; False if it does not fit."""
    cdef int i, ahead = ndim - cnp.PyArray_NDIM(array)
    if ahead < 0:
        return False
    for i in range(ndim):
        if i < ahead or cnp.PyArray_DIM(array, i - ahead) == 1:
            strides[i * MAX_PLAIN] = 0
        elif cnp.PyArray_DIM(array, i - ahead) == shape[i]:
            strides[i * MAX_PLAIN] = cnp.PyArray_STRIDE(array, i - ahead)
        else:
            return False
    return True


cdef object results(cnp.ufunc ufunc, const Loop* loop, object out, int ndim,
                    const cnp.npy_intp* shape, int dtype, bint fortran):
    """The output, or a tuple of outputs, new or given; None if a given one is not as wanted."""
    cdef cnp.npy_intp* dims = <cnp.npy_intp*> shape
    if out is None:
        try:
            if ufunc.nout == 1:
                return cnp.PyArray_EMPTY(ndim, dims, dtype, fortran)
            return (cnp.PyArray_EMPTY(ndim, dims, dtype, fortran),
                    cnp.PyArray_EMPTY(ndim, dims, dtype, fortran))
        except MemoryError:                     # which NumPy raises again
            return None
    if ufunc.nout == 1:
        return out if can_hold(out, ndim, shape, dtype) else None
    if type(out) is not tuple or len(out) != ufunc.nout:
        return None
    for each in out:
        if not can_hold(each, ndim, shape, dtype):
            return None
    return out


cdef bint can_hold(object out, int ndim, const cnp.npy_intp* shape, int dtype) noexcept:
    return (is_plain(out, dtype) and cnp.PyArray_ISWRITEABLE(<cnp.ndarray> out)
            and has_shape(<cnp.ndarray> out, ndim, shape))


# -- axes -----------------------------------------------------------------------------------------
# A run is the elements along the innermost axis. Runs are handed to `run` one by one, unless they
# are short, only parameters are broadcast, and all else is contiguous: then the values of the
# parameters are copied to blocks of several runs, once for all rows of blocks that have the same.
# That takes half of the time for runs of 100 elements with a value for each column, and for very
# short ones with a value for each run, but not for longer ones whose values do not repeat.

cdef struct Runs:
    bint joined
    Py_ssize_t length           # elements of a run
    Py_ssize_t count            # number of runs
    Py_ssize_t parts            # of a long run
    Py_ssize_t per_block        # runs of a block
    Py_ssize_t per_row          # runs of a row of blocks, after which the parameters repeat
    Py_ssize_t rows
    Py_ssize_t per_job          # runs, or rows of blocks
    Py_ssize_t groups           # jobs for the same blocks
    Py_ssize_t jobs
    bint fetches                # memory ahead
    Py_ssize_t ahead            # runs, if they are short and not joined


cdef void run_plain(const Loop* loop, PlainArrays* plain) noexcept nogil:
    cdef float_flags flags
    cdef Runs runs
    cdef Region region
    cdef Py_ssize_t i
    cdef int k, threads = 1
    if plain.axes < 2:
        if plain.axes == 0:
            plain.shape[0] = 1
            for k in range(plain.count):
                plain.strides[0][k] = 0 if is_parameter(loop, k) else loop.itemsize
        inner_loop(plain.data, plain.shape, plain.strides[0], <void*> loop)
        clear_float_flags()
        return
    divide(loop, plain, &runs)
    flags = save_float_flags()
    if runs.jobs > 1 and runs.count * runs.length >= PARALLEL:
        threads = begin(&region, MAX_THREADS)
    if threads == 1:
        for i in range(runs.jobs):
            run_job(loop, plain, &runs, i)
    else:
        for i in prange(runs.jobs, schedule="dynamic", num_threads=threads):
            run_job(loop, plain, &runs, i)
            done(&region, threadid())
        end(&region, runs.jobs)
    restore_float_flags(flags)
    clear_float_flags()


cdef void divide(const Loop* loop, const PlainArrays* plain, Runs* runs) noexcept nogil:
    """Divide the elements into runs, blocks and jobs."""
    cdef int i, k, last = plain.axes - 1
    cdef bint repeats = True, scalar = True
    cdef Py_ssize_t per_row = 1, itemsize = loop.itemsize
    runs.length, runs.count, runs.ahead = plain.shape[last], 1, 0
    runs.joined = loop.n_parameters > 0 and runs.length <= SHORT_RUN
    for i in range(last):
        runs.count *= plain.shape[i]
        for k in range(plain.count):
            if is_parameter(loop, k):
                repeats &= plain.strides[i][k] == 0
            else:
                runs.joined &= (plain.strides[last][k] == itemsize and plain.strides[i][k]
                                == plain.strides[i + 1][k] * plain.shape[i + 1])
        if not repeats:
            per_row *= plain.shape[i]
    runs.fetches = beyond_cache(loop, runs.count * runs.length)
    for k in range(loop.n_in - loop.n_parameters, loop.n_in):
        scalar &= plain.strides[last][k] == 0
    if scalar and runs.length > SHORT_SCALAR_RUN and per_row == runs.count:
        runs.joined = False
    runs.parts = 1 if runs.joined else max(<Py_ssize_t> 1, runs.length // CHUNK)
    if not runs.joined:
        if runs.fetches and runs.length <= SHORT_RUN:
            runs.ahead = 1 + AHEAD // (runs.length * itemsize)
        runs.per_job = max(<Py_ssize_t> 1, CHUNK // runs.length)
        runs.jobs = (runs.count + runs.per_job - 1) // runs.per_job * runs.parts
        return
    runs.per_block = BLOCK // runs.length
    if per_row <= runs.per_block:
        runs.per_block = per_row = runs.per_block // per_row * per_row
    runs.per_row = per_row
    runs.rows = (runs.count + per_row - 1) // per_row
    runs.per_job = max(<Py_ssize_t> 1, CHUNK // (runs.per_block * runs.length))
    runs.groups = (runs.rows + runs.per_job - 1) // runs.per_job
    runs.jobs = (per_row + runs.per_block - 1) // runs.per_block * runs.groups


cdef void run_job(const Loop* loop, PlainArrays* plain, const Runs* runs,
                  Py_ssize_t job) noexcept nogil:
    cdef char* args[MAX_PLAIN]
    cdef Py_ssize_t i, part, start, size
    cdef int k, last = plain.axes - 1
    if runs.joined:
        run_blocks(loop, plain, runs, job // runs.groups * runs.per_block,
                   job % runs.groups * runs.per_job)
        return
    part = job % runs.parts
    start = part * CHUNK
    size = runs.length - start if part == runs.parts - 1 else CHUNK
    job = job // runs.parts
    for i in range(job * runs.per_job, min((job + 1) * runs.per_job, runs.count)):
        for k in range(plain.count):
            if runs.ahead and i + runs.ahead < runs.count and plain.strides[last][k]:
                fetch(plain.data[k] + offset(plain, k, i + runs.ahead),
                      size * plain.strides[last][k])
            args[k] = plain.data[k] + offset(plain, k, i)
        run(loop, args, plain.strides[last], start, size, runs.fetches and not runs.ahead)


cdef inline Py_ssize_t offset(const PlainArrays* plain, int k, Py_ssize_t i) noexcept nogil:
    """Bytes from an operand's begin to that of its run i."""
    cdef Py_ssize_t bytes = 0
    cdef int axis
    for axis in range(plain.axes - 2, 0, -1):
        bytes += i % plain.shape[axis] * plain.strides[axis][k]
        i = i // plain.shape[axis]
    return bytes + i * plain.strides[0][k]


cdef inline void copy_run(const char* x, Py_ssize_t step, char* out, Py_ssize_t itemsize,
                          Py_ssize_t n) noexcept nogil:
    cdef uint32_t value
    cdef uint64_t wide_value
    cdef Py_ssize_t i
    if step == itemsize:
        memcpy(out, x, n * itemsize)
    elif step == 0 and itemsize == 4:
        value = (<const uint32_t*> x)[0]
        for i in range(n):
            (<uint32_t*> out)[i] = value
    elif step == 0 and itemsize == 8:
        wide_value = (<const uint64_t*> x)[0]
        for i in range(n):
            (<uint64_t*> out)[i] = wide_value
    else:
        copy_strided(x, step, out, itemsize, itemsize, n)


cdef void run_blocks(const Loop* loop, PlainArrays* plain, const Runs* runs, Py_ssize_t first,
                     Py_ssize_t first_row) noexcept nogil:
    """The blocks that begin at run `first` of some rows."""
    cdef double memory[MAX_PLAIN * BLOCK + 7]
    cdef char* blocks = <char*> ((<uintptr_t> memory + 63) & ~(<uintptr_t> 63))
    cdef char* args[MAX_PLAIN]
    cdef cnp.npy_intp steps[MAX_PLAIN]
    cdef Py_ssize_t i, row, count, size = runs.length * loop.itemsize
    cdef Py_ssize_t used = min(runs.per_block, runs.per_row - first)
    cdef int k
    for k in range(plain.count):
        steps[k] = loop.itemsize
        if is_parameter(loop, k):
            args[k] = blocks + k * BLOCK * sizeof(double)
            for i in range(min(used, runs.count)):
                copy_run(plain.data[k] + offset(plain, k, first + i),
                         plain.strides[plain.axes - 1][k], args[k] + i * size, loop.itemsize,
                         runs.length)
    for row in range(first_row, min(first_row + runs.per_job, runs.rows)):
        i = row * runs.per_row + first
        count = min(used, runs.count - i)
        for k in range(plain.count):
            if not is_parameter(loop, k):
                args[k] = plain.data[k] + i * size
        run(loop, args, steps, 0, count * runs.length, runs.fetches)
