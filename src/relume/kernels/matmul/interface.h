/* A matrix product as the engine requests it, with the operations applied to its result. */
#ifndef RELUME_MATMUL_INTERFACE_H
#define RELUME_MATMUL_INTERFACE_H

#include <stddef.h>

enum { COMPRESS_ROWS = 256 };   /* maximum number of rows for compress_columns, see sparse.h */

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
} Product;

#endif
