/* A lock of values that many threads read and one writes, for reads that take a microsecond.
 *
 * A reader counts itself in a cache line that it shares with few threads or none, and then looks
 * whether somebody writes. A writer says that it writes, and then waits until all readers have left.
 * So threads that only read write no memory in common, and a read costs two atomic additions.
 *
 * A reader that has to wait is counted: the next write lets those that waited go first. So neither a
 * series of writes nor one of reads keeps the others out. Who waits looks again and again, and sleeps
 * in between: there is nothing that a forked child could find locked. What threads that a child does
 * not have were doing is forgotten: each fork has a number, by which an old state is recognized. */
#ifndef RELUME_READ_WRITE_LOCK_H
#define RELUME_READ_WRITE_LOCK_H

#include "platform.h"

#if !defined(_WIN32)
#include <sched.h>
#endif

enum {
    READ_LINES = 16,
    CACHE_LINE = 64,
    EXEMPT = -1,                        /* reads what its own thread is writing */
    BUSY = -2,
    SPINS = 64,                         /* rounds before the first yield, */
    YIELDS = 64,                        /* and yields before the first sleep */
    NAP = 50,                           /* microseconds */
};

typedef struct {
    struct { int count; char apart[CACHE_LINE - sizeof(int)]; } readers[READ_LINES];
    int writing;
    int writer;                         /* the number of the thread that writes */
    int waiting;                        /* readers that wait for the end of a write */
    int fork;                           /* in which all this was said; RENEWING */
} rw_lock;

enum { RENEWING = -1 };

/* How often this process has been forked from another one: relume's fork handler counts. */
static int forks_so_far = 0;
static int last_thread = 0;
static RELUME_THREAD_LOCAL int own_number = 0;

/* Of the threads with older numbers than this, a forked child has but one. */
static int first_here = 0, survivor = 0;

static inline int thread_number(void)               /* from 1 on; another one for each thread */
{
    if (own_number == 0) own_number = add_to_int(&last_thread, 1);
    return own_number;
}

static inline void count_fork(void)                        /* in the child, by the only thread it has */
{
    store_int(&survivor, thread_number());
    store_int(&first_here, load_int(&last_thread) + 1);
    add_to_int(&forks_so_far, 1);
}

static inline int exists(int thread)                /* whether it was a thread of this process */
{
    return thread >= load_int(&first_here) || thread == load_int(&survivor);
}

static void wait_a_little(int *rounds)
{
    const int n = (*rounds)++;
    if (n < SPINS) return;
#if defined(_WIN32)
    Sleep(n < SPINS + YIELDS ? 0 : 1);
#else
    if (n < SPINS + YIELDS) {
        sched_yield();
    } else {
        const struct timespec nap = {0, NAP * 1000};
        nanosleep(&nap, NULL);
    }
#endif
}

/* In a child, forget the threads that it does not have. */
static void renew(rw_lock *lock)
{
    const int now = load_int(&forks_so_far);
    int before = load_int(&lock->fork), rounds = 0;
    if (before == now) return;
    if (before != RENEWING && swap_int_if(&lock->fork, before, RENEWING)) {
        for (int i = 0; i < READ_LINES; i++) store_int(&lock->readers[i].count, 0);
        if (load_int(&lock->writer) != thread_number()) {
            store_int(&lock->writing, 0);
            store_int(&lock->writer, 0);
        }
        store_int(&lock->waiting, 0);
        store_int(&lock->fork, now);
        return;
    }
    while (load_int(&lock->fork) != now) wait_a_little(&rounds);
}

/* Begin to read, if nobody writes; return what `end_reading` needs, or BUSY. */
static inline int try_reading(rw_lock *lock)
{
    const int line = thread_number() % READ_LINES;
    if (load_int(&lock->fork) != load_int(&forks_so_far)) renew(lock);
    add_to_int(&lock->readers[line].count, 1);
    if (!load_int(&lock->writing)) return line;
    add_to_int(&lock->readers[line].count, -1);
    return load_int(&lock->writer) == thread_number() ? EXEMPT : BUSY;
}

static inline int begin_reading(rw_lock *lock)
{
    int line = try_reading(lock), rounds = 0;
    if (line != BUSY) return line;
    add_to_int(&lock->waiting, 1);
    do {
        wait_a_little(&rounds);
        line = try_reading(lock);
    } while (line == BUSY);
    add_to_int(&lock->waiting, -1);
    return line;
}

static inline void end_reading(rw_lock *lock, int line)
{
    if (line < 0 || load_int(&lock->fork) != load_int(&forks_so_far)) return;
    add_to_int(&lock->readers[line].count, -1);
}

/* Only one thread at a time may write; the caller sees to that. */
static inline void begin_writing(rw_lock *lock)
{
    int rounds = 0;
    if (load_int(&lock->fork) != load_int(&forks_so_far)) renew(lock);
    while (load_int(&lock->waiting) > 0) wait_a_little(&rounds);
    store_int(&lock->writer, thread_number());
    store_int(&lock->writing, 1);
    for (int i = 0; i < READ_LINES; i++)
        for (rounds = 0; load_int(&lock->readers[i].count) > 0;) wait_a_little(&rounds);
}

static inline void end_writing(rw_lock *lock)
{
    store_int(&lock->writing, 0);
    store_int(&lock->writer, 0);
}
#endif
