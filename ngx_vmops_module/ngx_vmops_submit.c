
/*
 * POST /vm-ops/{service}/{action}: the intent with its MAC goes to the store in
 * one call, which decides everything; then, with Prefer: wait, its end is
 * waited for (RFC 7240).
 */


#include "ngx_vmops_routes.h"
#include "ngx_vmops_submit.h"
#include "ngx_vmops_sweep.h"


static ngx_int_t ngx_vmops_submit_shape(ngx_vmops_op_t *op,
    ngx_vmops_submit_t *s);
static ngx_int_t ngx_vmops_submit_params(ngx_vmops_op_t *op,
    ngx_vmops_submit_t *s);
static ngx_int_t ngx_vmops_submit_idem(ngx_vmops_op_t *op,
    ngx_vmops_submit_t *s);
static vmops_span_t ngx_vmops_submit_mac(ngx_vmops_op_t *op,
    ngx_vmops_submit_t *s, uint64_t iat, uint64_t exp);
static void ngx_vmops_submitted(ngx_vmops_op_t *op, redisReply *reply);
static redisReply *ngx_vmops_submit_agent(ngx_vmops_op_t *op,
    redisReply *values);
static void ngx_vmops_submit_grace(ngx_vmops_op_t *op, vmops_span_t until);


/* the target of an action by its scope: vmops_scope_t */

#define NGX_VMOPS_SUBMIT_FIELDS(target, form)                                 \
    { .name = target, .type = VMOPS_FT_STRING, .pattern = form },             \
    { .name = "params", .type = VMOPS_FT_OBJECT, .flags = VMOPS_F_OPTIONAL }, \
    { .name = "timeout_s", .type = VMOPS_FT_INT, .flags = VMOPS_F_OPTIONAL,   \
      .min = VMOPS_TIMEOUT_MIN_S, .max = VMOPS_TIMEOUT_MAX_S }

const vmops_json_field_t
    ngx_vmops_submit_fields[][NGX_VMOPS_SUBMIT_FIELD_N] =
{
    { NGX_VMOPS_SUBMIT_FIELDS("vm_uuid", VMOPS_P_UUID) },
    { NGX_VMOPS_SUBMIT_FIELDS("secret_ref", VMOPS_P_SECRET_REF) },
    { NGX_VMOPS_SUBMIT_FIELDS("command_id", VMOPS_P_UUID) }
};

/* the fields of a command's record that are packed as its `intent` */

static const char *const  ngx_vmops_intent_fields[] = {
    "service", "action", "scope", "family", "target", "params", "timeout_s",
    "iat", "exp", "subject", "role", "pkind", "pkey", "idem", "intent_mac"
};


/* which of them is known when the action is */

const ngx_vmops_body_t  ngx_vmops_submit_body = { .by_handler = 1 };


void
ngx_vmops_submit(ngx_vmops_op_t *op)
{
    ngx_vmops_submit_t  *s;

    s = ngx_pcalloc(op->request->pool, sizeof(ngx_vmops_submit_t));
    if (s == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    op->data = s;
    op->command = &s->command;

    if (ngx_vmops_submit_shape(op, s) != NGX_OK
        || ngx_vmops_submit_params(op, s) != NGX_OK
        || ngx_vmops_submit_idem(op, s) != NGX_OK)
    {
        return;
    }

    s->command.pool = op->request->pool;
    s->command.id = ngx_vmops_new_id(op->request->pool);
    s->wait_s = ngx_vmops_prefer_wait(op->request);
    s->until = ngx_current_msec + s->wait_s * 1000;

    ngx_vmops_sweep_active(op->tenant);

    if (s->wait_s == 0) {
        ngx_vmops_submit_send(op);
        return;
    }

    /* the channel first: no end of a command falls in between */

    s->stream.ready = ngx_vmops_submit_ready;
    s->stream.message = ngx_vmops_submit_message;
    s->stream.end = ngx_vmops_submit_end;

    op->stream = &s->stream;

    ngx_vmops_live_open(op);
}


/* NGX_ERROR here and below: the step has been ended */

static ngx_int_t
ngx_vmops_submit_shape(ngx_vmops_op_t *op, ngx_vmops_submit_t *s)
{
    vmops_json_error_t         err;
    const vmops_json_field_t  *fields;

    s->action = vmops_action_find(op->path[0], op->path[1]);

    if (s->action == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_unknown_action);
        return NGX_ERROR;
    }

    fields = ngx_vmops_submit_fields[s->action->scope];

    vmops_json_error_init(&err, "");

    if (vmops_json_check(op->json, fields, NGX_VMOPS_SUBMIT_FIELD_N, 0, &err)
        != 0)
    {
        ngx_vmops_problem_at(op, VMOPS_PROBLEM_invalid_params, err.pointer,
                             vmops_json_error_name(err.code));
        return NGX_ERROR;
    }

    s->target = ngx_vmops_value(op, fields[0].name);

    if (vmops_json_int(vmops_json_get(op->json, "timeout_s"), &s->timeout_s)
        != 0)
    {
        s->timeout_s = VMOPS_TIMEOUT_DEFAULT_S;
    }

    return NGX_OK;
}


