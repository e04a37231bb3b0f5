
/* Signing in and calling. */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actions/pve.h"
#include "vmops_banned.h"


#define SECRET_FORM_MAX  (3 * VMOPS_SECRET_PLAINTEXT_MAX + 1024)
#define HEADER_MAX       (VMOPS_SECRET_PLAINTEXT_MAX + 1024)
#define RENEW_MS         (100 * 60 * 1000)      /* a ticket lasts two hours */
#define CHANGE_MS        60000
#define FOLLOW_MS        20000      /* then the line is silent: it is asked
                                       again */

static pve_rc_t call(pve_t *pve, pve_mode_t mode, const char *method,
    const char *path, const char *form, pve_reply_t *reply);


static int
form_put(char *form, size_t size, const char *name, vmops_span_t value)
{
    static const char  hex[] = "0123456789ABCDEF";

    size_t         i, n = strlen(form), need;
    const uint8_t *p = value.p;

    need = strlen(name) + 2 + value.n * 3;
    if (need >= size - n) {
        return -1;
    }

    n += (size_t) snprintf(form + n, size - n, "%s%s=", n > 0 ? "&" : "",
                           name);

    for (i = 0; i < value.n; i++) {
        if ((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'z')
            || (p[i] >= 'A' && p[i] <= 'Z') || p[i] == '-' || p[i] == '.'
            || p[i] == '_' || p[i] == '~')
        {
            form[n++] = (char) p[i];

        } else {
            form[n++] = '%';
            form[n++] = hex[p[i] >> 4];
            form[n++] = hex[p[i] & 15];
        }
    }

    form[n] = '\0';

    return 0;
}


int
pve_form_add(char form[PVE_FORM_MAX], const char *name, vmops_span_t value)
{
    return form_put(form, PVE_FORM_MAX, name, value);
}


int
pve_form_int(char form[PVE_FORM_MAX], const char *name, int64_t value)
{
    char  text[24];

    snprintf(text, sizeof(text), "%lld", (long long) value);

    return form_put(form, PVE_FORM_MAX, name, vmops_span_str(text));
}


/* "name: before" || value; the composed line lives in memory for secrets. */

static int
header_add(pve_t *pve, const char *before, vmops_span_t user,
    vmops_span_t value)
{
    int                 n;
    char               *line;
    struct curl_slist  *longer = NULL;

    line = sodium_malloc(HEADER_MAX);
    if (line == NULL) {
        return -1;
    }

    n = snprintf(line, HEADER_MAX, "%s%.*s%s%.*s", before, (int) user.n,
                 user.n > 0 ? (const char *) user.p : "",
                 user.n > 0 ? "=" : "", (int) value.n, (const char *) value.p);

    /* a line break in it would be another header */
    if (n > 0 && n < HEADER_MAX && strpbrk(line, "\r\n") == NULL) {
        longer = curl_slist_append(pve->headers, line);
    }

    sodium_free(line);

    if (longer == NULL) {
        return -1;
    }

    pve->headers = longer;

    return 0;
}


static void
memory_free(pve_t *pve)
{
    if (pve->memory != NULL) {
        sodium_memzero(pve->memory, pve->memory_n);
        free(pve->memory);
    }
}


static void
signed_out(pve_t *pve)
{
    curl_slist_free_all(pve->headers);
    pve->headers = NULL;
    redact_remove(pve->redact[0]);
    redact_remove(pve->redact[1]);
    pve->redact[0] = pve->redact[1] = NULL;
}


