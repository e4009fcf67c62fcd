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
    /* A copy of n elements would be a call, in the loop over k. */
    vector all = {0};
#if defined(__GNUC__)
    all[0] = x[0];
    if (n > 1) all[1] = x[1];
    if (WIDTH > 2 && n > 2) all[2 % WIDTH] = x[2];
    if (WIDTH > 2 && n > 3) all[3 % WIDTH] = x[3];
#else
    memcpy(&all, x, (size_t)n * sizeof *x);
#endif
    return all;
}
#define LOAD_PART(x, n) NAMED(load_part)(x, n)
RELUME_INLINE void NAMED(store_part)(floating *x, int n, vector v)
{
#if defined(__GNUC__)
    x[0] = v[0];
    if (n > 1) x[1] = v[1];
    if (WIDTH > 2 && n > 2) x[2] = v[2 % WIDTH];
    if (WIDTH > 2 && n > 3) x[3] = v[3 % WIDTH];
#else
    memcpy(x, &v, (size_t)n * sizeof *x);
#endif
}
#define STORE_PART(x, n, v) NAMED(store_part)(x, n, v)
#define PACKS_NARROW 1      /* a panel narrower than others is padded when it is packed */
#else
#define PACKS_NARROW 0
#endif

static const floating NAMED(zeros)[WIDE * WIDTH];

/* Vector v of a row. At the edge of a matrix, the last vector has only `last` elements. */
RELUME_INLINE vector NAMED(load)(const floating *x, int v, int vectors, int edge, int last)
{
    x += v * WIDTH;
    return edge && v == vectors - 1 ? LOAD_PART(x, last) : *(const vector *)x;
}

/* The tile of a panel from row i of c on. Its rows of a are packed if `packed`: their elements of a
 * column are side by side. */
RELUME_INLINE void NAMED(tile)(const Panel *s, int rows, int vectors, int edge, ptrdiff_t i, int how,
                               int packed)
{
    const Product *q = s->q;
    const int last = (int)(s->n - (vectors - 1) * WIDTH);
    const int begins = s->p == 0 && !q->accumulate, ends = s->p + s->k == q->k;
    const floating *a = (const floating *)q->a + i * q->a_row + s->p * q->a_column;
    const floating *b = (const floating *)(how == PACKED ? s->copy : s->b);
    const floating *positive = (const floating *)q->positive;
    floating *c = (floating *)q->c + i * q->c_row + s->j, *copy = (floating *)s->copy;
    floating *sums = c, *to = c;
    const floating *from = c;
    ptrdiff_t a_row = q->a_row, a_column = q->a_column * (ptrdiff_t)sizeof *a;
    const ptrdiff_t pitch = PITCH(vectors);
    ptrdiff_t b_row = how == PACKED ? pitch : q->b_row;
    ptrdiff_t from_row = q->c_row, to_row = q->c_row, rest = s->k;
    vector sum[ROWS][WIDE], part[WIDE];

    if (s->sums != NULL) sums = (floating *)s->sums + i * pitch;
    if (begins) {
        from = q->bias ? (const floating *)q->bias + s->j : NAMED(zeros);
        from_row = 0;
    } else if (s->p > 0 && sums != c) {
        from = sums;
        from_row = pitch;
    }
    if (!ends && sums != c) {
        to = sums;
        to_row = pitch;
    }
    if (packed) {
        a = (const floating *)s->a + i * s->k;
        a_row = 1;
        a_column = rows * (ptrdiff_t)sizeof *a;
    } else {
        UNKNOWN(a_column);
    }
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < vectors; v++)
            sum[r][v] = NAMED(load)(from + r * from_row, v, vectors, edge, last);
    do {
        if (rows == 1)
            UNROLLED for (int v = 0; v < vectors; v++) FETCH(b + AHEAD * b_row + v * WIDTH);
        if (how == COPIED)                                      /* and the next panel */
            UNROLLED for (int v = 0; v < vectors; v++) FETCH_NEAR(b + pitch + v * WIDTH);
        UNROLLED for (int v = 0; v < vectors; v++)
            part[v] = NAMED(load)(b, v, vectors, edge && how != PACKED, last);
        if (how == COPIED)
            UNROLLED for (int v = 0; v < vectors; v++) *(vector *)(copy + v * WIDTH) = part[v];
        UNROLLED for (int r = 0; r < rows; r++) {
            const vector x = SPREAD(a[r * a_row]);
            UNROLLED for (int v = 0; v < vectors; v++) ADD_PRODUCT(sum[r][v], x, part[v]);
        }
        a = (const floating *)((const char *)a + a_column);
        b += b_row;
        if (how == COPIED) copy += pitch;
    } while (--rest);
    if (ends) {
        if (q->rectify)
            UNROLLED for (int r = 0; r < rows; r++)
                UNROLLED for (int v = 0; v < vectors; v++)
                    sum[r][v] = WHERE_POSITIVE(sum[r][v], sum[r][v]);
        if (positive != NULL) {
            const floating *y = positive + i * q->c_row + s->j;
            UNROLLED for (int r = 0; r < rows; r++)
                UNROLLED for (int v = 0; v < vectors; v++)
                    sum[r][v] = WHERE_POSITIVE(
                        sum[r][v], NAMED(load)(y + r * q->c_row, v, vectors, edge, last));
        }
    }
    UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < vectors; v++) {
            floating *out = to + r * to_row + v * WIDTH;
            if (edge && v == vectors - 1) STORE_PART(out, last, sum[r][v]);
            else *(vector *)out = sum[r][v];
        }
}

