
/* counters of all workers, in shared memory */


#include "vmops_metrics.h"


#define VMOPS_METRICS_SLACK  (16 * 4096)   /* of the slab's own */


static ngx_int_t vmops_metrics_init(ngx_shm_zone_t *zone, void *data);


const ngx_uint_t  vmops_metrics_closes[VMOPS_METRICS_CLOSES] = {
    1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1011, 1013,
    4401, 4403, 4408, 4409, 4423, 0
};

const ngx_uint_t  vmops_metrics_handshakes[VMOPS_METRICS_SHAKES] = {
    101, 400, 401, 403, 405, 426, 429, 499, 500, 503, 0
};

static ngx_connection_t  vmops_metrics_dummy;


/*
 * Each module has its own copy of this code: what makes the zone one is its
 * name, and a tag that is nobody's of them.
 */

ngx_shm_zone_t *
vmops_metrics_zone(ngx_conf_t *cf)
{
    ngx_shm_zone_t  *zone;

    static ngx_str_t  name = ngx_string("vmops_metrics");

    zone = ngx_shared_memory_add(cf, &name,
                                 sizeof(vmops_metrics_t) + VMOPS_METRICS_SLACK,
                                 &ngx_core_module);
    if (zone) {
        zone->init = vmops_metrics_init;
    }

    return zone;
}


static ngx_int_t
vmops_metrics_init(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t  *pool;

    if (data) {
        zone->data = data;
        return NGX_OK;
    }

    pool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        zone->data = pool->data;
        return NGX_OK;
    }

    pool->data = ngx_slab_calloc(pool, sizeof(vmops_metrics_t));
    zone->data = pool->data;

    return zone->data ? NGX_OK : NGX_ERROR;
}


vmops_metrics_t *
vmops_metrics(ngx_shm_zone_t *zone)
{
    return zone->data;
}


/* what a killed worker has left there is its successor's */

vmops_metrics_worker_t *
vmops_metrics_worker(vmops_metrics_t *m)
{
    vmops_metrics_worker_t  *w;

    w = &m->workers[ngx_process_slot];

    if (w->pid != (ngx_atomic_uint_t) ngx_pid) {
        ngx_memzero(w, sizeof(vmops_metrics_worker_t));
        w->pid = ngx_pid;
    }

    return w;
}


ngx_uint_t
vmops_metrics_alive(vmops_metrics_worker_t *w)
{
    return w->pid && kill((ngx_pid_t) w->pid, 0) == 0;
}


ngx_uint_t
vmops_metrics_place(const ngx_uint_t *list, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; list[i] && list[i] != n; i++) { /* void */ }

    return i;
}


/* "ended succeeded=1,failed=2" */

void
vmops_metrics_ended(vmops_metrics_t *m, redisReply *reply)
{
    char          *p, *end;
    int            status;
    size_t         n;
    redisReply    *last;

    static const char  word[] = "ended ";

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements < 2)
    {
        return;
    }

    last = reply->element[reply->elements - 1];

    if (last->type != REDIS_REPLY_STRING
        || ngx_strncmp(last->str, word, sizeof(word) - 1) != 0)
    {
        return;
    }

    for (p = last->str + sizeof(word) - 1; *p; p = end + (*end == ',')) {
        n = strcspn(p, "=");
        status = vmops_status_find(vmops_span(p, n));

        if (p[n] == '\0' || status < 0) {
            return;
        }

        (void) ngx_atomic_fetch_add(&m->ended[status],
                                    strtoul(p + n + 1, &end, 10));
    }
}


void
vmops_metrics_sample(ngx_event_t *ev, ngx_log_t *log,
    ngx_event_handler_pt handler)
{
    vmops_metrics_dummy.fd = (ngx_socket_t) -1;

    ngx_memzero(ev, sizeof(ngx_event_t));

    ev->handler = handler;
    ev->data = &vmops_metrics_dummy;
    ev->log = log;
    ev->cancelable = 1;

    handler(ev);
}


void
vmops_metrics_again(ngx_event_t *ev)
{
    ngx_add_timer(ev, VMOPS_METRICS_MS);
}