static int
take_ticket(pve_t *pve, const pve_reply_t *reply)
{
    int           failed[2];
    vmops_span_t  ticket, csrf;

    if (vmops_json_str(vmops_json_get(reply->data, "ticket"), &ticket) != 0
        || vmops_json_str(vmops_json_get(reply->data, "CSRFPreventionToken"),
                          &csrf) != 0)
    {
        act_fail(pve->act, VMOPS_CMDERR_auth_failed, VMOPS_STAGE_AUTH,
                 "no_ticket");
        return -1;
    }

    if (vmops_json_get(reply->data, "NeedTFA") != NULL) {
        act_fail(pve->act, VMOPS_CMDERR_auth_failed, VMOPS_STAGE_AUTH,
                 "second_factor");
        return -1;
    }

    signed_out(pve);
    pve->redact[0] = redact_add(ticket, &failed[0]);
    pve->redact[1] = redact_add(csrf, &failed[1]);

    if (failed[0] || failed[1]
        || header_add(pve, "Cookie: PVEAuthCookie=", vmops_span(NULL, 0),
                      ticket) != 0
        || header_add(pve, "CSRFPreventionToken: ", vmops_span(NULL, 0), csrf)
           != 0)
    {
        act_fail(pve->act, VMOPS_CMDERR_internal, -1, NULL);
        return -1;
    }

    pve->signed_in = plat_boot_ms();
    pve->proven = 0;

    return 0;
}


/* POST /access/ticket: with the password, as often as it has to be. */

static int
sign_in(pve_t *pve)
{
    int             rc = -1;
    char           *form;
    pve_reply_t     reply;
    const opened_t *o = pve->act->secret;

    form = sodium_malloc(SECRET_FORM_MAX);
    if (form == NULL) {
        act_fail(pve->act, VMOPS_CMDERR_internal, -1, NULL);
        return -1;
    }

    form[0] = '\0';
    signed_out(pve);

    if (form_put(form, SECRET_FORM_MAX, "username", o->s.user) == 0
        && form_put(form, SECRET_FORM_MAX, "password", o->s.secret) == 0)
    {
        switch (call(pve, PVE_READ, "POST", "/access/ticket", form, &reply)) {

        case PVE_OK:
            rc = take_ticket(pve, &reply);
            break;

        case PVE_REFUSED:
            pve_refused(pve, &reply);
            break;

        case PVE_ENDED:
            break;
        }
    }

    sodium_free(form);

    return rc;
}


int
pve_open(pve_t *pve, act_t *act)
{
    const opened_t  *o = act->secret;

    memset(pve, 0, sizeof(*pve));
    pve->act = act;

    if (act->cmd->target.present
        && text_copy(pve->node, sizeof(pve->node), act->cmd->target.node) != 0)
    {
        act_fail(act, VMOPS_CMDERR_command_invalid, -1, NULL);
        return -1;
    }

    pve->http = http_new(&o->endpoint);
    if (pve->http == NULL) {
        act_fail(act, VMOPS_CMDERR_internal, -1, NULL);
        return -1;
    }

    if (o->kind == VMOPS_KIND_PROXMOX_PASSWORD) {
        return sign_in(pve);
    }

    if (header_add(pve, "Authorization: PVEAPIToken=", o->s.user, o->s.secret)
        != 0)
    {
        act_fail(act, VMOPS_CMDERR_auth_failed, VMOPS_STAGE_AUTH,
                 "bad_token");
        return -1;
    }

    return 0;
}


void
pve_close(pve_t *pve)
{
    signed_out(pve);
    http_free(pve->http);
    memory_free(pve);
}


/* data and errors of an answer; -1: it is not JSON as this API speaks it */

static int
read_json(pve_t *pve, vmops_span_t body, pve_reply_t *reply)
{
    size_t               size, nodes;
    vmops_arena_t        arena;
    const vmops_json_t  *root;

    memory_free(pve);

    nodes = body.n / 2 + 2 < PVE_NODES_MAX ? body.n / 2 + 2 : PVE_NODES_MAX;
    size = vmops_json_arena_size(body.n)
           + nodes * (sizeof(vmops_json_t) + 32);
    pve->memory = malloc(size);
    pve->memory_n = size;

    if (pve->memory == NULL) {
        return -1;
    }

    vmops_arena_init(&arena, pve->memory, size);

    if (vmops_json_parse_nodes(&root, &arena, body, nodes) != VMOPS_JSON_OK) {
        return -1;
    }

    reply->data = vmops_json_get(root, "data");
    reply->errors = vmops_json_get(root, "errors");
    reply->total = vmops_json_get(root, "total");

    return reply->data != NULL || reply->status / 100 != 2 ? 0 : -1;
}


