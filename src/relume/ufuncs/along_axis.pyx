"""Functions along an axis, as generalized ufuncs: NumPy moves the axis, broadcasts and casts.

The inner loop passes whole rows to a kernel if they are contiguous, or else columns if these lie
side by side, as they do when the axis is not the last one. Other layouts are packed into scratch
memory, one tile at a time. Short rows are packed as columns, unless the kernel transposes them.
float16 is converted to float32 one tile at a time, in the same order but without gaps, and is then
handled in the same ways.
If the operands are larger than a core's cache, memory is fetched ahead of the kernel.
Threads process chunks of rows. A row of more than LONG elements is never packed as a whole: it
goes through the kernel's passes in pieces, so scratch memory does not grow with the row.
"""

cimport numpy as cnp
from cpython.exc cimport PyErr_SetNone, PyErr_SetString
from cython.parallel cimport prange, threadid
from libc.stdint cimport uint16_t, uintptr_t
from libc.math cimport INFINITY
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from relume.kernels.dispatch cimport table
from relume.ufuncs.strided cimport copy_strided
from relume.runtime.threads cimport MAX_THREADS, Region, begin, done, end
from relume.kernels.table cimport (
    COLUMNS, CRELU, CRELU_BACKWARD, LOG_SOFTMAX, LOG_SOFTMAX_BACKWARD,
    LOG_SOFTMAX_BACKWARD_FROM_OUTPUT, LOGSUMEXP, LOGSUMEXP_BACKWARD, MAXOUT, MAXOUT_BACKWARD,
    N_AXIS_KERNELS, PRELU_BACKWARD, SOFTMAX, SOFTMAX_BACKWARD, SOFTMAX_BACKWARD_FROM_OUTPUT,
    AxisKernel, Passes, RowState, Spans,
)

import contextlib

cdef extern from "runtime/platform.h" nogil:
    ctypedef struct float_flags:
        pass
    float_flags save_float_flags()
    void restore_float_flags(float_flags flags)
    void prefetch(const char* address)
    Py_ssize_t own_cache()

cdef enum:
    NPY_HALF = 23               # missing in Cython's numpy
    MAX_OPERANDS = 5
    N_LOOPS = 3                 # float16, float32, float64
    CHUNK = 16384               # elements of a thread's chunk, at least one row
    PARALLEL = 32768            # minimum elements for threads, as in elementwise.pyx
    TILE = 16                   # maximum number of rows that are packed together
    TILE_ELEMENTS = 65536       # maximum number of their elements
    FEW = 8                     # fewer columns than this do not fill a vector
    TILE_OF_COLUMNS = 16384     # elements packed together as columns, of which there are >= FEW
    TILE_OF_HALVES = 2048       # float16 elements of whole rows that are converted together
    TILE_OF_HALF_COLUMNS = 262144   # and of columns, which are efficient only if there are many
    LONG = 65536                # maximum number of elements of a row that is packed as a whole
    GROUP = 4096                # bytes of an operand that are fetched at a time
    AHEAD = 2048                # bytes before they are used, as in elementwise.pyx
    LINE = 64                   # of a cache
    PIECE = 2048                # elements of a longer row packed together, a multiple of SHORT

cdef struct Operand:
    bint row                    # a row of n elements, else one element per row
    bint half                   # float16
    Py_ssize_t itemsize         # in the caller's memory

cdef struct Loop:               # the data that NumPy passes to the inner loop
    AxisKernel rows
    AxisKernel columns
    const Passes* passes
    const Loop* single          # the float32 loop for float16, else NULL
    Py_ssize_t min_packed       # rows from this length
    Py_ssize_t max_packed       # to this length are faster if they are packed as columns,
    bint transposes             # unless they are contiguous: then the kernel does it
    int n_in
    int n_operands
    Operand operands[MAX_OPERANDS]

cdef struct Call:
    const Loop* loop
    char* args[MAX_OPERANDS]
    Py_ssize_t outer[MAX_OPERANDS]      # bytes from row to row
    Py_ssize_t inner[MAX_OPERANDS]      # bytes from element to element of a row
    Py_ssize_t n
    Py_ssize_t per_group                # rows, before which memory is fetched ahead; 0: never
    bint out_of_memory
    bint bad_index

cdef struct Tile:
    bint across                 # a line is a column, with one element of each row; else a row
    Py_ssize_t rows             # maximum number of rows
    Py_ssize_t line             # elements from line to line
    char* packed[MAX_OPERANDS]


