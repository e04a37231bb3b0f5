
/* The start of a graceful exit: see vmops_hook.h. */


#include <ngx_channel.h>
#include "vmops_hook.h"


typedef struct {
    void                   (*handler)(void *data);
    void                    *data;
} vmops_hook_handler_t;


struct vmops_hook_s {
    ngx_array_t              handlers;  /* vmops_hook_handler_t */
    ngx_connection_t        *connection;
    ngx_fd_t                 other;     /* the end that is never written to */
};


static void vmops_hook_event(ngx_event_t *ev);


ngx_uint_t
vmops_hook_worker(void)
{
    return ngx_process == NGX_PROCESS_WORKER
           || ngx_process == NGX_PROCESS_SINGLE;
}


vmops_hook_t *
vmops_hook_create(ngx_cycle_t *cycle)
{
    ngx_fd_t           fd[2];
    vmops_hook_t      *h;
    ngx_connection_t  *c;

    h = ngx_pcalloc(cycle->pool, sizeof(vmops_hook_t));
    if (h == NULL) {
        return NULL;
    }

    if (ngx_array_init(&h->handlers, cycle->pool, 2,
                       sizeof(vmops_hook_handler_t))
        != NGX_OK)
    {
        return NULL;
    }

    if (pipe(fd) == -1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno, "pipe() failed");
        return NULL;
    }

    c = ngx_get_connection(fd[0], cycle->log);
    if (c == NULL) {
        ngx_close_channel(fd, cycle->log);
        return NULL;
    }

    c->data = h;
    c->log = cycle->log;
    c->read->log = cycle->log;
    c->write->log = cycle->log;
    c->read->handler = vmops_hook_event;
    c->idle = 1;

    h->connection = c;
    h->other = fd[1];

    return h;
}


ngx_int_t
vmops_hook_on_exit(vmops_hook_t *h, void (*handler)(void *data), void *data)
{
    vmops_hook_handler_t  *hh;

    hh = ngx_array_push(&h->handlers);
    if (hh == NULL) {
        return NGX_ERROR;
    }

    hh->handler = handler;
    hh->data = data;

    return NGX_OK;
}


static void
vmops_hook_event(ngx_event_t *ev)
{
    ngx_uint_t             i;
    vmops_hook_t          *h;
    ngx_connection_t      *c;
    vmops_hook_handler_t  *hh;

    c = ev->data;
    h = c->data;

    if (!c->close) {
        return;
    }

    vmops_hook_close(h);

    for (i = 0; i < h->handlers.nelts; i++) {
        hh = (vmops_hook_handler_t *) h->handlers.elts + i;
        hh->handler(hh->data);
    }
}


void
vmops_hook_close(vmops_hook_t *h)
{
    if (h->connection == NULL) {
        return;
    }

    ngx_close_connection(h->connection);
    h->connection = NULL;

    if (close(h->other) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      "close() of a pipe failed");
    }
}
