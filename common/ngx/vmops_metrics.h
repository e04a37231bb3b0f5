
/*
 * What is counted, by both modules and all workers: one zone in shared memory,
 * which a reload keeps and a killed worker leaves as it is.
 *
 * Counters are atomic and of all workers together; what goes up and down is
 * each worker's own, in a place of its own, looked at once a second.
 */


#ifndef _VMOPS_METRICS_H_INCLUDED_
#define _VMOPS_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <hiredis/hiredis.h>

#include "vmops_proto.h"


#pragma GCC visibility push(hidden)


#define VMOPS_METRICS_ROUTES    192        /* no route is counted as one */
#define VMOPS_METRICS_STATUSES  32         /* the last one: any other */
#define VMOPS_METRICS_BUCKETS   12         /* the last one: longer than all */
#define VMOPS_METRICS_CLOSES    17         /* the last one: any other */
#define VMOPS_METRICS_SHAKES    11         /* the last one: any other */


typedef enum {
    VMOPS_METRICS_REST = 0,
    VMOPS_METRICS_GATEWAY,
    VMOPS_METRICS_CLIENTS
} vmops_metrics_client_e;

/* of a worker's client of Redis */

typedef struct {
    ngx_atomic_t             there;
    ngx_atomic_t             ready;
    ngx_atomic_t             calls;        /* not answered yet, but the beat */
} vmops_metrics_redis_t;

typedef struct {
    ngx_atomic_t             pid;          /* 0: never used */
    vmops_metrics_redis_t    redis[VMOPS_METRICS_CLIENTS];
    ngx_atomic_t             streams;      /* of events, and waiting requests */
    ngx_atomic_t             agents;
    ngx_atomic_t             hellos;       /* sockets that are not ready yet */
    ngx_atomic_t             frames;       /* not sent yet */
} vmops_metrics_worker_t;

typedef struct {
    ngx_atomic_t             requests[VMOPS_METRICS_ROUTES]
                                     [VMOPS_METRICS_STATUSES];
    ngx_atomic_t             took[VMOPS_METRICS_ROUTES][VMOPS_METRICS_BUCKETS];
    ngx_atomic_t             took_ms[VMOPS_METRICS_ROUTES];

    ngx_atomic_t             submitted;
    ngx_atomic_t             ended[VMOPS_ST_MAX_];

    ngx_atomic_t             closes[VMOPS_METRICS_CLOSES];
    ngx_atomic_t             handshakes[VMOPS_METRICS_SHAKES];

    vmops_metrics_worker_t   workers[NGX_MAX_PROCESSES];
} vmops_metrics_t;


/* of agents' sockets: codes of a Close, statuses of handshakes; 0: any other */
extern const ngx_uint_t  vmops_metrics_closes[VMOPS_METRICS_CLOSES];
extern const ngx_uint_t  vmops_metrics_handshakes[VMOPS_METRICS_SHAKES];

/* the place of a number in a list that ends with 0, or that of the 0 */
ngx_uint_t vmops_metrics_place(const ngx_uint_t *list, ngx_uint_t n);

/* while the configuration is read: the zone, the same for both modules */
ngx_shm_zone_t *vmops_metrics_zone(ngx_conf_t *cf);

/* in a process: what is in it, and this worker's place */
vmops_metrics_t *vmops_metrics(ngx_shm_zone_t *zone);
vmops_metrics_worker_t *vmops_metrics_worker(vmops_metrics_t *m);

/* is it a worker that lives? */
ngx_uint_t vmops_metrics_alive(vmops_metrics_worker_t *w);

/*
 * Of a reply of a Redis function: the commands that the call has ended, which
 * it tells as its last element (redis/src/library.lua).
 */
void vmops_metrics_ended(vmops_metrics_t *m, redisReply *reply);

/* a handler, now and once a second until the process ends; ev: the caller's */
void vmops_metrics_sample(ngx_event_t *ev, ngx_log_t *log,
    ngx_event_handler_pt handler);
void vmops_metrics_again(ngx_event_t *ev);


#pragma GCC visibility pop


#endif /* _VMOPS_METRICS_H_INCLUDED_ */
