"""Statistics of a plan's units: implemented in observer.pyx, called by training.pyx."""

from libc.stdint cimport uint8_t

from relume.engine.plan cimport Plan
from relume.engine.ops cimport Pass, Sparse, Op
from relume.kernels.table cimport Loss


cdef enum:
    SLOTS = 16                  # separate totals, so that sums do not depend on the threads
    VALUES = 1                  # what is observed of a node; the two bits
    GRADIENTS = 2               # may be combined


cdef class Observer:
    cdef Plan plan
    cdef readonly Py_ssize_t rows, observations
    cdef public Py_ssize_t every
    cdef Py_ssize_t size, waited
    cdef readonly object observed
    cdef object totals, bounds_array, offsets_array
    cdef Py_ssize_t slots
    cdef double* total          # `slots` parts of `size`: values of all nodes, then gradients
    cdef const uint8_t* observed_bits
    cdef const double* bounds
    cdef const Py_ssize_t* offsets
    cdef object python_loss, error, owners
    cdef Loss loss
    cdef const char* numbers
    cdef const char* y
    cdef Py_ssize_t y_size
    cdef char* outputs
    cdef char* losses
    cdef Py_ssize_t n
    cdef Py_ssize_t first, last     # shards that are run at once

    cdef void observe_minibatch(self, const Pass* passes, Py_ssize_t n) noexcept nogil
    cdef void observe_pass(self, const Pass* p) noexcept nogil
    cdef void add(self, const Pass* p, const char* x, Py_ssize_t node, bint gradient, bint whole,
                  Py_ssize_t slot, Py_ssize_t rows) noexcept nogil
    cdef bint bounded(self, Py_ssize_t node) noexcept nogil
    cdef int all_slots(self, const Pass* p, char* memory, Py_ssize_t size,
                       int threads) noexcept nogil
    cdef int slot(self, Pass p, char* tape, Py_ssize_t slot) noexcept nogil
    cdef bint shard(self, const Pass* p, Py_ssize_t slot, Py_ssize_t first,
                    Py_ssize_t rows) noexcept nogil
    cdef bint row_losses(self, const Pass* p, Py_ssize_t first, Py_ssize_t rows) noexcept nogil
    cdef bint ask_python(self, const Pass* p, Py_ssize_t first, Py_ssize_t rows) noexcept with gil
    cdef void be_deterministic(self, const Pass* p) noexcept nogil
