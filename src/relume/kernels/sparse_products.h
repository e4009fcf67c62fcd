/* What sparse.h is, for one `floating`: included there once for each. */

/* A panel of `out`: `start`, or zeros, and the sum of values[i] * row index[i] of the matrix. */
RELUME_INLINE void OF(add_panel)(const floating *values, const int32_t *index, ptrdiff_t count,
                                 const floating *matrix, ptrdiff_t n, int parts, int ahead,
                                 const floating *start, floating *out)
{
    OF(vector) sum[PANEL] = {0};
    if (start) {
        RELUME_UNROLL
        for (int k = 0; k < parts; k++) sum[k] = ((const OF(vector) *)start)[k];
    }
    for (ptrdiff_t i = 0; i < count; i++) {
        const OF(vector) *row = (const OF(vector) *)(matrix + index[i] * n);
        if (ahead) {
            const OF(vector) *next =
                (const OF(vector) *)(matrix + index[i + ahead < count ? i + ahead : i] * n);
            RELUME_UNROLL
            for (int k = 0; k < parts; k++) RELUME_PREFETCH(next + k);
        }
        RELUME_UNROLL
        for (int k = 0; k < parts; k++) sum[k] = OF(add_product)(sum[k], values[i], row[k]);
    }
    RELUME_UNROLL
    for (int k = 0; k < parts; k++) ((OF(vector) *)out)[k] = sum[k];
}

/* The same for fewer columns than a vector has. */
RELUME_INLINE void OF(add_part)(const floating *values, const int32_t *index, ptrdiff_t count,
                                const floating *matrix, ptrdiff_t n, ptrdiff_t width,
                                const floating *start, floating *out)
{
    OF(vector) sum = {0};
    if (start) sum = OF(load_part)(start, width);
    for (ptrdiff_t i = 0; i < count; i++)
        sum = OF(add_product)(sum, values[i], OF(load_part)(matrix + index[i] * n, width));
    memcpy(out, &sum, (size_t)width * sizeof *out);
}

/* All columns of one row of `out`. */
RELUME_INLINE void OF(add_rows)(const floating *values, const int32_t *index, ptrdiff_t count,
                                const floating *matrix, ptrdiff_t n, int ahead, const floating *start,
                                floating *out)
{
    enum { WIDTH = sizeof(OF(vector)) / sizeof(floating) };
    ptrdiff_t j = 0;
#define FROM (start ? start + j : NULL)
    for (; j + PANEL * WIDTH <= n; j += PANEL * WIDTH)
        OF(add_panel)(values, index, count, matrix + j, n, PANEL, ahead, FROM, out + j);
    for (; j + 2 * WIDTH <= n; j += 2 * WIDTH)
        OF(add_panel)(values, index, count, matrix + j, n, 2, ahead, FROM, out + j);
    for (; j + WIDTH <= n; j += WIDTH)
        OF(add_panel)(values, index, count, matrix + j, n, 1, ahead, FROM, out + j);
    if (j < n) OF(add_part)(values, index, count, matrix + j, n, n - j, FROM, out + j);
#undef FROM
}

/* At most SPARSE_GROUP rows of S times the matrix, by blocks of the matrix's rows. A row of S whose
 * columns are not in order is summed in another order, and as rightly. */
RELUME_INLINE void OF(group_times_dense)(const floating *values, const int32_t *index,
                                         const int32_t *starts, const floating *matrix,
                                         ptrdiff_t rows, ptrdiff_t height, ptrdiff_t n,
                                         const floating *bias, floating *out)
{
    int32_t next[SPARSE_GROUP];
    const ptrdiff_t fitting = SPARSE_BLOCK / (n * (ptrdiff_t)sizeof *matrix);
    const ptrdiff_t block = fitting > 16 ? fitting : 16;
    memcpy(next, starts, (size_t)rows * sizeof *next);
    for (ptrdiff_t first = 0; first < height; first += block) {
        const int last = first + block >= height;
        for (ptrdiff_t i = 0; i < rows; i++) {
            const int32_t begin = next[i];
            int32_t end = starts[i + 1];
            if (!last)
                for (end = begin; end < starts[i + 1] && index[end] < first + block;) end++;
            next[i] = end;
            if (first == 0 || end > begin)
                OF(add_rows)(values + begin, index + begin, end - begin, matrix, n, 0,
                             first == 0 ? bias : out + i * n, out + i * n);
        }
    }
}

/* out = bias + S matrix, where S has `rows` rows and `height` columns, and matrix and `out` have n
 * columns; a bias of NULL counts as zeros. */
static void OF(sparse_times_dense)(const floating *values, const int32_t *index,
                                   const int32_t *starts, const floating *matrix, ptrdiff_t rows,
                                   ptrdiff_t height, ptrdiff_t n, const floating *bias,
                                   floating *out)
{
    if (rows == 1) {                                    /* nothing is read twice: ask early */
        OF(add_rows)(values + starts[0], index + starts[0], starts[1] - starts[0], matrix, n,
                     SPARSE_AHEAD, bias, out);
        return;
    }
    for (ptrdiff_t i = 0; i < rows; i += SPARSE_GROUP)
        OF(group_times_dense)(values, index, starts + i, matrix,
                              rows - i < SPARSE_GROUP ? rows - i : SPARSE_GROUP, height, n, bias,
                              out + i * n);
}

/* Compress `rows` rows of n elements that lie `stride` apart. */
static void OF(compress_rows)(const floating *x, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t stride,
                              floating *values, int32_t *index, int32_t *starts)
{
    ptrdiff_t count = 0;
    for (ptrdiff_t i = 0; i < rows; i++) {
        starts[i] = (int32_t)count;
        count += OF(compress_row)(x + i * stride, n, values + count, index + count);
    }
    starts[rows] = (int32_t)count;
}

/* The same of the n columns: two passes, of which the first counts. */
static void OF(compress_columns)(const floating *x, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t stride,
                                 floating *values, int32_t *index, int32_t *starts)
{
    floating chunk[COMPRESS_CHUNK + LANES];
    int32_t place[COMPRESS_CHUNK + LANES];
    int32_t *counts = starts + 1;
    memset(starts, 0, (size_t)(n + 1) * sizeof *starts);
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < n; j++) counts[j] += x[i * stride + j] != 0;
    for (ptrdiff_t j = 1; j <= n; j++) starts[j] += starts[j - 1];
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < n; j += COMPRESS_CHUNK) {
            const ptrdiff_t width = n - j < COMPRESS_CHUNK ? n - j : COMPRESS_CHUNK;
            const ptrdiff_t count = OF(compress_row)(x + i * stride + j, width, chunk, place);
            for (ptrdiff_t k = 0; k < count; k++) {     /* starts[j] counts up to its own end */
                const int32_t to = starts[j + place[k]]++;
                values[to] = chunk[k];
                index[to] = (int32_t)i;
            }
        }
    memmove(starts + 1, starts, (size_t)n * sizeof *starts);
    starts[0] = 0;
}
