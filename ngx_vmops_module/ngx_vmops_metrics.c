
/*
 * GET /metrics: Prometheus' text (version 0.0.4).  Requests are counted in the
 * log phase, by the row of the route table that they are for, those of the
 * legacy path as one: no label holds what a client sent, or says which tenant
 * it was.
 */


#include "ngx_vmops_routes.h"
#include "ngx_vmops_live.h"
#include "ngx_vmops_metrics.h"


#define NGX_VMOPS_METRICS_SIZE  (64 * 1024)
#define NGX_VMOPS_METRICS_MAX   (8 * 1024 * 1024)


static ngx_int_t ngx_vmops_metrics_log(ngx_http_request_t *r);
static ngx_uint_t ngx_vmops_metrics_row(ngx_http_request_t *r);
static const ngx_vmops_route_t *ngx_vmops_metrics_route(ngx_uint_t i);
static ngx_uint_t ngx_vmops_metrics_index(const ngx_vmops_route_t *row);
static void ngx_vmops_metrics_labels(u_char *text, size_t size, ngx_uint_t i);
static void ngx_vmops_metrics_handler(ngx_event_t *ev);
static void ngx_vmops_metrics_draw(vmops_buf_t *b);
static void ngx_vmops_metrics_requests(vmops_buf_t *b);
static void ngx_vmops_metrics_durations(vmops_buf_t *b);
static void ngx_vmops_metrics_commands(vmops_buf_t *b);
static void ngx_vmops_metrics_agents(vmops_buf_t *b);
static void ngx_vmops_metrics_list(vmops_buf_t *b, const char *name,
    const char *label, const ngx_uint_t *list, const ngx_atomic_t *counts);
static void ngx_vmops_metrics_workers(vmops_buf_t *b);
static void ngx_vmops_metrics_head(vmops_buf_t *b, const char *name,
    const char *type, const char *help);
static void ngx_vmops_metrics_line(vmops_buf_t *b, const char *fmt, ...);


/* bounds in milliseconds, and as they are written in seconds */

static const struct {
    ngx_msec_t    ms;
    const char   *text;
} ngx_vmops_buckets[VMOPS_METRICS_BUCKETS] = {
    { 5, "0.005" }, { 10, "0.01" }, { 25, "0.025" }, { 50, "0.05" },
    { 100, "0.1" }, { 250, "0.25" }, { 500, "0.5" }, { 1000, "1" },
    { 2500, "2.5" }, { 5000, "5" }, { 10000, "10" },
    { (ngx_msec_t) -1, "+Inf" }
};

/* those that can be; 0: any other */

static const ngx_uint_t  ngx_vmops_statuses[VMOPS_METRICS_STATUSES] = {
    200, 201, 202, 204, 301, 302, 304, 400, 401, 402, 403, 404, 405, 408, 409,
    412, 413, 414, 415, 422, 428, 429, 499, 500, 501, 502, 503, 504, 0
};

static const struct {
    ngx_uint_t    method;
    const char   *name;
} ngx_vmops_metrics_methods[] = {
    { NGX_HTTP_GET, "GET" },
    { NGX_HTTP_POST, "POST" },
    { NGX_HTTP_PUT, "PUT" },
    { NGX_HTTP_PATCH, "PATCH" },
    { NGX_HTTP_DELETE, "DELETE" },
    { 0, "any" }
};

static const char *const  ngx_vmops_clients[] = { "rest", "gateway" };

static ngx_event_t  ngx_vmops_metrics_event;

/* of each row: the first one of the same path and method, which stands for it;
   0: what is for none */
static u_short      ngx_vmops_metrics_first[VMOPS_METRICS_ROUTES];
static ngx_uint_t   ngx_vmops_metrics_legacy;      /* after all rows */
static ngx_uint_t   ngx_vmops_metrics_n;


