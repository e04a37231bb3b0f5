
/* Rows of before: what they come to, and whether they are what was written. */

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "recover.h"
#include "vmops_banned.h"


/* A row that has to end; what a walk cannot do itself is collected first. */

typedef struct left_s  left_t;

struct left_s {
    left_t          *next;
    int64_t          rowid;
    uint8_t          damaged;
    journal_state_t  state;
    uint64_t         started;
    uint8_t          sig[VMOPS_SIG];    /* of the cmd frame */
    size_t           key_id_n;
    size_t           n;
    uint8_t          payload[];         /* and key_id behind it */
};

typedef struct {
    agent_t         *agent;
    left_t          *list;
} collect_t;


/*
 * The order of a row: 1 and *cmd, whose spans point into the row and *memory
 * (to be given to free()); 0: it is not what the server signed; -1: no memory.
 */

static int
order_read(const agent_t *agent, vmops_cmd_t *cmd, uint8_t **memory,
    vmops_span_t payload, vmops_span_t key_id, vmops_span_t sig)
{
    size_t             size;
    vmops_arena_t      arena;
    const identity_t  *id = agent->id;

    *memory = NULL;

    if (payload.n == 0 || payload.n > VMOPS_CMD_PAYLOAD_MAX
        || sig.n != VMOPS_SIG)
    {
        return 0;
    }

    /* of an order by the key before this one the form has to do */
    if (vmops_span_is(key_id, id->command_key_id)
        && vmops_payload_verify(sig.p, VMOPS_SIGNED_CMD, id->tenant16,
                                &id->agent, NULL, payload, id->command_pk)
           != 0)
    {
        return 0;
    }

    size = vmops_json_arena_size(payload.n);
    *memory = malloc(size);
    if (*memory == NULL) {
        return -1;
    }

    vmops_arena_init(&arena, *memory, size);

    if (vmops_cmd_parse(cmd, &arena, payload) == 0) {
        return 1;
    }

    free(*memory);
    *memory = NULL;

    return 0;
}


static int
order_holds(const agent_t *agent, const journal_row_t *row)
{
    int           rc;
    uint8_t      *memory;
    vmops_cmd_t   cmd;

    rc = order_read(agent, &cmd, &memory, row->payload, row->key_id, row->sig);
    if (rc == 1) {
        rc = vmops_uuid_eq(&cmd.id, &row->id) && cmd.seq == row->seq;
    }

    free(memory);

    return rc;
}


int
recover_holds(const agent_t *agent, const journal_row_t *row, int *order)
{
    int             holds;
    size_t          size;
    uint8_t         hash[VMOPS_HASH];
    uint8_t        *memory;
    vmops_arena_t   arena;
    vmops_result_t  r;

    if (!row->whole || row->result.n == 0
        || row->result.n > VMOPS_RESULT_PAYLOAD_MAX
        || row->result_sig.n != VMOPS_SIG
        || vmops_payload_verify(row->result_sig.p, VMOPS_SIGNED_RESULT,
                                agent->id->tenant16, &agent->id->agent, NULL,
                                row->result, agent->id->ed_pk) != 0)
    {
        return 0;
    }

    size = vmops_json_arena_size(row->result.n);
    memory = malloc(size);
    if (memory == NULL) {
        return -1;
    }

    vmops_arena_init(&arena, memory, size);
    holds = vmops_result_parse(&r, &arena, row->result) == 0
            && vmops_uuid_eq(&r.id, &row->id);

    if (holds) {
        vmops_hash(hash, row->payload);
        *order = memcmp(hash, r.cmd_hash, sizeof(hash)) == 0;
    }

    free(memory);

    return holds;
}


static int
collect(collect_t *c, const journal_row_t *row, int damaged)
{
    left_t  *left;

    left = mem_new(sizeof(*left) + row->payload.n + row->key_id.n);
    if (left == NULL) {
        return -1;
    }

    left->rowid = row->rowid;
    left->damaged = (uint8_t) damaged;
    left->state = row->state;
    left->started = row->started;
    left->n = row->payload.n;
    left->key_id_n = row->key_id.n;

    if (row->payload.n > 0) {
        memcpy(left->payload, row->payload.p, row->payload.n);
    }
    if (row->key_id.n > 0) {
        memcpy(left->payload + left->n, row->key_id.p, row->key_id.n);
    }
    if (row->sig.n == VMOPS_SIG) {
        memcpy(left->sig, row->sig.p, VMOPS_SIG);
    }

    left->next = c->list;
    c->list = left;

    return 0;
}


