
/* The pool. */

#include <stdlib.h>
#include <string.h>

#include "executor.h"
#include "vmops_banned.h"


typedef struct {
    executor_t     *executor;
    plat_thread_t  *thread;
    job_room_t      room;
} worker_t;

struct executor_s {
    agent_t        *agent;
    plat_mutex_t   *mutex;
    plat_cond_t    *cond;
    job_t          *jobs;           /* in order of arrival */
    size_t          workers_n;      /* those that were started, */
    size_t          ended;          /* those that have ended */
    worker_t        workers[VMOPS_AGENT_EXECUTORS];
    atomic_int      stopping;
};


/* Under the lock: the first job that nothing before it holds up. */

static job_t *
next_job(executor_t *x)
{
    job_t  *job, *before;

    for (job = x->jobs; job != NULL; job = job->next) {
        if (job->running) {
            continue;
        }

        for (before = x->jobs; before != job; before = before->next) {
            if (job_same_guest(before, job)) {
                break;
            }
        }

        /* a cancelled one only has to be told so */
        if (before == job || job->cancelled) {
            return job;
        }
    }

    return NULL;
}


static void
unlink_job(executor_t *x, job_t *job)
{
    job_t  **p;

    for (p = &x->jobs; *p != job; p = &(*p)->next) { /* void */ }

    *p = job->next;
}


static void
work(void *data)
{
    job_t       *job;
    worker_t    *w = data;
    executor_t  *x = w->executor;

    plat_mutex_lock(x->mutex);

    while (!x->stopping) {
        job = next_job(x);

        if (job == NULL) {
            plat_cond_wait(x->cond, x->mutex, PLAT_WAIT_FOREVER);
            continue;
        }

        job->running = 1;
        plat_mutex_unlock(x->mutex);
        job_run(x->agent, job, &w->room);
        plat_mutex_lock(x->mutex);

        unlink_job(x, job);
        job_free(job);

        /* this guest's next one may go */
        plat_cond_broadcast(x->cond);
    }

    x->ended++;
    plat_cond_broadcast(x->cond);
    plat_mutex_unlock(x->mutex);
}


static int
worker_start(executor_t *x, worker_t *w)
{
    w->executor = x;

    if (job_room_open(&w->room) == 0) {
        w->thread = plat_thread_start(work, w);
    }

    if (w->thread == NULL) {
        job_room_close(&w->room);
        return -1;
    }

    return 0;
}


executor_t *
executor_new(agent_t *agent)
{
    executor_t  *x;

    x = mem_new(sizeof(*x));
    if (x == NULL) {
        return NULL;
    }

    x->agent = agent;
    x->mutex = plat_mutex_new();
    x->cond = plat_cond_new();

    while (x->mutex != NULL && x->cond != NULL
           && x->workers_n < VMOPS_AGENT_EXECUTORS
           && worker_start(x, &x->workers[x->workers_n]) == 0)
    {
        x->workers_n++;
    }

    if (x->workers_n == 0) {
        executor_stop(x, 0);
        return NULL;
    }

    return x;
}


void
executor_submit(executor_t *x, job_t *job)
{
    job_t  **p;

    job->stopping = &x->stopping;
    job_locate(job, x->agent->vault);

    plat_mutex_lock(x->mutex);
    for (p = &x->jobs; *p != NULL; p = &(*p)->next) { /* void */ }
    *p = job;
    plat_cond_broadcast(x->cond);
    plat_mutex_unlock(x->mutex);
}


void
executor_cancel(executor_t *x, const vmops_uuid_t *id)
{
    job_t  *job;

    plat_mutex_lock(x->mutex);

    for (job = x->jobs; job != NULL; job = job->next) {
        if (vmops_uuid_eq(&job->cmd.id, id)) {
            job->cancelled = 1;
        }
    }

    plat_cond_broadcast(x->cond);
    plat_mutex_unlock(x->mutex);
}


int
executor_stop(executor_t *x, uint64_t ms)
{
    job_t     *job;
    size_t     i;
    uint64_t   now, end = plat_boot_ms() + ms;

    if (x->mutex != NULL && x->cond != NULL) {
        plat_mutex_lock(x->mutex);
        x->stopping = 1;
        plat_cond_broadcast(x->cond);

        while (x->ended < x->workers_n && (now = plat_boot_ms()) < end) {
            plat_cond_wait(x->cond, x->mutex, end - now);
        }

        i = x->workers_n - x->ended;
        plat_mutex_unlock(x->mutex);

        if (i > 0) {
            return -1;
        }
    }

    for (i = 0; i < x->workers_n; i++) {
        plat_thread_join(x->workers[i].thread);
        job_room_close(&x->workers[i].room);
    }

    /* the journal has them */
    while ((job = x->jobs) != NULL) {
        x->jobs = job->next;
        job_free(job);
    }

    plat_cond_free(x->cond);
    plat_mutex_free(x->mutex);
    free(x);

    return 0;
}
