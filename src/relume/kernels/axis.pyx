"""Functions along an axis, as generalized ufuncs: NumPy moves the axis, broadcasts and casts.

The one inner loop hands whole rows to a kernel: at once where they are contiguous, else, and for
float16, from a tile of rows packed into scratch memory. Threads take chunks of rows.
"""

cimport numpy as cnp
from cpython.exc cimport PyErr_SetNone
from cython.parallel cimport prange, threadid
from libc.stdint cimport uint16_t
from libc.stdlib cimport free, malloc

from relume.kernels.dispatch cimport table
from relume.kernels.strided cimport copy_strided
from relume.kernels.threads cimport Region, begin, done, end
from relume.kernels.types cimport (
    LOG_SOFTMAX, LOG_SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD_FROM_OUTPUT, LOGSUMEXP,
    LOGSUMEXP_BACKWARD, MAXOUT, N_ROW_KERNELS, SOFTMAX, SOFTMAX_BACKWARD,
    SOFTMAX_BACKWARD_FROM_OUTPUT, RowKernel,
)

import contextlib

cdef extern from "platform.h" nogil:
    ctypedef struct float_flags:
        pass
    float_flags save_float_flags()
    void restore_float_flags(float_flags flags)

cdef enum:
    NPY_HALF = 23               # missing in Cython's numpy
    MAX_OPERANDS = 3
    N_LOOPS = 3                 # float16, float32, float64
    CHUNK = 16384               # elements of a thread's chunk, at least one row
    PARALLEL = 32768            # elements from which threads are used, as in ufuncs.pyx
    TILE = 16                   # rows packed together, but no more than these elements
    TILE_ELEMENTS = 65536

cdef struct Operand:
    bint row                    # a row of n elements, else one
    bint half                   # float16, which the kernel sees as float32
    Py_ssize_t itemsize         # in the caller's memory

cdef struct Loop:               # what NumPy hands back to the inner loop
    RowKernel kernel
    int n_in
    int n_operands
    Operand operands[MAX_OPERANDS]

cdef struct Call:
    const Loop* loop
    char* args[MAX_OPERANDS]
    Py_ssize_t outer[MAX_OPERANDS]      # bytes from row to row
    Py_ssize_t inner[MAX_OPERANDS]      # and along a row
    Py_ssize_t n
    bint out_of_memory