static int
collect_open(void *data, const journal_row_t *row)
{
    int         holds;
    collect_t  *c = data;

    holds = row->whole ? order_holds(c->agent, row) : 0;
    if (holds < 0) {
        return -1;
    }

    /* session_cmd.c follows it again */
    if (holds && row->state == JOURNAL_FOLLOWED) {
        return 0;
    }

    return collect(c, row, !holds);
}


static int
collect_ended(void *data, const journal_row_t *row)
{
    int         holds, order;
    collect_t  *c = data;

    holds = recover_holds(c->agent, row, &order);

    return holds < 0 ? -1 : holds ? 0 : collect(c, row, 1);
}


/* Of a damaged one nobody knows how it ended. */

static void
compose(agent_t *agent, receipt_t *receipt, const left_t *left,
    const vmops_cmd_t *cmd)
{
    outcome_t  o;

    memset(&o, 0, sizeof(o));
    o.status = !left->damaged && left->state == JOURNAL_ACCEPTED
               ? VMOPS_ST_FAILED : VMOPS_ST_INDETERMINATE;
    o.error = left->damaged ? VMOPS_CMDERR_journal_damaged
                            : VMOPS_CMDERR_agent_restarted;
    o.stage = -1;
    o.started = left->damaged ? 0 : left->started;

    receipt_make(receipt, agent, cmd, vmops_span(left->payload, left->n), &o);
}


static int
set_aside(agent_t *agent, const receipt_t *receipt, const left_t *left,
    const vmops_cmd_t *cmd)
{
    journal_row_t  row;

    memset(&row, 0, sizeof(row));

    if (cmd != NULL) {
        row.payload = vmops_span(left->payload, left->n);
        row.key_id = vmops_span(left->payload + left->n, left->key_id_n);
        row.sig = vmops_span(left->sig, sizeof(left->sig));
        receipt_row(receipt, &row);
    }

    if (journal_set_aside(agent->db, left->rowid, cmd, &row) != 0) {
        return -1;
    }

    if (cmd == NULL) {
        log_event(LOG_ERROR, "journal_row_damaged",
                  LOG_NUM("row", left->rowid), LOG_CODE("command", NULL));
        return 0;
    }

    log_event(LOG_ERROR, "journal_row_damaged", LOG_NUM("row", left->rowid),
              LOG_UUID("command", &cmd->id));
    channel_outbox(agent->channel);

    return 0;
}


static int
conclude(agent_t *agent, receipt_t *receipt, const left_t *left)
{
    int           rc;
    uint8_t      *memory;
    vmops_cmd_t   cmd;

    rc = order_read(agent, &cmd, &memory, vmops_span(left->payload, left->n),
                    vmops_span(left->payload + left->n, left->key_id_n),
                    vmops_span(left->sig, sizeof(left->sig)));
    if (rc < 0) {
        return -1;
    }

    if (rc == 1) {
        compose(agent, receipt, left, &cmd);
    }

    if (left->damaged) {
        rc = set_aside(agent, receipt, left, rc == 1 ? &cmd : NULL);

    } else {
        receipt_keep(agent, receipt, NULL);
        rc = 0;
    }

    free(memory);

    return rc;
}


static int
conclude_all(collect_t *c)
{
    int         rc = 0;
    left_t     *left;
    receipt_t  *receipt = receipt_new();

    while ((left = c->list) != NULL) {
        c->list = left->next;
        if (receipt == NULL || conclude(c->agent, receipt, left) != 0) {
            rc = -1;
        }
        free(left);
    }

    receipt_free(receipt);

    return receipt != NULL ? rc : -1;
}


int
recover_open(agent_t *agent)
{
    int        rc;
    collect_t  c = { agent, NULL };

    rc = journal_open_ones(agent->db, collect_open, &c);
    if (rc != 0) {
        log_event(LOG_ERROR, "journal_unreadable");
    }

    return conclude_all(&c) == 0 ? rc : -1;
}


int
recover_outbox(agent_t *agent)
{
    int        rc;
    collect_t  c = { agent, NULL };

    rc = journal_outbox(agent->db, collect_ended, &c);

    return conclude_all(&c) == 0 ? rc : -1;
}
