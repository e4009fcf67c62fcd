/* Tiles of ROWS_OF_TILE rows, transposed, and their maxima (of numbers; NaN in x is ignored): element j of row i is at tile[j * ROWS_OF_TILE + i].
 * A tile with fewer rows is filled up with copies of the last one, which is read and written in their
 * place as well, so that no row is a special case and nothing is read or written past a row's end.
 * With AVX, 4 elements (float) or 2 (double) of a row are a quarter or half of a register, and are
 * transposed within it. The last few elements overlap those before them. */
#ifndef RELUME_TILE_H
#define RELUME_TILE_H

#include "math/intrinsics.h"

enum { ROWS_OF_TILE = 16 };

#define DEFINE_PLAIN_TRANSPOSITION(floating)                                                      \
    RELUME_INLINE void plain_to_tile_##floating(const floating *x, ptrdiff_t step,                \
                                                ptrdiff_t rows, ptrdiff_t n, floating *tile)      \
    {                                                                                             \
        if (rows == ROWS_OF_TILE && step == n && n == 2)                                          \
            OF_CONSTANT_LENGTH(2, tile[j * ROWS_OF_TILE + i], x[i * 2 + j]);                      \
        if (rows == ROWS_OF_TILE && step == n && n == 3)                                          \
            OF_CONSTANT_LENGTH(3, tile[j * ROWS_OF_TILE + i], x[i * 3 + j]);                      \
        for (int i = 0; i < ROWS_OF_TILE; i++) {                                                  \
            const floating *row = x + (i < rows ? i : rows - 1) * step;                           \
            for (ptrdiff_t j = 0; j < n; j++) tile[j * ROWS_OF_TILE + i] = row[j];                \
        }                                                                                         \
    }                                                                                             \
    RELUME_INLINE void plain_from_tile_##floating(const floating *tile, ptrdiff_t step,           \
                                                  ptrdiff_t rows, ptrdiff_t n, floating *out)     \
    {                                                                                             \
        if (rows == ROWS_OF_TILE && step == n && n == 2)                                          \
            OF_CONSTANT_LENGTH(2, out[i * 2 + j], tile[j * ROWS_OF_TILE + i]);                    \
        if (rows == ROWS_OF_TILE && step == n && n == 3)                                          \
            OF_CONSTANT_LENGTH(3, out[i * 3 + j], tile[j * ROWS_OF_TILE + i]);                    \
        for (int i = 0; i < rows; i++)                                                            \
            for (ptrdiff_t j = 0; j < n; j++) out[i * step + j] = tile[j * ROWS_OF_TILE + i];     \
    }
/* Contiguous rows of 2 or 3 elements, whose loops have constant lengths, which compilers vectorize. */
#define OF_CONSTANT_LENGTH(n, to, from)                                                           \
    do {                                                                                          \
        for (int i = 0; i < ROWS_OF_TILE; i++)                                                    \
            for (int j = 0; j < n; j++) to = from;                                                \
        return;                                                                                   \
    } while (0)
DEFINE_PLAIN_TRANSPOSITION(float)
DEFINE_PLAIN_TRANSPOSITION(double)

#if defined(__AVX__)
/* One register holds the same 128 bits' worth of columns of several rows: row i, then the rows after it
 * that are PERIOD apart. Then unpacking within each 128 bits transposes PERIOD registers. */
