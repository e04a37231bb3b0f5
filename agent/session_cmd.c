
/* Orders: checked, journalled, handed on; signed control. */

#include <stdlib.h>
#include <string.h>

#include "journal.h"
#include "log.h"
#include "run_state.h"
#include "session_parts.h"
#include "vmops_action.h"
#include "vmops_banned.h"


#define RESUME_MS  30000    /* at least, for a task that is followed again */

static const char  invalid[] = "command_invalid";
static const char  expired[] = "command_expired";
static const char  storage[] = "agent_storage";
static const char  internal[] = "internal";


static int
send_ack(session_t *s, const vmops_uuid_t *id, const char *rejected)
{
    vmops_msg_t  m;

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_ACK;
    m.u.ack.id = *id;
    m.u.ack.accepted = rejected == NULL;
    m.u.ack.code = vmops_span_str(rejected);

    log_event(rejected == NULL ? LOG_INFO : LOG_WARN, "command_ack",
              LOG_UUID("command", id), LOG_CODE("rejected", rejected));

    return session_send(s, &m);
}


/* A time of the server's on our clock, which counts suspend. */

static uint64_t
boot_time(const session_t *s, uint64_t server_ms)
{
    if (server_ms >= s->server_ms) {
        return s->boot_ms + (server_ms - s->server_ms);
    }

    return s->boot_ms > s->server_ms - server_ms
           ? s->boot_ms - (s->server_ms - server_ms) : 0;
}


/* A task call has the target of the command it refers to, or like that none. */

static int
target_fits(const vmops_action_t *action, const vmops_cmd_t *cmd)
{
    return action->scope == VMOPS_SCOPE_TASK
           || cmd->target.present == (action->scope == VMOPS_SCOPE_VM);
}


/* The agent trusts no server with the form of an order. */

static int
well_formed(const vmops_cmd_t *cmd)
{
    vmops_json_error_t     err;
    const vmops_action_t  *action;

    action = vmops_action_find(cmd->service, cmd->action);
    if (action == NULL) {
        return 0;
    }

    vmops_json_error_init(&err, "/params");

    return vmops_action_check(action, cmd->params.node, &err) == 0
           && target_fits(action, cmd)
           && cmd->secrets_n > 0
           && cmd->secrets[0].family == (uint8_t) action->service;
}


static int
take_in(session_t *s, const vmops_cmd_t *cmd, const vmops_signed_frame_t *m)
{
    int          rc = 0;
    job_t       *job = NULL;
    uint64_t     deadline = boot_time(s, cmd->exp);
    agent_t     *agent = s->agent;
    const char  *unfit;

    unfit = !well_formed(cmd) ? invalid
            : deadline <= plat_boot_ms() ? expired : NULL;

    /* what it needs is there before it is in the journal, or it is not taken */
    if (unfit == NULL) {
        job = job_new(m->payload, deadline, vmops_span(NULL, 0));
        unfit = job == NULL ? internal : NULL;
    }

    switch (journal_intake(agent->db, cmd, m, unfit == NULL)) {

    case INTAKE_NEW:
        if (send_ack(s, &cmd->id, NULL) != 0) {
            s->close_with = VMOPS_CLOSE_GOING_AWAY;
        }
        executor_submit(s->executor, job);
        return 0;

    case INTAKE_ENDED:
        journal_again(agent->db, &cmd->id);
        s->outbox_due = 1;
        rc = send_ack(s, &cmd->id, NULL);
        break;

    case INTAKE_KNOWN:
        rc = send_ack(s, &cmd->id, NULL);
        break;

    case INTAKE_REPLAY:
        rc = send_ack(s, &cmd->id, invalid);
        break;

    case INTAKE_UNFIT:
        rc = send_ack(s, &cmd->id, unfit);
        break;

    case INTAKE_UNWRITTEN:
        rc = send_ack(s, &cmd->id, storage);
        break;

    case INTAKE_ERROR:
        /* nothing is known of it, so nothing is said; it stays delivered */
        log_event(LOG_ERROR, "journal_failed", LOG_UUID("command", &cmd->id));
        break;
    }

    job_free(job);

    return rc;
}