/* The tiles of a panel from row i of c on. */
RELUME_INLINE void NAMED(tiles)(const Panel *s, int vectors, int edge, ptrdiff_t i, int how,
                                int packed)
{
#define TILE(rows) NAMED(tile)(s, rows, vectors, edge, i, how, packed); i += rows; break
    while (i < s->q->m)
        switch (rows_of_tile(s->q->m - i)) {
#if defined(__AVX512F__)
        case 8: TILE(8);
        case 7: TILE(7);
#endif
#if defined(__AVX2__) || defined(__aarch64__)
        case 6: TILE(6);
        case 5: TILE(5);
#endif
        case 4: TILE(4);
        case 3: TILE(3);
        case 2: TILE(2);
        case 1: TILE(1);
        }
#undef TILE
}

#if PACKS_NARROW
/* DO(vectors, edge) for the n columns of a panel, the last of which may be a part of a vector. */
#define FOR_COLUMNS(n, DO)                                                                        \
    if ((n) == VECTORS * WIDTH) DO(VECTORS, 0);                                                   \
    else if (VECTORS > 3 && (n) > 3 * WIDTH) DO(4, 1);                                            \
    else if (VECTORS > 2 && (n) > 2 * WIDTH) DO(3, 1);                                            \
    else if ((n) > WIDTH) DO(2, 1);                                                               \
    else DO(1, 1)

/* A panel whose rows of b are where they are: a whole one, or one of a single row of a. */
static void NAMED(panel)(const Panel *s)
{
    if (s->n == VECTORS * WIDTH) {
        NAMED(tiles)(s, VECTORS, 0, 0, IN_PLACE, 0);
        return;
    }
#define TILE(vectors, edge) NAMED(tile)(s, 1, vectors, edge, 0, IN_PLACE, 0)
    FOR_COLUMNS(s->n, TILE);
#undef TILE
}

/* The first tile of a panel, which copies the rows of b as it reads them. */
RELUME_INLINE void NAMED(copying_tile)(const Panel *s, int packed)
{
    NAMED(tile)(s, ROWS, VECTORS, 0, 0, COPIED, packed);
}

/* A panel from row i of c on, whose rows of b are packed. */
RELUME_INLINE void NAMED(packed_tiles)(const Panel *s, ptrdiff_t i, int packed)
{
#define TILES(vectors, edge) NAMED(tiles)(s, vectors, edge, i, PACKED, packed)
    FOR_COLUMNS(s->n, TILES);
#undef TILES
}

/* Copies the rows of b of a narrow panel, and fills them up with zeros. */
static void NAMED(pack_narrow)(const Panel *s)
{
    const floating *b = (const floating *)s->b;
    floating *copy = (floating *)s->copy;
    const int whole = (int)(s->n / WIDTH * WIDTH);
    for (ptrdiff_t p = 0; p < s->k; p++) {
        for (int j = 0; j < whole; j += WIDTH) *(vector *)(copy + j) = *(const vector *)(b + j);
        if (s->n > whole) *(vector *)(copy + whole) = LOAD_PART(b + whole, (int)s->n - whole);
        b += s->q->b_row;
        copy += VECTORS * WIDTH;
    }
}
#else
/* A panel whose rows of b are where they are. */
static void NAMED(panel)(const Panel *s)
{
    if (s->n == VECTORS * WIDTH) NAMED(tiles)(s, VECTORS, 0, 0, IN_PLACE, 0);
    else if (s->n > WIDTH) NAMED(tiles)(s, VECTORS, 1, 0, IN_PLACE, 0);
    else if (s->n == WIDTH) NAMED(tiles)(s, 1, 0, 0, IN_PLACE, 0);
    else NAMED(tiles)(s, 1, 1, 0, IN_PLACE, 0);
}

