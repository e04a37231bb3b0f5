
/*
 * The beat of a worker (redis/README.md): once a second it renews the worker's
 * incarnation in platform/{p}/gateways and brings the live incarnations and
 * the feature flags, which other functions take as arguments.
 */


#ifndef _VMOPS_BEAT_H_INCLUDED_
#define _VMOPS_BEAT_H_INCLUDED_


#include "vmops_redis.h"


#pragma GCC visibility push(hidden)


typedef struct vmops_beat_s  vmops_beat_t;


typedef enum {
    VMOPS_FLAG_COMMAND_BUS = 0,    /* AGENT_COMMAND_BUS_ENABLED */
    VMOPS_FLAG_SECRETS_E2E,        /* SECRETS_E2E_ENABLED */
    VMOPS_FLAG_LEGACY_ADMIN_ONLY,  /* INFRA_LEGACY_ADMIN_ONLY */
    VMOPS_FLAGS
} vmops_flag_e;

/* the names above */
ngx_str_t *vmops_beat_flag_name(vmops_flag_e flag);

typedef enum {
    VMOPS_FLAG_UNSET = 0,
    VMOPS_FLAG_FALSE,
    VMOPS_FLAG_TRUE
} vmops_flag_value_e;

typedef enum {
    VMOPS_BEAT_BORN = 0,           /* the first beat under an incarnation:
                                      register everything under it */
    VMOPS_BEAT_DONE,               /* each further one */
    VMOPS_BEAT_LOST                /* none for 3 s: stop dispatching; the next
                                      event is BORN, with a new incarnation */
} vmops_beat_event_e;

typedef void (*vmops_beat_pt)(void *data, vmops_beat_event_e event);


/*
 * In init_process, after the client.  own = 0: only reads, the worker has no
 * incarnation in the store (the events are the same).  handler may be NULL.
 * NULL: no memory.
 */
vmops_beat_t *vmops_beat_create(ngx_cycle_t *cycle, vmops_redis_t *redis,
    ngx_uint_t own, vmops_beat_pt handler, void *data);

/* in exit_process, before vmops_redis_close() */
void vmops_beat_close(vmops_beat_t *b);

/* 1: the last beat that succeeded was sent less than 3 s ago */
ngx_uint_t vmops_beat_fresh(vmops_beat_t *b);

/* of vmops_redis_calls(): how many are its own */
ngx_uint_t vmops_beat_calls(vmops_beat_t *b);

/* 32 hexadecimal digits; changes before BORN */
ngx_str_t *vmops_beat_incarnation(vmops_beat_t *b);

/*
 * The live incarnations joined with ",": the argument "live" of functions.
 * Empty before the first beat.  Valid until the next event.
 */
ngx_str_t *vmops_beat_live(vmops_beat_t *b);

/*
 * The argument "flags" of functions for one flag: "*=1,internal=0".
 * Valid until the next event.
 */
ngx_str_t *vmops_beat_flags(vmops_beat_t *b, vmops_flag_e flag);

/* the value for a cohort: its own, else the global one, else unset */
vmops_flag_value_e vmops_beat_flag(vmops_beat_t *b, ngx_str_t *cohort,
    vmops_flag_e flag);


#pragma GCC visibility pop


#endif /* _VMOPS_BEAT_H_INCLUDED_ */