ngx_int_t
ngx_vmops_metrics_conf(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_vmops_main_conf_t      *vmcf;
    ngx_http_core_main_conf_t  *cmcf;

    vmcf = ngx_http_conf_get_module_main_conf(cf, ngx_vmops_module);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (!vmcf->has_api) {
        return NGX_OK;
    }

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_vmops_metrics_log;

    vmcf->metrics = vmops_metrics_zone(cf);

    return vmcf->metrics ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_vmops_metrics_init(ngx_log_t *log)
{
    ngx_uint_t                i, k;
    ngx_vmops_worker_t       *w;
    const ngx_vmops_route_t  *row, *other;

    w = &ngx_vmops_worker;

    for (i = 1; (row = ngx_vmops_metrics_route(i)) != NULL; i++) {

        if (i == VMOPS_METRICS_ROUTES - 1) {
            ngx_log_error(NGX_LOG_ALERT, log, 0,
                          "more routes than VMOPS_METRICS_ROUTES");
            return NGX_ERROR;
        }

        for (k = 1; k < i; k++) {
            other = ngx_vmops_metrics_route(k);

            if (other->method == row->method
                && ngx_strcmp(other->path, row->path) == 0)
            {
                break;
            }
        }

        ngx_vmops_metrics_first[i] = k;
    }

    ngx_vmops_metrics_legacy = i;
    ngx_vmops_metrics_n = i + 1;

    w->metrics = vmops_metrics(w->conf->metrics);

    vmops_metrics_sample(&ngx_vmops_metrics_event, log,
                         ngx_vmops_metrics_handler);

    return NGX_OK;
}


/* the rows of both tables, from 1 */

static const ngx_vmops_route_t *
ngx_vmops_metrics_route(ngx_uint_t i)
{
    ngx_uint_t  n;

    for (n = 0; ngx_vmops_root_routes[n].path; n++) {
        if (i == n + 1) {
            return &ngx_vmops_root_routes[n];
        }
    }

    /* all rows before this one have been: it is there, or is the last */

    return ngx_vmops_routes[i - n - 1].path ? &ngx_vmops_routes[i - n - 1]
                                            : NULL;
}


static ngx_uint_t
ngx_vmops_metrics_index(const ngx_vmops_route_t *row)
{
    ngx_uint_t  n;

    for (n = 0; ngx_vmops_root_routes[n].path; n++) {
        if (row == &ngx_vmops_root_routes[n]) {
            return n + 1;
        }
    }

    return row - ngx_vmops_routes + n + 1;
}


static ngx_int_t
ngx_vmops_metrics_log(ngx_http_request_t *r)
{
    ngx_uint_t        i, row, status;
    ngx_time_t       *tp;
    ngx_msec_int_t    ms;
    vmops_metrics_t  *m;

    m = ngx_vmops_worker.metrics;

    if (m == NULL || r != r->main) {
        return NGX_OK;
    }

    if (r->content_handler == ngx_vmops_handler) {
        row = ngx_vmops_metrics_row(r);

    } else if (ngx_vmops_legacy_location(r)) {
        row = ngx_vmops_metrics_legacy;

    } else {
        return NGX_OK;
    }

    status = r->err_status ? r->err_status : r->headers_out.status;
    i = vmops_metrics_place(ngx_vmops_statuses, status);

    (void) ngx_atomic_fetch_add(&m->requests[row][i], 1);

    tp = ngx_timeofday();
    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (tp->msec - r->start_msec));
    ms = ngx_max(ms, 0);

    for (i = 0; (ngx_msec_t) ms > ngx_vmops_buckets[i].ms; i++) { /* void */ }

    (void) ngx_atomic_fetch_add(&m->took[row][i], 1);
    (void) ngx_atomic_fetch_add(&m->took_ms[row], ms);

    return NGX_OK;
}


/* whose row it was: that of its method among those of its path */

static ngx_uint_t
ngx_vmops_metrics_row(ngx_http_request_t *r)
{
    ngx_uint_t                method;
    ngx_vmops_op_t           *op;
    const ngx_vmops_route_t  *row;

    op = ngx_http_get_module_ctx(r, ngx_vmops_module);

    if (op == NULL || op->route == NULL) {
        return 0;
    }

    method = r->method == NGX_HTTP_HEAD ? NGX_HTTP_GET : r->method;

    /* before it is known who asks, the route is the first one of the path */

    for (row = op->route; row->path; row++) {

        if (ngx_strcmp(row->path, op->route->path) != 0) {
            break;
        }

        if (row->method != method) {
            continue;
        }

        return ngx_vmops_metrics_first[ngx_vmops_metrics_index(row)];
    }

    return 0;
}


static void
ngx_vmops_metrics_handler(ngx_event_t *ev)
{
    ngx_vmops_worker_t      *w;
    vmops_metrics_redis_t   *redis;
    vmops_metrics_worker_t  *mw;

    w = &ngx_vmops_worker;
    mw = vmops_metrics_worker(w->metrics);
    redis = &mw->redis[VMOPS_METRICS_REST];

    redis->there = 1;
    redis->ready = vmops_redis_ready(w->redis);
    redis->calls = vmops_redis_calls(w->redis) - vmops_beat_calls(w->beat);
    mw->streams = ngx_vmops_live_streams();

    vmops_metrics_again(ev);
}


void
ngx_vmops_metrics(ngx_vmops_op_t *op)
{
    size_t       size;
    u_char      *p;
    vmops_buf_t  b;

    for (size = NGX_VMOPS_METRICS_SIZE; size <= NGX_VMOPS_METRICS_MAX;
         size *= 2)
    {
        p = ngx_palloc(op->request->pool, size);
        if (p == NULL) {
            break;
        }

        vmops_buf_init(&b, p, size);
        ngx_vmops_metrics_draw(&b);

        if (!b.overflow) {
            ngx_vmops_answer_raw(op, "text/plain; version=0.0.4; charset=utf-8",
                                 vmops_span(b.p, b.n));
            return;
        }

        ngx_pfree(op->request->pool, p);
    }

    ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
}


