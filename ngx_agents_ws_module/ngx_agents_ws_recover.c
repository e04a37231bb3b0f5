
/*
 * Results of commands that the store does not know any more: a fail-over may
 * have lost its last second (docs/protocol.md).  An agent that comes back
 * sends its results with their orders.  An order that this server has signed
 * says all that is needed to make the command's record again.
 */


#include "ngx_agents_ws.h"

#include "vmops_action.h"
#include "vmops_banned.h"


#define NGX_AGENTS_WS_RECOVER_FIELDS  22


/* arguments of the call, and room for those that have to be written */

typedef struct {
    ngx_uint_t      n;
    vmops_span_t    argv[2 + 2 * NGX_AGENTS_WS_RECOVER_FIELDS];

    char            agent[VMOPS_UUID_TEXT + 1];
    char            id[VMOPS_UUID_TEXT + 1];
    char            vm[VMOPS_UUID_TEXT + 1];
    char            idem[VMOPS_B64U_LEN(VMOPS_HASH)];
    char            mac[VMOPS_MAC_TEXT + 1];
    u_char          vmid[NGX_INT64_LEN];
    u_char          seq[NGX_INT64_LEN];
    u_char          timeout[NGX_INT64_LEN];
    u_char          iat[NGX_INT64_LEN];
    u_char          exp[NGX_INT64_LEN];
    u_char          version[VMOPS_CMD_SECRETS_MAX][NGX_INT64_LEN];
} ngx_agents_ws_recover_t;


static ngx_int_t ngx_agents_ws_order(ngx_agents_ws_session_t *s,
    const vmops_msg_result_t *m, const vmops_result_t *r, vmops_cmd_t *cmd);
static ngx_int_t ngx_agents_ws_recover_args(ngx_agents_ws_session_t *s,
    const vmops_cmd_t *cmd, ngx_agents_ws_recover_t *f);
static ngx_int_t ngx_agents_ws_recover_target(const vmops_cmd_t *cmd,
    ngx_agents_ws_recover_t *f, vmops_intent_t *intent);
static void ngx_agents_ws_recover_field(ngx_agents_ws_recover_t *f,
    const char *name, vmops_span_t value);
static void ngx_agents_ws_recover_handler(ngx_agents_ws_call_t *call,
    redisReply *reply);