cdef void inner_loop(char** args, const cnp.npy_intp* dims, const cnp.npy_intp* steps,
                     void* data) noexcept nogil:
    cdef const Loop* loop = <const Loop*> data
    cdef Call call
    cdef float_flags flags = save_float_flags()
    cdef Py_ssize_t i, chunks, rows = dims[0], n = dims[1]
    cdef Py_ssize_t per_chunk = max(<Py_ssize_t> 1, CHUNK // max(<Py_ssize_t> 1, n))
    cdef Region region
    cdef int k, next_inner = loop.n_operands, threads = 1
    call.loop, call.n, call.out_of_memory, call.bad_index = loop, n, False, False
    for k in range(loop.n_operands):
        call.args[k], call.outer[k], call.inner[k] = args[k], steps[k], 0
        if loop.operands[k].row:
            call.inner[k] = steps[next_inner]
            next_inner += 1
    call.per_group = rows_of_group(&call, rows)
    if side_by_side(&call):
        per_chunk = max(per_chunk, 4 * FEW)
    chunks = (rows + per_chunk - 1) // per_chunk
    if chunks > 1 and rows * n >= PARALLEL:
        threads = begin(&region, MAX_THREADS)
    if threads == 1:
        run(&call, 0, rows)
    else:
        for i in prange(chunks, schedule="dynamic", num_threads=threads):
            run(&call, i * per_chunk, min(per_chunk, rows - i * per_chunk))
            done(&region, threadid())
        end(&region, chunks)
    restore_float_flags(flags)
    if call.out_of_memory or call.bad_index:
        set_error(&call)


cdef Py_ssize_t rows_of_group(const Call* call, Py_ssize_t rows) noexcept nogil:
    """0 unless all operands are contiguous, and larger than a core's cache, and rows are short."""
    cdef const Operand* operand
    cdef Py_ssize_t size = 0, largest = 0, group
    cdef int k
    for k in range(call.loop.n_operands):
        operand = &call.loop.operands[k]
        if operand.row:
            if call.inner[k] != operand.itemsize or call.outer[k] != call.n * operand.itemsize:
                return 0
            size += call.outer[k]
            largest = max(largest, call.outer[k])
    if largest == 0 or rows <= cache // size:
        return 0
    group = GROUP // largest
    # Kernels take 16 short rows together, and 8 longer ones.
    return group // 16 * 16 if group >= 16 else min(group, <Py_ssize_t> 8)


cdef void set_error(const Call* call) noexcept with gil:
    if call.out_of_memory:
        PyErr_SetNone(MemoryError)
    else:
        PyErr_SetString(
            IndexError,
            b"which has an index that is out of bounds; allowed are -pieces to pieces - 1")


cdef bint side_by_side(const Call* call) noexcept nogil:
    """Whether neighbouring elements in memory belong to different rows."""
    cdef int k
    for k in range(call.loop.n_operands):
        if call.loop.operands[k].row:
            return call.n > 1 and (max(call.outer[k], -call.outer[k])
                                   < max(call.inner[k], -call.inner[k]))
    return False


cdef inline bint in_place(const Call* call, int k, bint across) noexcept nogil:
    """Whether a kernel can use an operand in the caller's memory."""
    cdef const Operand* operand = &call.loop.operands[k]
    # A kernel with two inputs writes its output before it has read all of the gradient.
    if k == 0 and call.loop.n_in == 2 and call.args[0] == call.args[2]:
        return False
    if across:
        return call.outer[k] == operand.itemsize and call.inner[k] % operand.itemsize == 0
    return ((not operand.row or call.inner[k] == operand.itemsize or call.n == 1)
            and call.outer[k] % operand.itemsize == 0)


cdef inline bint all_in_place(const Call* call, bint across) noexcept nogil:
    cdef int k
    cdef bint result = True
    for k in range(call.loop.n_operands):
        result &= in_place(call, k, across)
    return result


cdef void run(Call* call, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    if call.n > LONG and (call.loop.single != NULL or not (
            all_in_place(call, False) or rows >= FEW and all_in_place(call, True))):
        run_long_rows(call, start, rows)
    elif call.loop.single == NULL:
        run_floats(call, start, rows)
    else:
        run_halves(call, start, rows)


cdef void run_halves(Call* call, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """`run` for float16: convert to float32 and back, one tile at a time."""
    cdef Call single = call[0]
    cdef bint across = side_by_side(call)
    cdef Py_ssize_t tile, size, elements, i, n = max(<Py_ssize_t> 1, call.n)
    cdef int operands = call.loop.n_operands
    if across:
        size = max(<Py_ssize_t> FEW, min(<Py_ssize_t> COLUMNS, TILE_OF_HALF_COLUMNS // n))
    else:
        size = max(<Py_ssize_t> 1, TILE_OF_HALVES // n)
    size = min(size, rows)
    elements = (size * n + 15) // 16 * 16
    cdef char* memory = <char*> malloc((operands + 1) * elements * sizeof(float) + 64)
    if memory == NULL:
        call.out_of_memory = True
        return
    single.loop, single.per_group = call.loop.single, 0
    for tile in range((rows + size - 1) // size):
        i = tile * size
        run_tile_of_halves(call, start + i, min(size, rows - i), across, &single,
                           <float*> (memory + (-<uintptr_t> memory & 63)), elements)
    call.out_of_memory |= single.out_of_memory
    call.bad_index |= single.bad_index
    free(memory)


cdef void run_tile_of_halves(const Call* call, Py_ssize_t start, Py_ssize_t rows, bint across,
                             Call* single, float* memory, Py_ssize_t elements) noexcept nogil:
    cdef uint16_t* halves = <uint16_t*> (memory + call.loop.n_operands * elements)
    cdef const Operand* operands = call.loop.operands
    cdef Py_ssize_t size = sizeof(float)
    cdef int k
    for k in range(call.loop.n_operands):
        if not operands[k].half:
            single.args[k] = call.args[k] + start * call.outer[k]
            continue
        single.args[k] = <char*> (memory + k * elements)
        single.outer[k] = size * (call.n if operands[k].row and not across else 1)
        single.inner[k] = size * (rows if across else 1)
        if k < call.loop.n_in:
            convert(call, k, start, rows, across, memory + k * elements, halves)
    run_floats(single, 0, rows)
    for k in range(call.loop.n_in, call.loop.n_operands):
        if operands[k].half:
            convert(call, k, start, rows, across, memory + k * elements, halves)


cdef void convert(const Call* call, int k, Py_ssize_t start, Py_ssize_t rows, bint across,
                  float* single, uint16_t* halves) noexcept nogil:
    """Convert an input to contiguous float32, or an output back; `halves` is scratch memory."""
    cdef char* x = call.args[k] + start * call.outer[k]
    cdef Py_ssize_t size = sizeof(uint16_t), n = call.n if call.loop.operands[k].row else 1
    cdef Py_ssize_t lines = rows, line = call.outer[k], step = call.inner[k], i
    if across:
        lines, line, n, step = n, step, rows, line
    if (step == size or n == 1) and (line == n * size or lines == 1):
        lines, n, step = 1, lines * n, size         # contiguous, so convert it all at once
    for i in range(lines):
        if k < call.loop.n_in and step == size:
            table.half_to_float(<const uint16_t*> (x + i * line), single + i * n, n)
        elif k < call.loop.n_in:
            copy_strided(x + i * line, step, <char*> halves, size, size, n)
            table.half_to_float(halves, single + i * n, n)
        elif step == size:
            table.float_to_half(single + i * n, <uint16_t*> (x + i * line), n)
        else:
            table.float_to_half(single + i * n, halves, n)
            copy_strided(<const char*> halves, size, x + i * line, step, size, n)


cdef void run_floats(Call* call, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """Run rows start to start + rows, as rows or as columns, in place or packed into tiles."""
    cdef Tile tile
    cdef Py_ssize_t i, n = call.n
    cdef int k
    cdef bint short = rows >= FEW and call.loop.min_packed <= n <= call.loop.max_packed
    tile.across = False
    tile.rows = max(<Py_ssize_t> 1, rows)
    for k in range(MAX_OPERANDS):
        tile.packed[k] = NULL
    if short and not call.loop.transposes or not all_in_place(call, False):
        tile.across = rows >= FEW and n <= TILE_OF_COLUMNS // FEW and (
            short or side_by_side(call)) or rows >= FEW and all_in_place(call, True)
        if tile.across and all_in_place(call, True):
            tile.rows = COLUMNS
        elif not allocate(call, &tile):
            call.out_of_memory = True
            return
    for i in range((rows + tile.rows - 1) // tile.rows):
        run_tile(call, start + i * tile.rows, min(tile.rows, rows - i * tile.rows), &tile)
    free(tile.packed[0])


cdef bint allocate(const Call* call, Tile* tile) noexcept nogil:
    """Set the sizes of a tile and allocate its memory; False if there is not enough."""
    cdef Py_ssize_t size, lines, n = call.n
    cdef int k
    if tile.across:
        tile.rows = max(<Py_ssize_t> FEW, min(<Py_ssize_t> COLUMNS, TILE_OF_COLUMNS // (n + 1)))
        tile.line, lines = tile.rows, n
    else:
        # If the axis is not the last one, the rows of a tile share cache lines.
        tile.rows = max(<Py_ssize_t> 1, min(<Py_ssize_t> TILE, TILE_ELEMENTS // (n + 1)))
        tile.line, lines = n + 8, tile.rows
    size = tile.line * sizeof(double)
    tile.packed[0] = <char*> malloc(MAX_OPERANDS * (lines + 1) * size)
    for k in range(1, MAX_OPERANDS):
        tile.packed[k] = tile.packed[0] + k * (lines + 1) * size
    return tile.packed[0] != NULL


# -- long rows ------------------------------------------------------------------------------------

cdef void run_long_rows(Call* call, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """Take rows through the kernel's passes, in pieces of up to TILE rows."""
    cdef Py_ssize_t tile, size = min(<Py_ssize_t> TILE, rows)
    # for each operand its pieces and its single elements, and one piece of float16
    cdef char* memory = <char*> malloc(
        (call.loop.n_operands * (PIECE + 1) + PIECE) * size * sizeof(double))
    if memory == NULL:
        call.out_of_memory = True
        return
    for tile in range((rows + size - 1) // size):
        run_long_tile(call, start + tile * size, min(size, rows - tile * size), size, memory)
    free(memory)


cdef void run_long_tile(Call* call, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t size,
                        char* memory) noexcept nogil:
    cdef const Loop* loop = call.loop
    cdef const Passes* passes = loop.passes
    cdef RowState states[TILE]
    cdef char* packed[MAX_OPERANDS]
    cdef char* singles[MAX_OPERANDS]
    cdef uint16_t* halves = <uint16_t*> (
        memory + loop.n_operands * (PIECE + 1) * size * sizeof(double))
    cdef Py_ssize_t piece, i
    cdef int k, number
    for k in range(loop.n_operands):
        packed[k] = memory + k * (PIECE + 1) * size * sizeof(double)
        singles[k] = packed[k] + PIECE * size * sizeof(double)
        if k < loop.n_in and loop.operands[k].half and not loop.operands[k].row:
            convert(call, k, start, rows, False, <float*> singles[k], halves)
    memset(states, 0, sizeof(states))
    for i in range(rows):
        states[i].max, states[i].n = -INFINITY, call.n
    for number in range(passes.count):
        for piece in range((call.n + PIECE - 1) // PIECE):
            run_piece(call, start, rows, number, piece * PIECE, packed, singles, states, halves)
    run_piece(call, start, rows, passes.count, call.n, packed, singles, states, halves)
    for k in range(loop.n_in, loop.n_operands):
        if loop.operands[k].half and not loop.operands[k].row:
            convert(call, k, start, rows, False, <float*> singles[k], halves)
    for i in range(rows):
        call.bad_index |= states[i].bad_index


cdef void run_piece(const Call* call, Py_ssize_t start, Py_ssize_t rows, int number,
                    Py_ssize_t at, char** packed, char** singles, RowState* states,
                    uint16_t* halves) noexcept nogil:
    """One pass over elements `at` and following of some rows."""
    cdef const Loop* loop = call.loop
    cdef const Passes* passes = loop.passes
    cdef const Operand* operand
    cdef void* args[MAX_OPERANDS]
    cdef char* first[MAX_OPERANDS]          # of each operand's rows, and the bytes between them
    cdef Py_ssize_t steps[MAX_OPERANDS]
    cdef Py_ssize_t n = min(<Py_ssize_t> PIECE, call.n - at), i
    cdef int k
    for k in range(loop.n_operands):
        operand = &loop.operands[k]
        if not operand.row and operand.half:
            first[k], steps[k] = singles[k], sizeof(float)
        elif not operand.row or not operand.half and in_place(call, k, False):
            first[k], steps[k] = call.args[k] + start * call.outer[k], call.outer[k]
            if operand.row:
                first[k] += at * call.inner[k]
        else:
            first[k] = packed[k]
            steps[k] = PIECE * (sizeof(float) if operand.half else operand.itemsize)
            if k < loop.n_in and number < passes.count and passes.reads[number] >> k & 1:
                copy_piece(call, k, start, rows, at, n, packed[k], halves)
    for i in range(rows):
        for k in range(loop.n_operands):
            args[k] = first[k] + i * steps[k]
        states[i].start = at
        passes.run(args, &states[i], number, n)
    for k in range(loop.n_in, loop.n_operands):
        if first[k] == packed[k] and number == passes.count - 1:
            copy_piece(call, k, start, rows, at, n, packed[k], halves)


cdef void copy_piece(const Call* call, int k, Py_ssize_t start, Py_ssize_t rows, Py_ssize_t at,
                     Py_ssize_t n, char* packed, uint16_t* halves) noexcept nogil:
    """Pack elements `at` and following of rows of an input, or unpack an output."""
    cdef char* x = call.args[k] + start * call.outer[k] + at * call.inner[k]
    cdef Py_ssize_t size = call.loop.operands[k].itemsize, i
    cdef bint half = call.loop.operands[k].half, is_input = k < call.loop.n_in
    cdef char* copy = <char*> halves if half else packed
    if half and not is_input:
        for i in range(rows):
            table.float_to_half(<const float*> packed + i * PIECE, halves + i * PIECE, n)
    if side_by_side(call) and rows > 1:
        if is_input:
            copy_tile(x, call.outer[k], call.inner[k], copy, PIECE * size, size, rows, n, size)
        else:
            copy_tile(copy, PIECE * size, size, x, call.outer[k], call.inner[k], rows, n, size)
    else:
        for i in range(rows):
            if is_input:
                copy_strided(x + i * call.outer[k], call.inner[k], copy + i * PIECE * size, size,
                             size, n)
            else:
                copy_strided(copy + i * PIECE * size, size, x + i * call.outer[k], call.inner[k],
                             size, n)
    if half and is_input:
        for i in range(rows):
            table.half_to_float(halves + i * PIECE, <float*> packed + i * PIECE, n)


# -- rows and columns -----------------------------------------------------------------------------

cdef void run_tile(Call* call, Py_ssize_t start, Py_ssize_t rows,
                   const Tile* tile) noexcept nogil:
    cdef const Loop* loop = call.loop
    cdef void* spans[MAX_OPERANDS + 1]
    cdef Py_ssize_t steps[MAX_OPERANDS]
    cdef AxisKernel kernel = loop.columns if tile.across else loop.rows
    cdef int k
    spans[loop.n_operands] = &call.bad_index
    for k in range(loop.n_operands):
        if in_place(call, k, tile.across):
            spans[k] = call.args[k] + start * call.outer[k]
            steps[k] = call.inner[k] if tile.across else call.outer[k]
            steps[k] = steps[k] // loop.operands[k].itemsize
        else:
            spans[k], steps[k] = tile.packed[k], tile.line
            if k < loop.n_in:
                pack(call, k, start, rows, tile)
    if call.per_group and not tile.across and all_in_place(call, False):
        run_ahead(call, kernel, spans, steps, rows)
    else:
        kernel(spans, steps, rows, call.n)
    for k in range(loop.n_in, loop.n_operands):
        if spans[k] == tile.packed[k]:
            unpack(call, k, start, rows, tile)


cdef void run_ahead(const Call* call, AxisKernel kernel, void** spans, const Py_ssize_t* steps,
                    Py_ssize_t rows) noexcept nogil:
    """Run the kernel on groups of rows, and fetch later rows before each.

    A CPU fetches ahead by itself only within a page, see elementwise.pyx. For 50,000 rows of 100
    float32, softmax, logsumexp and their gradients take 0.67 to 0.97 of the time.
    """
    cdef const Operand* operands = call.loop.operands
    cdef Py_ssize_t size, line
    cdef int k
    while rows > 0:
        for k in range(call.loop.n_operands):
            size = call.per_group * call.outer[k]
            if operands[k].row and rows * call.outer[k] > AHEAD:
                for line in range((size + LINE - 1) // LINE):
                    prefetch(<char*> spans[k] + AHEAD + line * LINE)
        kernel(spans, steps, min(rows, call.per_group), call.n)
        for k in range(call.loop.n_operands):
            spans[k] = <char*> spans[k] + call.per_group * call.outer[k]
        rows -= call.per_group


cdef void pack(const Call* call, int k, Py_ssize_t start, Py_ssize_t rows,
               const Tile* tile) noexcept nogil:
    cdef const Operand* operand = &call.loop.operands[k]
    cdef char* x = call.args[k] + start * call.outer[k]
    cdef char* packed = tile.packed[k]
    cdef Py_ssize_t n = call.n if operand.row else 1, size = operand.itemsize
    cdef Py_ssize_t outer = call.outer[k], inner = call.inner[k], line = tile.line * size
    if tile.across:
        copy_tile(x, outer, inner, packed, size, line, rows, n, size)
    else:
        copy_tile(x, outer, inner, packed, line, size, rows, n, size)


cdef void unpack(const Call* call, int k, Py_ssize_t start, Py_ssize_t rows,
                 const Tile* tile) noexcept nogil:
    cdef const Operand* operand = &call.loop.operands[k]
    cdef char* out = call.args[k] + start * call.outer[k]
    cdef char* packed = tile.packed[k]
    cdef Py_ssize_t n = call.n if operand.row else 1, size = operand.itemsize
    cdef Py_ssize_t outer = call.outer[k], inner = call.inner[k], line = tile.line * size
    if tile.across:
        copy_tile(packed, size, line, out, outer, inner, rows, n, size)
    else:
        copy_tile(packed, line, size, out, outer, inner, rows, n, size)


cdef void copy_tile(const char* x, Py_ssize_t x_outer, Py_ssize_t x_inner, char* out,
                    Py_ssize_t out_outer, Py_ssize_t out_inner, Py_ssize_t rows, Py_ssize_t n,
                    Py_ssize_t itemsize) noexcept nogil:
    """Copy rows of n items; the inner loop runs across the rows."""
    cdef Py_ssize_t j
    for j in range(n):
        copy_strided(x + j * x_inner, x_outer, out + j * out_inner, out_outer, itemsize, rows)


include "direct_calls_along_axis.pxi"


# -- generalized ufuncs ---------------------------------------------------------------------------
# NumPy keeps the pointers that it is given, so their targets must live as long as the module.

# Name, kernel, signature, the minimum and maximum length of rows that are packed as columns, and
# whether the kernel transposes contiguous ones. A `backward` function takes the gradient first, as
# everywhere.
FUNCTIONS = [
    ("softmax", SOFTMAX, "(n)->(n)", 1, 32, True),
    ("log_softmax", LOG_SOFTMAX, "(n)->(n)", 1, 32, True),
    ("logsumexp", LOGSUMEXP, "(n)->()", 1, 32, True),
    ("softmax_backward", SOFTMAX_BACKWARD, "(n),(n)->(n)", 1, 32, True),
    ("log_softmax_backward", LOG_SOFTMAX_BACKWARD, "(n),(n)->(n)", 1, 32, True),
    ("logsumexp_backward", LOGSUMEXP_BACKWARD, "(),(n)->(n)", 1, 32, True),
    ("softmax_backward_from_output", SOFTMAX_BACKWARD_FROM_OUTPUT, "(n),(n)->(n)", 1, 32, True),
    ("log_softmax_backward_from_output", LOG_SOFTMAX_BACKWARD_FROM_OUTPUT, "(n),(n)->(n)", 1, 32,
     True),
    ("maxout", MAXOUT, "(n)->(),()", 5, 32, False),
    ("maxout_backward", MAXOUT_BACKWARD, "(),()->(n)", 0, 0, False),
    ("crelu", CRELU, "(n)->(n),(n)", 1, 8, False),
    ("crelu_backward", CRELU_BACKWARD, "(n),(n),(n)->(n)", 1, 8, False),
    ("prelu_backward", PRELU_BACKWARD, "(n),(n),()->(n),()", 1, 32, False),
]

cdef cnp.PyUFuncGenericFunction inner_loops[N_LOOPS]
cdef Loop loops[N_AXIS_KERNELS][N_LOOPS]
cdef void* data[N_AXIS_KERNELS][N_LOOPS]
cdef char types[N_AXIS_KERNELS][N_LOOPS * MAX_OPERANDS]
cdef Py_ssize_t cache = own_cache()
texts = []

cnp.import_array()
cnp.import_ufunc()


cdef object make(str name, int kernel, str signature, Py_ssize_t min_packed,
                 Py_ssize_t max_packed, bint transposes):
    global numpy_call
    inputs, _, outputs = signature.partition("->")
    is_row = [operand == "(n)" for operand in f"{inputs},{outputs}".split(",")]
    cdef int n_in = len(inputs.split(",")), j, k
    cdef Loop* loop
    cdef const Spans* spans
    for j, dtype in enumerate((NPY_HALF, cnp.NPY_FLOAT, cnp.NPY_DOUBLE)):
        inner_loops[j] = <cnp.PyUFuncGenericFunction> inner_loop
        loop = &loops[kernel][j]
        spans = &table.float64 if dtype == cnp.NPY_DOUBLE else &table.float32
        loop.single = &loops[kernel][1] if dtype == NPY_HALF else NULL
        loop.rows, loop.columns = spans.rows[kernel], spans.columns[kernel]
        loop.passes = &spans.passes[kernel]
        loop.min_packed, loop.max_packed = min_packed, max_packed
        loop.transposes = transposes
        loop.n_in, loop.n_operands = n_in, len(is_row)
        for k, row in enumerate(is_row):
            index = (kernel, k) in ((MAXOUT, 2), (MAXOUT_BACKWARD, 1))
            number = cnp.NPY_INTP if index else dtype
            if (kernel, k) == (PRELU_BACKWARD, 4) and dtype == NPY_HALF:
                number = cnp.NPY_FLOAT      # partial sums stay in float32
            loop.operands[k].row = row
            loop.operands[k].half = number == NPY_HALF
            loop.operands[k].itemsize = cnp.PyArray_DescrFromType(number).itemsize
            types[kernel][j * len(is_row) + k] = number
        data[kernel][j] = loop
    texts.append((name.encode(), signature.encode()))
    ufunc = cnp.PyUFunc_FromFuncAndDataAndSignature(
        inner_loops, data[kernel], types[kernel], N_LOOPS, n_in, len(is_row) - n_in,
        cnp.PyUFunc_None, texts[-1][0], NULL, 0, texts[-1][1])
    with contextlib.suppress(AttributeError):       # older NumPy: pickle searches the modules
        ufunc.__module__ = __name__
    numpy_call = (<PyUFuncObject*> ufunc).vectorcall
    (<PyUFuncObject*> ufunc).vectorcall = call
    return ufunc


KERNELS = {}
for _name, _kernel, _signature, _min_packed, _max_packed, _transposes in FUNCTIONS:
    globals()[_name] = make(_name, _kernel, _signature, _min_packed, _max_packed, _transposes)
    KERNELS[_name] = _kernel


# -- one long row ---------------------------------------------------------------------------------

LONG_ROW = LONG


cdef class LongRow:
    """The passes of a function over one row that the caller converts in pieces."""
    cdef const Passes* passes
    cdef RowState state
    cdef const Loop* loop

    def __init__(self, str name, bint is_double, Py_ssize_t n):
        cdef int kernel = KERNELS[name]
        self.loop = &loops[kernel][2 if is_double else 1]
        self.passes = self.loop.passes
        memset(&self.state, 0, sizeof(RowState))
        self.state.max, self.state.n = -INFINITY, n

    @property
    def count(self):
        """The number of passes."""
        return self.passes.count

    def reads(self, int number, int k):
        """Whether a pass reads operand k."""
        return bool(self.passes.reads[number] >> k & 1)

    def run(self, int number, Py_ssize_t start, Py_ssize_t n, list spans):
        """Run a pass over elements `start` and following; `spans` is an array per operand."""
        cdef void* args[MAX_OPERANDS]
        cdef float_flags flags
        cdef cnp.ndarray span
        cdef int k
        if not 0 <= number <= self.passes.count or len(spans) != self.loop.n_operands:
            raise ValueError("number must be a pass, and spans an array for each operand")
        for k in range(self.loop.n_operands):
            span = spans[k]
            if (not cnp.PyArray_IS_C_CONTIGUOUS(span)
                    or cnp.PyArray_ITEMSIZE(span) != self.loop.operands[k].itemsize
                    or span.size < (n if self.loop.operands[k].row else 1)):
                raise ValueError("a span must be contiguous, of the row's dtype and long enough")
            args[k] = cnp.PyArray_DATA(span)
        self.state.start = start
        with nogil:
            flags = save_float_flags()
            self.passes.run(args, &self.state, number, n)
            restore_float_flags(flags)
