/* Matrix products for the sizes of small networks, in float and double.
 * A tile of c, with a few rows and vectors, stays in registers during the loop over k. An element of a
 * is broadcast to a vector and multiplied by vectors of b. As b is row-major like the weights, the
 * tiles of a small product read it in place. If b is transposed, if its rows are not aligned, or if
 * they are so far apart that they map to the same cache sets, HEIGHT rows of a panel of b are copied
 * to memory that stays in the L1 cache: beforehand, or by the panel's first tile. If a is transposed
 * or its rows are far apart, HEIGHT columns of it are copied tile by tile, which stay in the L2 cache
 * for all panels. Where no load has a mask, the columns beside whole panels are copied, too, and padded:
 * loading a part of a vector in the loop over k would be slow. Bias, relu and the gradient of relu are
 * applied to a tile before it leaves the registers.
 * Every element is summed over k in order, for any tile and any number of rows, so its bits do not
 * depend on m and n. On one AVX-512 core, 64 x 256 x 784 takes 0.72 of the time of OpenBLAS 0.3.30,
 * 64 x 256 x 64 takes 0.66, and 64 x 64 x 64 takes about the same time. On one AVX2 core of
 * Zen 4, whose registers reach 91 GFLOP/s, 128 x 1024 x 1024 runs at 86 (OpenBLAS 0.3.31: 82), the
 * same with b transposed at 81 (80), and the weights of 1024 x 1024, 48 rows at a time, at 86. */
#ifndef RELUME_DENSE_H
#define RELUME_DENSE_H

#include "math/reductions.h"
#include "matmul/interface.h"
#include "matmul/sparse.h"
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

/* The sums of a tile fill the registers but for those of b and of the element of a: with NEON, 24
 * of 32, and of 33 to 36 instructions of the loop over k 24 are multiply-adds. A single row of a is bound by reading b and takes WIDE vectors of it at once. With AVX-512, 16 vectors take 1.1 times
 * as long as 8 for 784 x 256, and 4 vectors take 1.4 times as long for 1024 x 1024. HEIGHT rows of a
 * panel of b, beside ROWS of a, fit an L1 cache of 32 KB. With AVX-512, a product of a large b takes
 * BROAD vectors at a time, in panels of fewer rows: a tile then reads less for each multiply-add, and
 * products with 2048 x 2048 take 0.94 to 0.98 of the time. */
#if defined(__AVX512F__)
enum { ROWS = 8, VECTORS = 2, BROAD = 3, WIDE = 8, HEIGHT = 192 };
#elif defined(__AVX2__)
enum { ROWS = 6, VECTORS = 2, BROAD = 2, WIDE = 8, HEIGHT = DEPTH };
#elif defined(__aarch64__)
enum { ROWS = 6, VECTORS = 4, BROAD = 4, WIDE = 8, HEIGHT = DEPTH };
#else
enum { ROWS = 4, VECTORS = 2, BROAD = 2, WIDE = 8, HEIGHT = DEPTH };
#endif
enum {
    LARGE = 1 << 20,            /* bytes of b from which panels are broad */
    FAR = 2048,                 /* rows this many bytes apart or more crowd a few sets of a cache */
    MANY = 8,                   /* panels for which packing a pays, */
    SPREAD_OUT = 1 << 21,       /* and bytes from its first element to its last from which two do, if it
                                 * is transposed */
    LONG = 192,                 /* rows of b from which copying them to be aligned pays */
    AHEAD = 8,                  /* rows of b that are prefetched for a single row of a */
    LINE = 64,
#if defined(__aarch64__)
    LATENCY = 16,               /* multiply-adds at a time that hide their latency */
#else
    LATENCY = 8,
#endif
    IN_PLACE = 0, COPIED, PACKED        /* where a tile finds its rows of b */
};

/* Some columns of c and b, and the rows of b that are added to them. */
typedef struct {
    const Product *q;
    ptrdiff_t j, n;             /* columns j to j + n */
    ptrdiff_t p, k;             /* rows p to p + k of b */
    const void *b;              /* the first element of b, where that is */
    void *copy;                 /* memory for contiguous rows of it */
    const void *a;              /* columns p to p + k of a, packed, or NULL */
    void *sums;                 /* where sums are until the last rows of b, or NULL: in c */
} Panel;

/* From one row of a panel to the next, where it is copied. */
#define PITCH(vectors) ((vectors) == BROAD ? BROAD * WIDTH : VECTORS * WIDTH)

/* The rows of the next tile, of those that are left. A few rows more than a tile make two halves,
 * since a tile of so few would wait for its own additions. */
RELUME_INLINE int rows_of_tile(ptrdiff_t left)
{
    const ptrdiff_t more = left - ROWS;
    if (more < 0) return (int)left;
    return more > 0 && more * VECTORS < LATENCY ? (int)(left + 1) / 2 : ROWS;
}

#define ALIGNED(p) (((uintptr_t)(p) + LINE - 1) & ~(uintptr_t)(LINE - 1))
#if defined(__GNUC__)
#define FETCH(p) __builtin_prefetch(p)
#define FETCH_NEAR(p) __builtin_prefetch(p, 0, 2)   /* into the L2 cache */
/* Hides the value of a stride. GCC would else make a loop for stride 1 and a worse one for others. */
#define UNKNOWN(stride) __asm__("" : "+r"(stride))
/* All of a loop whose count is known: tiles stay in registers only if no index is left to run time.
 * Clang takes a plain "unroll" for a part, or for all after it has decided to keep a tile in memory. */