enum { PERIOD_float = 4, PERIOD_double = 2 };
#if defined(__AVX512F__)
typedef __m512 wide_float;
typedef __m512d wide_double;
enum { WIDE_float = 16, WIDE_double = 8 };
#define WIDE(name) _mm512_##name
RELUME_INLINE __m512 load_quarters(const float *a, const float *b, const float *c, const float *d)
{
    __m512 r = _mm512_castps128_ps512(_mm_loadu_ps(a));
    r = _mm512_insertf32x4(r, _mm_loadu_ps(b), 1);
    r = _mm512_insertf32x4(r, _mm_loadu_ps(c), 2);
    return _mm512_insertf32x4(r, _mm_loadu_ps(d), 3);
}
RELUME_INLINE __m512 load_wide_float(const float *const *row, ptrdiff_t j)
{
    return load_quarters(row[0] + j, row[4] + j, row[8] + j, row[12] + j);
}
RELUME_INLINE void store_wide_float(float *const *row, ptrdiff_t j, __m512 x)
{
    _mm_storeu_ps(row[0] + j, _mm512_castps512_ps128(x));
    _mm_storeu_ps(row[4] + j, _mm512_extractf32x4_ps(x, 1));
    _mm_storeu_ps(row[8] + j, _mm512_extractf32x4_ps(x, 2));
    _mm_storeu_ps(row[12] + j, _mm512_extractf32x4_ps(x, 3));
}
RELUME_INLINE __m512d load_wide_double(const double *const *row, ptrdiff_t j)
{
    return _mm512_castps_pd(load_quarters(
        (const float *)(row[0] + j), (const float *)(row[2] + j), (const float *)(row[4] + j),
        (const float *)(row[6] + j)));
}
RELUME_INLINE void store_wide_double(double *const *row, ptrdiff_t j, __m512d x)
{
    _mm_storeu_pd(row[0] + j, _mm512_castpd512_pd128(x));
    _mm_storeu_pd(row[2] + j, _mm512_extractf64x2_pd(x, 1));
    _mm_storeu_pd(row[4] + j, _mm512_extractf64x2_pd(x, 2));
    _mm_storeu_pd(row[6] + j, _mm512_extractf64x2_pd(x, 3));
}
#else
typedef __m256 wide_float;
typedef __m256d wide_double;
enum { WIDE_float = 8, WIDE_double = 4 };
#define WIDE(name) _mm256_##name
RELUME_INLINE __m256 load_wide_float(const float *const *row, ptrdiff_t j)
{
    const __m256 low = _mm256_castps128_ps256(_mm_loadu_ps(row[0] + j));
    return _mm256_insertf128_ps(low, _mm_loadu_ps(row[4] + j), 1);
}
RELUME_INLINE void store_wide_float(float *const *row, ptrdiff_t j, __m256 x)
{
    _mm_storeu_ps(row[0] + j, _mm256_castps256_ps128(x));
    _mm_storeu_ps(row[4] + j, _mm256_extractf128_ps(x, 1));
}
RELUME_INLINE __m256d load_wide_double(const double *const *row, ptrdiff_t j)
{
    const __m256d low = _mm256_castpd128_pd256(_mm_loadu_pd(row[0] + j));
    return _mm256_insertf128_pd(low, _mm_loadu_pd(row[2] + j), 1);
}
RELUME_INLINE void store_wide_double(double *const *row, ptrdiff_t j, __m256d x)
{
    _mm_storeu_pd(row[0] + j, _mm256_castpd256_pd128(x));
    _mm_storeu_pd(row[2] + j, _mm256_extractf128_pd(x, 1));
}
#endif

RELUME_INLINE void transpose_wide_float(wide_float *r)
{
    const wide_float a = WIDE(unpacklo_ps)(r[0], r[1]), b = WIDE(unpackhi_ps)(r[0], r[1]);
    const wide_float c = WIDE(unpacklo_ps)(r[2], r[3]), d = WIDE(unpackhi_ps)(r[2], r[3]);
    r[0] = WIDE(shuffle_ps)(a, c, 0x44);
    r[1] = WIDE(shuffle_ps)(a, c, 0xee);
    r[2] = WIDE(shuffle_ps)(b, d, 0x44);
    r[3] = WIDE(shuffle_ps)(b, d, 0xee);
}
RELUME_INLINE void transpose_wide_double(wide_double *r)
{
    const wide_double a = WIDE(unpacklo_pd)(r[0], r[1]), b = WIDE(unpackhi_pd)(r[0], r[1]);
    r[0] = a;
    r[1] = b;
}
RELUME_INLINE void store_in_tile_float(float *tile, wide_float x) { WIDE(storeu_ps)(tile, x); }
RELUME_INLINE void store_in_tile_double(double *tile, wide_double x) { WIDE(storeu_pd)(tile, x); }
RELUME_INLINE wide_float load_from_tile_float(const float *tile) { return WIDE(loadu_ps)(tile); }
RELUME_INLINE wide_double load_from_tile_double(const double *tile) { return WIDE(loadu_pd)(tile); }