/* whether the action's schema holds is told to the store: a gate of many */

static ngx_int_t
ngx_vmops_submit_params(ngx_vmops_op_t *op, ngx_vmops_submit_t *s)
{
    size_t               n;
    u_char              *p;
    const char          *code;
    vmops_json_error_t   err;
    const vmops_json_t  *params;

    params = vmops_json_get(op->json, "params");

    s->params = params ? ngx_vmops_argument(op->request->pool, params)
                       : vmops_span_str("{}");
    s->params_error = vmops_span("", 0);

    vmops_json_error_init(&err, "/params");

    if (s->params.p == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return NGX_ERROR;
    }

    if (s->params.n > VMOPS_PARAMS_MAX) {
        err.code = VMOPS_JE_LENGTH;

    } else if (vmops_action_check(s->action, params, &err) == 0) {
        return NGX_OK;
    }

    code = vmops_json_error_name(err.code);
    n = ngx_strlen(err.pointer) + 1 + ngx_strlen(code);

    p = ngx_pnalloc(op->request->pool, n + 1);
    if (p == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return NGX_ERROR;
    }

    ngx_sprintf(p, "%s %s", err.pointer, code);

    s->params_error = vmops_span(p, n);
    s->params = vmops_span_str("{}");

    return NGX_OK;
}


static ngx_int_t
ngx_vmops_submit_idem(ngx_vmops_op_t *op, ngx_vmops_submit_t *s)
{
    size_t        i, n;
    u_char       *p, *last;
    uint8_t       hash[VMOPS_HASH], tenant16[16];
    ngx_int_t     rc;
    vmops_jw_t    w;
    vmops_span_t  key, body;

    rc = ngx_vmops_header_in(op->request, "idempotency-key", &key);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc == NGX_ERROR || key.n == 0 || key.n > VMOPS_IDEMPOTENCY_KEY_MAX) {
        goto invalid;
    }

    for (i = 0; i < key.n; i++) {
        if (key.p[i] <= 0x20 || key.p[i] > 0x7e) {
            goto invalid;
        }
    }

    vmops_tenant16(tenant16, op->tenant);

    if (vmops_idem_hash(s->idem, tenant16, op->principal->subject, key) != 0) {
        goto invalid;
    }

    /* the same request: the same action, and the same JSON in any order */

    n = op->path[0].n + 1 + op->path[1].n + 1 + VMOPS_BODY_MAX;

    p = ngx_pnalloc(op->request->pool, n);
    if (p == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return NGX_ERROR;
    }

    last = ngx_snprintf(p, n, "%*s/%*s ", op->path[0].n, op->path[0].p,
                        op->path[1].n, op->path[1].p);

    vmops_jw_init(&w, last, VMOPS_BODY_MAX);
    vmops_jw_sorted(&w, op->json);

    if (vmops_jw_done(&w, &body) != 0) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return NGX_ERROR;
    }

    vmops_hash(hash, vmops_span(p, last - p + body.n));

    vmops_b64u_encode(s->body_hash, hash, VMOPS_HASH);
    vmops_b64u_encode(s->idem_text, s->idem, VMOPS_HASH);
    s->has_idem = 1;

    return NGX_OK;

