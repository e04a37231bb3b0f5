/*
 * Any bytes as the answers of a Proxmox VE, for each action: it ends with a
 * final status and a code, the result is JSON, a log line or a stage is what
 * the channel takes.  The first byte is the action, the second how it is
 * carried out; then come the answers, NUL between them, each as
 * "<status> <reason>\n<body>".
 */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "actions/actions.h"
#include "actions/pve.h"
#include "vmops_utf8.h"


#define WITH_PASSWORD  1        /* it has to sign in first */
#define CONTAINER      2
#define WITH_PARAMS    4
#define RESUMED        8        /* the task is followed after a restart */
#define CANCEL_SHIFT   4        /* at which wait it is cancelled; 0: never */
#define WAITS_MAX      40

#define UPID  "UPID:pve1:0000A:0000B:67000000:qmstart:100:root@pam:"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


/* what http_target.c does by libcurl: the next of the answers */

struct http_s {
    uint8_t  *body;
};

static struct http_s  target;
static vmops_span_t   answers;
static unsigned       waits, cancel_at, cancelled;

http_t *
http_new(const endpoint_t *ep)
{
    return ep != NULL ? &target : NULL;
}

void
http_free(http_t *h)
{
    if (h != NULL) {
        free(h->body);
        h->body = NULL;
    }
}

static vmops_span_t
cut_at(vmops_span_t *s, uint8_t c)
{
    vmops_span_t    head = *s;
    const uint8_t  *end = s->n > 0 ? memchr(s->p, c, s->n) : NULL;

    if (end == NULL) {
        *s = vmops_span(NULL, 0);
        return head;
    }

    head.n = (size_t) (end - head.p);
    *s = vmops_span(end + 1, s->n - head.n - 1);

    return head;
}

int
http_do(http_t *h, const http_request_t *req, http_reply_t *reply,
    net_fail_t *fail)
{
    uint64_t      status;
    vmops_span_t  body = cut_at(&answers, '\0');
    vmops_span_t  reason = cut_at(&body, '\n');
    vmops_span_t  code = cut_at(&reason, ' ');

    if (strlen(req->path) >= PVE_PATH_MAX + 16 || req->path[0] != '/') {
        abort();
    }

    free(h->body);
    h->body = NULL;

    if (vmops_dec_parse(code, 999, &status) != 0) {
        *fail = NET_FAIL(VMOPS_STAGE_TCP, VMOPS_CMDERR_connection_refused);
        return -1;
    }

    memset(reply, 0, sizeof(*reply));
    reply->status = (unsigned) status;
    vmops_utf8_clean((uint8_t *) reply->reason, HTTP_REASON_MAX, reason);

    /* in memory of its size, gone with the next call */
    h->body = malloc(body.n > 0 ? body.n : 1);
    if (h->body == NULL) {
        abort();
    }
    if (body.n > 0) {
        memcpy(h->body, body.p, body.n);
    }
    reply->body = vmops_span(h->body, body.n);

    return 0;
}


/* what job.c does by the journal and the channel */

int
act_cancelled(act_t *act)
{
    (void) act;
    return (int) cancelled;
}

void
act_cancel_taken(act_t *act)
{
    (void) act;
    cancelled = 0;
}

int
act_unwanted(void *act)
{
    return act_cancelled(act);
}

int
act_interrupted(act_t *act)
{
    if (cancelled) {
        act_fail(act, VMOPS_CMDERR_cancelled, -1, NULL);

    } else if (waits > WAITS_MAX) {
        act_fail(act, VMOPS_CMDERR_timeout, -1, NULL);

    } else {
        return 0;
    }

    return -1;
}

int
act_wait(act_t *act, uint64_t ms)
{
    if (ms == 0) {
        abort();
    }

    if (++waits == cancel_at) {
        cancelled = 1;
    }

    return act_interrupted(act);
}

int
act_effect(act_t *act)
{
    act->end.started = 1;
    return 0;
}

void
act_task_keep(act_t *act)
{
    (void) act;
}

int
act_task(act_t *act, vmops_span_t upid)
{
    if (upid.n > sizeof(act->upid_text)) {
        act_fail(act, VMOPS_CMDERR_target_error, VMOPS_STAGE_HTTP,
                 "bad_upid");
        return -1;
    }

    if (upid.n > 0) {
        memcpy(act->upid_text, upid.p, upid.n);
    }
    act->upid = vmops_span(act->upid_text, upid.n);

    return 0;
}

void
act_progress(act_t *act, int percent, const char *stage, vmops_span_t message)
{
    (void) act;
    (void) message;

    if (percent > 100
        || !vmops_pattern_match(VMOPS_P_CODE, vmops_span_str(stage)))
    {
        abort();
    }
}

void
act_log(act_t *act, vmops_span_t line)
{
    (void) act;

    if (!vmops_utf8_valid(line)) {
        abort();
    }
}

