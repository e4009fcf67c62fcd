/* Code that depends on the processor or the operating system: clock, atomics, floating-point flags,
 * CPU features. */
#ifndef RELUME_PLATFORM_H
#define RELUME_PLATFORM_H

#include <fenv.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) || defined(_M_X64)
#define RELUME_X86 1
#include <immintrin.h>
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#else
#define RELUME_X86 0
#endif

/* Without these two, windows.h defines names that are used here and by the engine: hyper, min, max. */
#if defined(_WIN32)
#if !defined(WIN32_LEAN_AND_MEAN)
#define WIN32_LEAN_AND_MEAN
#endif
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <windows.h>
static inline double seconds(void)                  /* of a monotonic clock */
{
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return (double)count.QuadPart / (double)frequency.QuadPart;
}
static inline long process_id(void) { return 0; }          /* Windows has no fork */
#else
#include <time.h>
#include <unistd.h>
static inline double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
static inline long process_id(void) { return (long)getpid(); }
#endif

/* Bring the cache line of an address into the cache, if it is valid; else nothing happens. */
static inline void prefetch(const char *address)
{
#if defined(__GNUC__)
    __builtin_prefetch(address);
#elif RELUME_X86
    _mm_prefetch(address, _MM_HINT_T0);
#else
    (void)address;
#endif
}

/* Bytes of the cache that a core has for itself; a guess where the system does not tell. */
static inline ptrdiff_t own_cache(void)
{
    long size = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
    size = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return size > 0 ? (ptrdiff_t)size : (ptrdiff_t)1 << 20;
}

/* Atomically store a pointer at an address and return the previous one. */
static inline void *exchange_pointer(void **address, void *pointer)
{
#if defined(_MSC_VER)
    return InterlockedExchangePointer(address, pointer);
#else
    return __atomic_exchange_n(address, pointer, __ATOMIC_ACQ_REL);
#endif
}

/* Copies memory that is not read again soon. On x86, lines of the target are written past the caches,
 * which would else read each of them first: a third of the traffic. */
static inline void copy_past_caches(char *to, const char *from, size_t size)
{
#if RELUME_X86
    enum { LINE = 64 };
    const size_t before = (size_t)(-(intptr_t)to & (LINE - 1));
    if (size >= before + LINE) {
        memcpy(to, from, before);
        to += before, from += before, size -= before;
        for (; size >= LINE; to += LINE, from += LINE, size -= LINE)
            for (int i = 0; i < LINE; i += 16)
                _mm_stream_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
        _mm_sfence();
    }
#endif
    memcpy(to, from, size);
}

#if defined(_MSC_VER)
#define RELUME_THREAD_LOCAL __declspec(thread)
#else
#define RELUME_THREAD_LOCAL __thread
#endif

/* Numbers that several threads read and write. The first four functions are sequentially consistent:
 * what a lock is made of. The others are relaxed: each number is read and written whole, and what
 * the compiler makes of them is as fast as a plain access. They are for estimates, where it does no
 * harm if one of two threads' changes is lost. MSVC reads and writes aligned volatile numbers whole,
 * and on x86 with acquire and release. */
#if defined(_MSC_VER)
static inline int load_int(const int *at)
{
    MemoryBarrier();
    return *(const volatile int *)at;
}
static inline void store_int(int *at, int value) { InterlockedExchange((volatile LONG *)at, value); }
static inline int add_to_int(int *at, int value)                    /* returns the sum */
{
    return InterlockedExchangeAdd((volatile LONG *)at, value) + value;
}
static inline int swap_int_if(int *at, int before, int after)       /* whether it was `before` */
{
    return InterlockedCompareExchange((volatile LONG *)at, after, before) == before;
}
#define RELUME_RELAXED(type, name) \
    static inline type shared_##name(const type *at) { return *(const volatile type *)at; } \
    static inline void set_shared_##name(type *at, type value) { *(volatile type *)at = value; }