static void
ngx_vmops_metrics_draw(vmops_buf_t *b)
{
    ngx_vmops_metrics_requests(b);
    ngx_vmops_metrics_durations(b);
    ngx_vmops_metrics_commands(b);
    ngx_vmops_metrics_agents(b);
    ngx_vmops_metrics_workers(b);
}


static void
ngx_vmops_metrics_labels(u_char *text, size_t size, ngx_uint_t i)
{
    ngx_uint_t                k;
    const ngx_vmops_route_t  *row;

    row = i && i < ngx_vmops_metrics_legacy ? ngx_vmops_metrics_route(i) : NULL;

    for (k = 0; ngx_vmops_metrics_methods[k].method; k++) {
        if (row && ngx_vmops_metrics_methods[k].method == row->method) {
            break;
        }
    }

    ngx_snprintf(text, size, "method=\"%s\",route=\"%s\"%Z",
                 ngx_vmops_metrics_methods[k].name,
                 row ? row->path : i ? "/infra/*" : "none");
}


static void
ngx_vmops_metrics_requests(vmops_buf_t *b)
{
    u_char            labels[256];
    ngx_uint_t        i, k, n;
    vmops_metrics_t  *m;

    m = ngx_vmops_worker.metrics;

    ngx_vmops_metrics_head(b, "vmops_requests_total", "counter",
                           "Requests by the route they were for, and status");

    for (i = 0; i < ngx_vmops_metrics_n; i++) {
        ngx_vmops_metrics_labels(labels, sizeof(labels), i);

        for (k = 0; k < VMOPS_METRICS_STATUSES; k++) {
            n = m->requests[i][k];

            if (n == 0) {
                continue;
            }

            if (ngx_vmops_statuses[k]) {
                ngx_vmops_metrics_line(b, "vmops_requests_total"
                                       "{%s,status=\"%ui\"} %ui\n",
                                       labels, ngx_vmops_statuses[k], n);
            } else {
                ngx_vmops_metrics_line(b, "vmops_requests_total"
                                       "{%s,status=\"other\"} %ui\n",
                                       labels, n);
            }
        }
    }
}


static void
ngx_vmops_metrics_durations(vmops_buf_t *b)
{
    u_char            labels[256];
    ngx_uint_t        i, k, n, ms, all[VMOPS_METRICS_BUCKETS];
    vmops_metrics_t  *m;

    m = ngx_vmops_worker.metrics;

    ngx_vmops_metrics_head(b, "vmops_request_duration_seconds", "histogram",
                           "Time from a request's first byte to its end; "
                           "of streams and waits, how long they lasted");

    for (i = 0; i < ngx_vmops_metrics_n; i++) {
        n = 0;

        for (k = 0; k < VMOPS_METRICS_BUCKETS; k++) {
            n += m->took[i][k];
            all[k] = n;
        }

        if (n == 0) {
            continue;
        }

        ngx_vmops_metrics_labels(labels, sizeof(labels), i);

        for (k = 0; k < VMOPS_METRICS_BUCKETS; k++) {
            ngx_vmops_metrics_line(b, "vmops_request_duration_seconds_bucket"
                                   "{%s,le=\"%s\"} %ui\n",
                                   labels, ngx_vmops_buckets[k].text, all[k]);
        }

        ms = m->took_ms[i];

        ngx_vmops_metrics_line(b, "vmops_request_duration_seconds_sum"
                               "{%s} %ui.%03ui\n", labels, ms / 1000,
                               ms % 1000);
        ngx_vmops_metrics_line(b, "vmops_request_duration_seconds_count"
                               "{%s} %ui\n", labels, n);
    }
}


static void
ngx_vmops_metrics_commands(vmops_buf_t *b)
{
    ngx_uint_t        i;
    vmops_metrics_t  *m;

    m = ngx_vmops_worker.metrics;

    ngx_vmops_metrics_head(b, "vmops_commands_submitted_total", "counter",
                           "Commands that this node accepted");
    ngx_vmops_metrics_line(b, "vmops_commands_submitted_total %uA\n",
                           m->submitted);

    ngx_vmops_metrics_head(b, "vmops_commands_ended_total", "counter",
                           "Commands that this node saw to their end; one "
                           "that ended indeterminate may end once more");

    for (i = 0; i < VMOPS_ST_MAX_; i++) {
        if (vmops_status_is_final(i)) {
            ngx_vmops_metrics_line(b, "vmops_commands_ended_total"
                                   "{outcome=\"%s\"} %uA\n",
                                   vmops_status_name(i), m->ended[i]);
        }
    }
}


