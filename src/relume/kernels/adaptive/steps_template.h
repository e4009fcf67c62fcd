/* The steps of one dtype. steps.h includes this file once for each `floating`, with vectors as LANE
 * or, without them, with single values. */

#if defined(LANE)
enum { NAMED(STEP_WIDTH) = sizeof(LANE) / sizeof(floating) };

RELUME_INLINE LANE NAMED(quotient)(LANE a, LANE b)
{
    const LANE y = INVERSE(b);
    return MUL(a, MUL(y, LESS_PRODUCT(b, y, SPLAT(2))));
}
#define QUOTIENT(a, b) NAMED(quotient)(a, b)
#define BY_LANES 1
#else
enum { NAMED(STEP_WIDTH) = 1 };
#define LANE floating
#define MASK int
#define LOAD(x) (*(x))
#define STORE(x, v) (*(x) = (v))
#define SPLAT(x) ((floating)(x))
#define MUL(a, b) ((a) * (b))
#define ADD(a, b) ((a) + (b))
#define SUB(a, b) ((a) - (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define ABS(a) (sizeof(floating) == sizeof(float) ? (floating)fabsf((float)(a)) : (floating)fabs(a))
#define MUL_ADD(a, b, c) ((a) * (b) + (c))
#define LESS_PRODUCT(a, b, c) ((c) - (a) * (b))
#define LESS(a, b) ((a) < (b))
#define AND(a, b) ((a) & (b))
#define SELECT(mask, yes, no) ((mask) ? (yes) : (no))
#define ROOT(v)                                                                                   \
    (sizeof(floating) == sizeof(float) ? (floating)sqrtf((float)(v)) : (floating)sqrt(v))
#define QUOTIENT(a, b) ((a) / (b))
#define BY_LANES 0
#endif

/* The square root of the factor that brings terms up to `largest` where they can be squared. */
RELUME_INLINE LANE NAMED(factor)(LANE largest)
{
    return SELECT(LESS(largest, SPLAT(LOW)), SPLAT(UP),
                  SELECT(LESS(SPLAT(HIGH), largest), SPLAT(DOWN), SPLAT(1)));
}
RELUME_INLINE LANE NAMED(inverse_factor)(LANE largest)
{
    return SELECT(LESS(largest, SPLAT(LOW)), SPLAT(DOWN),
                  SELECT(LESS(SPLAT(HIGH), largest), SPLAT(UP), SPLAT(1)));
}

/* One vector of elements. s1: m, or the velocity of RMSprop; s2: r; s3: the maximum of r of AMSGrad,
 * or the mean of g of the centered RMSprop. `careful`: whether terms may have to be scaled, or r may
 * be negative, which marks elements whose next step is to be a first one. */
