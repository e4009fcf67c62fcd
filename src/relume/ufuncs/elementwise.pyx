"""The inner loop of all elementwise ufuncs, and the construction of the ufuncs from the table.

NumPy broadcasts, casts and calls `inner_loop` with pointers and strides. `inner_loop`
  1. goes element by element if an output partly overlaps an input or has a stride of 0, because
     NumPy passes such operands without a copy to loops that it assumes to be sequential;
  2. splits large calls into chunks for OpenMP threads (NumPy has released the GIL);
  3. passes contiguous spans directly to the kernel, and packs strided operands, and float16 as
     float32, into a block on the stack;
  4. fetches memory ahead of the kernel if the operands are larger than a core's cache.
A kernel never sees a stride, so a strided result has the same bits as a contiguous one.
"""

cimport numpy as cnp
from cpython.exc cimport PyErr_ExceptionMatches, PyErr_Fetch, PyErr_NormalizeException
from cpython.exc cimport PyErr_Restore, PyErr_SetObject
from cpython.ref cimport Py_XDECREF, PyObject
from cython.parallel cimport prange, threadid
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uintptr_t

from relume.kernels.dispatch cimport table
from relume.ufuncs.strided cimport copy_strided
from relume.runtime.threads cimport MAX_THREADS, Region, begin, done, end
from relume.kernels.table cimport N_INTEGERS, Activation, Kernel, Kernels

import contextlib

from relume.keywords import refused_by_ufunc

cdef extern from "<Python.h>":
    ctypedef PyObject* (*vectorcallfunc)(PyObject*, PyObject* const*, size_t, PyObject*) noexcept
    Py_ssize_t PyVectorcall_NARGS(size_t n)

cdef extern from "<numpy/ufuncobject.h>":
    ctypedef struct PyUFuncObject:
        vectorcallfunc vectorcall
        const char* types           # which NumPy's declarations lack from 2.5 on

cdef extern from "runtime/platform.h" nogil:
    ctypedef struct float_flags:
        pass
    float_flags save_float_flags()
    void restore_float_flags(float_flags flags)
    void prefetch(const char* address)
    Py_ssize_t own_cache()

cdef enum:
    NPY_HALF = 23               # missing in Cython's numpy
    MAX_OPERANDS = 6            # grad, x, three parameters, out
    MAX_UFUNCS = 512
    MAX_LOOPS = N_INTEGERS + 3

    # Measured on two CPUs of an AMD EPYC (Zen 3), AVX2, float32.
    # Elements of a packed block. relu of every second element of 200,000 takes 166 us with blocks
    # of 256, 151 us with 512 and 143 us with 1,024, but six float64 blocks of 1,024 would take
    # 48 KB of stack.
    BLOCK = 512
    # Elements of a thread's chunk: 2.4 us of relu, 24 us of sigmoid.
    CHUNK = 16384
    # Minimum number of elements for which threads are used. At 32,768 elements, two threads take
    # 1.0 of the time of one for relu and 0.54 for sigmoid; at 65,536, 0.76 and 0.53; at 131,072,
    # 0.64 and 0.51.
    PARALLEL = 32768

    # Bytes of an operand that are fetched at a time, and how far before they are used: see
    # run_ahead. For gelu of 5,000,000 float32, pieces of 256 bytes take 1.04 of the time, and
    # pieces of 1,024 bytes 1.06; 1,024 or 4,096 bytes ahead, 1.00 to 1.04 (Intel Xeon, AVX-512).
    PIECE = 512
    AHEAD = 2048
    LINE = 64                   # of a cache

cdef struct Loop:               # the data that NumPy passes to the inner loop
    Kernel kernel
    int n_in
    int n_out
    int n_parameters            # number of parameters, which are the last inputs
    Py_ssize_t itemsize
    bint half

cdef enum Source:               # where a kernel finds an operand
    IN_PLACE                    # in the caller's memory, which is contiguous
    ONCE                        # in a block that is packed once for all iterations
    PACKED                      # in a block that is packed in each iteration


