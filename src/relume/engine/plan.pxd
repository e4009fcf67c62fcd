"""A network as a flat plan: what plan.pyx implements and training.pyx drives."""

cimport numpy as cnp

from relume.engine.blas cimport Gemm
from relume.kernels.types cimport Kernel, Kernels, Loss, Spans, Update

cdef enum:
    SHARD = 64                  # rows: 784 x 256 products lose 11 % at 64 rows, 38 % at 32
    # Elements of a weight block, about. A step of 784-256-128-10, batch 128, on one thread takes
    # 2,411 us at 8,192, 2,108 at 16,384, 2,094 at 32,768; on two 1,337, 1,178 and 1,218.
    BLOCK = 16384
    ALIGN = 16                  # elements: a layer's parameters begin on a cache line
    MAX_PARAMETERS = 3

    # Multiply-adds of a forward pass from which threads are used. With two a step takes 0.64 of
    # one's time at 830,000 (64-64-32-10, batch 128), 0.59 at 2.2 million, 0.56 at 30 million.
    PARALLEL = 400000

cdef struct Layer:
    Py_ssize_t n_in
    Py_ssize_t n_out
    Py_ssize_t parameters       # where its parameters begin
    Kernel activate             # NULL: the layer is linear
    Kernel activate_backward
    bint from_output            # backward reads the output, else the pre-activation
    int n_parameters            # the activation's own, stored in the plan's dtype
    double parameter[MAX_PARAMETERS]
    Py_ssize_t z                # on the tape, in units of its rows: pre-activation,
    Py_ssize_t output           # output (the same place if from_output),
    Py_ssize_t delta            # gradient with respect to the output, then to z

cdef struct Block:              # rows first .. last of a layer's parameters; row n_in is the bias
    Py_ssize_t layer
    Py_ssize_t first
    Py_ssize_t last


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    """a / b rounded up; // truncates here (cdivision), so -(-a // b) would not do."""
    return (a + b - 1) // b


cdef class Plan:
    cdef Layer* layers
    cdef Block* blocks
    cdef const Spans* spans
    cdef Gemm gemm
    cdef readonly object dtype
    cdef readonly Py_ssize_t n_layers, n_blocks, n_in, n_out, n_parameters, itemsize
    cdef Py_ssize_t tape_width, widest, largest_block, multiply_adds

    cdef int add_layer(self, Layer* layer, Py_ssize_t n_out, int activation,
                       tuple parameters) except -1
    cdef int set_activation(self, Layer* layer, int activation, tuple parameters) except -1
    cdef Kernel kernel(self, const Kernels* kernels) noexcept
    cdef void add_blocks(self, Py_ssize_t i) noexcept
    cdef int threads_for(self, Py_ssize_t rows) noexcept nogil
    cdef char* on_tape(self, char* tape, Py_ssize_t rows, Py_ssize_t place, Py_ssize_t row,
                       Py_ssize_t width) noexcept nogil
    cdef void forward_layer(self, const Layer* layer, const char* parameters, const char* x,
                            char* z, char* output, Py_ssize_t rows) noexcept nogil
    cdef void backward_layer(self, const Layer* layer, const char* parameters, const char* saved,
                             char* delta, char* dx, Py_ssize_t rows) noexcept nogil
    cdef void forward_shard(self, const char* parameters, const char* x, char* tape,
                            Py_ssize_t rows, Py_ssize_t shard) noexcept nogil
    cdef void backward_shard(self, const char* parameters, char* tape, char* dx, Py_ssize_t rows,
                             Py_ssize_t shard) noexcept nogil
    cdef const Layer* last_layer(self) noexcept nogil
    cdef void block_gradient(self, const Block* block, const char* x, char* tape, Py_ssize_t rows,
                             char* gradient) noexcept nogil
    cdef Py_ssize_t block_start(self, Py_ssize_t i) noexcept nogil
    cdef bint predict_shard(self, const char* parameters, const char* x, char* memory,
                            char* result, Py_ssize_t shard, Py_ssize_t rows,
                            bint softmax) noexcept nogil


cdef char* data_of(cnp.ndarray array, dtype, Py_ssize_t size, str name) except NULL
cdef Loss loss_of(const Spans* spans, str name) except NULL
cdef Update update_of(const Spans* spans, str name) except NULL