#else
static inline int load_int(const int *at) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }
static inline void store_int(int *at, int value) { __atomic_store_n(at, value, __ATOMIC_SEQ_CST); }
static inline int add_to_int(int *at, int value)                    /* returns the sum */
{
    return __atomic_add_fetch(at, value, __ATOMIC_SEQ_CST);
}
static inline int swap_int_if(int *at, int before, int after)       /* whether it was `before` */
{
    return __atomic_compare_exchange_n(at, &before, after, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
#define RELUME_RELAXED(type, name) \
    static inline type shared_##name(const type *at) \
    { \
        type value; \
        __atomic_load(at, &value, __ATOMIC_RELAXED); \
        return value; \
    } \
    static inline void set_shared_##name(type *at, type value) \
    { \
        __atomic_store(at, &value, __ATOMIC_RELAXED); \
    }
#endif
RELUME_RELAXED(int, int)
RELUME_RELAXED(int64_t, int64)
RELUME_RELAXED(uint64_t, uint64)
RELUME_RELAXED(double, double)

static inline void *load_pointer(void **address)
{
#if defined(_MSC_VER)
    return *(void *volatile *)address;
#else
    return __atomic_load_n(address, __ATOMIC_ACQUIRE);
#endif
}

/* The parts of a thread that are not taken yet, first to end - 1, packed in one number, so that the
 * thread can atomically take the first part while other threads take the last one. */
static inline void set_parts(uint64_t *parts, ptrdiff_t first, ptrdiff_t end)
{
    const uint64_t packed = (uint64_t)first << 32 | (uint64_t)end;
#if defined(_MSC_VER)
    *(volatile uint64_t *)parts = packed;
#else
    __atomic_store_n(parts, packed, __ATOMIC_RELAXED);
#endif
}
static inline ptrdiff_t take_part(uint64_t *parts, int last)           /* -1 if no part is left */
{
    for (;;) {
#if defined(_MSC_VER)
        const uint64_t now = *(volatile uint64_t *)parts;
#else
        uint64_t now = __atomic_load_n(parts, __ATOMIC_RELAXED);
#endif
        const uint64_t first = now >> 32, end = now & 0xffffffffu;
        const uint64_t then = last ? first << 32 | (end - 1) : (first + 1) << 32 | end;
        if (first >= end) return -1;
#if defined(_MSC_VER)
        if ((uint64_t)InterlockedCompareExchange64((volatile LONG64 *)parts, (LONG64)then,
                                                   (LONG64)now) == now)
#else
        if (__atomic_compare_exchange_n(parts, &now, then, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
#endif
            return (ptrdiff_t)(last ? end - 1 : first);
    }
}

/* A comparison with NaN or an underflow sets flags that NumPy would report as warnings. Saving and
 * restoring the flags keeps those of the caller and costs a few ns on x86 (feclearexcept: 95 ns). */
#if RELUME_X86
typedef unsigned int float_flags;
static inline float_flags save_float_flags(void) { return _mm_getcsr(); }
static inline void restore_float_flags(float_flags flags)
{
    if (_mm_getcsr() != flags) _mm_setcsr(flags);
}
#else
typedef fexcept_t float_flags;
static inline float_flags save_float_flags(void)
{
    fexcept_t flags;
    fegetexceptflag(&flags, FE_ALL_EXCEPT);
    return flags;
}
static inline void restore_float_flags(float_flags flags)
{
    fesetexceptflag(&flags, FE_ALL_EXCEPT);
}
#endif
/* Clear the flags that NumPy clears after a call. They are rarely set, which is fast to see. */
static inline void clear_float_flags(void)
{
    enum { FLAGS = FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW | FE_UNDERFLOW };
    if (fetestexcept(FLAGS)) feclearexcept(FLAGS);
}

/* Until `restore_float_mode`, this thread treats subnormal inputs and results as 0. A converged
 * network produces many of them, and each costs 150 cycles. */
#if RELUME_X86
typedef unsigned int float_mode;
static inline float_mode flush_subnormals(void)
{
    const unsigned int before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);                   /* flush to zero, denormals are zero */
    return before;
}
static inline void restore_float_mode(float_mode mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__) && defined(__GNUC__)
typedef unsigned long float_mode;
static inline float_mode flush_subnormals(void)
{
    unsigned long before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | 1ul << 24));
    return before;
}
static inline void restore_float_mode(float_mode mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
}
#else
typedef int float_mode;
static inline float_mode flush_subnormals(void) { return 0; }
static inline void restore_float_mode(float_mode mode) { (void)mode; }
#endif

#if RELUME_X86
static inline void cpuid(unsigned leaf, unsigned r[4])
{
#if defined(_MSC_VER)
    __cpuidex((int *)r, (int)leaf, 0);
#else
    __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]);
#endif
}
/* The register states that the operating system saves on a context switch (XCR0). */
static inline unsigned saved_states(void)
{
#if defined(_MSC_VER)
    return (unsigned)_xgetbv(0);
#else
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
#endif
}
#endif

/* Whether the CPU and the operating system support a feature, which is named as in GCC's -m flags.
 * Returns 0 for an unknown name. */
static inline int cpu_supports(const char *feature)
{
#if RELUME_X86
    enum { VECTOR = 0, YMM = 0x6, ZMM = 0xe6 };      /* the saved states that a feature needs */
    static const struct { const char *name; int leaf, reg, bit; unsigned states; } known[] = {
        {"sse3", 1, 2, 0, VECTOR},    {"ssse3", 1, 2, 9, VECTOR},   {"sse4.1", 1, 2, 19, VECTOR},
        {"sse4.2", 1, 2, 20, VECTOR}, {"popcnt", 1, 2, 23, VECTOR}, {"cx16", 1, 2, 13, VECTOR},
        {"avx", 1, 2, 28, YMM},       {"fma", 1, 2, 12, YMM},       {"f16c", 1, 2, 29, YMM},
        {"avx2", 7, 1, 5, YMM},       {"avx512f", 7, 1, 16, ZMM},   {"avx512dq", 7, 1, 17, ZMM},
        {"avx512cd", 7, 1, 28, ZMM},  {"avx512bw", 7, 1, 30, ZMM},  {"avx512vl", 7, 1, 31, ZMM},
    };
    unsigned highest[4], basic[4], r[4], states = 0;
    cpuid(0, highest);
    cpuid(1, basic);
    if (basic[2] >> 27 & 1) states = saved_states();   /* OSXSAVE: xgetbv is enabled */
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, feature) != 0) continue;
        if ((unsigned)known[i].leaf > highest[0]) return 0;
        cpuid((unsigned)known[i].leaf, r);
        return (r[known[i].reg] >> known[i].bit & 1)
            && (states & known[i].states) == known[i].states;
    }
#else
    (void)feature;
#endif
    return 0;
}
#endif