static void
no_answer(pve_t *pve, pve_mode_t mode, const net_fail_t *fail)
{
    act_t  *act = pve->act;

    if (fail->code == VMOPS_CMDERR_cancelled && act_interrupted(act) != 0) {
        return;
    }

    act_fail(act, fail->code, (int) fail->stage, NULL);

    /* it was sent: whether it was carried out nobody here knows */
    if (mode == PVE_CHANGE && fail->stage == VMOPS_STAGE_HTTP) {
        act->end.status = VMOPS_ST_INDETERMINATE;
    }

    act_route(act, fail, -1);
}


/* How long an answer is waited for, as plat_boot_ms(). */

static uint64_t
answer_by(const act_t *act, pve_mode_t mode)
{
    uint64_t  limit = plat_boot_ms();

    if (mode == PVE_CHANGE) {
        limit += CHANGE_MS;

    } else if (act->upid.p != NULL) {
        limit += FOLLOW_MS;

    } else {
        return act->deadline;
    }

    return act->deadline < limit ? act->deadline : limit;
}


static pve_rc_t
call(pve_t *pve, pve_mode_t mode, const char *method, const char *path,
    const char *form, pve_reply_t *reply)
{
    char            url[PVE_PATH_MAX + 16];
    net_fail_t      fail;
    http_reply_t    answer;
    http_request_t  req;

    memset(reply, 0, sizeof(*reply));
    memset(&req, 0, sizeof(req));
    snprintf(url, sizeof(url), "/api2/json%s", path);

    req.method = method;
    req.path = url;
    req.form = form;
    req.headers = pve->headers;
    req.deadline = answer_by(pve->act, mode);
    req.once = mode == PVE_CHANGE;
    req.unwanted = mode == PVE_READ ? act_unwanted : NULL;
    req.data = pve->act;

    if (http_do(pve->http, &req, &answer, &fail) != 0) {
        no_answer(pve, mode, &fail);
        return PVE_ENDED;
    }

    reply->status = answer.status;
    memcpy(reply->reason, answer.reason, sizeof(reply->reason));

    if (answer.connect_ms >= 0 && answer.status != 401) {
        act_route(pve->act, NULL, answer.connect_ms);
    }

    if (read_json(pve, answer.body, reply) != 0 && reply->status / 100 == 2) {
        act_fail(pve->act, VMOPS_CMDERR_target_error, VMOPS_STAGE_HTTP,
                 "bad_answer");
        if (mode == PVE_CHANGE) {
            pve->act->end.status = VMOPS_ST_INDETERMINATE;
        }
        return PVE_ENDED;
    }

    return reply->status / 100 == 2 ? PVE_OK : PVE_REFUSED;
}


pve_rc_t
pve_call(pve_t *pve, pve_mode_t mode, const char *method, const char *path,
    const char *form, pve_reply_t *reply)
{
    pve_rc_t  rc;

    if (pve->signed_in != 0 && plat_boot_ms() - pve->signed_in > RENEW_MS
        && sign_in(pve) != 0)
    {
        return PVE_ENDED;
    }

    rc = call(pve, mode, method, path, form, reply);

    /* a ticket that was good before is no more: nothing was done with it */
    if (rc == PVE_REFUSED && reply->status == 401 && pve->proven) {
        if (sign_in(pve) != 0) {
            return PVE_ENDED;
        }
        rc = call(pve, mode, method, path, form, reply);
    }

    pve->proven = pve->signed_in != 0 && rc == PVE_OK;

    return rc;
}


void
pve_guest_path(char path[PVE_PATH_MAX], const pve_t *pve, const char *rest)
{
    const vmops_target_t  *t = &pve->act->cmd->target;

    snprintf(path, PVE_PATH_MAX, "/nodes/%s/%s/%u%s", pve->node,
             vmops_guest_name(t->guest), t->vmid, rest);
}
