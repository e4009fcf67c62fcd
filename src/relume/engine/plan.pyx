"""A network as a flat plan, and the two phases of a minibatch over it.

Phase 1 goes by shards of SHARD rows: gather, forward, loss, input gradients. Phase 2 goes by
blocks of weights: the gradient of one block over all rows, then at once its update while it is in
cache. Shards and blocks depend on shapes alone and nothing is summed across threads, so the bits
are the same for any number of threads. BLAS must be held to one thread by the caller
(relume.nn.blas).

The parameters of a layer are one row-major matrix of n_in + 1 rows: the weights, then the bias.
All layers lie in one buffer, gradients and optimizer state in others of the same layout. What a
minibatch leaves for its backward pass, the tape, is one buffer too: for each layer the values of
all rows, one after the other. Pointers are char*, offsets count elements: one code for both
precisions.
"""

cimport numpy as cnp
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cython.parallel cimport prange, threadid
from libc.string cimport memcpy

from relume.engine.blas cimport gemm_double, gemm_float
from relume.kernels.dispatch cimport table
from relume.kernels.threads cimport Region, available_threads, begin, done, end
from relume.kernels.types cimport Activation, Kernel, Kernels, Loss, Spans, Update

import numpy as np

cnp.import_array()


cdef char* data_of(cnp.ndarray array, dtype, Py_ssize_t size, str name) except NULL:
    """The memory of an array, once it is known to be what the plan takes it for."""
    if (array.dtype != dtype or array.size != size
            or not (array.flags.c_contiguous and array.flags.aligned)):
        raise ValueError(f"{name} must be a C-contiguous array of {size} {dtype}, "
                         f"got {array.size} {array.dtype}")
    return <char*> cnp.PyArray_DATA(array)


