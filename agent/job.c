
/* One command: policy, secret, handler, receipt. */

#include <stdlib.h>
#include <string.h>

#include "actions/actions.h"
#include "job.h"
#include "journal.h"
#include "log.h"
#include "policy.h"
#include "vmops_utf8.h"
#include "vmops_banned.h"


#define WAIT_STEP_MS      100
#define PROGRESS_MS       500
#define LEAK_LINE         "[leak_blocked]"


job_t *
job_new(vmops_span_t payload, uint64_t deadline, vmops_span_t upid)
{
    job_t          *job;
    size_t          size = vmops_json_arena_size(payload.n);
    uint8_t        *p;
    vmops_arena_t   arena;

    job = mem_new(sizeof(*job));
    if (job == NULL) {
        return NULL;
    }

    job->memory = malloc(payload.n + upid.n + size);
    if (job->memory == NULL) {
        job_free(job);
        return NULL;
    }

    p = job->memory;
    memcpy(p, payload.p, payload.n);
    job->payload = vmops_span(p, payload.n);
    p += payload.n;

    if (upid.n > 0) {
        memcpy(p, upid.p, upid.n);
        job->upid = vmops_span(p, upid.n);
        p += upid.n;
    }

    job->deadline = deadline;
    vmops_arena_init(&arena, p, size);

    if (vmops_cmd_parse(&job->cmd, &arena, job->payload) != 0) {
        job_free(job);
        return NULL;
    }

    return job;
}


void
job_free(job_t *job)
{
    if (job != NULL) {
        free(job->memory);
        free(job);
    }
}


int
job_room_open(job_room_t *room)
{
    room->receipt = receipt_new();
    room->result = malloc(VMOPS_RESULT_PAYLOAD_MAX);

    return room->receipt != NULL && room->result != NULL ? 0 : -1;
}


void
job_room_close(job_room_t *room)
{
    receipt_free(room->receipt);
    free(room->result);
}


void
job_locate(job_t *job, vault_t *vault)
{
    vmops_uuid_t   id;
    vault_entry_t  e;

    if (vmops_secret_ref_parse(&id, job->cmd.secrets[0].ref) == 0
        && vault_entry(vault, &id, &e) == 0)
    {
        memcpy(job->host, e.endpoint.host, sizeof(job->host));
        job->port = e.endpoint.port;
    }
}


static int
same_endpoint(const job_t *a, const job_t *b)
{
    return a->port == 0 || b->port == 0
           || (a->port == b->port && strcmp(a->host, b->host) == 0);
}


int
job_same_guest(const job_t *a, const job_t *b)
{
    const vmops_target_t  *s = &a->cmd.target;
    const vmops_target_t  *t = &b->cmd.target;

    if (!s->present || !t->present) {
        return 0;
    }

    /* the nodes of a cluster are endpoints of the same guests */
    return vmops_uuid_eq(&s->vm_uuid, &t->vm_uuid)
           || (s->vmid == t->vmid && s->guest == t->guest
               && same_endpoint(a, b));
}


/* For handlers: act.h. */

int
act_cancelled(act_t *act)
{
    return act->job->cancelled;
}


void
act_cancel_taken(act_t *act)
{
    act->job->cancelled = 0;
}


int
act_unwanted(void *act)
{
    const act_t  *a = act;

    return a->job->cancelled || *a->job->stopping;
}


int
act_interrupted(act_t *act)
{
    if (act->job->cancelled) {
        act->end.status = VMOPS_ST_CANCELLED;
        act->end.error = VMOPS_CMDERR_cancelled;

    } else if (*act->job->stopping) {
        act->end.error = VMOPS_CMDERR_agent_restarted;

        /* a task is followed again by the next start */
        act->detached = act->upid.p != NULL;

    } else if (plat_boot_ms() >= act->deadline) {
        act->end.status = VMOPS_ST_TIMED_OUT;
        act->end.error = VMOPS_CMDERR_timeout;

    } else {
        return 0;
    }

    act->end.stage = -1;

    return -1;
}


