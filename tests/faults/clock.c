// A wall clock that is off by CLOCK_OFFSET_S seconds, to be preloaded into one process. Only the wall
// clock is: timers and waits take as long as ever. (libfaketime does not know C11's waits, and a
// process that uses them would hang under it.)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

static long offset(void) {
    const char *text = getenv("CLOCK_OFFSET_S");
    return text ? atol(text) : 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = REAL(clock_gettime)(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    int result = REAL(gettimeofday)(time, zone);
    if (result == 0) time->tv_sec += offset();
    return result;
}

time_t time(time_t *where) {
    time_t now = REAL(time)(NULL) + offset();
    if (where) *where = now;
    return now;
}

int timespec_get(struct timespec *time, int base) {
    int result = REAL(timespec_get)(time, base);
    if (result != 0) time->tv_sec += offset();
    return result;
}

// Until when somebody waits is a time of the wrong clock, unless it is one of the monotonic clock:
// that one began when the machine did.
static struct timespec right(const struct timespec *until) {
    struct timespec time = *until;
    if (time.tv_sec > 1000000000) time.tv_sec -= offset();
    return time;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    struct timespec time = right(until);
    return REAL(pthread_cond_timedwait)(condition, mutex, &time);
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    struct timespec time = right(until);
    return REAL(cnd_timedwait)(condition, mutex, &time);
}
