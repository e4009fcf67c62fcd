"""Phase 2 of a minibatch: what updates.pyx implements and training.pyx drives."""

from libc.stdint cimport int64_t, uint64_t

from relume.engine.plan cimport Block, Plan
from relume.engine.ops cimport Pass
from relume.runtime.read_write_lock cimport ReadWriteLock
from relume.runtime.threads cimport Region
from relume.kernels.table cimport N_HYPER, OptimizerRow

cdef enum Work:                 # what is done with a block
    DERIVE = 1
    REGULARIZE = 2
    UPDATE = 4


cdef class Updates:
    cdef Plan plan
    cdef object weights
    cdef ReadWriteLock lock     # held while parameters are written
    cdef tuple owners           # keeps alive what the pointers below point to
    cdef char* parameters
    cdef char* state
    cdef char* average          # or NULL
    cdef char* own_gradient
    cdef char* gradient         # of a block for each thread, or of all parameters
    cdef double* penalty        # of each block
    cdef double* square         # of each block's gradient, summed;
    cdef bint scaled            # those of gradients times SCALE
    cdef char* scratch          # of each thread, beginning with how many products it skipped
    cdef Py_ssize_t scratch_size
    cdef const OptimizerRow* optimizer
    cdef double hyper[N_HYPER]
    cdef double hyper_before[N_HYPER]
    cdef double bounds[2]       # of parameters and of the first span of state, see `begin_guarded`
    cdef double largest_rate    # of all ops, as a factor of the optimizer's
    cdef double l1, l2          # of all ops, the largest
    cdef bint guarded           # whether a step that makes a value infinite or NaN is undone
    cdef char* backup           # of parameters, state and average; NULL: the step is safe
    cdef Py_ssize_t n_state     # spans of state
    cdef double clip_norm, clip_value, keep
    cdef bint keeps_all, mean_penalty
    cdef int threads            # of this step,
    cdef int max_threads        # and at most
    cdef uint64_t* parts        # of each thread
    cdef Py_ssize_t first_block, last_block     # the blocks that are worked on
    cdef const Pass* passes     # of groups of rows, whose gradients are added as a tree; or NULL
    cdef Py_ssize_t n_passes, first_group, groups
    cdef char* slots            # of each thread: a block's gradients that wait in the tree
    cdef int n_slots
    cdef char* roots            # where the sums of the tree's nodes go, `n_roots` of them;
    cdef int n_roots            # 0: there is one, and it goes where the gradient would
    cdef readonly object sums   # of each block, its penalty and the sum of its gradient's squares
    cdef double share           # factor of the gradients, before penalties
    cdef readonly int64_t t

    cdef int guard(self) except -1
    cdef bint begin_guarded(self, double gradient, const char* gradients) noexcept nogil
    cdef bint is_safe(self, double gradient) noexcept nogil
    cdef bint end_guarded(self, char* gradients) noexcept nogil
    cdef bint all_finite(self) noexcept nogil
    cdef int count(self) except -1
    cdef void begin_step(self) noexcept nogil
    cdef double run(self, const Pass* p, double total) noexcept nogil
    cdef double derive(self, const Pass* p, double total, char* gradients) noexcept nogil
    cdef void blocks(self, const Pass* p, double total, int work, double factor,
                     double unit=*) noexcept nogil
    cdef void blocks_of(self, const Pass* p, int thread, int threads, Region* region,
                        double total, int work, double factor, double unit) noexcept nogil
    cdef void block(self, const Pass* p, Py_ssize_t i, int thread, double total, int work,
                    double factor, double unit) noexcept nogil
    cdef void begin_blocks(self, char* sums, Py_ssize_t first, Py_ssize_t last,
                           double total) noexcept
    cdef void end_blocks(self) noexcept
    cdef double finish_blocks(self) noexcept
    cdef int take_groups(self, Py_ssize_t first, Py_ssize_t last, Py_ssize_t count) except -1
    cdef void derive_roots(self, const Pass* p, char* roots, int n_roots) noexcept nogil
    cdef void tree_gradient(self, const Block* block, char* g, int thread) noexcept nogil
    cdef char* slot(self, const Block* block, int i, char* g, int thread) noexcept nogil
    cdef void regularize(self, Py_ssize_t i, char* g, double total) noexcept nogil
    cdef double norm_factor(self, double* unit) noexcept nogil
    cdef void update(self, const Block* block, char* g) noexcept nogil
    cdef bint scale_squares(self) noexcept nogil
    cdef double norm(self) noexcept nogil
    cdef void measure(self) noexcept nogil
    cdef void follow(self, Py_ssize_t start, Py_ssize_t n) noexcept nogil
    cdef void limit_columns(self) noexcept nogil
    cdef double penalties(self) noexcept nogil
    cdef int64_t skipped(self) noexcept
