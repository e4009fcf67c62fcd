"""Row-major matrix products of either precision over SciPy's BLAS, which is column-major.

A row-major matrix is the transpose of a column-major one, so C = A B is asked for as C' = B' A'.
"""

from scipy.linalg.cython_blas cimport dgemm, sgemm

# c (m, n) = op(a) op(b), added to c if `accumulate`, where op transposes if asked; `lda`, `ldb`,
# `ldc` are the lengths of the rows in memory.
ctypedef void (*Gemm)(bint transpose_a, bint transpose_b, int m, int n, int k, const void* a,
                      int lda, const void* b, int ldb, bint accumulate, void* c,
                      int ldc) noexcept nogil


cdef inline void gemm_float(bint transpose_a, bint transpose_b, int m, int n, int k, const void* a,
                            int lda, const void* b, int ldb, bint accumulate, void* c,
                            int ldc) noexcept nogil:
    cdef float one = 1, beta = accumulate
    sgemm(b"T" if transpose_b else b"N", b"T" if transpose_a else b"N", &n, &m, &k, &one,
          <float*> b, &ldb, <float*> a, &lda, &beta, <float*> c, &ldc)


cdef inline void gemm_double(bint transpose_a, bint transpose_b, int m, int n, int k,
                             const void* a, int lda, const void* b, int ldb, bint accumulate,
                             void* c, int ldc) noexcept nogil:
    cdef double one = 1, beta = accumulate
    dgemm(b"T" if transpose_b else b"N", b"T" if transpose_a else b"N", &n, &m, &k, &one,
          <double*> b, &ldb, <double*> a, &lda, &beta, <double*> c, &ldc)