invalid:

    ngx_vmops_problem_header(op, "/idempotency-key");

    return NGX_ERROR;
}


void
ngx_vmops_submit_send(ngx_vmops_op_t *op)
{
    ngx_vmops_submit_t *s = op->data;

    uint64_t                iat, exp;
    ngx_pool_t             *pool;
    vmops_span_t            none, intent, family, scope, timeout, idem;
    ngx_vmops_main_conf_t  *vmcf;
    ngx_vmops_principal_t  *who;

    pool = op->request->pool;
    vmcf = ngx_vmops_worker.conf;
    who = op->principal;
    none = vmops_span("", 0);

    iat = ngx_vmops_now();
    exp = iat + (uint64_t) s->timeout_s * 1000;

    family = vmops_span_str(vmops_service_name(s->action->service));
    scope = vmops_span_str(vmops_scope_name(s->action->scope));
    timeout = ngx_vmops_decimal(pool, s->timeout_s);
    idem = vmops_span(s->idem_text, s->has_idem ? sizeof(s->idem_text) : 0);

    /* what no gate looks at is packed: the store keeps it as it is */

    const vmops_span_t  values[] = {
        op->path[0], op->path[1], scope, family, s->target, s->params, timeout,
        ngx_vmops_decimal(pool, iat), ngx_vmops_decimal(pool, exp),
        who->subject, who->role_name, ngx_vmops_kind_name(who->kind), who->key,
        idem, ngx_vmops_submit_mac(op, s, iat, exp)
    };

    intent = vmops_redis_pack(pool, ngx_vmops_intent_fields, values,
                              sizeof(values) / sizeof(values[0]));
    if (intent.p == NULL) {
        ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
        return;
    }

    s->submitted = 1;

    ngx_vmops_invoke(op, submit, ngx_vmops_submitted,
                     ngx_vmops_kind_name(who->kind), who->key, who->subject,
                     who->role_name,
                     ngx_vmops_decimal(pool, ngx_vmops_principal_cost(op)),
                     ngx_vmops_decimal(pool, vmcf->request_rate),
                     ngx_vmops_decimal(pool, vmcf->command_rate),
                     ngx_vmops_decimal(pool, vmcf->open_commands),
                     ngx_vmops_live(),
                     ngx_vmops_span(vmops_beat_flags(ngx_vmops_worker.beat,
                                                     VMOPS_FLAG_COMMAND_BUS)),
                     s->command.id, op->path[0], op->path[1], scope, family,
                     s->target, s->params_error, timeout, idem,
                     s->has_idem ? vmops_span(s->body_hash,
                                              sizeof(s->body_hash)) : none,
                     intent, s->wait_s ? vmops_span_str("1") : none);
}


static vmops_span_t
ngx_vmops_submit_mac(ngx_vmops_op_t *op, ngx_vmops_submit_t *s, uint64_t iat,
    uint64_t exp)
{
    char                   *text;
    vmops_intent_t          intent;
    ngx_vmops_principal_t  *who;

    who = op->principal;

    text = ngx_pnalloc(op->request->pool, VMOPS_MAC_TEXT + 1);
    if (text == NULL) {
        return vmops_span(NULL, 0);
    }

    ngx_memzero(&intent, sizeof(vmops_intent_t));

    intent.tenant = op->tenant;
    intent.command_id = s->command.id;
    intent.service = op->path[0];
    intent.action = op->path[1];

    switch (s->action->scope) {

    case VMOPS_SCOPE_VM:
        intent.vm_uuid = s->target;
        break;

    case VMOPS_SCOPE_ENDPOINT:
        intent.secret_ref = s->target;
        break;

    default: /* VMOPS_SCOPE_TASK */
        intent.target_command = s->target;
    }

    intent.params = s->params;
    intent.principal_kind = ngx_vmops_kind_name(who->kind);
    intent.principal_key = who->key;
    intent.subject = who->subject;
    intent.role = who->role_name;
    intent.iat = iat;
    intent.exp = exp;
    intent.timeout_s = s->timeout_s;
    intent.idem = vmops_span(s->idem, s->has_idem ? VMOPS_HASH : 0);

    vmops_intent_mac_text(text, ngx_vmops_worker.conf->mac_key, &intent);

    return vmops_span(text, VMOPS_MAC_TEXT);
}


