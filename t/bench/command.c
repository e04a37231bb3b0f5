
/*
 * A command at the agent: the checks of a real one (signature, form, target,
 * time, sequence), ack, and a signed result.  There is no Proxmox behind it.
 */

#include "bench.h"
#include "vmops_banned.h"


unsigned  verify_every = 1;

static uint8_t  result_payload[VMOPS_PAYLOAD_MAX];


static int
command_holds(agent_t *a, const vmops_signed_frame_t *f, vmops_cmd_t *cmd,
    vmops_arena_t *arena)
{
    if (counts.commands % verify_every == 0) {
        counts.verified++;

        if (vmops_payload_verify(f->sig, VMOPS_SIGNED_CMD, a->tenant->id,
                                 &a->id, NULL, f->payload, command_pk)
            != 0)
        {
            return 0;
        }
    }

    return vmops_cmd_parse(cmd, arena, f->payload) == 0
           && cmd->seq > a->last_seq
           && cmd->exp > now_ms();
}


static void
command_ack(agent_t *a, const vmops_cmd_t *cmd)
{
    vmops_msg_t  m;

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_ACK;
    m.u.ack.id = cmd->id;
    m.u.ack.accepted = 1;
    agent_send_msg(a, &m);
}


static void
command_result(agent_t *a, const vmops_cmd_t *cmd, vmops_span_t payload,
    uint64_t started)
{
    vmops_msg_t     m;
    vmops_result_t  r;

    memset(&r, 0, sizeof(r));
    r.id = cmd->id;
    r.status = VMOPS_ST_SUCCEEDED;
    r.started = started;
    r.finished = now_ms();
    r.result.text = vmops_span_str("{\"status\":\"running\",\"cpus\":2,"
                                   "\"uptime\":86400,\"maxmem\":2147483648}");
    memcpy(r.secrets, cmd->secrets, sizeof(r.secrets));
    r.secrets_n = cmd->secrets_n;
    vmops_hash(r.cmd_hash, payload);

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_RESULT;
    m.u.result.id = cmd->id;

    if (vmops_result_write(result_payload, sizeof(result_payload),
                           &m.u.result.signed_.payload, &r)
        != 0
        || vmops_payload_sign(m.u.result.signed_.sig, VMOPS_SIGNED_RESULT,
                              a->tenant->id, &a->id, NULL,
                              m.u.result.signed_.payload, a->sk)
           != 0)
    {
        fatal("cannot write a result");
    }

    agent_send_msg(a, &m);
}


void
agent_command(agent_t *a, const vmops_signed_frame_t *f, vmops_arena_t *arena)
{
    uint64_t     started = now_ms();
    vmops_cmd_t  cmd;

    if (!command_holds(a, f, &cmd, arena)) {
        counts.refused++;
        return;
    }

    counts.commands++;
    a->last_seq = cmd.seq;

    command_ack(a, &cmd);
    command_result(a, &cmd, f->payload, started);
}
