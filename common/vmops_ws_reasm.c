/*
 * RFC 6455 section 5.4: frames into messages.
 */

#include "vmops_ws_frame.h"
#include "vmops_banned.h"


void
vmops_ws_reasm_init(vmops_ws_reasm_t *r, vmops_ws_side_t side)
{
    memset(r, 0, sizeof(*r));

    r->side = side;
    r->max_frame = VMOPS_WS_FRAME_MAX;
    r->max_message = VMOPS_WS_MESSAGE_MAX;
    r->max_fragments = VMOPS_WS_FRAGMENTS_MAX;
}


static int
is_control(const vmops_ws_reasm_t *r)
{
    return (r->head.opcode & 0x8) != 0;
}


/* a complete header: does this frame fit where it comes? */

static int
begin_frame(vmops_ws_reasm_t *r)
{
    r->taken = 0;
    r->in_payload = 1;

    if (is_control(r)) {
        return VMOPS_WS_OK;
    }

    if ((r->head.opcode == VMOPS_WS_CONTINUATION) != (r->opcode != 0)) {
        return VMOPS_CLOSE_PROTOCOL;
    }

    if (r->opcode == 0) {
        r->opcode = r->head.opcode;
        r->message = 0;
        r->fragments = 0;
        memset(&r->utf8, 0, sizeof(r->utf8));
    }

    if (++r->fragments > r->max_fragments) {
        return VMOPS_CLOSE_POLICY;
    }

    if (r->message > r->max_message
        || r->head.len > r->max_message - r->message)
    {
        return VMOPS_CLOSE_TOO_BIG;
    }

    r->message += r->head.len;

    return VMOPS_WS_OK;
}


static int
control_payload(vmops_ws_reasm_t *r, const uint8_t *p, size_t n,
    vmops_ws_event_t *ev)
{
    if (n != 0) {
        memcpy(r->control + r->taken, p, n);
    }

    r->taken += n;

    if (r->taken < r->head.len) {
        return VMOPS_WS_OK;
    }

    r->in_payload = 0;

    ev->type = VMOPS_WS_EV_CONTROL;
    ev->opcode = r->head.opcode;
    ev->end = 1;
    ev->data = vmops_span(r->control, (size_t) r->head.len);

    return VMOPS_WS_OK;
}


static int
data_payload(vmops_ws_reasm_t *r, const uint8_t *p, size_t n,
    vmops_ws_event_t *ev)
{
    int  end;

    r->taken += n;
    end = r->taken == r->head.len && r->head.fin;

    if (r->opcode == VMOPS_WS_TEXT
        && (vmops_utf8_feed(&r->utf8, p, n) != 0
            || (end && !vmops_utf8_complete(&r->utf8))))
    {
        return VMOPS_CLOSE_BAD_DATA;
    }

    if (r->taken == r->head.len) {
        r->in_payload = 0;
    }

    if (n != 0 || end) {
        ev->type = VMOPS_WS_EV_DATA;
        ev->opcode = r->opcode;
        ev->end = (uint8_t) end;
        ev->data = vmops_span(p, n);
    }

    if (end) {
        r->opcode = 0;
    }

    return VMOPS_WS_OK;
}


int
vmops_ws_reasm_feed(vmops_ws_reasm_t *r, uint8_t **p, const uint8_t *end,
    vmops_ws_event_t *ev)
{
    int             rc;
    size_t          n;
    uint8_t        *payload;
    const uint8_t  *next;

    memset(ev, 0, sizeof(*ev));

    do {
        if (!r->in_payload) {
            next = *p;
            rc = vmops_ws_head_feed(&r->reader, &r->head, r->side,
                                    r->max_frame, &next, end);
            *p += next - *p;

            if (rc == VMOPS_WS_MORE) {
                return VMOPS_WS_OK;
            }

            if (rc == VMOPS_WS_OK) {
                rc = begin_frame(r);
            }

            if (rc != VMOPS_WS_OK) {
                return rc;
            }
        }

        payload = *p;
        n = (size_t) (end - payload);

        if (n > r->head.len - r->taken) {
            n = (size_t) (r->head.len - r->taken);
        }

        if (r->head.masked) {
            vmops_ws_mask(payload, n, r->head.mask, r->taken);
        }

        *p += n;

        rc = is_control(r) ? control_payload(r, payload, n, ev)
                           : data_payload(r, payload, n, ev);

    } while (rc == VMOPS_WS_OK && ev->type == VMOPS_WS_EV_NONE && *p < end);

    return rc;
}


int
vmops_ws_reasm_idle(const vmops_ws_reasm_t *r)
{
    return !r->in_payload && r->opcode == 0 && r->reader.have == 0;
}
