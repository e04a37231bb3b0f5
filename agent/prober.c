
/* The thread that probes. */

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "prober.h"
#include "vmops_banned.h"


#define PROBE_EVERY_MS  (5 * 60 * 1000)

struct prober_s {
    agent_t        *agent;
    plat_mutex_t   *mutex;
    plat_cond_t    *cond;
    plat_thread_t  *thread;
    atomic_int      stopping;
    uint8_t         asked;
    vmops_uuid_t    which;
};


static int
probe(void *data, const vault_entry_t *e)
{
    probe_t        probe;
    prober_t      *p = data;
    vmops_route_t  route;

    if (plat_stop_asked() || p->stopping) {
        return -1;
    }

    if (e->endpoint.port == 0 || e->endpoint.pins_n == 0) {
        return 0;
    }

    route_probe(&probe, &e->endpoint, 1);

    if (plat_stop_asked()) {
        return -1;
    }

    memset(&route, 0, sizeof(route));
    route.ok = probe.ok;
    route.stage = (uint8_t) probe.fail.stage;
    route.latency_ms = probe.latency_ms;
    route.checked_ms = (int64_t) plat_wall_ms();

    if (!probe.ok) {
        route.code = vmops_span_str(
            vmops_command_error_info(probe.fail.code)->code);
    }

    if (routes_set(p->agent->routes, &e->id, &route)) {
        log_event(probe.ok ? LOG_INFO : LOG_WARN, "route",
                  LOG_REF("secret", &e->id), LOG_NUM("ok", probe.ok),
                  LOG_CODE("stage", vmops_stage_name(route.stage)),
                  LOG_CODE("code", (const char *) route.code.p));
        plat_wake(p->agent->waker);
    }

    return 0;
}


/* A removed secret leads nowhere, and leaves its place to others. */

static void
forget_removed(prober_t *p)
{
    size_t         i = 0;
    vmops_uuid_t   id;
    vault_entry_t  e;

    while (routes_secret(p->agent->routes, i, &id) == 0) {

        if (vault_entry(p->agent->vault, &id, &e) == 0) {
            i++;
            continue;
        }

        routes_forget(p->agent->routes, &id);
        plat_wake(p->agent->waker);
    }
}


static void
run(void *data)
{
    prober_t       *p = data;
    uint64_t        now, due = 0;
    vmops_uuid_t    which;
    vault_entry_t   e;

    plat_mutex_lock(p->mutex);

    while (!p->stopping) {
        now = plat_boot_ms();

        if (p->asked) {
            p->asked = 0;
            which = p->which;
            plat_mutex_unlock(p->mutex);
            if (vault_entry(p->agent->vault, &which, &e) == 0) {
                probe(p, &e);
            }
            plat_mutex_lock(p->mutex);

        } else if (now >= due) {
            plat_mutex_unlock(p->mutex);
            forget_removed(p);
            vault_each(p->agent->vault, probe, p);
            plat_mutex_lock(p->mutex);
            due = plat_boot_ms() + PROBE_EVERY_MS;

        } else {
            plat_cond_wait(p->cond, p->mutex, due - now);
        }
    }

    plat_mutex_unlock(p->mutex);
}


prober_t *
prober_new(agent_t *agent)
{
    prober_t  *p;

    p = mem_new(sizeof(*p));
    if (p == NULL) {
        return NULL;
    }

    p->agent = agent;
    p->mutex = plat_mutex_new();
    p->cond = plat_cond_new();

    if (p->mutex != NULL && p->cond != NULL) {
        p->thread = plat_thread_start(run, p);
    }

    if (p->thread == NULL) {
        plat_mutex_free(p->mutex);
        plat_cond_free(p->cond);
        free(p);
        return NULL;
    }

    return p;
}


void
prober_ask(prober_t *p, const vmops_uuid_t *secret)
{
    plat_mutex_lock(p->mutex);
    p->asked = 1;
    p->which = *secret;
    plat_cond_broadcast(p->cond);
    plat_mutex_unlock(p->mutex);
}


void
prober_stop(prober_t *p)
{
    if (p == NULL) {
        return;
    }

    plat_mutex_lock(p->mutex);
    p->stopping = 1;
    plat_cond_broadcast(p->cond);
    plat_mutex_unlock(p->mutex);

    plat_thread_join(p->thread);
    plat_mutex_free(p->mutex);
    plat_cond_free(p->cond);
    free(p);
}
