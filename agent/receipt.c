
/* Results. */

#include <stdlib.h>
#include <string.h>

#include "journal.h"
#include "log.h"
#include "receipt.h"
#include "redact.h"
#include "vmops_banned.h"


#define KEEP_MS  500        /* between two tries to write */

struct receipt_s {
    vmops_uuid_t   id;
    const char    *status;
    char           error[VMOPS_CODE_MAX + 1];   /* "": none */
    uint8_t        sig[VMOPS_SIG];
    vmops_span_t   text;                        /* in buf */
    uint8_t        buf[VMOPS_RESULT_PAYLOAD_MAX];
};


static void
fill(vmops_result_t *r, const vmops_cmd_t *cmd, vmops_span_t payload,
    const outcome_t *o)
{
    memset(r, 0, sizeof(*r));

    r->id = cmd->id;
    r->status = (uint8_t) o->status;
    r->started = o->started;
    r->finished = plat_wall_ms();
    r->result.text = o->result;

    if (o->error >= 0) {
        r->error_code = vmops_span_str(
            vmops_command_error_info((unsigned) o->error)->code);
        if (o->stage >= 0) {
            r->error_stage = vmops_span_str(
                vmops_stage_name((unsigned) o->stage));
        }
        if (o->detail != NULL) {
            r->error_detail_code = vmops_span_str(o->detail);
        }
    }

    memcpy(r->secrets, cmd->secrets, sizeof(r->secrets));
    r->secrets_n = cmd->secrets_n;
    vmops_hash(r->cmd_hash, payload);
}


/* Without its result, when that cannot go out. */

static void
withhold(vmops_result_t *r, vmops_command_error_t error)
{
    memset(&r->result, 0, sizeof(r->result));
    r->error_code = vmops_span_str(vmops_command_error_info(error)->code);
    memset(&r->error_stage, 0, sizeof(r->error_stage));
    memset(&r->error_detail_code, 0, sizeof(r->error_detail_code));
}


static int
compose(uint8_t *buf, vmops_span_t *out, vmops_result_t *r)
{
    int  rc;

    rc = vmops_result_write(buf, VMOPS_RESULT_PAYLOAD_MAX, out, r);

    if (rc == 0 && redact_found_json(*out)) {
        log_event(LOG_ERROR, "leak_blocked", LOG_CODE("type", "result"),
                  LOG_UUID("command", &r->id));
        withhold(r, VMOPS_CMDERR_leak_blocked);

    } else if (rc == 0) {
        return 0;

    } else {
        withhold(r, VMOPS_CMDERR_internal);
    }

    return vmops_result_write(buf, VMOPS_RESULT_PAYLOAD_MAX, out, r);
}


receipt_t *
receipt_make(agent_t *agent, const vmops_cmd_t *cmd, vmops_span_t payload,
    const outcome_t *outcome)
{
    receipt_t       *receipt;
    vmops_result_t   r;

    receipt = malloc(sizeof(*receipt));
    if (receipt == NULL) {
        return NULL;
    }

    fill(&r, cmd, payload, outcome);

    if (compose(receipt->buf, &receipt->text, &r) != 0
        || vmops_payload_sign(receipt->sig, VMOPS_SIGNED_RESULT,
                              agent->id->tenant16, &agent->id->agent, NULL,
                              receipt->text, agent->id->ed_sk) != 0
        || text_copy(receipt->error, sizeof(receipt->error), r.error_code)
           != 0)
    {
        free(receipt);
        return NULL;
    }

    receipt->id = cmd->id;
    receipt->status = vmops_status_name(r.status);

    return receipt;
}


static int
end_written(agent_t *agent, const receipt_t *r)
{
    vmops_span_t  none = vmops_span(NULL, 0);

    return journal_ended(agent->db, &r->id, r->status,
                         r->error[0] != '\0' ? vmops_span_str(r->error) : none,
                         r->text, r->sig) == 0;
}


void
receipt_keep(agent_t *agent, receipt_t *r, const atomic_int *stopping)
{
    int  written;

    if (r == NULL) {
        log_event(LOG_ERROR, "result_not_made");
        return;
    }

    written = end_written(agent, r);

    if (!written) {
        log_event(LOG_ERROR, "result_not_written",
                  LOG_UUID("command", &r->id));
    }

    while (!written && !plat_stop_asked()
           && (stopping == NULL || !*stopping))
    {
        plat_sleep(KEEP_MS);
        written = end_written(agent, r);
    }

    if (written) {
        log_event(LOG_INFO, "command_ended", LOG_UUID("command", &r->id),
                  LOG_CODE("status", r->status),
                  LOG_CODE("error", r->error[0] != '\0' ? r->error : NULL));
    }

    free(r);
    channel_outbox(agent->channel);
}


typedef struct left_s  left_t;

struct left_s {
    left_t          *next;
    journal_state_t  state;
    uint64_t         started;
    size_t           n;
    uint8_t          payload[];
};


static int
collect(void *data, const journal_row_t *row)
{
    left_t  *left, **list = data;

    if (row->state == JOURNAL_FOLLOWED) {
        return 0;
    }

    left = malloc(sizeof(*left) + row->payload.n);
    if (left == NULL) {
        return -1;
    }

    left->next = *list;
    left->state = row->state;
    left->started = row->started;
    left->n = row->payload.n;
    memcpy(left->payload, row->payload.p, row->payload.n);
    *list = left;

    return 0;
}


static void
conclude(agent_t *agent, const left_t *left)
{
    uint8_t       *memory;
    size_t         size = vmops_json_arena_size(left->n);
    outcome_t      o;
    vmops_cmd_t    cmd;
    vmops_span_t   payload = vmops_span(left->payload, left->n);
    vmops_arena_t  arena;

    memory = malloc(size);
    if (memory == NULL) {
        return;
    }

    memset(&o, 0, sizeof(o));
    o.status = left->state == JOURNAL_ACCEPTED ? VMOPS_ST_FAILED
                                               : VMOPS_ST_INDETERMINATE;
    o.error = VMOPS_CMDERR_agent_restarted;
    o.stage = -1;
    o.started = left->started;

    vmops_arena_init(&arena, memory, size);
    if (vmops_cmd_parse(&cmd, &arena, payload) == 0) {
        receipt_keep(agent, receipt_make(agent, &cmd, payload, &o), NULL);
    }

    free(memory);
}


void
receipt_recover(agent_t *agent)
{
    left_t  *left, *list = NULL;

    if (journal_open_ones(agent->db, collect, &list) != 0) {
        log_event(LOG_ERROR, "journal_unreadable");
    }

    while ((left = list) != NULL) {
        list = left->next;
        conclude(agent, left);
        free(left);
    }
}
