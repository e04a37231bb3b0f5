
/*
 * From records of Redis to the payload of a command.
 *
 * Whoever can write to Redis must not be able to author or alter a command: the
 * intent's MAC says what was asked by whom, the VM's where it is and whose
 * agent has it, the binding's which secret it takes, the principal's that it
 * may still ask, the agent's that it may be asked (docs/architecture.md).  What
 * goes into the payload comes from under these MACs.  The versions of the
 * secrets do not: the agent accepts only the ones it made itself.
 */


#include "ngx_agents_ws.h"

#include "vmops_action.h"
#include "vmops_banned.h"


/* of one element of take's reply */

enum {
    NGX_AGENTS_WS_TAKEN_COMMAND = 0,
    NGX_AGENTS_WS_TAKEN_VM,
    NGX_AGENTS_WS_TAKEN_VM_BINDING,
    NGX_AGENTS_WS_TAKEN_BOT_BINDING,
    NGX_AGENTS_WS_TAKEN_PRINCIPAL,
    NGX_AGENTS_WS_TAKEN_ORIGIN
};

/* fields of a command's record */

enum {
    NGX_AGENTS_WS_C_ID = 0,
    NGX_AGENTS_WS_C_SERVICE,
    NGX_AGENTS_WS_C_ACTION,
    NGX_AGENTS_WS_C_TARGET,
    NGX_AGENTS_WS_C_PARAMS,
    NGX_AGENTS_WS_C_PKIND,
    NGX_AGENTS_WS_C_PKEY,
    NGX_AGENTS_WS_C_SUBJECT,
    NGX_AGENTS_WS_C_ROLE,
    NGX_AGENTS_WS_C_IAT,
    NGX_AGENTS_WS_C_EXP,
    NGX_AGENTS_WS_C_TIMEOUT,
    NGX_AGENTS_WS_C_IDEM,
    NGX_AGENTS_WS_C_MAC,
    NGX_AGENTS_WS_C_SEQ,
    NGX_AGENTS_WS_C_SECRET_REF,
    NGX_AGENTS_WS_C_SECRET_VERSION,
    NGX_AGENTS_WS_C_VIA_REF,
    NGX_AGENTS_WS_C_VIA_VERSION,
    NGX_AGENTS_WS_C_FIELDS
};

static const char *const  ngx_agents_ws_command_fields[] = {
    "command_id", "service", "action", "target", "params", "pkind", "pkey",
    "subject", "role", "iat", "exp", "timeout_s", "idem", "intent_mac", "seq",
    "secret_ref", "secret_version", "via_ref", "via_version"
};


/* a record whose MAC holds: the fields of its type, in their order */

typedef struct {
    ngx_uint_t              present;
    vmops_span_t            field[VMOPS_RECORD_FIELDS_MAX];
} ngx_agents_ws_record_t;

typedef struct {
    ngx_agents_ws_tenant_t *tenant;
    redisReply             *taken;
    const char             *agent;         /* the session's, text */
    const char             *why;

    vmops_span_t            field[NGX_AGENTS_WS_C_FIELDS];
    const vmops_action_t   *action;
    vmops_cmd_t             cmd;
    u_char                  idem[VMOPS_HASH];
} ngx_agents_ws_build_t;


static ngx_int_t ngx_agents_ws_intent(ngx_agents_ws_build_t *b,
    const vmops_span_t *field, vmops_cmd_t *cmd,
    const vmops_action_t **action);
static ngx_int_t ngx_agents_ws_numbers(const vmops_span_t *field,
    vmops_cmd_t *cmd);
static ngx_int_t ngx_agents_ws_principal(ngx_agents_ws_build_t *b);
static ngx_int_t ngx_agents_ws_place(ngx_agents_ws_build_t *b,
    const vmops_action_t *action, vmops_span_t target);
static ngx_int_t ngx_agents_ws_origin(ngx_agents_ws_build_t *b);
static ngx_int_t ngx_agents_ws_vm(ngx_agents_ws_build_t *b,
    vmops_span_t vm_uuid);
static ngx_int_t ngx_agents_ws_bound(ngx_agents_ws_build_t *b,
    vmops_span_t vm_uuid, vmops_span_t bot_id);