#if defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif
typedef int32_t mask_float __attribute__((vector_size(VECTOR), may_alias));
typedef int64_t mask_double __attribute__((vector_size(VECTOR), may_alias));
/* x where y > 0 or NaN, else 0. */
#define WHERE_POSITIVE(x, y) (vector)((mask)(x) & ~((mask)((y) <= (vector){0})))
#else
#define FETCH(p) (void)(p)
#define FETCH_NEAR(p) (void)(p)
#define UNKNOWN(stride) (void)(stride)
#define UNROLLED
#define WHERE_POSITIVE(x, y) ((y) <= 0 ? 0 : (x))
#endif

/* The lower and the upper vector of a and b interleaved. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) && defined(__GNUC__)
#define INTERLEAVES
#define LOW_2(a, b) __builtin_shufflevector(a, b, 0, 2)
#define HIGH_2(a, b) __builtin_shufflevector(a, b, 1, 3)
#define LOW_4(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH_4(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define LOW_8(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH_8(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define LOW_16(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH_16(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#endif
#endif

/* For a compiler without vector types (MSVC), a `vector` is one element. For arm64, GCC copies the
 * sums around each of its intrinsics, but not around an instruction in assembly. That takes the
 * element of a from its register without spreading it. */
#define floating float
#define NAMED(name) name##_float
#if defined(__AVX512F__) && defined(__GNUC__)
#define SPREAD(x) ((vector)_mm512_set1_ps(x))
#define ADD_PRODUCT(sum, a, b) sum = (vector)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(sum))
#define FIRST(n) ((__mmask16)((1u << (n)) - 1))
#define LOAD_PART(x, n) ((vector)_mm512_maskz_loadu_ps(FIRST(n), x))
#define STORE_PART(x, n, v) _mm512_mask_storeu_ps(x, FIRST(n), (__m512)(v))
#define LOW LOW_16
#define HIGH HIGH_16
#elif defined(__AVX2__) && defined(__GNUC__)
#define SPREAD(x) ((vector)_mm256_set1_ps(x))
#define ADD_PRODUCT(sum, a, b) sum = (vector)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(sum))
#define FIRST(n) _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define LOAD_PART(x, n) ((vector)_mm256_maskload_ps(x, FIRST(n)))
#define STORE_PART(x, n, v) _mm256_maskstore_ps(x, FIRST(n), (__m256)(v))
#define LOW LOW_8
#define HIGH HIGH_8
#else
#define LOW LOW_4
#define HIGH HIGH_4
#if defined(__aarch64__) && defined(__clang__)
#define ADD_PRODUCT(sum, a, b) \
    sum = (vector)vfmaq_f32((float32x4_t)(sum), (float32x4_t)(a), (float32x4_t)(b))
#elif defined(__aarch64__)
#define ADD_PRODUCT(sum, a, b) \
    __asm__("fmla %0.4s, %1.4s, %2.s[0]" : "+w"(sum) : "w"(b), "w"((a)[0]))
#endif
#if defined(__GNUC__)
#define SPREAD(x) ((vector){x, x, x, x})
#endif
#endif
#include "dense_template.h"

#define floating double
#define NAMED(name) name##_double
#if defined(__AVX512F__) && defined(__GNUC__)
#define SPREAD(x) ((vector)_mm512_set1_pd(x))
#define ADD_PRODUCT(sum, a, b) sum = (vector)_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(sum))
#define FIRST(n) ((__mmask8)((1u << (n)) - 1))
#define LOAD_PART(x, n) ((vector)_mm512_maskz_loadu_pd(FIRST(n), x))
#define STORE_PART(x, n, v) _mm512_mask_storeu_pd(x, FIRST(n), (__m512d)(v))
#define LOW LOW_8
#define HIGH HIGH_8
#elif defined(__AVX2__) && defined(__GNUC__)
#define SPREAD(x) ((vector)_mm256_set1_pd(x))
#define ADD_PRODUCT(sum, a, b) sum = (vector)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(sum))
#define FIRST(n) _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3))
#define LOAD_PART(x, n) ((vector)_mm256_maskload_pd(x, FIRST(n)))
#define STORE_PART(x, n, v) _mm256_maskstore_pd(x, FIRST(n), (__m256d)(v))
#define LOW LOW_4
#define HIGH HIGH_4
#else
#define LOW LOW_2
#define HIGH HIGH_2
#if defined(__aarch64__) && defined(__clang__)
#define ADD_PRODUCT(sum, a, b) \
    sum = (vector)vfmaq_f64((float64x2_t)(sum), (float64x2_t)(a), (float64x2_t)(b))
#elif defined(__aarch64__)
#define ADD_PRODUCT(sum, a, b) \
    __asm__("fmla %0.2d, %1.2d, %2.d[0]" : "+w"(sum) : "w"(b), "w"((a)[0]))
#endif
#if defined(__GNUC__)
#define SPREAD(x) ((vector){x, x})
#endif
#endif
#include "dense_template.h"

#endif
