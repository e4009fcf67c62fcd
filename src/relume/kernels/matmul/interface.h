/* A matrix product as the engine requests it, with the operations applied to its result. */
#ifndef RELUME_MATMUL_INTERFACE_H
#define RELUME_MATMUL_INTERFACE_H

#include <stddef.h>

enum {
    COMPRESS_ROWS = 256,        /* maximum number of rows for compress_columns, see sparse.h */
    DEPTH = 256,                /* rows of b that a tile of c takes at a time, at most */
    SUMS = 1024,                /* columns of c whose sums wait for the next rows of b, at most */
    MIN_PACKED = 96,            /* columns from which operands may be copied beforehand, */
    MIN_PACKED_GRADIENT = 9     /* and where a is transposed */
};

/* c (m, n) = a (m, k) b (k, n). No operand may be read past its end, not even by a vector load. */
typedef struct {
    ptrdiff_t m, n, k;
    const void *a;              /* element (i, p) is a[i * a_row + p * a_column] */
    ptrdiff_t a_row, a_column;
    const void *b;              /* element (p, j) is b[p * b_row + j], or b[j * b_row + p] if transposed */
    ptrdiff_t b_row;
    int transposed;
    void *c;                    /* element (i, j) is c[i * c_row + j] */
    ptrdiff_t c_row;
    const void *bias;           /* added to each row, or NULL */
    int accumulate;             /* add the product to c; bias is then unused */
    int rectify;                /* apply relu to the result */
    const void *positive;       /* array with the layout of c, or NULL: c becomes 0 where it is <= 0 */
    void *scratch;              /* n_scratch elements that matmul may use, see matmul_scratch; or NULL */
    ptrdiff_t n_scratch;
} Product;

/* The elements of scratch memory with which a product is fastest, if the elements of a column of a are
 * `a_row` apart: for DEPTH columns of a, and for sums of c. The bits of c are the same with any. */
static inline ptrdiff_t matmul_scratch(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, ptrdiff_t a_row)
{
    const ptrdiff_t min_packed = a_row == 1 ? MIN_PACKED_GRADIENT : MIN_PACKED;
    const ptrdiff_t depth = k < DEPTH ? k : DEPTH, columns = k <= DEPTH ? 0 : n < SUMS ? n : SUMS;
    return n < min_packed ? 0 : m * (depth + columns + 64) + 256;     /* and for parts of vectors, lines */
}

#endif