static ngx_int_t ngx_agents_ws_secrets(ngx_agents_ws_build_t *b);
static ngx_int_t ngx_agents_ws_record(ngx_agents_ws_tenant_t *t,
    redisReply *record, vmops_record_t type, const char *folder,
    vmops_span_t name, ngx_agents_ws_record_t *r);


#define ngx_agents_ws_refuse_build(b, text)                                   \
    ((b)->why = (text), NGX_DECLINED)


ngx_int_t
ngx_agents_ws_build(ngx_agents_ws_tenant_t *t, const vmops_uuid_t *agent,
    redisReply *taken, vmops_uuid_t *command, uint64_t *seq, u_char *out,
    size_t cap, vmops_span_t *payload, const char **why)
{
    char                   text[VMOPS_UUID_TEXT + 1];
    ngx_int_t              rc;
    ngx_agents_ws_build_t  b;

    ngx_memzero(&b, sizeof(ngx_agents_ws_build_t));

    vmops_uuid_format(text, agent);

    b.tenant = t;
    b.taken = taken;
    b.agent = text;

    ngx_agents_ws_fields(ngx_agents_ws_reply_array(taken,
                                                 NGX_AGENTS_WS_TAKEN_COMMAND),
                         ngx_agents_ws_command_fields, NGX_AGENTS_WS_C_FIELDS,
                         b.field);

    ngx_memzero(command, sizeof(vmops_uuid_t));

    rc = NGX_DECLINED;

    if (vmops_uuid_parse(command, b.field[NGX_AGENTS_WS_C_ID]) != 0) {
        b.why = "its id";

    } else if (ngx_agents_ws_intent(&b, b.field, &b.cmd, &b.action) == NGX_OK
               && ngx_agents_ws_principal(&b) == NGX_OK
               && ngx_agents_ws_place(&b, b.action,
                                      b.field[NGX_AGENTS_WS_C_TARGET])
                  == NGX_OK
               && ngx_agents_ws_secrets(&b) == NGX_OK)
    {
        rc = NGX_OK;
    }

    if (rc == NGX_OK && vmops_cmd_write(out, cap, payload, &b.cmd) != 0) {
        b.why = "its size, or a field out of its limits";
        rc = NGX_DECLINED;
    }

    *seq = b.cmd.seq;
    *why = b.why;

    return rc;
}


/* what was asked, by whom, until when; cmd may be NULL (of an origin) */

static ngx_int_t
ngx_agents_ws_intent(ngx_agents_ws_build_t *b, const vmops_span_t *field,
    vmops_cmd_t *cmd, const vmops_action_t **action)
{
    vmops_cmd_t      c;
    vmops_span_t     target;
    vmops_intent_t   intent;

    ngx_memzero(&c, sizeof(vmops_cmd_t));
    ngx_memzero(&intent, sizeof(vmops_intent_t));

    *action = vmops_action_find(field[NGX_AGENTS_WS_C_SERVICE],
                                field[NGX_AGENTS_WS_C_ACTION]);

    if (*action == NULL || ngx_agents_ws_numbers(field, &c) != NGX_OK) {
        return ngx_agents_ws_refuse_build(b, "its action or a number");
    }

    target = field[NGX_AGENTS_WS_C_TARGET];

    switch ((*action)->scope) {

    case VMOPS_SCOPE_VM:
        intent.vm_uuid = target;
        break;

    case VMOPS_SCOPE_ENDPOINT:
        intent.secret_ref = target;
        break;

    default: /* VMOPS_SCOPE_TASK */
        intent.target_command = target;
    }

    intent.tenant = vmops_span(b->tenant->sn.str.data, b->tenant->sn.str.len);
    intent.command_id = field[NGX_AGENTS_WS_C_ID];
    intent.service = field[NGX_AGENTS_WS_C_SERVICE];
    intent.action = field[NGX_AGENTS_WS_C_ACTION];
    intent.params = field[NGX_AGENTS_WS_C_PARAMS];
    intent.principal_kind = field[NGX_AGENTS_WS_C_PKIND];
    intent.principal_key = field[NGX_AGENTS_WS_C_PKEY];
    intent.subject = field[NGX_AGENTS_WS_C_SUBJECT];
    intent.role = field[NGX_AGENTS_WS_C_ROLE];
    intent.iat = c.iat;
    intent.exp = c.exp;
    intent.timeout_s = c.timeout_s;
    intent.idem = vmops_span(c.idem, c.has_idem ? VMOPS_HASH : 0);

    if (vmops_intent_verify(field[NGX_AGENTS_WS_C_MAC],
                            ngx_agents_ws_worker->conf->keys->mac, &intent)
        != 0)
    {
        return ngx_agents_ws_refuse_build(b, "the intent's MAC");
    }

    if (cmd == NULL) {
        return NGX_OK;
    }

    *cmd = c;

    if (vmops_uuid_parse(&cmd->id, intent.command_id) != 0) {
        return ngx_agents_ws_refuse_build(b, "its id");
    }

    cmd->service = intent.service;
    cmd->action = intent.action;
    cmd->params.text = intent.params.n ? intent.params
                                       : vmops_span_str("{}");
    cmd->by_subject = intent.subject;
    cmd->by_role = intent.role;

    return NGX_OK;
}


