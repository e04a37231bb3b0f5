
/*
 * Prefer: wait on a submission (RFC 7240): its end is waited for, told by the
 * live channel or read in the store.
 */


#include "ngx_vmops_submit.h"


static ngx_int_t ngx_vmops_submit_told(ngx_vmops_op_t *op,
    vmops_span_t packed);
static void ngx_vmops_submit_ended(ngx_vmops_op_t *op);
static void ngx_vmops_submit_looked(ngx_vmops_op_t *op);
static ngx_int_t ngx_vmops_submit_refused(ngx_vmops_op_t *op, ngx_int_t code,
    redisReply *reply);


void
ngx_vmops_submit_wait(ngx_vmops_op_t *op, redisReply *record,
    ngx_uint_t replay)
{
    ngx_vmops_submit_t *s = op->data;

    /* what is answered if the store is away in the end */

    if (ngx_vmops_draw(op->request->pool, op, ngx_vmops_command_new_draw,
                       record, &s->known)
        != NGX_OK)
    {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    s->command.refused = ngx_vmops_submit_refused;

    ngx_vmops_live_timer(op, ngx_vmops_left(s->until));

    if (replay || s->ended) {
        /* its end may have been said before we knew that it is the one */
        ngx_vmops_submit_look(op, ngx_vmops_submit_looked);
    }
}


/* the channel is there, or there again */

void
ngx_vmops_submit_ready(ngx_vmops_op_t *op)
{
    ngx_vmops_submit_t *s = op->data;

    if (!s->submitted) {
        if (op->stream->timer.timer_set) {
            ngx_del_timer(&op->stream->timer);
        }

        ngx_vmops_submit_send(op);
        return;
    }

    /* its end may have been said while nobody listened */

    ngx_vmops_submit_ended(op);
}


void
ngx_vmops_submit_message(ngx_vmops_op_t *op, vmops_span_t message)
{
    ngx_vmops_submit_t *s = op->data;

    size_t          n;
    const uint8_t  *p;

    n = sizeof("cmd ") - 1;
    p = message.p;

    if (message.n <= n + s->command.id.n + 1 || ngx_memcmp(p, "cmd ", n) != 0
        || ngx_memcmp(p + n, s->command.id.p, s->command.id.n) != 0
        || !ngx_vmops_command_final(ngx_vmops_live_word(message, 2)))
    {
        return;
    }

    if (ngx_vmops_submit_told(op, ngx_vmops_live_word(message,
                                                      NGX_VMOPS_LIVE_REST))
        != NGX_OK)
    {
        ngx_vmops_submit_ended(op);
    }
}


/*
 * Its record as it was accepted, and what its end changed: nothing has to be
 * read.  NGX_DECLINED: it has.
 */

static ngx_int_t
ngx_vmops_submit_told(ngx_vmops_op_t *op, vmops_span_t packed)
{
    ngx_vmops_submit_t *s = op->data;

    redisReply  *now, *told;

    if (packed.n == 0 || op->call || s->record == NULL || s->agent == NULL) {
        return NGX_DECLINED;
    }

    /* of two fields of a name the first is the one that is drawn */

    now = NULL;
    told = vmops_redis_unpack(op->request->pool, (u_char *) packed.p, packed.n);

    if (told && ngx_vmops_item(told, 0)->elements) {
        now = vmops_redis_joined(op->request->pool, ngx_vmops_item(told, 0),
                                 ngx_vmops_item(told, 1));
    }

    if (now) {
        now = vmops_redis_joined(op->request->pool, now, s->record);
    }

    if (now == NULL) {
        return NGX_DECLINED;
    }

    s->ended = 0;
    s->command.next = ngx_vmops_submit_looked;

    ngx_vmops_command_told(op, now, s->agent);

    return NGX_OK;
}


static void
ngx_vmops_submit_ended(ngx_vmops_op_t *op)
{
    ngx_vmops_submit_t *s = op->data;

    s->ended = 1;

    /* a call that is under way sees to it when it is back */

    if (op->call == NULL) {
        ngx_vmops_submit_look(op, ngx_vmops_submit_looked);
    }
}


void
ngx_vmops_submit_end(ngx_vmops_op_t *op, ngx_vmops_end_e why)
{
    ngx_vmops_submit_t *s = op->data;

    if (why == NGX_VMOPS_END_PRINCIPAL) {
        ngx_vmops_problem(op, ngx_vmops_live_refusal(op));
        return;
    }

    if (why == NGX_VMOPS_END_EXIT) {
        /* no waiting, as if nobody had asked for it */
        s->wait_s = 0;

        if (!s->submitted) {
            ngx_vmops_live_close(op);
            ngx_vmops_submit_send(op);
            return;
        }

        if (!s->accepted) {
            return;
        }

    } else if (!s->submitted) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_store_unavailable);
        return;

    } else if (ngx_vmops_left(s->until)) {
        ngx_vmops_live_timer(op, ngx_vmops_left(s->until));
        ngx_vmops_submit_ended(op);
        return;
    }

    s->over = 1;

    if (op->call) {
        vmops_redis_detach(op->call);
        op->call = NULL;
    }

    ngx_vmops_submit_look(op, ngx_vmops_submit_answer);
}


void
ngx_vmops_submit_look(ngx_vmops_op_t *op, ngx_vmops_step_pt next)
{
    ngx_vmops_submit_t *s = op->data;

    s->ended = 0;
    s->command.next = next;

    ngx_vmops_command_fetch(op);
}


static void
ngx_vmops_submit_looked(ngx_vmops_op_t *op)
{
    ngx_vmops_submit_t *s = op->data;

    if (s->command.final) {
        ngx_vmops_submit_answer(op);
        return;
    }

    s->known = s->command.json;

    if (s->ended) {
        ngx_vmops_submit_look(op, ngx_vmops_submit_looked);
    }
}


/*
 * The command is accepted, whether the store is there now or not, and even if
 * it lost it: its result brings it back.
 */

static ngx_int_t
ngx_vmops_submit_refused(ngx_vmops_op_t *op, ngx_int_t code, redisReply *reply)
{
    ngx_vmops_submit_t *s = op->data;

    if (code != VMOPS_PROBLEM_store_unavailable
        && code != VMOPS_PROBLEM_not_found)
    {
        return NGX_DECLINED;
    }

    if (s->over) {
        s->command.json = s->known;
        s->command.final = 0;

        ngx_vmops_submit_answer(op);
        return NGX_OK;
    }

    ngx_vmops_live_timer(op, ngx_min(ngx_vmops_left(s->until),
                                     VMOPS_LIVE_RETRY_MS));

    return NGX_OK;
}


void
ngx_vmops_submit_answer(ngx_vmops_op_t *op)
{
    ngx_vmops_submit_t *s = op->data;

    u_char  *p;

    if (s->wait_s) {
        p = ngx_pnalloc(op->request->pool, sizeof("wait=") + NGX_INT_T_LEN);

        if (p) {
            ngx_vmops_header(op, "Preference-Applied",
                             vmops_span(p, ngx_sprintf(p, "wait=%ui", s->wait_s)
                                           - p));
        }
    }

    op->status = s->command.final ? NGX_HTTP_OK : NGX_HTTP_ACCEPTED;

    ngx_vmops_command_answer(op);
}
