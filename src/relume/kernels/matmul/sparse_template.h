/* Products S M of a compressed matrix S and a dense matrix M, for the dtype of dense_template.h, which
 * includes this file.
 * For each row of S, a panel of columns of c stays in registers while the rows of M selected by the
 * columns of S are added to it. M is processed in blocks of rows that stay in the L1 cache for a group
 * of rows of S, or in the L2 cache if the rows of S have too few elements per block. Nothing is
 * packed, because consecutive rows of M are contiguous in memory.
 * A sum begins with the bias and adds the products in the order of the columns of S, by the same
 * multiply-adds as matmul. Adding 0 times a number changes nothing, so the bits are those of the dense
 * product. */

/* `vectors` vectors of c = `from` + the sum of values[i] times row index[i] of M. */
RELUME_INLINE void NAMED(add_panel)(const floating *values, const int32_t *index, ptrdiff_t count,
                                    const floating *m, ptrdiff_t n, int vectors, int edge, int last,
                                    int ahead, const floating *from, floating *c)
{
    vector sum[SPARSE_PANEL];
    UNROLLED for (int v = 0; v < vectors; v++)
        sum[v] = NAMED(load)(from, v, vectors, edge, last);
    for (ptrdiff_t i = 0; i < count; i++) {
        const floating *row = m + index[i] * n;
        const vector x = SPREAD(values[i]);
        if (ahead) {
            const floating *next = m + index[i + ahead < count ? i + ahead : i] * n;
            UNROLLED for (int v = 0; v < vectors; v++) FETCH(next + v * WIDTH);
        }
        UNROLLED for (int v = 0; v < vectors; v++) {
            const vector part = NAMED(load)(row, v, vectors, edge, last);
            ADD_PRODUCT(sum[v], x, part);
        }
    }
    UNROLLED for (int v = 0; v < vectors; v++) {
        const vector out = sum[v];
        if (edge && v == vectors - 1) STORE_PART(c + v * WIDTH, last, out);
        else *(vector *)(c + v * WIDTH) = out;
    }
}

/* All n columns of one row of c. If `from` is NULL, the sums begin with zeros. */
RELUME_INLINE void NAMED(add_rows)(const floating *values, const int32_t *index, ptrdiff_t count,
                                   const floating *m, ptrdiff_t n, int ahead, const floating *from,
                                   floating *c)
{
    const ptrdiff_t step = from != NULL;
    const floating *f = step ? from : NAMED(zeros);
    ptrdiff_t j = 0;
#define PANELS(vectors)                                                                           \
    for (; j + (vectors) * WIDTH <= n; j += (vectors) * WIDTH)                                    \
        NAMED(add_panel)(values, index, count, m + j, n, vectors, 0, 0, ahead, f + j * step, c + j)
    PANELS(SPARSE_PANEL);
    PANELS(4);
    PANELS(2);
    PANELS(1);
#undef PANELS
    if (j < n)
        NAMED(add_panel)(values, index, count, m + j, n, 1, 1, (int)(n - j), ahead, f + j * step,
                         c + j);
}

/* The product of up to SPARSE_GROUP rows of S, block by block of M. If the columns of a row of S are
 * not sorted, its sums are correct but are added in another order. */
RELUME_INLINE void NAMED(add_group)(const floating *values, const int32_t *index,
                                    const int32_t *starts, const floating *m, ptrdiff_t rows,
                                    ptrdiff_t height, ptrdiff_t n, const floating *bias,
                                    int accumulate, floating *c)
{
    int32_t next[SPARSE_GROUP];
    const ptrdiff_t row = n * (ptrdiff_t)sizeof *m, count = starts[rows] - starts[0];
    const int few = count * (SPARSE_NEAR / row) < SPARSE_FEW * rows * height;
    const ptrdiff_t fitting = (few ? SPARSE_FAR : SPARSE_NEAR) / row;
    const ptrdiff_t block = fitting > 16 ? fitting : 16;
    memcpy(next, starts, (size_t)rows * sizeof *next);
    for (ptrdiff_t first = 0; first < height; first += block) {
        const int begins = first == 0 && !accumulate;
        for (ptrdiff_t i = 0; i < rows; i++) {
            const int32_t begin = next[i];
            int32_t end = starts[i + 1];
            if (first + block < height)
                end = columns_below(index, begin, end, starts[rows], (int32_t)(first + block));
            next[i] = end;
            if (begins || end > begin)
                NAMED(add_rows)(values + begin, index + begin, end - begin, m, n, 0,
                                begins ? bias : c + i * n, c + i * n);
        }
    }
}

/* c = bias + S M, where S has `rows` rows and `height` columns, and M has n columns; bias may be NULL.
 * With `accumulate`, c += S M. */
static void NAMED(sparse_times_dense)(const floating *values, const int32_t *index,
                                      const int32_t *starts, const floating *m, ptrdiff_t rows,
                                      ptrdiff_t height, ptrdiff_t n, const floating *bias,
                                      int accumulate, floating *c)
{
    if (rows == 1) {                                    /* M is read once, so prefetch it */
        NAMED(add_rows)(values + starts[0], index + starts[0], starts[1] - starts[0], m, n,
                        SPARSE_AHEAD, accumulate ? c : bias, c);
        return;
    }
    for (ptrdiff_t i = 0; i < rows; i += SPARSE_GROUP)
        NAMED(add_group)(values, index, starts + i, m,
                         rows - i < SPARSE_GROUP ? rows - i : SPARSE_GROUP, height, n, bias,
                         accumulate, c + i * n);
}

/* Compresses `rows` rows of n elements, which are `stride` elements apart. */
static void NAMED(compress_rows)(const floating *x, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t stride,
                                 floating *values, int32_t *index, int32_t *starts)
{
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < rows; i++) {
        starts[i] = (int32_t)count;
        count += NAMED(compress_row)(x + i * stride, n, values + count, index + count);
    }
    starts[rows] = (int32_t)count;
}

/* Compresses the n columns of up to COMPRESS_ROWS rows, which are transposed first. */
static void NAMED(compress_columns)(const floating *x, ptrdiff_t rows, ptrdiff_t n,
                                    ptrdiff_t stride, floating *values, int32_t *index,
                                    int32_t *starts)
{
    floating rows_of_x[COMPRESS_ROWS * WIDTH];
    ptrdiff_t count = 0;
    for (ptrdiff_t j = 0; j < n; j += WIDTH) {
        const int columns = (int)(n - j < WIDTH ? n - j : WIDTH);
        for (ptrdiff_t i = 0; i < rows; i += WIDTH) {
            const int some = (int)(rows - i < WIDTH ? rows - i : WIDTH);
            NAMED(transpose)(x + i * stride + j, stride, some, columns, rows_of_x + i, COMPRESS_ROWS);
        }
        for (ptrdiff_t k = 0; k < columns; k++) {
            starts[j + k] = (int32_t)count;
            count += NAMED(compress_row)(rows_of_x + k * COMPRESS_ROWS, rows, values + count,
                                         index + count);
        }
    }
    starts[n] = (int32_t)count;
}