cdef void inner_loop(char** args, const cnp.npy_intp* dims, const cnp.npy_intp* steps,
                     void* data) noexcept nogil:
    cdef const Loop* loop = <const Loop*> data
    cdef float_flags flags = save_float_flags()
    cdef Py_ssize_t i, n = dims[0], chunks = (n + CHUNK - 1) // CHUNK
    cdef bint ahead = beyond_cache(loop, n)
    cdef Region region
    cdef int threads = 1
    if in_order_only(loop, args, steps, n):
        for i in range(n):
            run(loop, args, steps, i, 1, False)
    else:
        if n >= PARALLEL:
            threads = begin(&region, MAX_THREADS)
        if threads == 1:
            run(loop, args, steps, 0, n, ahead)
        else:
            # With dynamic scheduling, other threads do the chunks of a thread that is not running.
            for i in prange(chunks, schedule="dynamic", num_threads=threads):
                run(loop, args, steps, i * CHUNK, min(<Py_ssize_t> CHUNK, n - i * CHUNK), ahead)
                done(&region, threadid())
            end(&region, chunks)
    restore_float_flags(flags)


cdef bint in_order_only(const Loop* loop, char** args, const cnp.npy_intp* steps,
                        Py_ssize_t n) noexcept nogil:
    """Whether elements must be processed in order, as an output partly overlaps an operand."""
    cdef int k, out
    cdef Py_ssize_t size = loop.itemsize
    if n < 2:
        return False
    for out in range(loop.n_in, loop.n_in + loop.n_out):
        if steps[out] == 0:
            return True
        for k in range(out):
            if args[k] == args[out] and steps[k] == steps[out]:
                continue                                # exactly in place: elements do not mix
            if (lowest(args[k], steps[k], n) < highest(args[out], steps[out], n, size)
                    and lowest(args[out], steps[out], n) < highest(args[k], steps[k], n, size)):
                return True
    return False


cdef inline uintptr_t lowest(char* start, Py_ssize_t step, Py_ssize_t n) noexcept nogil:
    return <uintptr_t> (start if step >= 0 else start + step * (n - 1))


cdef inline uintptr_t highest(char* start, Py_ssize_t step, Py_ssize_t n,
                              Py_ssize_t itemsize) noexcept nogil:
    return <uintptr_t> ((start if step <= 0 else start + step * (n - 1)) + itemsize)


cdef inline bint is_parameter(const Loop* loop, int k) noexcept nogil:
    return loop.n_in - loop.n_parameters <= k < loop.n_in


cdef inline bint beyond_cache(const Loop* loop, Py_ssize_t n) noexcept nogil:
    """Whether the operands of a call on n elements are larger than the cache of a core."""
    cdef Py_ssize_t size = sizeof(uint16_t) if loop.half else loop.itemsize
    return n > cache // (size * (loop.n_in - loop.n_parameters + loop.n_out))