RELUME_INLINE void NAMED(move)(floating *p, floating *s1, floating *s2, floating *s3, LANE g,
                               LANE weight, const Adaptive *q, const int method,
                               const int decaying, const int careful)
{
    const int bounded = method == AMSGRAD, centered = method == CENTERED_RMSPROP;
    const int means = method == ADAM || method == NADAM || bounded;
    const LANE kept = LOAD(s2), mean = centered ? LOAD(s3) : SPLAT(0);
    const LANE before = careful ? MAX(kept, SPLAT(0)) : kept;
    LANE largest = MAX(before, ABS(g)), h = SPLAT(1), inverse = SPLAT(1);
    LANE m = g, x, r, root, step, below;
    MASK fresh = LESS(kept, SPLAT(0));

    if (centered) largest = MAX(largest, ABS(mean));
    if (careful) {
        h = NAMED(factor)(largest);
        inverse = NAMED(inverse_factor)(largest);
    }
    /* The root of the second moment, about the mean if that is centered: with d = g - mean, the
     * variance becomes keep2 (variance + take2 d^2). It is 0 or more, as E[g^2] - mean^2 is not. */
    const LANE f = careful ? MUL(h, h) : h;
    const LANE scaled = careful ? MUL(before, f) : before;
    const LANE centered_g = centered ? SUB(careful ? MUL(g, f) : g, careful ? MUL(mean, f) : mean)
                                    : careful ? MUL(g, f) : g;
    root = ROOT(MUL_ADD(SPLAT(q->keep2), MUL(scaled, scaled),
                        MUL(SPLAT(q->take2), MUL(centered_g, centered_g))));
    if (careful && means) root = SELECT(fresh, MUL(ABS(centered_g), SPLAT(q->fresh_r)), root);
    r = careful ? MUL(MUL(root, inverse), inverse) : root;
    if (careful && means) {
        /* A gradient of 0 says nothing yet, so the first step is still to come. */
        STORE(s2, SELECT(AND(fresh, LESS(largest, SPLAT(MIN_EPS))), kept, r));
    } else {
        STORE(s2, r);
    }
    if (centered) STORE(s3, MUL_ADD(SPLAT(q->keep1), mean, MUL(SPLAT(q->take1), g)));
    if (means) {
        const LANE last = LOAD(s1), now = careful ? MUL(g, h) : g;
        m = MUL_ADD(SPLAT(q->keep1), careful ? MUL(last, h) : last, MUL(SPLAT(q->take1), now));
        if (careful) m = SELECT(fresh, MUL(SPLAT(q->fresh_m), now), m);
        STORE(s1, careful ? MUL(m, inverse) : m);
        x = method == NADAM ? MUL_ADD(SPLAT(q->rate_g), now, MUL(SPLAT(q->rate_m), m)) : m;
    } else {
        x = careful ? MUL(g, h) : g;
    }
    if (bounded) {
        const LANE top = LOAD(s3);
        const MASK higher = LESS(r, top);
        STORE(s3, SELECT(higher, top, r));
        if (careful) {
            const LANE other = NAMED(factor)(top);
            root = SELECT(higher, MUL(MUL(top, other), other), root);
            x = SELECT(higher, MUL(MUL(x, inverse), other), x);
            h = SELECT(higher, other, h);
        } else {
            root = SELECT(higher, top, root);
        }
    }
    below = ADD(root, careful ? MUL(MUL(SPLAT(q->eps), h), h) : SPLAT(q->eps));
    if (careful) below = MIN(SPLAT(MAX_EPS), below);
    if (careful) {
        /* Times h before or after the division: where neither overflows nor underflows. */
        const MASK first = LESS(ABS(x), SPLAT(1));
        step = QUOTIENT(SELECT(first, MUL(x, h), x), below);
        step = SELECT(first, step, MUL(step, h));
    } else {
        step = QUOTIENT(x, below);
    }
    if (!means && q->momentum != 0) {
        step = MUL_ADD(SPLAT(q->momentum), LOAD(s1), step);
        STORE(s1, step);
    }
    if (decaying) {
        if (method != NADAM) step = MUL(SPLAT(q->rate_m), step);
        STORE(p, SUB(weight, MUL_ADD(SPLAT(q->shrink), weight, step)));
    } else {
        STORE(p, method == NADAM ? SUB(weight, step)
                                 : LESS_PRODUCT(SPLAT(q->rate_m), step, weight));
    }
}

#if BY_LANES
/* Nearly all vectors can be squared as they are, which takes half the time. The bits of r below 0
 * are above all others. */
RELUME_INLINE int NAMED(outside)(LANE r, LANE g, LANE third)
{
    const LANE largest = MAX_OF_BITS(MAX_OF_BITS(r, ABS(g)), ABS(third));
    return ANY_DIFFERS_BUT_ZERO(largest, MIN(SPLAT(HIGH), MAX(SPLAT(LOW), largest)));
}
#else
RELUME_INLINE int NAMED(outside)(floating r, floating g, floating third)
{
    const floating low = LOW, high = HIGH, size = ABS(g), other = ABS(third);
    Bits a, b, c, first, last;
    memcpy(&a, &r, sizeof a);
    memcpy(&b, &size, sizeof b);
    memcpy(&c, &other, sizeof c);
    memcpy(&first, &low, sizeof first);
    memcpy(&last, &high, sizeof last);
    a = a > b ? a : b;
    a = a > c ? a : c;
    return (a - first > last - first) & (a != 0);
}
#endif
#define CHUNK 64

