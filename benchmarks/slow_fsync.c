/* A disk to benchmark on, preloaded under SQLite's process and under the PostgreSQL server.
 *
 * AMENDS_DISK_COUNTER names an eight-byte file that all processes share: every fsync and fdatasync adds one.
 * AMENDS_DISK_DELAY_US, when it isn't 0, makes each of them cost that many microseconds INSTEAD of the real
 * flush: the bytes stay in the page cache, which a killed process survives and a power cut doesn't.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SPIN_NS = 15000, SECOND_NS = 1000000000 };

typedef int (*flush_function)(int);

static flush_function real_fsync, real_fdatasync;
static long delay_ns;
static _Atomic unsigned long *counter;

__attribute__((constructor)) static void prepare(void)
{
    const char *delay = getenv("AMENDS_DISK_DELAY_US");
    const char *path = getenv("AMENDS_DISK_COUNTER");
    real_fsync = (flush_function)dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (flush_function)dlsym(RTLD_NEXT, "fdatasync");
    delay_ns = delay ? atol(delay) * 1000 : 0;
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *shared = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared != MAP_FAILED)
        counter = shared;
}

static long nanoseconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - start->tv_sec) * SECOND_NS + (now.tv_nsec - start->tv_nsec);
}

/* Sleep up to shortly before the end and spin the rest, so that the cost doesn't depend on the scheduler. */
static void wait_out(void)
{
    static _Thread_local int precise;
    struct timespec start, nap;
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (!precise) {
        prctl(PR_SET_TIMERSLACK, 1UL);
        precise = 1;
    }
    for (;;) {
        long left = delay_ns - nanoseconds_since(&start);
        if (left <= 0)
            return;
        if (left > SPIN_NS) {
            nap.tv_sec = (left - SPIN_NS) / SECOND_NS;
            nap.tv_nsec = (left - SPIN_NS) % SECOND_NS;
            nanosleep(&nap, NULL);
        }
    }
}

static int flush(int file, flush_function real)
{
    if (counter)
        atomic_fetch_add(counter, 1);
    if (delay_ns == 0)
        return real(file);
    wait_out();
    return 0;
}

int fsync(int file) { return flush(file, real_fsync); }

int fdatasync(int file) { return flush(file, real_fdatasync); }
