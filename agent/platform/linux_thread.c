
/* Threads, mutexes and condition variables: POSIX threads. */

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "platform/platform.h"
#include "vmops_banned.h"


#define COND_MAX_MS  10000

struct plat_mutex_s {
    pthread_mutex_t  m;
};

struct plat_cond_s {
    pthread_cond_t  c;
};

struct plat_thread_s {
    pthread_t   t;
    void      (*run)(void *data);
    void       *data;
};


plat_mutex_t *
plat_mutex_new(void)
{
    plat_mutex_t  *mutex = malloc(sizeof(*mutex));

    if (mutex != NULL && pthread_mutex_init(&mutex->m, NULL) != 0) {
        free(mutex);
        return NULL;
    }

    return mutex;
}


void
plat_mutex_free(plat_mutex_t *mutex)
{
    if (mutex != NULL) {
        pthread_mutex_destroy(&mutex->m);
        free(mutex);
    }
}


void
plat_mutex_lock(plat_mutex_t *mutex)
{
    pthread_mutex_lock(&mutex->m);
}


void
plat_mutex_unlock(plat_mutex_t *mutex)
{
    pthread_mutex_unlock(&mutex->m);
}


plat_cond_t *
plat_cond_new(void)
{
    plat_cond_t         *cond = malloc(sizeof(*cond));
    pthread_condattr_t   attr;

    if (cond == NULL) {
        return NULL;
    }

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);

    if (pthread_cond_init(&cond->c, &attr) != 0) {
        free(cond);
        cond = NULL;
    }

    pthread_condattr_destroy(&attr);

    return cond;
}


void
plat_cond_free(plat_cond_t *cond)
{
    if (cond != NULL) {
        pthread_cond_destroy(&cond->c);
        free(cond);
    }
}


void
plat_cond_broadcast(plat_cond_t *cond)
{
    pthread_cond_broadcast(&cond->c);
}


void
plat_cond_wait(plat_cond_t *cond, plat_mutex_t *mutex, uint64_t ms)
{
    struct timespec  ts;

    if (ms == PLAT_WAIT_FOREVER) {
        pthread_cond_wait(&cond->c, &mutex->m);
        return;
    }

    /* this clock stands still in suspend, and callers count that */
    if (ms > COND_MAX_MS) {
        ms = COND_MAX_MS;
    }

    clock_gettime(CLOCK_MONOTONIC, &ts);

    ts.tv_sec += (time_t) (ms / 1000);
    ts.tv_nsec += (long) (ms % 1000) * 1000000;

    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }

    pthread_cond_timedwait(&cond->c, &mutex->m, &ts);
}


void
plat_sleep(uint64_t ms)
{
    struct timespec  ts;

    ts.tv_sec = (time_t) (ms / 1000);
    ts.tv_nsec = (long) (ms % 1000) * 1000000;

    nanosleep(&ts, NULL);
}


static void *
thread_main(void *arg)
{
    plat_thread_t  *thread = arg;

    thread->run(thread->data);

    return NULL;
}


plat_thread_t *
plat_thread_start(void (*run)(void *data), void *data)
{
    plat_thread_t  *thread = malloc(sizeof(*thread));

    if (thread == NULL) {
        return NULL;
    }

    thread->run = run;
    thread->data = data;

    if (pthread_create(&thread->t, NULL, thread_main, thread) != 0) {
        free(thread);
        return NULL;
    }

    return thread;
}


void
plat_thread_join(plat_thread_t *thread)
{
    if (thread != NULL) {
        pthread_join(thread->t, NULL);
        free(thread);
    }
}
