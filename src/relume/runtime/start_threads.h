/* Starting the threads of an OpenMP region where the system may refuse them.
 *
 * libgomp ends the process if it cannot start a thread. Here threads with the same stack are started
 * first, twice as many as needed and all at the same time, and ended again. If fewer could be
 * started, OpenMP is asked for half of them. What is left over is for the memory that OpenMP itself
 * allocates, and for what other Python threads allocate meanwhile. An empty region then starts
 * OpenMP's own threads, before another Python thread enters a region. */
#ifndef RELUME_START_THREADS_H
#define RELUME_START_THREADS_H

#include <stddef.h>

#if !defined(_OPENMP) || defined(_WIN32)
static inline int start_threads(int wanted, int pool, size_t stack_size)
{
    (void)pool, (void)stack_size;
    return wanted;
}
#else
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#if defined(__linux__)
#include <errno.h>
#include <sys/syscall.h>
#endif

/* glibc 2.34 moved these to another library under a new version; the first versions, which are in both,
 * let a wheel run on older systems as well. */
#if defined(__GLIBC__) && defined(__x86_64__) && defined(__LP64__)
#define FIRST_VERSION(name) __asm__(".symver " #name ", " #name "@GLIBC_2.2.5")
#elif defined(__GLIBC__) && defined(__aarch64__)
#define FIRST_VERSION(name) __asm__(".symver " #name ", " #name "@GLIBC_2.17")
#endif
#if defined(FIRST_VERSION)
FIRST_VERSION(pthread_create);
FIRST_VERSION(pthread_join);
FIRST_VERSION(pthread_attr_setstacksize);
#endif

enum {
    SET_ASIDE = 1 << 18,                /* bytes that are free besides */
    SET_ASIDE_PER_THREAD = 1 << 12,
    MAX_YIELDS = 10000,
};

struct trial {
    pthread_t thread;
    pthread_mutex_t *gate;              /* locked until all trials have been started */
    long id;
};

/* A child process never gets here: it uses one thread. */
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

static void *wait_at_gate(void *argument)
{
    struct trial *trial = (struct trial *)argument;
#if defined(__linux__)
    trial->id = syscall(SYS_gettid);
#endif
    pthread_mutex_lock(trial->gate);
    pthread_mutex_unlock(trial->gate);
    return NULL;
}

/* Wait for the end of a trial. Linux counts a thread until somewhat after it has been joined. */
static void end_trial(const struct trial *trial)
{
    pthread_join(trial->thread, NULL);
#if defined(__linux__)
    for (int i = 0; i < MAX_YIELDS; i++) {
        if (syscall(SYS_tgkill, (long)getpid(), trial->id, 0) != 0 && errno == ESRCH) break;
        sched_yield();
    }
#endif
}

/* How many of n threads can be started, with all of them alive at the same time. */
static int try_threads(int n, size_t stack_size)
{
    struct trial *trials = (struct trial *)malloc((size_t)n * sizeof *trials);
    void *aside = malloc(SET_ASIDE + (size_t)n * SET_ASIDE_PER_THREAD);
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    pthread_attr_t attributes;
    int started = 0;
    if (trials != NULL && aside != NULL && pthread_attr_init(&attributes) == 0) {
        if (stack_size >= PTHREAD_STACK_MIN) pthread_attr_setstacksize(&attributes, stack_size);
        pthread_mutex_lock(&gate);
        for (; started < n; started++) {
            trials[started].gate = &gate;
            if (pthread_create(&trials[started].thread, &attributes, wait_at_gate,
                               &trials[started]) != 0) break;
        }
        pthread_mutex_unlock(&gate);
        for (int i = 0; i < started; i++) end_trial(&trials[i]);
        pthread_attr_destroy(&attributes);
    }
    free(aside);
    free(trials);
    return started;
}

/* Let OpenMP have `wanted` threads for this thread's regions, or as many as it can; return their
 * number. `pool` is how many it has, which OpenMP keeps until a region wants fewer. */
static int start_threads(int wanted, int pool, size_t stack_size)
{
    int threads = wanted;
    if (wanted < pool) {                /* nothing is started, but OpenMP allocates a team */
        void *aside = malloc(SET_ASIDE);
        if (aside == NULL) return 1;
        free(aside);
        return wanted;
    }
    pthread_mutex_lock(&starting);
    const int tried = 2 * (wanted - pool), started = try_threads(tried, stack_size);
    if (started < tried) threads = started == 0 ? 1 : pool + started / 2;
    if (threads > 1) {
#pragma omp parallel num_threads(threads)
        __asm__ volatile("" ::: "memory");
    }
    pthread_mutex_unlock(&starting);
    return threads;
}
#endif
#endif
