# Matrix products: C, since a tile of sums stays in registers only where the code says so.

cdef extern from "matmul/dense.h" nogil:
    void matmul_float(const Product* product)
    void matmul_double(const Product* product)
