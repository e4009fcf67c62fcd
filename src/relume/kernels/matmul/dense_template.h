/* The products of one dtype. dense.h includes this file once for each `floating`. */

#define vector NAMED(vector)
#define mask NAMED(mask)
#define WIDTH NAMED(WIDTH)

#if !defined(SPREAD)
#define SPREAD(x) (x)
#endif
#if !defined(ADD_PRODUCT)
#define ADD_PRODUCT(sum, a, b) sum += (a) * (b)
#endif
#if !defined(LOAD_PART)
RELUME_INLINE vector NAMED(load_part)(const floating *x, int n)
{
    vector all = {0};
    memcpy(&all, x, (size_t)n * sizeof *x);
    return all;
}
#define LOAD_PART(x, n) NAMED(load_part)(x, n)
#define STORE_PART(x, n, v) memcpy(x, &(v), (size_t)(n) * sizeof *(x))
#endif

static const floating NAMED(zeros)[WIDE * WIDTH];

/* Vector v of a row. At the edge of a matrix, the last vector has only `last` elements. */
RELUME_INLINE vector NAMED(load)(const floating *x, int v, int vectors, int edge, int last)
{
    x += v * WIDTH;
    return edge && v == vectors - 1 ? LOAD_PART(x, last) : *(const vector *)x;
}

/* A tile of c from row i and column j on, with the products of rows p to p + k of b; `b` points to
 * row p. */
RELUME_INLINE void NAMED(tile)(const Product *q, int rows, int vectors, int edge, int last,
                               ptrdiff_t i, ptrdiff_t j, ptrdiff_t p, ptrdiff_t k,
                               const floating *b, ptrdiff_t b_row)
{
    const floating *a = (const floating *)q->a + i * q->a_row + p * q->a_column;
    floating *c = (floating *)q->c + i * q->c_row + j;
    const ptrdiff_t a_row = q->a_row, c_row = q->c_row;
    ptrdiff_t a_column = q->a_column * (ptrdiff_t)sizeof *a;
    const int continued = p > 0 || q->accumulate;
    const floating *from = continued ? c : q->bias ? (const floating *)q->bias + j : NAMED(zeros);
    const floating *positive = (const floating *)q->positive;
    vector sum[ROWS][WIDE], part[WIDE];
    ptrdiff_t rest = k;

    UNKNOWN(a_column);

    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < vectors; v++)
            sum[r][v] = NAMED(load)(from + (continued ? r * c_row : 0), v, vectors, edge, last);
    do {
        if (rows == 1)
            UNROLLED for (int v = 0; v < vectors; v++) FETCH(b + AHEAD * b_row + v * WIDTH);
        UNROLLED for (int v = 0; v < vectors; v++)
            part[v] = NAMED(load)(b, v, vectors, edge, last);
        UNROLLED for (int r = 0; r < rows; r++) {
            const vector x = SPREAD(a[r * a_row]);
            UNROLLED for (int v = 0; v < vectors; v++) ADD_PRODUCT(sum[r][v], x, part[v]);
        }
        a = (const floating *)((const char *)a + a_column);
        b += b_row;
    } while (--rest);
    if (p + k == q->k) {
        if (q->rectify)
            UNROLLED for (int r = 0; r < rows; r++)
                UNROLLED for (int v = 0; v < vectors; v++)
                    sum[r][v] = WHERE_POSITIVE(sum[r][v], sum[r][v]);
        if (positive != NULL) {
            const floating *y = positive + i * c_row + j;
            UNROLLED for (int r = 0; r < rows; r++)
                UNROLLED for (int v = 0; v < vectors; v++)
                    sum[r][v] = WHERE_POSITIVE(
                        sum[r][v], NAMED(load)(y + r * c_row, v, vectors, edge, last));
        }
    }
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < vectors; v++) {
            floating *to = c + r * c_row + v * WIDTH;
            if (edge && v == vectors - 1) STORE_PART(to, last, sum[r][v]);
            else *(vector *)to = sum[r][v];
        }
}

/* All tiles of one panel of columns, for all rows of a. */
RELUME_INLINE void NAMED(tiles)(const Product *q, int vectors, int edge, int last, ptrdiff_t j,
                                ptrdiff_t p, ptrdiff_t k, const floating *b, ptrdiff_t b_row)
{
    ptrdiff_t i = 0;
    for (; i + ROWS <= q->m; i += ROWS)
        NAMED(tile)(q, ROWS, vectors, edge, last, i, j, p, k, b, b_row);
    switch (q->m - i) {
#if defined(__AVX512F__)
    case 7: NAMED(tile)(q, 7, vectors, edge, last, i, j, p, k, b, b_row); break;
    case 6: NAMED(tile)(q, 6, vectors, edge, last, i, j, p, k, b, b_row); break;
#endif
#if defined(__AVX2__)
    case 5: NAMED(tile)(q, 5, vectors, edge, last, i, j, p, k, b, b_row); break;
    case 4: NAMED(tile)(q, 4, vectors, edge, last, i, j, p, k, b, b_row); break;
#endif
    case 3: NAMED(tile)(q, 3, vectors, edge, last, i, j, p, k, b, b_row); break;
    case 2: NAMED(tile)(q, 2, vectors, edge, last, i, j, p, k, b, b_row); break;
    case 1: NAMED(tile)(q, 1, vectors, edge, last, i, j, p, k, b, b_row); break;
    }
}