/* The first tile of a panel, which copies the rows of b as it reads them. */
RELUME_INLINE void NAMED(copying_tile)(const Panel *s, int packed)
{
    if (s->n == VECTORS * WIDTH) NAMED(tile)(s, ROWS, VECTORS, 0, 0, COPIED, packed);
    else if (s->n > WIDTH) NAMED(tile)(s, ROWS, VECTORS, 1, 0, COPIED, packed);
    else if (s->n == WIDTH) NAMED(tile)(s, ROWS, 1, 0, 0, COPIED, packed);
    else NAMED(tile)(s, ROWS, 1, 1, 0, COPIED, packed);
}

/* A panel from row i of c on, whose rows of b are packed. */
RELUME_INLINE void NAMED(packed_tiles)(const Panel *s, ptrdiff_t i, int packed)
{
    const int edge = s->n % WIDTH != 0;
    if (s->n > WIDTH) NAMED(tiles)(s, VECTORS, edge, i, PACKED, packed);
    else NAMED(tiles)(s, 1, edge, i, PACKED, packed);
}
#endif

static void NAMED(packed_panel)(const Panel *s, int copies)
{
    ptrdiff_t i = 0;
#if defined(__AVX512F__)
    if (s->n == BROAD * WIDTH) {
        NAMED(tile)(s, ROWS, BROAD, 0, 0, COPIED, 1);
        NAMED(tiles)(s, BROAD, 0, ROWS, PACKED, 1);
        return;
    }
#endif
    if (copies) {
        if (s->a != NULL) NAMED(copying_tile)(s, 1);
        else NAMED(copying_tile)(s, 0);
        i = ROWS;
    }
    if (s->a != NULL) NAMED(packed_tiles)(s, i, 1);
    else NAMED(packed_tiles)(s, i, 0);
}