RELUME_INLINE void NAMED(span)(floating *RELUME_RESTRICT p, const floating *RELUME_RESTRICT g,
                               floating *RELUME_RESTRICT s1, floating *RELUME_RESTRICT s2,
                               floating *RELUME_RESTRICT s3, ptrdiff_t n, const Adaptive *q,
                               const int method, const int decaying)
{
    const Adaptive own = *q;
    const int third = method == AMSGRAD || method == CENTERED_RMSPROP;
#define GRADIENT(i) (decaying ? MUL_ADD(SPLAT(own.decay), LOAD(p + i), LOAD(g + i)) : LOAD(g + i))
#define MOVE(i, careful) NAMED(move)(p + i, s1 + i, s2 + i, s3 + i, GRADIENT(i), LOAD(p + i),     \
                                     &own, method, decaying, careful)
    for (ptrdiff_t start = 0; start < n; start += CHUNK) {
        const ptrdiff_t end = n - start < CHUNK ? n : start + CHUNK;
        int careful = 0;
        for (ptrdiff_t i = start; i < end; i += NAMED(STEP_WIDTH))
            careful |= NAMED(outside)(LOAD(s2 + i), GRADIENT(i), third ? LOAD(s3 + i) : SPLAT(0));
        if (careful)
            for (ptrdiff_t i = start; i < end; i += NAMED(STEP_WIDTH)) MOVE(i, 1);
        else
            for (ptrdiff_t i = start; i < end; i += NAMED(STEP_WIDTH)) MOVE(i, 0);
    }
#undef GRADIENT
#undef MOVE
}
#undef CHUNK

/* All whole vectors, and the rest in copies that zeros fill up. */
RELUME_INLINE void NAMED(whole)(floating *p, const floating *g, floating *s1, floating *s2,
                                floating *s3, ptrdiff_t n, const Adaptive *q, const int method,
                                const int decaying)
{
    const ptrdiff_t first = n / NAMED(STEP_WIDTH) * NAMED(STEP_WIDTH), rest = n - first;
    NAMED(span)(p, g, s1, s2, s3, first, q, method, decaying);
#if BY_LANES
    if (rest > 0) {
        const size_t size = (size_t)rest * sizeof *p;
        const int third = method == AMSGRAD || method == CENTERED_RMSPROP;
        floating tail[5][NAMED(STEP_WIDTH)] = {{0}};
        memcpy(tail[0], p + first, size);
        memcpy(tail[1], g + first, size);
        memcpy(tail[2], s1 + first, size);
        memcpy(tail[3], s2 + first, size);
        if (third) memcpy(tail[4], s3 + first, size);
        NAMED(span)(tail[0], tail[1], tail[2], tail[3], tail[4], 1, q, method, decaying);
        memcpy(p + first, tail[0], size);
        memcpy(s1 + first, tail[2], size);
        memcpy(s2 + first, tail[3], size);
        if (third) memcpy(s3 + first, tail[4], size);
    }
#else
    (void)rest;
#endif
}

static void NAMED(adaptive)(floating *p, const floating *g, floating *s1, floating *s2,
                            floating *s3, ptrdiff_t n, const Adaptive *q, int method)
{
    Adaptive own = *q;
    const int decaying = q->decay != 0 || q->shrink != 0;
    if (method != AMSGRAD && method != CENTERED_RMSPROP) s3 = s2;       /* which they never read */
    own.eps = own.eps < MIN_EPS ? MIN_EPS : own.eps > MAX_EPS ? MAX_EPS : own.eps;
#define CASE(name)                                                                                \
    case name:                                                                                    \
        if (decaying) NAMED(whole)(p, g, s1, s2, s3, n, &own, name, 1);                           \
        else NAMED(whole)(p, g, s1, s2, s3, n, &own, name, 0);                                    \
        break;
    switch (method) {
        CASE(ADAM)
        CASE(AMSGRAD)
        CASE(NADAM)
        CASE(RMSPROP)
        CASE(CENTERED_RMSPROP)
    }
#undef CASE
}

#if !BY_LANES
#undef LANE
#undef MASK
#undef LOAD
#undef STORE
#undef SPLAT
#undef MUL
#undef ADD
#undef SUB
#undef MAX
#undef MIN
#undef ABS
#undef LESS
#undef AND
#undef MUL_ADD
#undef LESS_PRODUCT
#undef SELECT
#endif
#undef ROOT
#undef QUOTIENT
#undef BY_LANES