/* A panel of n columns, with n <= VECTORS * WIDTH. */
static void NAMED(panel)(const Product *q, ptrdiff_t j, ptrdiff_t n, ptrdiff_t p, ptrdiff_t k,
                         const floating *b, ptrdiff_t b_row)
{
    const int last = (int)(n % WIDTH == 0 ? WIDTH : n % WIDTH);
    if (n == VECTORS * WIDTH) NAMED(tiles)(q, VECTORS, 0, last, j, p, k, b, b_row);
    else if (n > WIDTH) NAMED(tiles)(q, VECTORS, 1, last, j, p, k, b, b_row);
    else if (n == WIDTH) NAMED(tiles)(q, 1, 0, last, j, p, k, b, b_row);
    else NAMED(tiles)(q, 1, 1, last, j, p, k, b, b_row);
}

/* The product of a single row of a, which reads b once, with the widest tiles first. */
static void NAMED(row)(const Product *q)
{
    const floating *b = (const floating *)q->b;
    ptrdiff_t j = 0;
    for (; j + WIDE * WIDTH <= q->n; j += WIDE * WIDTH)
        NAMED(tile)(q, 1, WIDE, 0, 0, 0, j, 0, q->k, b + j, q->b_row);
    for (; j + 4 * WIDTH <= q->n; j += 4 * WIDTH)
        NAMED(tile)(q, 1, 4, 0, 0, 0, j, 0, q->k, b + j, q->b_row);
    for (; j < q->n; j += VECTORS * WIDTH) {
        const ptrdiff_t n = q->n - j < VECTORS * WIDTH ? q->n - j : VECTORS * WIDTH;
        NAMED(panel)(q, j, n, 0, q->k, b + j, q->b_row);
    }
}

/* Transposes `rows` <= WIDTH vectors, which are `b_row` apart, into `k` <= WIDTH rows, which are
 * `out_row` apart. Interleaves the two halves of the vectors log2(WIDTH) times. */
RELUME_INLINE void NAMED(transpose)(const floating *b, ptrdiff_t b_row, int rows, int k,
                                    floating *out, ptrdiff_t out_row)
{
#if defined(INTERLEAVES)
    vector x[WIDTH], y[WIDTH];
    UNROLLED for (int r = 0; r < WIDTH; r++) {
        x[r] = (vector){0};
        if (r < rows) x[r] = k == WIDTH ? *(const vector *)(b + r * b_row) : LOAD_PART(b + r * b_row, k);
    }
    UNROLLED for (int round = 1; round < WIDTH; round *= 2) {
        UNROLLED for (int r = 0; r < WIDTH / 2; r++) {
            y[2 * r] = LOW(x[r], x[r + WIDTH / 2]);
            y[2 * r + 1] = HIGH(x[r], x[r + WIDTH / 2]);
        }
        UNROLLED for (int r = 0; r < WIDTH; r++) x[r] = y[r];
    }
    UNROLLED for (int r = 0; r < WIDTH; r++)
        if (r < k) *(vector *)(out + r * out_row) = x[r];
#else
    for (int r = 0; r < k; r++)
        for (int s = 0; s < WIDTH; s++)
            out[r * out_row + s] = s < rows ? b[s * b_row + r] : 0;
#endif
}

/* Copies rows p to p + k and columns j to j + n of b into a contiguous panel. */
static void NAMED(pack)(const Product *q, ptrdiff_t j, ptrdiff_t n, ptrdiff_t p, ptrdiff_t k,
                        floating *panel)
{
    const ptrdiff_t b_row = q->b_row;
    if (!q->transposed) {
        const floating *b = (const floating *)q->b + p * b_row + j;
        const int vectors = (int)((n + WIDTH - 1) / WIDTH), last = (int)(n - (vectors - 1) * WIDTH);
        for (ptrdiff_t r = 0; r < k; r++)
            for (int v = 0; v < vectors; v++) {
                FETCH_NEAR(b + r * b_row + (VECTORS + v) * WIDTH);      /* for the next panel */
                *(vector *)(panel + (r * VECTORS + v) * WIDTH) =
                    NAMED(load)(b + r * b_row, v, vectors, last < WIDTH, last);
            }
        return;
    }
    const floating *b = (const floating *)q->b + j * b_row + p;
    for (int s = 0; s < n; s += WIDTH) {
        const int rows = (int)(n - s < WIDTH ? n - s : WIDTH);
        for (ptrdiff_t r = 0; r < k; r += WIDTH) {
            const int depth = (int)(k - r < WIDTH ? k - r : WIDTH);
            NAMED(transpose)(b + s * b_row + r, b_row, rows, depth,
                             panel + r * VECTORS * WIDTH + s, VECTORS * WIDTH);
        }
    }
}

static void NAMED(matmul)(const Product *q)
{
    floating copied[DEPTH * VECTORS * WIDTH];
    const floating *b = (const floating *)q->b;
    const int far = q->b_row * (ptrdiff_t)sizeof *b >= FAR && q->m >= MANY;
    if (q->m == 1 && !q->transposed) {
        NAMED(row)(q);
        return;
    }
    for (ptrdiff_t j = 0; j < q->n; j += VECTORS * WIDTH) {
        const ptrdiff_t n = q->n - j < VECTORS * WIDTH ? q->n - j : VECTORS * WIDTH;
        for (ptrdiff_t p = 0; p < q->k; p += DEPTH) {
            const ptrdiff_t k = q->k - p < DEPTH ? q->k - p : DEPTH;
            if (q->transposed || far) {
                NAMED(pack)(q, j, n, p, k, copied);
                NAMED(panel)(q, j, n, p, k, copied, VECTORS * WIDTH);
            } else {
                NAMED(panel)(q, j, n, p, k, b + p * q->b_row + j, q->b_row);
            }
        }
    }
}

#include "sparse_template.h"

#undef vector
#undef mask
#undef WIDTH
#undef floating
#undef NAMED
#undef SPREAD
#undef ADD_PRODUCT
#undef FIRST
#undef LOAD_PART
#undef STORE_PART
#undef LOW
#undef HIGH