static void
ngx_vmops_metrics_agents(vmops_buf_t *b)
{
    vmops_metrics_t  *m;

    m = ngx_vmops_worker.metrics;

    ngx_vmops_metrics_head(b, "vmops_agent_handshakes_total", "counter",
                           "Opening handshakes of agents' sockets");
    ngx_vmops_metrics_list(b, "vmops_agent_handshakes_total", "status",
                           vmops_metrics_handshakes, m->handshakes);

    ngx_vmops_metrics_head(b, "vmops_agent_sessions_ended_total", "counter",
                           "Agents' sockets by the code of the Close that "
                           "ended them; 1006: there was none");
    ngx_vmops_metrics_list(b, "vmops_agent_sessions_ended_total", "code",
                           vmops_metrics_closes, m->closes);
}


static void
ngx_vmops_metrics_list(vmops_buf_t *b, const char *name, const char *label,
    const ngx_uint_t *list, const ngx_atomic_t *counts)
{
    for ( ; *list; list++, counts++) {
        ngx_vmops_metrics_line(b, "%s{%s=\"%ui\"} %uA\n", name, label, *list,
                               *counts);
    }

    ngx_vmops_metrics_line(b, "%s{%s=\"other\"} %uA\n", name, label, *counts);
}


static void
ngx_vmops_metrics_workers(vmops_buf_t *b)
{
    ngx_uint_t               i, k, n;
    vmops_metrics_worker_t  *w, sum;

    n = 0;
    ngx_memzero(&sum, sizeof(sum));

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        w = &ngx_vmops_worker.metrics->workers[i];

        if (!vmops_metrics_alive(w)) {
            continue;
        }

        n++;
        sum.streams += w->streams;
        sum.agents += w->agents;
        sum.hellos += w->hellos;
        sum.frames += w->frames;

        for (k = 0; k < VMOPS_METRICS_CLIENTS; k++) {
            sum.redis[k].there += w->redis[k].there;
            sum.redis[k].ready += w->redis[k].ready;
            sum.redis[k].calls += w->redis[k].calls;
        }
    }

    ngx_vmops_metrics_head(b, "vmops_workers", "gauge",
                           "Worker processes, also those about to end");
    ngx_vmops_metrics_line(b, "vmops_workers %ui\n", n);

    ngx_vmops_metrics_head(b, "vmops_agents", "gauge",
                           "Agents' sockets of this node");
    ngx_vmops_metrics_line(b, "vmops_agents{state=\"connected\"} %uA\n",
                           sum.agents);
    ngx_vmops_metrics_line(b, "vmops_agents{state=\"connecting\"} %uA\n",
                           sum.hellos);

    ngx_vmops_metrics_head(b, "vmops_streams", "gauge",
                           "Open event streams and requests that wait for a "
                           "command's end");
    ngx_vmops_metrics_line(b, "vmops_streams %uA\n", sum.streams);

    ngx_vmops_metrics_head(b, "vmops_queue_length", "gauge",
                           "Calls that Redis has not answered yet, and frames "
                           "not yet sent to agents");

    for (k = 0; k < VMOPS_METRICS_CLIENTS; k++) {
        ngx_vmops_metrics_line(b, "vmops_queue_length"
                               "{queue=\"redis_%s\"} %uA\n",
                               ngx_vmops_clients[k], sum.redis[k].calls);
    }

    ngx_vmops_metrics_line(b, "vmops_queue_length"
                           "{queue=\"agent_frames\"} %uA\n", sum.frames);

    ngx_vmops_metrics_head(b, "vmops_redis_connections", "gauge",
                           "Workers by the state of their connection to Redis");

    for (k = 0; k < VMOPS_METRICS_CLIENTS; k++) {
        ngx_vmops_metrics_line(b, "vmops_redis_connections"
                               "{client=\"%s\",state=\"ready\"} %uA\n",
                               ngx_vmops_clients[k], sum.redis[k].ready);
        ngx_vmops_metrics_line(b, "vmops_redis_connections"
                               "{client=\"%s\",state=\"down\"} %uA\n",
                               ngx_vmops_clients[k],
                               sum.redis[k].there - sum.redis[k].ready);
    }
}


static void
ngx_vmops_metrics_head(vmops_buf_t *b, const char *name, const char *type,
    const char *help)
{
    ngx_vmops_metrics_line(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                           type);
}


static void
ngx_vmops_metrics_line(vmops_buf_t *b, const char *fmt, ...)
{
    u_char   line[512], *last;
    va_list  args;

    va_start(args, fmt);
    last = ngx_vslprintf(line, line + sizeof(line), fmt, args);
    va_end(args);

    vmops_buf_span(b, vmops_span(line, last - line));
}