#define DEFINE_TRANSPOSITION(floating)                                                            \
    RELUME_INLINE void to_tile_##floating(const floating *x, ptrdiff_t step, ptrdiff_t rows,      \
                                          ptrdiff_t n, floating *tile)                            \
    {                                                                                             \
        const floating *row[ROWS_OF_TILE];                                                        \
        if (n < PERIOD_##floating) {                                                              \
            plain_to_tile_##floating(x, step, rows, n, tile);                                     \
            return;                                                                               \
        }                                                                                         \
        for (int i = 0; i < ROWS_OF_TILE; i++) row[i] = x + (i < rows ? i : rows - 1) * step;     \
        for (int i = 0; i < ROWS_OF_TILE; i += WIDE_##floating)                                   \
            for (ptrdiff_t k = 0; k < n; k += PERIOD_##floating) {                                \
                const ptrdiff_t end = n - PERIOD_##floating, j = k < end ? k : end;               \
                wide_##floating part[PERIOD_##floating];                                          \
                for (int c = 0; c < PERIOD_##floating; c++)                                       \
                    part[c] = load_wide_##floating(row + i + c, j);                               \
                transpose_wide_##floating(part);                                                  \
                for (int c = 0; c < PERIOD_##floating; c++)                                       \
                    store_in_tile_##floating(tile + (j + c) * ROWS_OF_TILE + i, part[c]);         \
            }                                                                                     \
    }                                                                                             \
    RELUME_INLINE void from_tile_##floating(const floating *tile, ptrdiff_t step,                 \
                                            ptrdiff_t rows, ptrdiff_t n, floating *out)           \
    {                                                                                             \
        floating *row[ROWS_OF_TILE];                                                              \
        if (n < PERIOD_##floating) {                                                              \
            plain_from_tile_##floating(tile, step, rows, n, out);                                 \
            return;                                                                               \
        }                                                                                         \
        for (int i = 0; i < ROWS_OF_TILE; i++) row[i] = out + (i < rows ? i : rows - 1) * step;   \
        for (int i = 0; i < ROWS_OF_TILE; i += WIDE_##floating)                                   \
            for (ptrdiff_t k = 0; k < n; k += PERIOD_##floating) {                                \
                const ptrdiff_t end = n - PERIOD_##floating, j = k < end ? k : end;               \
                wide_##floating part[PERIOD_##floating];                                          \
                for (int c = 0; c < PERIOD_##floating; c++)                                       \
                    part[c] = load_from_tile_##floating(tile + (j + c) * ROWS_OF_TILE + i);       \
                transpose_wide_##floating(part);                                                  \
                for (int c = 0; c < PERIOD_##floating; c++)                                       \
                    store_wide_##floating(row + i + c, j, part[c]);                               \
            }                                                                                     \
    }
DEFINE_TRANSPOSITION(float)
DEFINE_TRANSPOSITION(double)
#define DEFINE_MAXIMA(floating, suffix)                                                           \
    RELUME_INLINE void tile_maxima_##floating(const floating *tile, ptrdiff_t n, floating *max)   \
    {                                                                                             \
        for (int i = 0; i < ROWS_OF_TILE; i += WIDE_##floating) {                                 \
            wide_##floating m = WIDE(set1_##suffix)(-INFINITY);                                   \
            for (ptrdiff_t j = 0; j < n; j++)                                                     \
                m = WIDE(max_##suffix)(WIDE(loadu_##suffix)(tile + j * ROWS_OF_TILE + i), m);     \
            WIDE(storeu_##suffix)(max + i, m);                                                    \
        }                                                                                         \
    }
DEFINE_MAXIMA(float, ps)
DEFINE_MAXIMA(double, pd)
#else
#define DEFINE_MAXIMA(floating)                                                                   \
    RELUME_INLINE void tile_maxima_##floating(const floating *tile, ptrdiff_t n, floating *max)   \
    {                                                                                             \
        for (int i = 0; i < ROWS_OF_TILE; i++) max[i] = -INFINITY;                                \
        for (ptrdiff_t j = 0; j < n; j++)                                                         \
            for (int i = 0; i < ROWS_OF_TILE; i++) {                                              \
                const floating x = tile[j * ROWS_OF_TILE + i];                                    \
                max[i] = x > max[i] ? x : max[i];                                                 \
            }                                                                                     \
    }
DEFINE_MAXIMA(float)
DEFINE_MAXIMA(double)
#define to_tile_float plain_to_tile_float
#define to_tile_double plain_to_tile_double
#define from_tile_float plain_from_tile_float
#define from_tile_double plain_from_tile_double
#endif
#endif