cdef class Plan:
    """Layers compiled for one input width and dtype; it holds no values and may be shared.

    Parameters
    ----------
    n_in : int
    layers : list of (n_out, activation, parameters)
        `activation` is the index of a row of the kernels' table, or -1; `parameters` says whether
        its derivative is taken from the output, then gives the parameters' values.
    dtype : numpy.dtype
        float32 or float64.
    """

    def __cinit__(self, Py_ssize_t n_in, list layers, dtype):
        cdef Py_ssize_t i, n_blocks = 0
        self.dtype = np.dtype(dtype)
        self.itemsize = self.dtype.itemsize
        self.spans = &table.float32 if self.itemsize == 4 else &table.float64
        self.gemm = gemm_float if self.itemsize == 4 else gemm_double
        self.n_in = self.n_out = self.widest = n_in
        self.n_layers = len(layers)
        self.layers = <Layer*> PyMem_Calloc(self.n_layers, sizeof(Layer))
        if self.layers == NULL:
            raise MemoryError()
        for i in range(self.n_layers):
            n_out, activation, parameters = layers[i]
            self.add_layer(&self.layers[i], n_out, activation, parameters)
            n_blocks += ceil_div(self.layers[i].n_in + 1, rows_of_block(&self.layers[i]))
        self.blocks = <Block*> PyMem_Calloc(n_blocks, sizeof(Block))
        if self.blocks == NULL:
            raise MemoryError()
        for i in range(self.n_layers):
            self.add_blocks(i)

    def __dealloc__(self):
        PyMem_Free(self.layers)
        PyMem_Free(self.blocks)

    cdef int add_layer(self, Layer* layer, Py_ssize_t n_out, int activation,
                       tuple parameters) except -1:
        layer.n_in, layer.n_out = self.n_out, n_out
        layer.parameters = self.n_parameters
        layer.from_output = True
        layer.z = layer.output = self.tape_width
        self.tape_width += n_out
        if activation >= 0:
            self.set_activation(layer, activation, parameters)
        layer.delta = self.tape_width
        self.tape_width += n_out
        self.n_parameters += (layer.n_in + 1) * n_out
        self.n_parameters = ceil_div(self.n_parameters, ALIGN) * ALIGN
        self.n_out = n_out
        self.widest = max(self.widest, n_out)
        self.multiply_adds += layer.n_in * n_out

    cdef int set_activation(self, Layer* layer, int activation, tuple parameters) except -1:
        """Take a row's kernels; without a backward from the output, keep the pre-activation."""
        cdef const Activation* row = &table.activations[activation]
        cdef bytes value
        backward_from_output, values = parameters[0], parameters[1:]
        layer.n_parameters = len(values)
        for k in range(layer.n_parameters):
            value = self.dtype.type(values[k]).tobytes()
            memcpy(&layer.parameter[k], <const char*> value, self.itemsize)
        layer.activate = self.kernel(&row.forward)
        layer.from_output = backward_from_output
        if backward_from_output:
            layer.activate_backward = self.kernel(&row.backward_from_output)
        else:
            layer.activate_backward = self.kernel(&row.backward)
            layer.output = self.tape_width
            self.tape_width += layer.n_out

    cdef Kernel kernel(self, const Kernels* kernels) noexcept:
        return kernels.float32 if self.itemsize == 4 else kernels.float64

    cdef void add_blocks(self, Py_ssize_t i) noexcept:
        cdef Layer* layer = &self.layers[i]
        cdef Py_ssize_t k, first, size = rows_of_block(layer)
        for k in range(ceil_div(layer.n_in + 1, size)):
            first = k * size
            self.blocks[self.n_blocks] = Block(i, first, min(first + size, layer.n_in + 1))
            self.n_blocks += 1
            self.largest_block = max(self.largest_block, size * layer.n_out)

    def layout(self):
        """Where the parameters are: a list of (offset, n_in, n_out), the bias at the end."""
        cdef Py_ssize_t i
        return [(self.layers[i].parameters, self.layers[i].n_in, self.layers[i].n_out)
                for i in range(self.n_layers)]

    def all_finite(self, parameters):
        """Whether all parameters are finite."""
        return self.spans.all_finite(
            data_of(parameters, self.dtype, self.n_parameters, "parameters"), self.n_parameters)

    def new_tape(self, Py_ssize_t rows):
        """Memory for what a minibatch of so many rows leaves for its backward pass."""
        return np.empty(rows * self.tape_width, self.dtype)

    cdef int threads_for(self, Py_ssize_t rows) noexcept nogil:
        return available_threads() if self.multiply_adds * rows >= PARALLEL else 1

    # -- one layer -------------------------------------------------------------------------------

    cdef char* on_tape(self, char* tape, Py_ssize_t rows, Py_ssize_t place, Py_ssize_t row,
                       Py_ssize_t width) noexcept nogil:
        return tape + (rows * place + row * width) * self.itemsize

    cdef void forward_layer(self, const Layer* layer, const char* parameters, const char* x,
                            char* z, char* output, Py_ssize_t rows) noexcept nogil:
        """z = x W + b; output = f(z)."""
        cdef const char* weights = parameters + layer.parameters * self.itemsize
        cdef Py_ssize_t i, row_size = layer.n_out * self.itemsize
        for i in range(rows):
            memcpy(z + i * row_size, weights + layer.n_in * row_size, row_size)
        self.gemm(False, False, <int> rows, <int> layer.n_out, <int> layer.n_in, x,
                  <int> layer.n_in, weights, <int> layer.n_out, True, z, <int> layer.n_out)
        if layer.activate != NULL:
            call_kernel(layer, layer.activate, NULL, z, output, rows * layer.n_out)

    cdef void backward_layer(self, const Layer* layer, const char* parameters, const char* saved,
                             char* delta, char* dx, Py_ssize_t rows) noexcept nogil:
        """delta = delta f'(z); dx = delta W^T, unless dx is NULL."""
        if layer.activate != NULL:
            call_kernel(layer, layer.activate_backward, delta, saved, delta, rows * layer.n_out)
        if dx != NULL:
            self.gemm(False, True, <int> rows, <int> layer.n_in, <int> layer.n_out, delta,
                      <int> layer.n_out, parameters + layer.parameters * self.itemsize,
                      <int> layer.n_out, False, dx, <int> layer.n_in)

    # -- phase 1: a shard of rows ----------------------------------------------------------------

    cdef void forward_shard(self, const char* parameters, const char* x, char* tape,
                            Py_ssize_t rows, Py_ssize_t shard) noexcept nogil:
        """From x, rows of inputs, to all outputs of a shard's rows."""
        cdef Py_ssize_t first = shard * SHARD, n = min(<Py_ssize_t> SHARD, rows - first)
        cdef const Layer* layer
        cdef const char* entering = x + first * self.n_in * self.itemsize
        cdef char* output
        cdef Py_ssize_t i
        for i in range(self.n_layers):
            layer = &self.layers[i]
            output = self.on_tape(tape, rows, layer.output, first, layer.n_out)
            self.forward_layer(layer, parameters, entering,
                               self.on_tape(tape, rows, layer.z, first, layer.n_out), output, n)
            entering = output

    cdef void backward_shard(self, const char* parameters, char* tape, char* dx, Py_ssize_t rows,
                             Py_ssize_t shard) noexcept nogil:
        """From the last delta to all deltas of a shard's rows, and to dx unless that is NULL."""
        cdef Py_ssize_t first = shard * SHARD, n = min(<Py_ssize_t> SHARD, rows - first)
        cdef const Layer* layer
        cdef char* entering
        cdef Py_ssize_t i
        for i in range(self.n_layers - 1, -1, -1):
            layer = &self.layers[i]
            if i > 0:
                entering = self.on_tape(tape, rows, self.layers[i - 1].delta, first, layer.n_in)
            else:
                entering = dx if dx == NULL else dx + first * self.n_in * self.itemsize
            self.backward_layer(
                layer, parameters,
                self.on_tape(tape, rows, layer.output if layer.from_output else layer.z, first,
                             layer.n_out),
                self.on_tape(tape, rows, layer.delta, first, layer.n_out), entering, n)

    cdef const Layer* last_layer(self) noexcept nogil:
        return &self.layers[self.n_layers - 1]

    # -- phase 2: a block of weights -------------------------------------------------------------

    cdef void block_gradient(self, const Block* block, const char* x, char* tape, Py_ssize_t rows,
                             char* gradient) noexcept nogil:
        """x^T delta for the block's rows of the weights; the sum of delta for the bias."""
        cdef const Layer* layer = &self.layers[block.layer]
        cdef const Layer* before
        cdef const char* entering = x
        cdef char* delta = self.on_tape(tape, rows, layer.delta, 0, layer.n_out)
        cdef Py_ssize_t last = min(block.last, layer.n_in)
        if block.layer > 0:
            before = &self.layers[block.layer - 1]
            entering = self.on_tape(tape, rows, before.output, 0, before.n_out)
        if last > block.first:
            self.gemm(True, False, <int> (last - block.first), <int> layer.n_out, <int> rows,
                      entering + block.first * self.itemsize, <int> layer.n_in, delta,
                      <int> layer.n_out, False, gradient, <int> layer.n_out)
        if block.last > layer.n_in:
            self.spans.column_sum(delta, rows, layer.n_out,
                                  gradient + (last - block.first) * layer.n_out * self.itemsize)

    # -- what Python calls -----------------------------------------------------------------------

    def predict(self, parameters, X, bint softmax=False):
        """The outputs for the rows of X, through softmax if asked; None where X is not finite."""
        cdef Py_ssize_t n = X.shape[0], shards = ceil_div(n, SHARD), i
        cdef const char* p = data_of(parameters, self.dtype, self.n_parameters, "parameters")
        cdef const char* x = data_of(X, self.dtype, n * self.n_in, "X")
        cdef int threads = self.threads_for(n), bad = 0
        cdef Region region
        out = np.empty((n, self.n_out), self.dtype)
        scratch = np.empty(2 * threads * SHARD * self.widest, self.dtype)
        cdef char* result = <char*> cnp.PyArray_DATA(out)
        cdef char* memory = <char*> cnp.PyArray_DATA(scratch)
        with nogil:
            if threads > 1:
                threads = min(begin(&region), threads)
            if threads == 1:
                for i in range(shards):
                    bad += not self.predict_shard(p, x, memory, result, i, n, softmax)
            else:
                for i in prange(shards, schedule="dynamic", num_threads=threads):
                    bad += not self.predict_shard(
                        p, x, memory + 2 * threadid() * SHARD * self.widest * self.itemsize,
                        result, i, n, softmax)
                    done(&region, threadid())
                end(&region, shards)
        return None if bad else out

    cdef bint predict_shard(self, const char* parameters, const char* x, char* memory,
                            char* result, Py_ssize_t shard, Py_ssize_t rows,
                            bint softmax) noexcept nogil:
        """One shard through all layers, between two pieces of memory that stay in cache."""
        cdef Py_ssize_t first = shard * SHARD, n = min(<Py_ssize_t> SHARD, rows - first), i
        cdef const char* entering = x + first * self.n_in * self.itemsize
        cdef char* output
        cdef bint finite = self.spans.all_finite(entering, n * self.n_in)
        result += first * self.n_out * self.itemsize
        for i in range(self.n_layers):
            output = memory + (i % 2) * SHARD * self.widest * self.itemsize
            if i == self.n_layers - 1:
                output = result
            self.forward_layer(&self.layers[i], parameters, entering, output, output, n)
            entering = output
        if softmax:
            self.spans.softmax(result, n, self.n_out, result)
        return finite

    def forward(self, parameters, X, tape):
        """Phase 1 without the loss, for loops of one's own; the outputs are on the tape."""
        cdef Py_ssize_t rows = X.shape[0], i
        cdef const char* p = data_of(parameters, self.dtype, self.n_parameters, "parameters")
        cdef const char* x = data_of(X, self.dtype, rows * self.n_in, "X")
        cdef char* t = data_of(tape, self.dtype, rows * self.tape_width, "tape")
        cdef Py_ssize_t start = rows * self.last_layer().output
        if not self.spans.all_finite(x, rows * self.n_in):
            return None
        with nogil:
            for i in range(ceil_div(rows, SHARD)):
                self.forward_shard(p, x, t, rows, i)
        return tape[start:start + rows * self.n_out].reshape(rows, self.n_out).copy()

    def backward(self, parameters, gradients, X, tape, dz):
        """From the outputs' gradient to the gradients of parameters (written) and X (returned)."""
        cdef Py_ssize_t rows = X.shape[0], i
        cdef const char* p = data_of(parameters, self.dtype, self.n_parameters, "parameters")
        cdef char* g = data_of(gradients, self.dtype, self.n_parameters, "gradients")
        cdef const char* x = data_of(X, self.dtype, rows * self.n_in, "X")
        cdef char* t = data_of(tape, self.dtype, rows * self.tape_width, "tape")
        cdef const char* d = data_of(dz, self.dtype, rows * self.n_out, "dz")
        dX = np.empty((rows, self.n_in), self.dtype)
        cdef char* dx = <char*> cnp.PyArray_DATA(dX)
        with nogil:
            memcpy(self.on_tape(t, rows, self.last_layer().delta, 0, self.n_out), d,
                   rows * self.n_out * self.itemsize)
            for i in range(ceil_div(rows, SHARD)):
                self.backward_shard(p, t, dx, rows, i)
            for i in range(self.n_blocks):
                self.block_gradient(&self.blocks[i], x, t, rows,
                                    g + self.block_start(i) * self.itemsize)
        return dX

    cdef Py_ssize_t block_start(self, Py_ssize_t i) noexcept nogil:
        cdef const Layer* layer = &self.layers[self.blocks[i].layer]
        return layer.parameters + self.blocks[i].first * layer.n_out

    def mean_loss(self, str loss, z, y):
        """The mean loss of outputs z, row by row against y."""
        cdef Py_ssize_t rows = z.shape[0]
        row_loss, dz = np.empty(rows, self.dtype), np.empty_like(z)
        loss_of(self.spans, loss)(
            data_of(z, self.dtype, rows * self.n_out, "z"),
            data_of(y, target_dtype(loss, self.dtype), y.size, "y"), rows, self.n_out, 1.0,
            <char*> cnp.PyArray_DATA(dz), <char*> cnp.PyArray_DATA(row_loss))
        return float(np.mean(row_loss, dtype=np.float64))