static ngx_int_t
ngx_agents_ws_numbers(const vmops_span_t *field, vmops_cmd_t *cmd)
{
    uint64_t  timeout;

    if (vmops_dec_parse(field[NGX_AGENTS_WS_C_SEQ], INT64_MAX, &cmd->seq) != 0
        || vmops_dec_parse(field[NGX_AGENTS_WS_C_IAT], INT64_MAX, &cmd->iat)
           != 0
        || vmops_dec_parse(field[NGX_AGENTS_WS_C_EXP], INT64_MAX, &cmd->exp)
           != 0
        || vmops_dec_parse(field[NGX_AGENTS_WS_C_TIMEOUT],
                           VMOPS_TIMEOUT_MAX_S, &timeout)
           != 0)
    {
        return NGX_DECLINED;
    }

    cmd->timeout_s = timeout;
    cmd->has_idem = (field[NGX_AGENTS_WS_C_IDEM].n != 0);

    if (cmd->has_idem
        && vmops_b64u_decode_exact(cmd->idem, VMOPS_HASH,
                                   field[NGX_AGENTS_WS_C_IDEM])
           != 0)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/*
 * Whoever asked may still ask.  A principal by nginx' own variables has no
 * record: its intent's MAC is all there is.
 */

static ngx_int_t
ngx_agents_ws_principal(ngx_agents_ws_build_t *b)
{
    uint64_t                expires;
    redisReply             *record;
    vmops_span_t            kind, key, role, expires_at;
    ngx_agents_ws_record_t  r;

    record = ngx_agents_ws_reply_array(b->taken,
                                       NGX_AGENTS_WS_TAKEN_PRINCIPAL);
    kind = b->field[NGX_AGENTS_WS_C_PKIND];
    key = b->field[NGX_AGENTS_WS_C_PKEY];

    if (vmops_span_is(kind, "token")) {

        if (ngx_agents_ws_record(b->tenant, record, VMOPS_RECORD_token,
                                 "tokens", key, &r)
            != NGX_OK)
        {
            return ngx_agents_ws_refuse_build(b, "the token's MAC");
        }

        role = r.field[1];
        expires_at = r.field[3];

    } else if (vmops_span_is(kind, "session")) {

        if (ngx_agents_ws_record(b->tenant, record, VMOPS_RECORD_session,
                                 "sessions", key, &r)
            != NGX_OK)
        {
            return ngx_agents_ws_refuse_build(b, "the session's MAC");
        }

        role = r.field[1];
        expires_at = r.field[2];

    } else if (vmops_span_is(kind, "var")) {
        r.present = 1;
        role = b->field[NGX_AGENTS_WS_C_ROLE];
        expires_at = vmops_span("", 0);

    } else {
        return ngx_agents_ws_refuse_build(b, "its principal");
    }

    if (!r.present
        || (expires_at.n
            && (vmops_dec_parse(expires_at, INT64_MAX, &expires) != 0
                || expires <= ngx_agents_ws_now())))
    {
        return ngx_agents_ws_refuse_build(b, "its principal is gone");
    }

    if (!vmops_span_eq(role, b->field[NGX_AGENTS_WS_C_ROLE])
        || (!vmops_span_is(role, "operator") && !vmops_span_is(role, "owner")))
    {
        return ngx_agents_ws_refuse_build(b, "its principal's role");
    }

    return NGX_OK;
}


/* where it goes, and which secret it takes; the agent has to be this one */

static ngx_int_t
ngx_agents_ws_place(ngx_agents_ws_build_t *b, const vmops_action_t *action,
    vmops_span_t target)
{
    switch (action->scope) {

    case VMOPS_SCOPE_VM:
        return ngx_agents_ws_vm(b, target);

    case VMOPS_SCOPE_ENDPOINT:

        /* only the agent that made a secret can open it */

        if (!vmops_span_eq(target, b->field[NGX_AGENTS_WS_C_SECRET_REF])) {
            return ngx_agents_ws_refuse_build(b, "its secret");
        }

        return NGX_OK;

    default: /* VMOPS_SCOPE_TASK */
        return ngx_agents_ws_origin(b);
    }
}


/* a task call goes where the command went whose task it is about */

static ngx_int_t
ngx_agents_ws_origin(ngx_agents_ws_build_t *b)
{
    redisReply            *record;
    vmops_span_t           field[NGX_AGENTS_WS_C_FIELDS];
    const vmops_action_t  *action;

    record = ngx_agents_ws_reply_array(b->taken, NGX_AGENTS_WS_TAKEN_ORIGIN);

    ngx_agents_ws_fields(record, ngx_agents_ws_command_fields,
                         NGX_AGENTS_WS_C_FIELDS, field);

    if (!vmops_span_eq(field[NGX_AGENTS_WS_C_ID],
                       b->field[NGX_AGENTS_WS_C_TARGET])
        || ngx_agents_ws_intent(b, field, NULL, &action) != NGX_OK
        || action->scope == VMOPS_SCOPE_TASK
        || action->service != b->action->service)
    {
        return ngx_agents_ws_refuse_build(b, "the command it is about");
    }

    return ngx_agents_ws_place(b, action, field[NGX_AGENTS_WS_C_TARGET]);
}


static ngx_int_t
ngx_agents_ws_vm(ngx_agents_ws_build_t *b, vmops_span_t vm_uuid)
{
    int                     guest;
    uint64_t                vmid;
    vmops_target_t         *target = &b->cmd.target;
    ngx_agents_ws_record_t  r;

    /* agent_id guest node vmid bot_id state */

    if (ngx_agents_ws_record(b->tenant,
                             ngx_agents_ws_reply_array(b->taken,
                                                      NGX_AGENTS_WS_TAKEN_VM),
                             VMOPS_RECORD_vm, "vms", vm_uuid, &r)
        != NGX_OK)
    {
        return ngx_agents_ws_refuse_build(b, "the VM's MAC");
    }

    if (!r.present || !vmops_span_is(r.field[0], b->agent)) {
        return ngx_agents_ws_refuse_build(b, "the VM is not this agent's");
    }

    guest = vmops_guest_find(r.field[1]);

    if (guest < 0
        || vmops_dec_parse(r.field[3], VMOPS_VMID_MAX, &vmid) != 0
        || vmops_uuid_parse(&target->vm_uuid, vm_uuid) != 0)
    {
        return ngx_agents_ws_refuse_build(b, "the VM's fields");
    }

    target->present = 1;
    target->guest = guest;
    target->node = r.field[2];
    target->vmid = vmid;

    return ngx_agents_ws_bound(b, vm_uuid, r.field[4]);
}


/* the VM's own binding wins over its bot's */

static ngx_int_t
ngx_agents_ws_bound(ngx_agents_ws_build_t *b, vmops_span_t vm_uuid,
    vmops_span_t bot_id)
{
    u_char                  name[VMOPS_BOT_ID_MAX + VMOPS_UUID_TEXT + 64];
    size_t                  len;
    const char             *family;
    redisReply             *own, *bot;
    ngx_agents_ws_record_t  r;

    family = vmops_family_name(b->action->service);

    own = ngx_agents_ws_reply_array(b->taken, NGX_AGENTS_WS_TAKEN_VM_BINDING);
    bot = ngx_agents_ws_reply_array(b->taken, NGX_AGENTS_WS_TAKEN_BOT_BINDING);

    if (own && own->elements) {
        len = ngx_snprintf(name, sizeof(name), "vm:%*s:%s", vm_uuid.n,
                           vm_uuid.p, family)
              - name;

    } else {
        own = bot;
        len = ngx_snprintf(name, sizeof(name), "bot:%*s:%s", bot_id.n,
                           bot_id.p, family)
              - name;
    }

    /* scope_type scope_id family secret_ref */

    if (ngx_agents_ws_record(b->tenant, own, VMOPS_RECORD_binding,
                             "secret_bindings", vmops_span(name, len), &r)
        != NGX_OK)
    {
        return ngx_agents_ws_refuse_build(b, "the binding's MAC");
    }

    if (!r.present
        || !vmops_span_eq(r.field[3], b->field[NGX_AGENTS_WS_C_SECRET_REF]))
    {
        return ngx_agents_ws_refuse_build(b, "its binding");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_agents_ws_secrets(ngx_agents_ws_build_t *b)
{
    vmops_secret_use_t  *use = b->cmd.secrets;

    use[0].ref = b->field[NGX_AGENTS_WS_C_SECRET_REF];
    use[0].family = b->action->service;
    b->cmd.secrets_n = 1;

    if (vmops_dec_parse(b->field[NGX_AGENTS_WS_C_SECRET_VERSION], INT64_MAX,
                        &use[0].version)
        != 0)
    {
        return ngx_agents_ws_refuse_build(b, "its secret's version");
    }

    if (b->field[NGX_AGENTS_WS_C_VIA_REF].n == 0) {
        return NGX_OK;
    }

    use[1].ref = b->field[NGX_AGENTS_WS_C_VIA_REF];
    use[1].family = VMOPS_FAMILY_SSH;
    b->cmd.secrets_n = 2;

    if (vmops_dec_parse(b->field[NGX_AGENTS_WS_C_VIA_VERSION], INT64_MAX,
                        &use[1].version)
        != 0)
    {
        return ngx_agents_ws_refuse_build(b, "its secret's version");
    }

    return NGX_OK;
}


ngx_int_t
ngx_agents_ws_identity(ngx_agents_ws_tenant_t *t, const vmops_uuid_t *agent,
    redisReply *record, ngx_agents_ws_identity_t *id)
{
    char                    text[VMOPS_UUID_TEXT + 1];
    ngx_agents_ws_record_t  r;

    vmops_uuid_format(text, agent);

    /* agent_id ed_pk x_pk approved revoked */

    if (ngx_agents_ws_record(t, record, VMOPS_RECORD_agent, "agents",
                             vmops_span(text, VMOPS_UUID_TEXT), &r)
        != NGX_OK
        || !r.present)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_agents_ws_worker->log, 0,
                      "the MAC of the record of agent %s, tenant \"%V\", does "
                      "not hold: somebody else than nginx has written it, or "
                      "this node has another mac.key", text, &t->sn.str);
        return NGX_DECLINED;
    }

    id->agent_id = r.field[0];
    id->ed_pk = r.field[1];
    id->approved = r.field[3];
    id->revoked = r.field[4];

    return vmops_span_is(id->agent_id, text) ? NGX_OK : NGX_DECLINED;
}


/*
 * NGX_OK: there is no such record, or its MAC holds, over its fields and the
 * key "tenants/{t}/<folder>/<name>" it is under.
 */

static ngx_int_t
ngx_agents_ws_record(ngx_agents_ws_tenant_t *t, redisReply *record,
    vmops_record_t type, const char *folder, vmops_span_t name,
    ngx_agents_ws_record_t *r)
{
    u_char             key[VMOPS_REDIS_KEY_MAX];
    size_t             n, len;
    const char        *names[VMOPS_RECORD_FIELDS_MAX + 1];
    vmops_span_t       values[VMOPS_RECORD_FIELDS_MAX + 1];
    const char *const *fields;

    r->present = 0;

    if (record == NULL || record->elements == 0) {
        return NGX_OK;
    }

    fields = vmops_record_fields(type, &n);

    ngx_memcpy(names, fields, n * sizeof(char *));
    names[n] = "mac";

    ngx_agents_ws_fields(record, names, n + 1, values);

    len = ngx_snprintf(key, sizeof(key), "%V/%s/%*s", &t->key, folder, name.n,
                       name.p)
          - key;

    if (vmops_record_verify(values[n], ngx_agents_ws_worker->conf->keys->mac,
                            type, vmops_span(key, len), values)
        != 0)
    {
        return NGX_DECLINED;
    }

    r->present = 1;
    ngx_memcpy(r->field, values, n * sizeof(vmops_span_t));

    return NGX_OK;
}
