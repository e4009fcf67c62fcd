/* Threads that read and threads that write the numbers of a lock, for ThreadSanitizer: a program that
 * tests/runtime/test_read_write_lock.py builds. Prints how many reads saw half of a write. */
#include <pthread.h>
#include <stdio.h>

#include "read_write_lock.h"

enum { NUMBERS = 64, READERS = 20, READS = 2000, WRITES = 2000 };

static rw_lock lock;
static long numbers[NUMBERS];
static int torn = 0, done = 0;

static void *reader(void *unused)
{
    (void)unused;
    for (int i = 0; i < READS; i++) {
        const int line = begin_reading(&lock);
        const long first = numbers[0];
        for (int k = 1; k < NUMBERS; k++)
            if (numbers[k] != first) add_to_int(&torn, 1);
        end_reading(&lock, line);
    }
    add_to_int(&done, 1);
    return NULL;
}

static void *writer(void *unused)
{
    (void)unused;
    for (int i = 0; i < WRITES; i++) {
        begin_writing(&lock);
        for (int k = 0; k < NUMBERS; k++) numbers[k]++;
        if (begin_reading(&lock) != EXEMPT) add_to_int(&torn, 1);   /* its own thread's */
        end_reading(&lock, EXEMPT);
        end_writing(&lock);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[READERS + 1];
    pthread_create(&threads[READERS], NULL, writer, NULL);
    for (int i = 0; i < READERS; i++) pthread_create(&threads[i], NULL, reader, NULL);
    for (int i = 0; i <= READERS; i++) pthread_join(threads[i], NULL);
    printf("torn %d, readers %d, writes %ld\n", torn, done, numbers[0]);
    return torn != 0 || done != READERS || numbers[0] != WRITES;
}
