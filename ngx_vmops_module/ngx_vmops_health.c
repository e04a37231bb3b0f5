
/* whether this worker serves, and whether it can */


#include "ngx_vmops_routes.h"


static void ngx_vmops_health_draw(ngx_vmops_op_t *op, vmops_jw_t *w,
    redisReply *reply);


void
ngx_vmops_healthz(ngx_vmops_op_t *op)
{
    ngx_vmops_answer(op, NGX_HTTP_OK, ngx_vmops_health_draw, NULL);
}


void
ngx_vmops_readyz(ngx_vmops_op_t *op)
{
    vmops_metrics_redis_t  *gateway;

    gateway = &vmops_metrics_worker(ngx_vmops_worker.metrics)
                   ->redis[VMOPS_METRICS_GATEWAY];

    if (!vmops_redis_ready(ngx_vmops_worker.redis)
        || !vmops_beat_fresh(ngx_vmops_worker.beat)
        || (gateway->there && !gateway->ready))
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_store_unavailable);
        return;
    }

    ngx_vmops_healthz(op);
}


static void
ngx_vmops_health_draw(ngx_vmops_op_t *op, vmops_jw_t *w, redisReply *reply)
{
    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "status", "ok");
    vmops_jw_obj_end(w);
}