cdef inline void fetch(const char* memory, Py_ssize_t bytes) noexcept nogil:
    cdef Py_ssize_t line
    for line in range((bytes + LINE - 1) // LINE):
        prefetch(memory + line * LINE)


cdef void run(const Loop* loop, char** args, const cnp.npy_intp* steps, Py_ssize_t start,
              Py_ssize_t n, bint ahead) noexcept nogil:
    """Run the kernel on elements start to start + n, packed unless all operands are contiguous.

    If `ahead` is true, memory is fetched before the kernel needs it.
    """
    cdef void* spans[MAX_OPERANDS]
    cdef int k, first_parameter = loop.n_in - loop.n_parameters
    cdef bint scalar = True, contiguous = not loop.half
    for k in range(first_parameter, loop.n_in):
        scalar &= steps[k] == 0
    for k in range(loop.n_in + loop.n_out):
        contiguous &= steps[k] == loop.itemsize or (scalar and is_parameter(loop, k))
        spans[k] = args[k] + start * steps[k]
    if not contiguous:
        run_packed(loop, <char**> spans, steps, scalar, n, ahead)
    elif ahead:
        run_ahead(loop, <char**> spans, scalar, n)
    else:
        loop.kernel(spans, scalar, n)


cdef void run_ahead(const Loop* loop, char** spans, bint scalar, Py_ssize_t n) noexcept nogil:
    """Run the kernel on contiguous elements piece by piece, and fetch later pieces meanwhile.

    A CPU fetches ahead by itself only within a page of 4 KB, so a kernel would wait for memory at
    each page of each operand. Outputs are fetched too, because a store needs its line. With this,
    a call takes as long as its arithmetic or its memory, whichever takes longer, instead of
    nearly the sum: 0.71 of the time for gelu of 5,000,000 float32, as long for relu.
    """
    cdef Py_ssize_t piece = PIECE // loop.itemsize
    cdef int k
    while n > 0:
        for k in range(loop.n_in + loop.n_out):
            if n * loop.itemsize > AHEAD and not (scalar and is_parameter(loop, k)):
                fetch(spans[k] + AHEAD, PIECE)
        loop.kernel(<void**> spans, scalar, min(piece, n))
        for k in range(loop.n_in + loop.n_out):
            if not (scalar and is_parameter(loop, k)):
                spans[k] += PIECE
        n -= piece


cdef void run_packed(const Loop* loop, char** args, const cnp.npy_intp* steps, bint scalar,
                     Py_ssize_t n, bint ahead) noexcept nogil:
    # Aligned to a cache line, because a vector that crosses two lines costs twice as much.
    cdef double memory[MAX_OPERANDS * BLOCK + 7]
    cdef double* blocks = <double*> ((<uintptr_t> memory + 63) & ~(<uintptr_t> 63))
    cdef void* spans[MAX_OPERANDS]
    cdef Source sources[MAX_OPERANDS]
    cdef Py_ssize_t block, i, size
    cdef int k, out = loop.n_in, operands = loop.n_in + loop.n_out
    for k in range(operands):
        spans[k] = blocks + k * BLOCK
        if steps[k] == 0 and k < out:
            sources[k] = ONCE
            pack(loop, args[k], 0, blocks + k * BLOCK,
                 1 if scalar and k >= out - loop.n_parameters else min(n, <Py_ssize_t> BLOCK))
        else:
            sources[k] = IN_PLACE if steps[k] == loop.itemsize and not loop.half else PACKED
    for block in range((n + BLOCK - 1) // BLOCK):
        i = block * BLOCK
        size = min(<Py_ssize_t> BLOCK, n - i)
        for k in range(operands):
            if ahead and 0 < steps[k] <= LINE and (n - i) * steps[k] > AHEAD:
                fetch(args[k] + i * steps[k] + AHEAD, BLOCK * steps[k])
            if sources[k] == IN_PLACE:
                spans[k] = args[k] + i * steps[k]
            elif sources[k] == PACKED and k < out:
                pack(loop, args[k] + i * steps[k], steps[k], blocks + k * BLOCK, size)
        loop.kernel(spans, scalar, size)
        for k in range(out, operands):
            if sources[k] == PACKED:
                unpack(loop, blocks + k * BLOCK, args[k] + i * steps[k], steps[k], size)


cdef void pack(const Loop* loop, const char* x, Py_ssize_t step, void* block,
               Py_ssize_t n) noexcept nogil:
    """Copy n strided elements into a block, converting float16 to float32."""
    cdef uint16_t halves[BLOCK]
    if not loop.half:
        copy_strided(x, step, <char*> block, loop.itemsize, loop.itemsize, n)
    elif step == sizeof(uint16_t):
        table.half_to_float(<const uint16_t*> x, <float*> block, n)
    else:
        copy_strided(x, step, <char*> halves, sizeof(uint16_t), sizeof(uint16_t), n)
        table.half_to_float(halves, <float*> block, n)


cdef void unpack(const Loop* loop, const void* block, char* out, Py_ssize_t step,
                 Py_ssize_t n) noexcept nogil:
    cdef uint16_t halves[BLOCK]
    if not loop.half:
        copy_strided(<const char*> block, loop.itemsize, out, step, loop.itemsize, n)
    elif step == sizeof(uint16_t):
        table.float_to_half(<const float*> block, <uint16_t*> out, n)
    else:
        table.float_to_half(<const float*> block, halves, n)
        copy_strided(<const char*> halves, sizeof(uint16_t), out, step, sizeof(uint16_t), n)


include "direct_calls.pxi"


# -- construction of the ufuncs from the table ----------------------------------------------------
# NumPy keeps the pointers that it is given, so their targets must live as long as the module.

cdef cnp.PyUFuncGenericFunction inner_loops[MAX_LOOPS]
cdef Loop loops[MAX_UFUNCS][MAX_LOOPS]
cdef void* data[MAX_UFUNCS][MAX_LOOPS]
cdef char types[MAX_UFUNCS][MAX_LOOPS * MAX_OPERANDS]
cdef int n_ufuncs = 0
cdef Py_ssize_t cache = own_cache()
texts = []

cnp.import_array()
cnp.import_ufunc()
for _k in range(MAX_LOOPS):
    inner_loops[_k] = <cnp.PyUFuncGenericFunction> inner_loop


cdef const Kernels* kernels_of(const Activation* row, str direction) except NULL:
    if direction == "forward":
        return &row.forward
    elif direction == "backward":
        return &row.backward
    elif direction == "backward_from_output":
        return &row.backward_from_output
    elif direction == "parameter_gradient":
        return &row.parameter_gradient
    raise ValueError(
        "direction must be 'forward', 'backward', 'backward_from_output' or "
        f"'parameter_gradient', got {direction!r}")


cdef str text(const char* value):
    return value.decode() if value != NULL else ""


cdef dict texts_of(const Activation* row):
    return {
        "name": text(row.name),
        "alias": text(row.alias),
        "layer": text(row.layer),
        "summary": text(row.summary),
        "formula": text(row.formula),
        "derivative": text(row.derivative),
        "special": text(row.special),
        "reference": text(row.reference),
        "parameters": text(row.parameters),
        "domain": text(row.domain),
        "from_output_domain": text(row.from_output_domain),
        "initializer": text(row.initializer),
        "values": text(row.values),
        "slopes": text(row.slopes),
        "ulp": row.ulp,
        "integers": row.forward.integer[0] != NULL,
        "directions": [],
    }


def rows():
    """The table as a list of dicts, with the texts and the directions of each activation."""
    cdef int i, j
    result = []
    for i in range(table.n_activations):
        entry = texts_of(&table.activations[i])
        entry["index"] = i
        for direction in ("forward", "backward", "backward_from_output", "parameter_gradient"):
            if kernels_of(&table.activations[i], direction).float32 != NULL:
                entry["directions"].append(direction)
        for j in range(i, -1, -1):          # the first row with the same kernel
            if table.activations[j].forward.float32 == table.activations[i].forward.float32:
                entry["same_kernel_as"] = j
        result.append(entry)
    return result


def gated_rows():
    """The table's gated functions as a list of dicts; each has a forward and a backward kernel."""
    return [texts_of(&table.gated[i]) for i in range(table.n_gated)]


def make_ufunc(int index, str direction, int n_parameters, str name, str doc):
    """Make the ufunc of one direction of a row, as an attribute of this module for pickle."""
    cdef const Kernels* kernels = kernels_of(&table.activations[index], direction)
    return made(kernels, n_parameters + (1 if direction == "forward" else 2), 1, n_parameters,
                name, doc)


def make_gated_ufunc(int index, str direction, str name, str doc):
    """Make the ufunc (a, b) -> out, or (grad, a, b) -> (grad_a, grad_b), of a gated function."""
    cdef const Kernels* kernels = kernels_of(&table.gated[index], direction)
    if direction == "forward":
        return made(kernels, 2, 1, 0, name, doc)
    return made(kernels, 3, 2, 0, name, doc)


cdef object made(const Kernels* kernels, int n_in, int n_out, int n_parameters, str name,
                 str doc):
    global n_ufuncs
    cdef Loop loop = Loop(NULL, n_in, n_out, n_parameters, 0, False)
    cdef int k, n_loops = 0
    if n_ufuncs == MAX_UFUNCS or n_in + n_out > MAX_OPERANDS:
        raise SystemError("MAX_UFUNCS or MAX_OPERANDS in elementwise.pyx is too small")
    for k in range(N_INTEGERS):
        if kernels.integer[k] != NULL:
            n_loops = add_loop(n_loops, kernels.integer[k], loop, cnp.NPY_BYTE + k)
    n_loops = add_loop(n_loops, kernels.float32, loop, NPY_HALF)
    n_loops = add_loop(n_loops, kernels.float32, loop, cnp.NPY_FLOAT)
    n_loops = add_loop(n_loops, kernels.float64, loop, cnp.NPY_DOUBLE)
    texts.append((name.encode(), doc.encode()))
    ufunc = cnp.PyUFunc_FromFuncAndData(
        inner_loops, data[n_ufuncs], types[n_ufuncs], n_loops, n_in, n_out, cnp.PyUFunc_None,
        texts[-1][0], texts[-1][1], 0)
    n_ufuncs += 1
    globals()[name] = ufunc
    with contextlib.suppress(AttributeError):       # older NumPy: pickle searches the modules
        ufunc.__module__ = __name__
    explain_keywords(<PyUFuncObject*> ufunc)
    return ufunc


# -- calls with a wrong keyword -------------------------------------------------------------------

cdef vectorcallfunc numpy_call = NULL


cdef void explain_keywords(PyUFuncObject* ufunc):
    """Let calls go through `call`."""
    global numpy_call
    numpy_call = ufunc.vectorcall
    ufunc.vectorcall = call


cdef PyObject* call(PyObject* ufunc, PyObject* const* args, size_t n, PyObject* names) noexcept:
    cdef PyObject* result = direct_call(ufunc, args, n, names)
    if result != NULL or PyErr_Occurred() != NULL:
        return result
    result = numpy_call(ufunc, args, n, names)
    if result == NULL and names != NULL and PyErr_ExceptionMatches(TypeError):
        explain(ufunc, PyVectorcall_NARGS(n), names)
    return result


cdef void explain(PyObject* ufunc, Py_ssize_t n, PyObject* names) noexcept:
    """Put the error for a wrong keyword in place of NumPy's, which is pending."""
    cdef PyObject* kind = NULL
    cdef PyObject* error = NULL
    cdef PyObject* trace = NULL
    PyErr_Fetch(&kind, &error, &trace)
    PyErr_NormalizeException(&kind, &error, &trace)
    try:
        better = refused_by_ufunc(<object> error, <object> ufunc, n, <tuple> names)
    except BaseException as another:
        better = another
    if better is <object> error:
        PyErr_Restore(kind, error, trace)
    else:
        Py_XDECREF(kind)
        Py_XDECREF(error)
        Py_XDECREF(trace)
        PyErr_SetObject(type(better), better)


cdef int add_loop(int n_loops, Kernel kernel, Loop loop, int dtype) except -1:
    cdef int k, operands = loop.n_in + loop.n_out
    loop.kernel = kernel
    loop.half = dtype == NPY_HALF
    loop.itemsize = cnp.PyArray_DescrFromType(dtype).itemsize
    loops[n_ufuncs][n_loops] = loop
    data[n_ufuncs][n_loops] = &loops[n_ufuncs][n_loops]
    for k in range(operands):
        types[n_ufuncs][n_loops * operands + k] = dtype
    return n_loops + 1


uniform = made(&table.uniform, 4, 1, 3, "uniform", "Random slopes from uniform doubles.")