/* Signed, but of a form this version does not know: say so, if it has an id. */

static int
reject_unknown_form(session_t *s, vmops_span_t payload, uint8_t *memory,
    size_t size)
{
    vmops_uuid_t         id;
    vmops_span_t         text;
    vmops_arena_t        arena;
    const vmops_json_t  *root;

    vmops_arena_init(&arena, memory, size);

    if (vmops_json_parse(&root, &arena, payload) != VMOPS_JSON_OK
        || vmops_json_str(vmops_json_get(root, "id"), &text) != 0
        || vmops_uuid_parse(&id, text) != 0)
    {
        log_event(LOG_ERROR, "command_unreadable");
        return 0;
    }

    return send_ack(s, &id, invalid);
}


static int
is_signed(session_t *s, const vmops_signed_frame_t *m, vmops_signed_t what)
{
    const identity_t  *id = s->agent->id;

    if (vmops_span_is(m->key_id, id->command_key_id)
        && vmops_payload_verify(m->sig, what, id->tenant16, &id->agent,
                                &s->session, m->payload, id->command_pk) == 0)
    {
        return 1;
    }

    session_fail(s, VMOPS_CLOSE_POLICY, "bad_signature");

    return 0;
}


int
session_on_cmd(session_t *s, const vmops_signed_frame_t *m)
{
    int             rc;
    size_t          size = vmops_json_arena_size(m->payload.n);
    uint8_t        *memory;
    vmops_cmd_t     cmd;
    vmops_arena_t   arena;

    if (!is_signed(s, m, VMOPS_SIGNED_CMD)) {
        return -1;
    }

    memory = malloc(size);
    if (memory == NULL) {
        session_fail(s, VMOPS_CLOSE_INTERNAL, "internal");
        return -1;
    }

    vmops_arena_init(&arena, memory, size);

    rc = vmops_cmd_parse(&cmd, &arena, m->payload) == 0
         ? take_in(s, &cmd, m)
         : reject_unknown_form(s, m->payload, memory, size);

    free(memory);

    return rc;
}


/* Another key gives the orders from now on: pinned in one write. */

static int
rekey(session_t *s, const vmops_ctl_t *ctl)
{
    char         key_id[VMOPS_KEY_ID_TEXT + 1];
    uint8_t      old[32];
    identity_t  *id = s->agent->id;

    vmops_command_key_id(key_id, ctl->key);
    if (!vmops_span_is(ctl->key_id, key_id)) {
        session_fail(s, VMOPS_CLOSE_POLICY, "bad_rekey");
        return -1;
    }

    memcpy(old, id->command_pk, sizeof(old));
    memcpy(id->command_pk, ctl->key, sizeof(id->command_pk));
    memcpy(id->command_key_id, key_id, sizeof(key_id));

    if (identity_save(id, s->agent->home) != 0) {
        memcpy(id->command_pk, old, sizeof(old));
        vmops_command_key_id(id->command_key_id, old);
        session_fail(s, VMOPS_CLOSE_INTERNAL, "internal");
        return -1;
    }

    log_event(LOG_WARN, "command_key_replaced",
              LOG_CODE("key_id", id->command_key_id));

    return 0;
}


static int
bye(session_t *s, const vmops_ctl_t *ctl)
{
    if (ctl->code == VMOPS_CLOSE_REVOKED || ctl->code == VMOPS_CLOSE_LOCKED) {
        s->ended = 1;
        s->end = ctl->code == VMOPS_CLOSE_REVOKED ? SESSION_REVOKED
                                                  : SESSION_LOCKED;
    }

    log_event(LOG_WARN, "bye", LOG_NUM("code", ctl->code));

    return 0;
}


static int
rotation_asked(session_t *s, const vmops_ctl_t *ctl)
{
    vmops_uuid_t  id;

    if (vmops_secret_ref_parse(&id, ctl->ref) == 0
        && vault_ask_rotation(s->agent->vault, &id) == 0)
    {
        log_event(LOG_WARN, "rotation_asked", LOG_REF("secret", &id));
    }

    return 0;
}