cdef void inner_loop(char** args, const cnp.npy_intp* dims, const cnp.npy_intp* steps,
                     void* data) noexcept nogil:
    cdef const Loop* loop = <const Loop*> data
    cdef Call call
    cdef float_flags flags = save_float_flags()
    cdef Py_ssize_t i, rows = dims[0], n = dims[1]
    cdef Py_ssize_t per_chunk = max(<Py_ssize_t> 1, CHUNK // max(<Py_ssize_t> 1, n))
    cdef Py_ssize_t chunks = (rows + per_chunk - 1) // per_chunk
    cdef Region region
    cdef int k, next_inner = loop.n_operands, threads = 1
    call.loop, call.n, call.out_of_memory = loop, n, False
    for k in range(loop.n_operands):
        call.args[k], call.outer[k], call.inner[k] = args[k], steps[k], 0
        if loop.operands[k].row:
            call.inner[k] = steps[next_inner]
            next_inner += 1
    if chunks > 1 and rows * n >= PARALLEL:
        threads = begin(&region)
    if threads == 1:
        run(&call, 0, rows)
    else:
        for i in prange(chunks, schedule="dynamic", num_threads=threads):
            run(&call, i * per_chunk, min(per_chunk, rows - i * per_chunk))
            done(&region, threadid())
        end(&region, chunks)
    restore_float_flags(flags)
    if call.out_of_memory:
        set_memory_error()


cdef void set_memory_error() noexcept with gil:
    PyErr_SetNone(MemoryError)


cdef inline bint in_place(const Call* call, int k) noexcept nogil:
    """Whether a kernel can work in the caller's memory."""
    cdef const Operand* operand = &call.loop.operands[k]
    # A kernel of two inputs writes its output before it has read the gradient.
    if k == 0 and call.loop.n_in == 2 and call.args[0] == call.args[2]:
        return False
    return not operand.half and (
        not operand.row or call.inner[k] == operand.itemsize or call.n == 1)


cdef void run(Call* call, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """Rows start .. start + rows: straight to the kernel if all are contiguous, else in tiles."""
    cdef void* spans[MAX_OPERANDS]
    cdef Py_ssize_t i, tile, size
    cdef char* scratch
    cdef int k
    cdef bint all_in_place = True
    for k in range(call.loop.n_operands):
        all_in_place &= in_place(call, k)
    if all_in_place:
        for i in range(start, start + rows):
            for k in range(call.loop.n_operands):
                spans[k] = call.args[k] + i * call.outer[k]
            call.loop.kernel(spans, call.n)
        return
    # Where the axis is not the last, the rows of a tile lie side by side: they share cache lines.
    tile = max(<Py_ssize_t> 1, min(<Py_ssize_t> TILE, TILE_ELEMENTS // (call.n + 1)))
    size = (call.n + 8) * sizeof(double)                    # of a packed row, rounded up
    scratch = <char*> malloc((MAX_OPERANDS * tile + 1) * size)
    if scratch == NULL:
        call.out_of_memory = True
        return
    for i in range((rows + tile - 1) // tile):
        run_tile(call, start + i * tile, min(tile, rows - i * tile), tile, size, scratch)
    free(scratch)


cdef void run_tile(Call* call, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t tile,
                   Py_ssize_t size, char* scratch) noexcept nogil:
    cdef const Loop* loop = call.loop
    cdef void* spans[MAX_OPERANDS]
    cdef char* packed[MAX_OPERANDS]
    cdef char* halves = scratch + MAX_OPERANDS * tile * size
    cdef Py_ssize_t i
    cdef int k
    for k in range(loop.n_operands):
        packed[k] = scratch + k * tile * size
        if k < loop.n_in and not in_place(call, k):
            pack(call, k, start, rows, packed[k], size, halves)
    for i in range(rows):
        for k in range(loop.n_operands):
            spans[k] = call.args[k] + (start + i) * call.outer[k]
            if not in_place(call, k):
                spans[k] = packed[k] + i * size
        loop.kernel(spans, call.n)
    for k in range(loop.n_in, loop.n_operands):
        if not in_place(call, k):
            unpack(call, k, start, rows, packed[k], size, halves)


cdef void pack(const Call* call, int k, Py_ssize_t start, Py_ssize_t rows, char* packed,
               Py_ssize_t size, char* halves) noexcept nogil:
    cdef const Operand* operand = &call.loop.operands[k]
    cdef char* x = call.args[k] + start * call.outer[k]
    cdef Py_ssize_t i, n = call.n if operand.row else 1
    if operand.half:
        for i in range(rows):
            copy_strided(x + i * call.outer[k], call.inner[k], halves, operand.itemsize,
                         operand.itemsize, n)
            table.half_to_float(<const uint16_t*> halves, <float*> (packed + i * size), n)
    else:
        copy_tile(x, call.outer[k], call.inner[k], packed, size, operand.itemsize, rows, n,
                  operand.itemsize)


cdef void unpack(const Call* call, int k, Py_ssize_t start, Py_ssize_t rows, char* packed,
                 Py_ssize_t size, char* halves) noexcept nogil:
    cdef const Operand* operand = &call.loop.operands[k]
    cdef char* out = call.args[k] + start * call.outer[k]
    cdef Py_ssize_t i, n = call.n if operand.row else 1
    if operand.half:
        for i in range(rows):
            table.float_to_half(<const float*> (packed + i * size), <uint16_t*> halves, n)
            copy_strided(halves, operand.itemsize, out + i * call.outer[k], call.inner[k],
                         operand.itemsize, n)
    else:
        copy_tile(packed, size, operand.itemsize, out, call.outer[k], call.inner[k], rows, n,
                  operand.itemsize)


cdef void copy_tile(const char* x, Py_ssize_t x_outer, Py_ssize_t x_inner, char* out,
                    Py_ssize_t out_outer, Py_ssize_t out_inner, Py_ssize_t rows, Py_ssize_t n,
                    Py_ssize_t itemsize) noexcept nogil:
    """Copy rows of n items, across the rows first."""
    cdef Py_ssize_t j
    for j in range(n):
        copy_strided(x + j * x_inner, x_outer, out + j * out_inner, out_outer, itemsize, rows)


# -- generalized ufuncs ---------------------------------------------------------------------------
# NumPy keeps the pointers that it is given, so what they point to lives as long as the module.

# Name, kernel, signature. A `backward` takes the gradient first, as everywhere.
FUNCTIONS = [
    ("softmax", SOFTMAX, "(n)->(n)"),
    ("log_softmax", LOG_SOFTMAX, "(n)->(n)"),
    ("logsumexp", LOGSUMEXP, "(n)->()"),
    ("softmax_backward", SOFTMAX_BACKWARD, "(n),(n)->(n)"),
    ("log_softmax_backward", LOG_SOFTMAX_BACKWARD, "(n),(n)->(n)"),
    ("logsumexp_backward", LOGSUMEXP_BACKWARD, "(),(n)->(n)"),
    ("softmax_backward_from_output", SOFTMAX_BACKWARD_FROM_OUTPUT, "(n),(n)->(n)"),
    ("log_softmax_backward_from_output", LOG_SOFTMAX_BACKWARD_FROM_OUTPUT, "(n),(n)->(n)"),
    ("maxout", MAXOUT, "(n)->(),()"),
]

cdef cnp.PyUFuncGenericFunction inner_loops[N_LOOPS]
cdef Loop loops[N_ROW_KERNELS][N_LOOPS]
cdef void* data[N_ROW_KERNELS][N_LOOPS]
cdef char types[N_ROW_KERNELS][N_LOOPS * MAX_OPERANDS]
texts = []

cnp.import_array()
cnp.import_ufunc()


cdef object make(str name, int kernel, str signature):
    inputs, _, outputs = signature.partition("->")
    operands = [part == "(n)" for part in f"{inputs},{outputs}".split(",")]
    cdef int n_in = len(inputs.split(",")), j, k
    cdef Loop* loop
    for j, dtype in enumerate((NPY_HALF, cnp.NPY_FLOAT, cnp.NPY_DOUBLE)):
        inner_loops[j] = <cnp.PyUFuncGenericFunction> inner_loop
        loop = &loops[kernel][j]
        loop.kernel = (table.float64 if dtype == cnp.NPY_DOUBLE else table.float32).rows[kernel]
        loop.n_in, loop.n_operands = n_in, len(operands)
        for k, row in enumerate(operands):
            index = kernel == MAXOUT and k == 2
            number = cnp.NPY_INTP if index else dtype
            loop.operands[k].row = row
            loop.operands[k].half = number == NPY_HALF
            loop.operands[k].itemsize = cnp.PyArray_DescrFromType(number).itemsize
            types[kernel][j * len(operands) + k] = number
        data[kernel][j] = loop
    texts.append((name.encode(), signature.encode()))
    ufunc = cnp.PyUFunc_FromFuncAndDataAndSignature(
        inner_loops, data[kernel], types[kernel], N_LOOPS, n_in, len(operands) - n_in,
        cnp.PyUFunc_None, texts[-1][0], NULL, 0, texts[-1][1])
    with contextlib.suppress(AttributeError):       # an older NumPy: pickle then looks for it
        ufunc.__module__ = __name__
    return ufunc


for _name, _kernel, _signature in FUNCTIONS:
    globals()[_name] = make(_name, _kernel, _signature)
