
/* The Redis client of a worker: its life and its state. */


#include "vmops_redis_int.h"


static void vmops_redis_up(vmops_redis_conn_t *conn);
static void vmops_redis_down(vmops_redis_conn_t *conn);
static void vmops_redis_tell(vmops_redis_t *r, ngx_uint_t up);


vmops_redis_t *
vmops_redis_create(ngx_cycle_t *cycle, vmops_redis_conf_t *rc)
{
    ngx_pool_t     *pool;
    vmops_redis_t  *r;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    r = ngx_pcalloc(pool, sizeof(vmops_redis_t));
    if (r == NULL) {
        goto failed;
    }

    r->pool = pool;
    r->conf = rc;
    r->cycle = cycle;

    if (ngx_array_init(&r->states, pool, 2, sizeof(vmops_redis_state_t))
        != NGX_OK)
    {
        goto failed;
    }

    vmops_redis_conn_init(&r->cmd, r, "commands");
    vmops_redis_conn_init(&r->sub, r, "subscriptions");

    r->cmd.buf = ngx_palloc(pool, VMOPS_REDIS_BUFFER);
    r->sub.buf = ngx_palloc(pool, VMOPS_REDIS_BUFFER);

    if (r->cmd.buf == NULL || r->sub.buf == NULL) {
        goto failed;
    }

    r->cmd.commands = 1;
    r->cmd.starting = 1;
    r->cmd.up = vmops_redis_up;
    r->cmd.down = vmops_redis_down;

    vmops_redis_sub_init(r);

    vmops_redis_connect(&r->cmd);

    return r;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


void
vmops_redis_close(vmops_redis_t *r)
{
    vmops_redis_conn_close(&r->cmd);
    vmops_redis_sub_close(r);

    ngx_destroy_pool(r->pool);
}


ngx_uint_t
vmops_redis_calls(vmops_redis_t *r)
{
    return r->cmd.ncalls;
}


uint64_t
vmops_redis_keys_since(vmops_redis_t *r)
{
    return r->keys_since;
}


ngx_uint_t
vmops_redis_ready(vmops_redis_t *r)
{
    return r->cmd.ready;
}


ngx_int_t
vmops_redis_on_state(vmops_redis_t *r,
    void (*handler)(void *data, ngx_uint_t up), void *data)
{
    vmops_redis_state_t  *state;

    state = ngx_array_push(&r->states);
    if (state == NULL) {
        return NGX_ERROR;
    }

    state->handler = handler;
    state->data = data;

    return NGX_OK;
}


vmops_redis_call_t *
vmops_redis_command(vmops_redis_t *r, ngx_msec_t deadline, vmops_redis_pt cb,
    void *data, int argc, const ngx_str_t *argv)
{
    if (!r->cmd.ready && !r->cmd.starting) {
        return NULL;
    }

    return vmops_redis_call(&r->cmd, ngx_max(deadline, 1), cb, data, argc,
                            argv);
}


static void
vmops_redis_up(vmops_redis_conn_t *conn)
{
    vmops_redis_tell(conn->client, 1);
}


static void
vmops_redis_down(vmops_redis_conn_t *conn)
{
    vmops_redis_tell(conn->client, 0);
}


static void
vmops_redis_tell(vmops_redis_t *r, ngx_uint_t up)
{
    ngx_uint_t            i;
    vmops_redis_state_t  *state;

    /* a handler may add another one: the array may move */

    for (i = 0; i < r->states.nelts; i++) {
        state = (vmops_redis_state_t *) r->states.elts + i;
        state->handler(state->data, up);
    }
}
