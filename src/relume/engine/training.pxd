"""Minibatches of a fit: what training.pyx implements, and groups.pyx does group by group."""

from libc.stdint cimport int64_t, uint64_t

from relume.engine.ops cimport Pass, Sparse
from relume.engine.plan cimport Plan, Tiles
from relume.engine.updates cimport Updates
from relume.kernels.table cimport Loss
from relume.runtime.threads cimport Region

cdef enum Status:
    FINE
    INPUT_NOT_FINITE
    LOSS_NOT_FINITE
    LABEL_OUT_OF_RANGE
    STEP_NOT_FINITE             # it was undone
    NO_MEMORY
    RAISED                      # the Python loss did
    SKIPPED                     # no row of it has a weight: no step was made

cdef enum Fault:                # what is wrong with gathered rows: bits that may be joined
    NOT_FINITE = 1
    STRANGE_LABEL = 2


cdef struct Stage:              # what is done to all rows before anything else is done to one
    bint gathers                # for each shard: bring its rows together,
    Py_ssize_t first            # forward through ops first .. last - 1,
    Py_ssize_t last
    bint loses                  # the losses, and their gradients,
    Py_ssize_t back             # and backward through ops back .. stop; none if back < stop
    Py_ssize_t stop
    Tiles tiles                 # or, if there are any: op `first` in tiles, forward
    bint tiled_back             # or backward


cdef class Training:
    cdef Plan plan
    cdef Updates updates
    cdef tuple owners           # keeps alive what the pointers below point to
    cdef object python_loss, error, y_dtype, y_shape, memory
    cdef const char* numbers
    cdef char* batch_x          # NULL as long as no minibatch was gathered
    cdef char* batch_y
    cdef char* batch_weight
    cdef char* row_loss
    cdef char* tape
    cdef Pass p                 # the minibatch at hand
    cdef Sparse by_rows, by_columns
    cdef const char* x          # what it is gathered from, or
    cdef const char* y
    cdef const char* weight
    cdef const int64_t* order   # NULL: what x, y and weight hold is the minibatch
    cdef readonly Py_ssize_t rows
    cdef list observers         # they look at what minibatches leave on the tape
    cdef Py_ssize_t y_size
    cdef readonly int threads   # of the last minibatch,
    cdef Py_ssize_t shard_rows  # rows of its shards,
    cdef Py_ssize_t n_shards    # and how many there are
    cdef bint tiled             # whether wide products of it may be computed in tiles
    cdef uint64_t* parts        # shards of each thread
    cdef Loss loss              # NULL: the loss is Python's
    cdef bint labels            # whether y holds class labels
    cdef bint mean_penalty
    cdef double scale, loss_scale, loss_limit
    cdef int64_t[::1] skipped   # multiply-adds, by the first row of a shard
    cdef int64_t products       # multiply-adds of forward passes and weight gradients
    cdef double batch_loss
    cdef double batch_total     # rows of the minibatch, or the sum of their weights,
    cdef double divisor         # and what its loss is divided by: 1 where no row counts

    cdef int show_observers(self) except -1
    cdef int need_batch_x(self) except -1
    cdef int take(self, X, y, weight, Py_ssize_t n) except -1
    cdef int take_targets(self, y, weight, Py_ssize_t n) except -1
    cdef void choose_threads(self) noexcept nogil
    cdef Status minibatch(self, Py_ssize_t rows) noexcept nogil
    cdef Status update(self, Py_ssize_t rows) noexcept nogil
    cdef Status phase1(self, Py_ssize_t rows, bint steps=*) noexcept nogil
    cdef Status skip(self, Py_ssize_t rows) noexcept nogil
    cdef double total_weight(self) noexcept nogil
    cdef int shards(self, Py_ssize_t segment, bint back) noexcept nogil
    cdef Stage stage_of(self, Py_ssize_t segment, bint back) noexcept nogil
    cdef int run_between_tiles(self, const Stage* stage) noexcept nogil
    cdef bint has_tiles(self, Py_ssize_t i, bint back) noexcept nogil
    cdef bint run_tiles(self, Py_ssize_t i, bint back) noexcept nogil
    cdef int run(self, const Stage* stage) noexcept nogil
    cdef int parts_of(self, int thread, int threads, Region* region,
                      const Stage* stage) noexcept nogil
    cdef int part(self, Py_ssize_t i, int thread, const Stage* stage) noexcept nogil
    cdef int shard(self, Py_ssize_t i, const Stage* stage) noexcept nogil
    cdef int some_rows(self, const Pass* p, Py_ssize_t start, Py_ssize_t first, Py_ssize_t n,
                       const Stage* stage) noexcept nogil
    cdef int gather(self, Py_ssize_t first, Py_ssize_t n) noexcept nogil
    cdef void row_losses(self, const Pass* p, Py_ssize_t start, Py_ssize_t first,
                         Py_ssize_t n) noexcept nogil
    cdef bint ask_python(self) noexcept with gil