static void
ngx_vmops_submitted(ngx_vmops_op_t *op, redisReply *reply)
{
    ngx_vmops_submit_t *s = op->data;

    ngx_uint_t     final, replay;
    redisReply    *record, *order;
    vmops_span_t   id, packed;

    s->accepted = 1;

    replay = ngx_vmops_item_int(reply, 1) == 0;
    order = reply;

    if (!replay) {
        /* what was, or would have been, handed over to its gateway */
        packed = ngx_vmops_item_text(reply, 2);
        order = vmops_redis_unpack(op->request->pool, (u_char *) packed.p,
                                   packed.n);

        if (order == NULL) {
            ngx_vmops_problem(op, VMOPS_PROBLEM_internal_error);
            return;
        }
    }

    record = ngx_vmops_record_whole(op->request->pool,
                                    ngx_vmops_item(order, 2));

    if (!replay) {
        (void) ngx_atomic_fetch_add(&ngx_vmops_worker.metrics->submitted, 1);
    }

    final = ngx_vmops_command_final(ngx_vmops_field(record, "status"));
    id = ngx_vmops_dup(op->request->pool, ngx_vmops_field(record,
                                                          "command_id"));

    /* of a replay it is that of another request */

    s->command.id = id;
    ngx_vmops_location(op, "/vm-ops/commands/", id);
    ngx_vmops_submit_grace(op, ngx_vmops_item_text(reply, 3));

    if (s->wait_s && !final) {

        if (!replay) {
            s->record = ngx_vmops_record_keep(op->request->pool, record);
            s->agent = ngx_vmops_submit_agent(op, ngx_vmops_item(order, 1));
        }

        ngx_vmops_submit_wait(op, record, replay);
        return;
    }

    if (replay) {
        ngx_vmops_submit_look(op, ngx_vmops_submit_answer);
        return;
    }

    ngx_vmops_answer(op, NGX_HTTP_ACCEPTED, ngx_vmops_command_new_draw, record);
}


/* its record, of the values that its MAC is over; NULL: it is to be read */

static redisReply *
ngx_vmops_submit_agent(ngx_vmops_op_t *op, redisReply *values)
{
    size_t              n;
    redisReply         *agent;
    const char *const  *fields;

    fields = vmops_record_fields(VMOPS_RECORD_agent, &n);

    agent = vmops_redis_named(op->request->pool, values, fields, n, "mac");

    return agent ? ngx_vmops_record_keep(op->request->pool, agent) : NULL;
}


/*
 * The license has run out and its grace has not: the command goes its way, and
 * whoever sent it is told until when that is so (RFC 8941: an item).
 */

static void
ngx_vmops_submit_grace(ngx_vmops_op_t *op, vmops_span_t until)
{
    char       time[VMOPS_TIME_TEXT + 1];
    u_char    *p;
    uint64_t   ms;

    if (until.n == 0 || vmops_dec_parse(until, INT64_MAX, &ms) != 0) {
        return;
    }

    p = ngx_pnalloc(op->request->pool,
                    sizeof("grace;until=\"\"") + VMOPS_TIME_TEXT);
    if (p == NULL) {
        return;
    }

    vmops_time_format(time, ms);

    ngx_vmops_header(op, "VMOps-License",
                     vmops_span(p, ngx_sprintf(p, "grace;until=\"%s\"", time)
                                   - p));
}