static int
control(session_t *s, const vmops_ctl_t *ctl)
{
    vmops_uuid_t  id;

    switch ((vmops_ctl_do_t) ctl->what) {

    case VMOPS_CTL_CANCEL:
        log_event(LOG_INFO, "cancel", LOG_UUID("command", &ctl->id));
        executor_cancel(s->executor, &ctl->id);
        return 0;

    case VMOPS_CTL_ROTATE:
        return rotation_asked(s, ctl);

    case VMOPS_CTL_PROBE:
        if (vmops_secret_ref_parse(&id, ctl->ref) == 0) {
            prober_ask(s->prober, &id);
        }
        return 0;

    case VMOPS_CTL_REKEY:
        return rekey(s, ctl);

    case VMOPS_CTL_APPROVED:
        s->approved = 1;
        run_state_set(s->agent->home, RUN_ONLINE, NULL);
        log_event(LOG_INFO, "approved");
        return 0;

    case VMOPS_CTL_BYE:
        return bye(s, ctl);

    case VMOPS_CTL_MAX_:
        break;
    }

    return 0;
}


int
session_on_ctl(session_t *s, const vmops_signed_frame_t *m)
{
    uint8_t         memory[8 * VMOPS_CTL_PAYLOAD_MAX + 16384];
    vmops_ctl_t     ctl;
    vmops_arena_t   arena;

    if (!is_signed(s, m, VMOPS_SIGNED_CTL)) {
        return -1;
    }

    vmops_arena_init(&arena, memory, sizeof(memory));

    if (vmops_ctl_parse(&ctl, &arena, m->payload) != 0) {

        /* signed: a later version's */
        log_event(LOG_WARN, "ctl_unknown");
        return 0;
    }

    if (ctl.n <= s->ctl_n) {
        session_fail(s, VMOPS_CLOSE_POLICY, "ctl_replayed");
        return -1;
    }

    s->ctl_n = ctl.n;

    return control(s, &ctl);
}


/* What a walk over the journal cannot do itself is collected first. */

struct resume_s {
    resume_t  *next;
    size_t     payload_n;
    size_t     upid_n;
    uint8_t    bytes[];
};


static int
collect(void *data, const journal_row_t *row)
{
    resume_t   *r;
    session_t  *s = data;

    /* those of this process are under way */
    if (!row->whole || row->state != JOURNAL_FOLLOWED
        || row->seq > s->resume_seq)
    {
        return 0;
    }

    r = malloc(sizeof(*r) + row->payload.n + row->upid.n);
    if (r == NULL) {
        return -1;
    }

    r->payload_n = row->payload.n;
    r->upid_n = row->upid.n;
    memcpy(r->bytes, row->payload.p, row->payload.n);
    memcpy(r->bytes + row->payload.n, row->upid.p, row->upid.n);
    r->next = s->resumes;
    s->resumes = r;

    return 0;
}


/* Its deadline is told by the server's clock: not before a welcome. */

static int
resume(session_t *s, const resume_t *r)
{
    job_t     *job;
    uint64_t   least = plat_boot_ms() + RESUME_MS;

    job = job_new(vmops_span(r->bytes, r->payload_n), 0,
                  vmops_span(r->bytes + r->payload_n, r->upid_n));
    if (job == NULL) {
        return -1;
    }

    job->deadline = boot_time(s, job->cmd.exp);
    if (job->deadline < least) {
        job->deadline = least;
    }

    log_event(LOG_INFO, "task_followed_again", LOG_UUID("command",
                                                        &job->cmd.id));
    executor_submit(s->executor, job);

    return 0;
}


void
session_resumes_free(session_t *s)
{
    resume_t  *r;

    while ((r = s->resumes) != NULL) {
        s->resumes = r->next;
        free(r);
    }
}


void
session_resume_tasks(session_t *s)
{
    resume_t  *r;

    if (!s->resumed) {
        s->resumed = journal_open_ones(s->agent->db, collect, s) == 0;

        /* all of them or none */
        if (!s->resumed) {
            session_resumes_free(s);
        }
    }

    while ((r = s->resumes) != NULL && resume(s, r) == 0) {
        s->resumes = r->next;
        free(r);
    }
}