int
act_wait(act_t *act, uint64_t ms)
{
    uint64_t  now, end = plat_boot_ms() + ms;

    while ((now = plat_boot_ms()) < end) {
        if (act_interrupted(act) != 0) {
            return -1;
        }
        plat_sleep(end - now < WAIT_STEP_MS ? end - now : WAIT_STEP_MS);
    }

    return act_interrupted(act);
}


int
act_effect(act_t *act)
{
    if (act->end.started == 0) {
        act->end.started = plat_wall_ms();
    }

    if (journal_started(act->agent->db, &act->cmd->id) != 0) {
        act_fail(act, VMOPS_CMDERR_agent_storage, -1, NULL);
        return -1;
    }

    return 0;
}


int
act_task(act_t *act, vmops_span_t upid)
{
    if (upid.n > sizeof(act->upid_text)) {
        act_fail(act, VMOPS_CMDERR_target_error, VMOPS_STAGE_HTTP, "bad_upid");
        return -1;
    }

    memcpy(act->upid_text, upid.p, upid.n);
    act->upid = vmops_span(act->upid_text, upid.n);

    act->unwritten = 1;
    act_task_keep(act);

    return 0;
}


void
act_task_keep(act_t *act)
{
    if (!act->unwritten) {
        return;
    }

    act->unwritten =
        journal_followed(act->agent->db, &act->cmd->id, act->upid) != 0;

    if (act->unwritten) {
        log_event(LOG_ERROR, "upid_not_written",
                  LOG_UUID("command", &act->cmd->id));
    }
}


void
act_progress(act_t *act, int percent, const char *stage, vmops_span_t message)
{
    uint8_t      text[VMOPS_MESSAGE_MAX];
    uint64_t     now = plat_boot_ms();
    vmops_msg_t  m;

    if (now - act->progress_at < PROGRESS_MS && act->progress_at != 0) {
        return;
    }

    act->progress_at = now;
    if (percent >= 0) {
        act->percent = (uint8_t) percent;
    }

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_PROGRESS;
    m.u.progress.id = act->cmd->id;
    m.u.progress.percent = act->percent;
    m.u.progress.stage = vmops_span_str(stage);
    m.u.progress.message =
        vmops_span(text, vmops_utf8_clean(text, sizeof(text), message));

    channel_post(act->agent->channel, &m);
}


void
act_log(act_t *act, vmops_span_t line)
{
    uint8_t      text[VMOPS_LINE_MAX];
    vmops_msg_t  m;

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_LOG;
    m.u.log.id = act->cmd->id;
    m.u.log.line =
        vmops_span(text, vmops_utf8_clean(text, sizeof(text), line));

    if (channel_post(act->agent->channel, &m) != 0) {
        m.u.log.line = vmops_span_str(LEAK_LINE);
        channel_post(act->agent->channel, &m);
    }
}


