# Matrix products. They are in C, where the code can keep a tile of sums in registers.

cdef extern from "matmul/dense.h" nogil:
    void matmul_float(const Product* product)
    void matmul_double(const Product* product)