void
act_route(act_t *act, const net_fail_t *fail, int64_t latency_ms)
{
    (void) act;

    if (fail != NULL && latency_ms >= 0) {
        abort();
    }
}

void
act_done(act_t *act)
{
    act->end.status = VMOPS_ST_SUCCEEDED;
    act->end.error = -1;
}

void
act_fail(act_t *act, vmops_command_error_t error, int stage,
    const char *detail)
{
    act->end.status = error == VMOPS_CMDERR_cancelled ? VMOPS_ST_CANCELLED
                      : error == VMOPS_CMDERR_timeout ? VMOPS_ST_TIMED_OUT
                      : VMOPS_ST_FAILED;
    act->end.error = (int) error;
    act->end.stage = stage;
    act->end.detail = NULL;

    if (detail == NULL) {
        return;
    }

    if (!vmops_pattern_match(VMOPS_P_CODE, vmops_span_str(detail))
        || text_copy(act->detail, sizeof(act->detail), vmops_span_str(detail))
           != 0)
    {
        abort();
    }

    act->end.detail = act->detail;
}


static void
judge(const act_t *act)
{
    vmops_span_t         json;
    vmops_arena_t        a;
    const vmops_json_t  *root;
    static uint8_t       memory[2 << 20];

    if (!vmops_status_is_final(act->end.status)
        || (act->end.status != VMOPS_ST_SUCCEEDED && act->end.error < 0))
    {
        abort();
    }

    if (act->result.buf.n == 0) {
        return;
    }

    vmops_arena_init(&a, memory, sizeof(memory));

    if (vmops_jw_done(&act->result, &json) == 0
        && (vmops_json_parse(&root, &a, json) != VMOPS_JSON_OK
            || root->type != VMOPS_JSON_OBJECT))
    {
        abort();
    }
}


static const vmops_json_t *
params_of(const vmops_action_t *action, int all)
{
    vmops_jw_t            w;
    vmops_span_t          text;
    vmops_arena_t         a;
    const vmops_json_t   *root;
    const vmops_param_t  *param;
    static uint8_t        out[1024], memory[16384];

    vmops_jw_init(&w, out, sizeof(out));
    vmops_jw_obj(&w);

    for (param = action->params; param->kind != VMOPS_PARAM_END; param++) {
        if (!all && !param->required) {
            continue;
        }

        vmops_jw_key(&w, param->name);

        switch (param->kind) {
        case VMOPS_PARAM_INT:
            vmops_jw_int(&w, param->max);
            break;
        case VMOPS_PARAM_BOOL:
            vmops_jw_bool(&w, 1);
            break;
        case VMOPS_PARAM_ENUM:
            vmops_jw_cstr(&w, param->values[0]);
            break;
        default:
            vmops_jw_cstr(&w, "text");
        }
    }

    vmops_jw_obj_end(&w);
    vmops_arena_init(&a, memory, sizeof(memory));

    if (vmops_jw_done(&w, &text) != 0
        || vmops_json_parse(&root, &a, text) != VMOPS_JSON_OK)
    {
        abort();
    }

    return root;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    act_t            act;
    opened_t         secret;
    vmops_cmd_t      cmd;
    static uint8_t   result[VMOPS_RESULT_PAYLOAD_MAX];

    if (n < 2 || n > 65536 || sodium_init() < 0 || redact_init() != 0) {
        return 0;
    }

    memset(&act, 0, sizeof(act));
    memset(&cmd, 0, sizeof(cmd));
    memset(&secret, 0, sizeof(secret));

    act.action = vmops_action_at(p[0] % VMOPS_ACT_MAX_);
    if (act.action->service != VMOPS_SERVICE_PROXMOX) {
        return 0;
    }

    waits = cancelled = 0;
    cancel_at = p[1] >> CANCEL_SHIFT;
    answers = vmops_span(p + 2, n - 2);

    cmd.target.present = act.action->scope == VMOPS_SCOPE_VM;
    cmd.target.guest = p[1] & CONTAINER ? VMOPS_GUEST_LXC : VMOPS_GUEST_QEMU;
    cmd.target.node = vmops_span_str("pve1");
    cmd.target.vmid = 100;
    cmd.params.node = params_of(act.action, p[1] & WITH_PARAMS);

    secret.kind = p[1] & WITH_PASSWORD ? VMOPS_KIND_PROXMOX_PASSWORD
                                       : VMOPS_KIND_PROXMOX_TOKEN;
    secret.s.user = vmops_span_str("ops@pve!vmops");
    secret.s.secret = vmops_span_str("not a secret at all");

    act.cmd = &cmd;
    act.secret = &secret;
    act.deadline = UINT64_MAX;
    act.end.error = act.end.stage = -1;
    vmops_jw_init(&act.result, result, sizeof(result));

    if ((p[1] & RESUMED) && act.action->long_running) {
        (void) act_task(&act, vmops_span_str(UPID));
    }

    act_handler(act.action)(&act);
    judge(&act);

    return 0;
}