void
act_route(act_t *act, const net_fail_t *fail, int64_t latency_ms)
{
    vmops_uuid_t   id;
    vmops_route_t  route;

    memset(&route, 0, sizeof(route));
    route.ok = fail == NULL;
    route.stage = (uint8_t) (fail != NULL ? fail->stage : VMOPS_STAGE_HTTP);
    route.latency_ms = latency_ms;
    route.checked_ms = (int64_t) plat_wall_ms();

    if (fail != NULL) {
        route.code = vmops_span_str(vmops_command_error_info(fail->code)
                                    ->code);
    }

    if (vmops_secret_ref_parse(&id, act->cmd->secrets[0].ref) == 0
        && routes_set(act->agent->routes, &id, &route))
    {
        plat_wake(act->agent->waker);
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

    if (detail != NULL
        && text_copy(act->detail, sizeof(act->detail), vmops_span_str(detail))
           == 0)
    {
        act->end.detail = act->detail;
    }
}


/* What the policy of this PC says; 0: go on. */

static int
judge_policy(act_t *act)
{
    policy_t          policy;
    policy_verdict_t  verdict;

    if (policy_load(&policy, act->agent->home) != POLICY_OK) {
        log_event(LOG_ERROR, "policy_unreadable");
    }

    verdict = policy_decide(&policy, act->action->class_bit,
                            act->cmd->target.present ? act->cmd->target.vmid
                                                     : 0);
    if (verdict == POLICY_ALLOW) {
        return 0;
    }

    /* without a desktop there is nobody to ask: "ask" is a no of the policy */
    act_fail(act, VMOPS_CMDERR_policy_denied, -1, NULL);
    act->end.status = VMOPS_ST_REJECTED;

    return -1;
}


/* What the secret says of itself; 0: go on. */

static int
judge_secret(act_t *act)
{
    const vmops_cmd_t     *cmd = act->cmd;
    const vmops_secret_t  *s = &act->secret->s;

    if (vmops_secret_allows_class(s, act->action->class_bit)
        && vmops_secret_allows_time(s, plat_wall_ms())
        && (!cmd->target.present
            || vmops_secret_allows_vmid(s, cmd->target.vmid)))
    {
        return 0;
    }

    act_fail(act, VMOPS_CMDERR_secret_not_allowed, -1, NULL);

    return -1;
}


static int
open_secret(act_t *act, opened_t *o)
{
    int                     rc;
    vmops_uuid_t            id;
    sealed_secret_t        *sealed;
    vault_entry_t           e;
    vmops_command_error_t   error = VMOPS_CMDERR_internal;

    sealed = malloc(sizeof(*sealed));
    if (sealed == NULL
        || vmops_secret_ref_parse(&id, act->cmd->secrets[0].ref) != 0)
    {
        free(sealed);
        act_fail(act, error, -1, NULL);
        return -1;
    }

    rc = channel_secret(act->agent->channel, &id, act->cmd->secrets[0].version,
                        act->deadline, act_unwanted, act, sealed, &error);

    if (rc == 0
        && vault_entry(act->agent->vault, &id, &e) == 0
        && vmops_kind_family(e.kind) != (vmops_family_t) act->action->service)
    {
        error = VMOPS_CMDERR_secret_not_allowed;
        rc = -1;
    }

    if (rc == 0) {
        rc = vault_unseal(act->agent->vault, &id, act->cmd->secrets[0].version,
                          sealed, o, &error);
    }

    free(sealed);

    if (rc == 0) {
        act->secret = o;

    } else if (act_interrupted(act) == 0) {
        act_fail(act, error, -1, NULL);
    }

    return rc;
}


/* What the handler left, as far as it is one whole value. */

static void
take_result(act_t *act)
{
    vmops_span_t  result;

    if (vmops_jw_done(&act->result, &result) == 0 && result.n > 0) {
        act->end.result = result;
    }
}


static void
carry_out(act_t *act, opened_t *o)
{
    if (act_interrupted(act) != 0 || open_secret(act, o) != 0
        || judge_secret(act) != 0)
    {
        /* of a task that was begun before a restart nothing is known */
        if (act->upid.p != NULL) {
            act->end.status = VMOPS_ST_INDETERMINATE;
        }
        return;
    }

    if (act->end.started == 0) {
        act->end.started = plat_wall_ms();
    }

    act_handler(act->action)(act);
    take_result(act);
}


void
job_run(agent_t *agent, job_t *job, const job_room_t *room)
{
    act_t     act;
    opened_t  o;

    memset(&o, 0, sizeof(o));
    memset(&act, 0, sizeof(act));
    act.cmd = &job->cmd;
    act.action = vmops_action_find(job->cmd.service, job->cmd.action);
    act.deadline = job->deadline;
    act.upid = job->upid;
    act.agent = agent;
    act.job = job;
    act.end.status = VMOPS_ST_FAILED;
    act.end.error = VMOPS_CMDERR_internal;
    act.end.stage = -1;

    if (act.action != NULL) {
        vmops_jw_init(&act.result, room->result, VMOPS_RESULT_PAYLOAD_MAX);

        if (job->upid.p != NULL || judge_policy(&act) == 0) {
            carry_out(&act, &o);
        }
    }

    /* while the secret is open the receipt is searched for it */
    if (!act.detached) {
        receipt_make(room->receipt, agent, act.cmd, job->payload, &act.end);
    }

    vault_close(&o);

    if (!act.detached) {
        receipt_keep(agent, room->receipt, job->stopping);
    }
}