/* The product of a single row of a, which reads b once, with the widest tiles first. */
static void NAMED(row)(const Product *q)
{
    Panel s = {.q = q, .k = q->k};
    while (s.j < q->n) {
        const ptrdiff_t left = q->n - s.j;
        s.b = (const floating *)q->b + s.j;
        s.n = left >= WIDE * WIDTH ? WIDE * WIDTH : left >= 4 * WIDTH ? 4 * WIDTH
            : left >= VECTORS * WIDTH ? VECTORS * WIDTH : left;
        if (s.n == WIDE * WIDTH) NAMED(tile)(&s, 1, WIDE, 0, 0, IN_PLACE, 0);
        else if (s.n == 4 * WIDTH) NAMED(tile)(&s, 1, 4, 0, 0, IN_PLACE, 0);
        else NAMED(panel)(&s);
        s.j += s.n;
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

/* Copies the columns of a panel of b, if that is transposed, into contiguous rows. */
static void NAMED(pack_b)(const Panel *s)
{
    const ptrdiff_t b_row = s->q->b_row;
    const floating *b = (const floating *)s->b;
    for (int v = 0; v < s->n; v += WIDTH) {
        const int rows = (int)(s->n - v < WIDTH ? s->n - v : WIDTH);
        for (ptrdiff_t r = 0; r < s->k; r += WIDTH) {
            const int depth = (int)(s->k - r < WIDTH ? s->k - r : WIDTH);
            NAMED(transpose)(b + v * b_row + r, b_row, rows, depth,
                             (floating *)s->copy + r * VECTORS * WIDTH + v, VECTORS * WIDTH);
        }
    }
}

/* Copies `rows` rows and k columns of a, the elements of a column side by side. Whole vectors are
 * written, of which the next column overwrites what is too much. */
RELUME_INLINE void NAMED(pack_rows)(const floating *a, ptrdiff_t a_row, ptrdiff_t a_column, int rows,
                                    ptrdiff_t k, floating *out)
{
    const int first = (rows - 1) / WIDTH * WIDTH;
    if (a_row == 1) {
        for (ptrdiff_t p = 0; p < k; p++)
            for (int r = first; r >= 0; r -= WIDTH) {
                const floating *x = a + p * a_column + r;
                *(vector *)(out + p * rows + r) =
                    rows - r < WIDTH ? LOAD_PART(x, rows - r) : *(const vector *)x;
            }
        return;
    }
    for (ptrdiff_t p = 0; p < k; p += WIDTH)
        for (int r = first; r >= 0; r -= WIDTH)
            NAMED(transpose)(a + r * a_row + p, a_row, rows - r < WIDTH ? rows - r : WIDTH,
                             (int)(k - p < WIDTH ? k - p : WIDTH), out + p * rows + r, rows);
}

/* Packs columns p to p + k of a, tile by tile. Whole vectors are written, so `out` needs room for
 * WIDTH elements more than it holds. */
static void NAMED(pack_a)(const Product *q, ptrdiff_t p, ptrdiff_t k, floating *out)
{
    int rows;
    for (ptrdiff_t i = 0; i < q->m; i += rows) {
        const floating *a = (const floating *)q->a + i * q->a_row + p * q->a_column;
        rows = rows_of_tile(q->m - i);
        if (rows == ROWS) NAMED(pack_rows)(a, q->a_row, q->a_column, ROWS, k, out + i * k);
        else NAMED(pack_rows)(a, q->a_row, q->a_column, rows, k, out + i * k);
    }
}

/* Whether a, or b, is copied: where elements that are used together are far apart, and enough tiles
 * use them; b also where its rows are not aligned. */
RELUME_INLINE int NAMED(packs_a)(const Product *q)
{
    const ptrdiff_t size = sizeof(floating), panel = VECTORS * WIDTH;
    if (q->m < 2 * ROWS) return 0;
    if (q->a_row == 1 && q->n > panel && q->k * q->a_column * size >= SPREAD_OUT) return 1;
    return q->n >= MANY * panel
           && (q->a_row == 1 || q->a_row * size >= FAR || q->b_row * size >= FAR);
}
RELUME_INLINE int NAMED(packs_b)(const Product *q)
{
    const int far = q->b_row * (ptrdiff_t)sizeof(floating) >= FAR;
    return q->transposed
           || (q->m >= 4 * ROWS && (far || (q->b_row % WIDTH != 0 && q->k >= LONG)));
}

/* The columns of a panel: more where a is packed and b is large. */
RELUME_INLINE ptrdiff_t NAMED(panel_of)(const Product *q, int packs_a)
{
    const ptrdiff_t size = q->k * q->n * (ptrdiff_t)sizeof(floating);
    const int broad = packs_a && !q->transposed && q->n >= MANY * BROAD * WIDTH && size >= LARGE;
    return broad ? BROAD * WIDTH : VECTORS * WIDTH;
}
/* The rows of b that a panel takes at a time: even parts, in whole vectors. */
RELUME_INLINE ptrdiff_t NAMED(depth_of)(ptrdiff_t k, ptrdiff_t panel)
{
    const ptrdiff_t height = HEIGHT * VECTORS * WIDTH / panel, parts = (k + height - 1) / height + (k == 0);
    return ((k + parts - 1) / parts + WIDTH - 1) / WIDTH * WIDTH;
}

/* c, in panels of columns, and these by `depth` rows of b at a time. If a is packed, many panels take
 * one part of it before the next. Their sums are in contiguous memory in between, because in c their
 * rows may be far apart, too. */
static void NAMED(matmul)(const Product *q)
{
    floating memory[HEIGHT * VECTORS * WIDTH + LINE / sizeof(floating)];
    const ptrdiff_t narrow = VECTORS * WIDTH;
    const ptrdiff_t size = q->m * NAMED(depth_of)(q->k, narrow) + WIDTH;
    const ptrdiff_t room = q->n_scratch - size - 2 * LINE;
    const int packs_a = room >= 0 && NAMED(packs_a)(q);
    const int packs_b = packs_a || NAMED(packs_b)(q);
    const ptrdiff_t panel = NAMED(panel_of)(q, packs_a), depth = NAMED(depth_of)(q->k, panel);
    floating *a = NULL, *sums = NULL;
    ptrdiff_t columns = panel;
    if (q->m == 1 && !q->transposed) {
        NAMED(row)(q);
        return;
    }
    if (packs_a) {
        a = (floating *)ALIGNED(q->scratch);
        columns = q->n;
        if (q->k > depth && room >= q->m * panel * MANY) {
            sums = (floating *)ALIGNED(a + size);
            columns = room / (q->m * panel) * panel;
        }
    }
    for (ptrdiff_t first = 0; first < q->n; first += columns)
        for (ptrdiff_t p = 0; p < q->k; p += depth) {
            const ptrdiff_t last = q->n - first < columns ? q->n : first + columns;
            Panel s = {.q = q, .p = p, .k = q->k - p < depth ? q->k - p : depth};
            s.copy = (void *)ALIGNED(memory);
            if (a != NULL) NAMED(pack_a)(q, p, s.k, a);
            s.a = a;
            for (s.j = first; s.j < last; s.j += s.n) {
                const ptrdiff_t left = last - s.j;
                s.n = left >= panel ? panel : left < narrow ? left : narrow;
                s.b = (const floating *)q->b
                    + (q->transposed ? s.j * q->b_row + p : p * q->b_row + s.j);
                if (sums != NULL) s.sums = sums + (s.j - first) * q->m;
                if (q->transposed) NAMED(pack_b)(&s);
#if PACKS_NARROW
                else if (s.n < narrow) NAMED(pack_narrow)(&s);
                if (packs_b || s.n < narrow)
                    NAMED(packed_panel)(&s, !q->transposed && s.n == narrow);
#else
                if (packs_b) NAMED(packed_panel)(&s, !q->transposed);
#endif
                else NAMED(panel)(&s);
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
#undef PACKS_NARROW
#undef FOR_COLUMNS
#undef LOW
#undef HIGH