cdef Py_ssize_t rows_of_block(const Layer* layer) noexcept:
    return max(<Py_ssize_t> 1, min(layer.n_in + 1, BLOCK // layer.n_out))


cdef void call_kernel(const Layer* layer, Kernel kernel, char* grad, const char* x, char* out,
                      Py_ssize_t n) noexcept nogil:
    """Call an activation's kernel: ([grad,] x, parameters ..., out)."""
    cdef void* args[3 + MAX_PARAMETERS]
    cdef int k, position = 0
    if grad != NULL:
        args[0] = grad
        position = 1
    args[position] = <void*> x
    for k in range(layer.n_parameters):
        args[position + 1 + k] = <void*> &layer.parameter[k]
    args[position + 1 + layer.n_parameters] = out
    kernel(args, True, n)


cdef Loss loss_of(const Spans* spans, str name) except NULL:
    if name == "cross_entropy":
        return spans.cross_entropy
    elif name == "mse":
        return spans.mse
    raise ValueError(f"the engine has no loss {name!r}")


cdef Update update_of(const Spans* spans, str name) except NULL:
    if name == "sgd":
        return spans.sgd
    elif name == "adam":
        return spans.adam
    raise ValueError(f"the engine has no optimizer {name!r}")


def target_dtype(loss, dtype):
    """What y must be for a loss: labels, or values of the network's dtype."""
    return np.dtype(np.int64) if loss == "cross_entropy" else np.dtype(dtype)
