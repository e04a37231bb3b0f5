
/* Results. */

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "receipt.h"
#include "redact.h"
#include "vmops_banned.h"


#define KEEP_MS  500        /* between two tries to write */

struct receipt_s {
    vmops_uuid_t   id;
    uint8_t        made;
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

    /* the clock may have been set back meanwhile */
    if (r->finished < r->started) {
        r->finished = r->started;
    }

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
receipt_new(void)
{
    return mem_new(sizeof(receipt_t));
}


void
receipt_free(receipt_t *receipt)
{
    free(receipt);
}


void
receipt_make(receipt_t *receipt, agent_t *agent, const vmops_cmd_t *cmd,
    vmops_span_t payload, const outcome_t *outcome)
{
    vmops_result_t  r;

    fill(&r, cmd, payload, outcome);

    receipt->id = cmd->id;
    receipt->made = compose(receipt->buf, &receipt->text, &r) == 0
                    && vmops_payload_sign(receipt->sig, VMOPS_SIGNED_RESULT,
                                          agent->id->tenant16,
                                          &agent->id->agent, NULL,
                                          receipt->text, agent->id->ed_sk) == 0
                    && text_copy(receipt->error, sizeof(receipt->error),
                                 r.error_code) == 0;
    receipt->status = vmops_status_name(r.status);
}


void
receipt_row(const receipt_t *r, journal_row_t *row)
{
    row->status = vmops_span_str(r->status);
    row->error = r->error[0] != '\0' ? vmops_span_str(r->error)
                                     : vmops_span(NULL, 0);
    row->result = r->text;
    row->result_sig = vmops_span(r->sig, sizeof(r->sig));
}


static int
end_written(agent_t *agent, const receipt_t *r)
{
    journal_row_t  row;

    receipt_row(r, &row);

    return journal_ended(agent->db, &r->id, &row) == 0;
}


void
receipt_keep(agent_t *agent, const receipt_t *r, const atomic_int *stopping)
{
    int  written;

    if (!r->made) {
        log_event(LOG_ERROR, "result_not_made", LOG_UUID("command", &r->id));
        return;
    }

    written = end_written(agent, r);

    if (!written) {
        log_event(LOG_ERROR, "result_not_written",
                  LOG_UUID("command", &r->id));
    }

    while (!written && !plat_stop_asked() && !db_damaged(agent->db)
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

    channel_outbox(agent->channel);
}
