/* A matrix product, and what is done to its elements on their way out: what the engine asks for. */
#ifndef RELUME_PRODUCT_H
#define RELUME_PRODUCT_H

#include <stddef.h>

enum { COMPRESS_ROWS = 256 };   /* the most rows whose columns are compressed at once, see sparse.h */

typedef struct {
    ptrdiff_t m, n, k;          /* c (m, n) = a (m, k) b (k, n), */
    const void *a;              /* whose element (i, p) is a[i * a_row + p * a_column] */
    ptrdiff_t a_row, a_column;
    const void *b;              /* and (p, j) is b[p * b_row + j], or b[j * b_row + p] if transposed */
    ptrdiff_t b_row;
    int transposed;
    void *c;                    /* and (i, j) is c[i * c_row + j]; a vector may be read beyond none */
    ptrdiff_t c_row;
    const void *bias;           /* added to each row, or NULL */
    int accumulate;             /* whether the product is added to c; there is no bias then */
    int rectify;                /* whether relu is taken of what comes out */
    const void *positive;       /* of c's layout, or NULL: c becomes 0 where this is not above 0 */
} Product;

#endif