ngx_int_t
ngx_agents_ws_recover(ngx_agents_ws_session_t *s, const vmops_msg_result_t *m,
    const vmops_result_t *r)
{
    vmops_cmd_t              cmd;
    ngx_agents_ws_recover_t  f;

    if (ngx_agents_ws_order(s, m, r, &cmd) != NGX_OK
        || ngx_agents_ws_recover_args(s, &cmd, &f) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    /* the result follows on the same connection, and is stored after it */

    if (ngx_agents_ws_call(s, "recover", ngx_agents_ws_recover_handler, f.n,
                           f.argv)
        == NULL)
    {
        ngx_agents_ws_refused(s, NULL);
    }

    return NGX_OK;
}


/* signed by this server, for this agent, and what the result is of */

static ngx_int_t
ngx_agents_ws_order(ngx_agents_ws_session_t *s, const vmops_msg_result_t *m,
    const vmops_result_t *r, vmops_cmd_t *cmd)
{
    u_char                   hash[VMOPS_HASH];
    const u_char            *pk;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    /* an Ed25519 secret key ends with the public one */

    pk = w->conf->keys->command + sizeof(w->conf->keys->command) - 32;

    vmops_hash(hash, m->cmd.payload);

    if (ngx_memcmp(hash, r->cmd_hash, VMOPS_HASH) != 0
        || !vmops_span_is(m->cmd.key_id, w->conf->keys->id)
        || vmops_payload_verify(m->cmd.sig, VMOPS_SIGNED_CMD, s->tenant->id,
                                &s->agent, NULL, m->cmd.payload, pk)
           != 0
        || vmops_cmd_parse(cmd, &w->arena, m->cmd.payload) != 0
        || !vmops_uuid_eq(&cmd->id, &m->id))
    {
        ngx_log_error(NGX_LOG_INFO, s->connection->log, 0,
                      "agent sent a result with an order that does not hold, "
                      "tenant \"%V\"", &s->tenant->sn.str);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_agents_ws_recover_args(ngx_agents_ws_session_t *s, const vmops_cmd_t *cmd,
    ngx_agents_ws_recover_t *f)
{
    size_t                   i;
    vmops_jw_t               params;
    vmops_intent_t           intent;
    ngx_agents_ws_worker_t  *w = ngx_agents_ws_worker;

    static const char *const  secrets[VMOPS_CMD_SECRETS_MAX][2] = {
        { "secret_ref", "secret_version" },
        { "via_ref", "via_version" }
    };

    ngx_memzero(&intent, sizeof(vmops_intent_t));

    vmops_jw_init(&params, w->payload, NGX_AGENTS_WS_TEXT);
    vmops_jw_node(&params, cmd->params.node);

    if (vmops_jw_done(&params, &intent.params) != 0) {
        return NGX_DECLINED;
    }

    f->argv[0] = ngx_agents_ws_uuid(f->agent, &s->agent);
    f->argv[1] = ngx_agents_ws_uuid(f->id, &cmd->id);
    f->n = 2;

    if (ngx_agents_ws_recover_target(cmd, f, &intent) != NGX_OK) {
        return NGX_DECLINED;
    }

    intent.tenant = vmops_span(s->tenant->sn.str.data, s->tenant->sn.str.len);
    intent.command_id = f->argv[1];
    intent.service = cmd->service;
    intent.action = cmd->action;
    intent.subject = cmd->by_subject;
    intent.role = cmd->by_role;
    intent.iat = cmd->iat;
    intent.exp = cmd->exp;
    intent.timeout_s = cmd->timeout_s;
    intent.idem = vmops_span(cmd->idem, cmd->has_idem ? VMOPS_HASH : 0);

    /* who asked is not known any more: nobody's command, it never runs again */

    vmops_intent_mac_text(f->mac, w->conf->keys->mac, &intent);

    ngx_agents_ws_recover_field(f, "service", cmd->service);
    ngx_agents_ws_recover_field(f, "action", cmd->action);
    ngx_agents_ws_recover_field(f, "params", intent.params);
    ngx_agents_ws_recover_field(f, "seq",
                                ngx_agents_ws_number(f->seq, cmd->seq));
    ngx_agents_ws_recover_field(f, "timeout_s",
                                ngx_agents_ws_number(f->timeout,
                                                     cmd->timeout_s));
    ngx_agents_ws_recover_field(f, "iat",
                                ngx_agents_ws_number(f->iat, cmd->iat));
    ngx_agents_ws_recover_field(f, "exp",
                                ngx_agents_ws_number(f->exp, cmd->exp));
    ngx_agents_ws_recover_field(f, "subject", cmd->by_subject);
    ngx_agents_ws_recover_field(f, "role", cmd->by_role);
    ngx_agents_ws_recover_field(f, "intent_mac",
                                vmops_span(f->mac, VMOPS_MAC_TEXT));

    if (cmd->has_idem) {
        ngx_agents_ws_recover_field(f, "idem", vmops_span(f->idem,
                               vmops_b64u_encode(f->idem, cmd->idem,
                                                 VMOPS_HASH)));
    }

    for (i = 0; i < cmd->secrets_n; i++) {
        ngx_agents_ws_recover_field(f, secrets[i][0], cmd->secrets[i].ref);
        ngx_agents_ws_recover_field(f, secrets[i][1],
                              ngx_agents_ws_number(f->version[i],
                                                   cmd->secrets[i].version));
    }

    return NGX_OK;
}


static ngx_int_t
ngx_agents_ws_recover_target(const vmops_cmd_t *cmd,
    ngx_agents_ws_recover_t *f, vmops_intent_t *intent)
{
    vmops_span_t           target;
    const vmops_action_t  *action;

    action = vmops_action_find(cmd->service, cmd->action);

    if (action == NULL || cmd->secrets_n == 0) {
        return NGX_DECLINED;
    }

    switch (action->scope) {

    case VMOPS_SCOPE_VM:
        target = ngx_agents_ws_uuid(f->vm, &cmd->target.vm_uuid);
        intent->vm_uuid = target;
        break;

    case VMOPS_SCOPE_ENDPOINT:
        target = cmd->secrets[0].ref;
        intent->secret_ref = target;
        break;

    default: /* VMOPS_SCOPE_TASK */
        if (vmops_json_str(vmops_json_get(cmd->params.node, "command_id"),
                           &target)
            != 0)
        {
            return NGX_DECLINED;
        }

        intent->target_command = target;
    }

    ngx_agents_ws_recover_field(f, "scope",
                          vmops_span_str(vmops_scope_name(action->scope)));
    ngx_agents_ws_recover_field(f, "family",
                          vmops_span_str(vmops_family_name(action->service)));
    ngx_agents_ws_recover_field(f, "target", target);

    if (!cmd->target.present) {
        return action->scope == VMOPS_SCOPE_VM ? NGX_DECLINED : NGX_OK;
    }

    ngx_agents_ws_recover_field(f, "vm_uuid",
                          ngx_agents_ws_uuid(f->vm, &cmd->target.vm_uuid));
    ngx_agents_ws_recover_field(f, "guest",
                          vmops_span_str(vmops_guest_name(cmd->target.guest)));
    ngx_agents_ws_recover_field(f, "node", cmd->target.node);
    ngx_agents_ws_recover_field(f, "vmid",
                          ngx_agents_ws_number(f->vmid, cmd->target.vmid));

    return NGX_OK;
}


static void
ngx_agents_ws_recover_field(ngx_agents_ws_recover_t *f, const char *name,
    vmops_span_t value)
{
    f->argv[f->n++] = vmops_span_str(name);
    f->argv[f->n++] = value;
}


/* without the record its result must not be answered: it would be lost */

static void
ngx_agents_ws_recover_handler(ngx_agents_ws_call_t *call, redisReply *reply)
{
    ngx_agents_ws_session_t *s = call->session;

    if (s && !s->closing && !s->dead
        && (reply == NULL || !ngx_agents_ws_reply_is(reply, "OK")))
    {
        ngx_agents_ws_refused(s, reply);
    }
}
