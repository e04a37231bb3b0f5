/*
 * Any bytes as a stream of frames, for both sides: in one piece and byte by
 * byte it gives the same messages and ends the same way.
 */

#include <stdlib.h>

#include "vmops_keys.h"
#include "vmops_ws_frame.h"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static uint8_t  in[65536];
static uint8_t  seen[2][2 * 65536];


static int
run(vmops_ws_side_t side, size_t n, size_t step, vmops_buf_t *b)
{
    int                rc;
    size_t             i, len;
    uint8_t           *at;
    vmops_ws_event_t   ev;
    vmops_ws_reasm_t   r;

    vmops_ws_reasm_init(&r, side);

    for (i = 0; i < n; i += len) {
        len = step < n - i ? step : n - i;
        at = in + i;

        do {
            rc = vmops_ws_reasm_feed(&r, &at, in + i + len, &ev);

            if (rc != VMOPS_WS_OK) {
                return rc;
            }

            vmops_buf_span(b, ev.data);

            if (ev.end) {
                vmops_buf_u8(b, ev.opcode);
            }
        } while (ev.type != VMOPS_WS_EV_NONE);

        if (at != in + i + len) {
            abort();
        }
    }

    return vmops_ws_reasm_idle(&r);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    int          rc[2];
    unsigned     side, turn;
    vmops_buf_t  b[2];

    if (n > sizeof(in)) {
        return 0;
    }

    for (side = VMOPS_WS_SERVER; side <= VMOPS_WS_CLIENT; side++) {
        for (turn = 0; turn < 2; turn++) {
            if (n != 0) {
                memcpy(in, p, n);
            }
            vmops_buf_init(&b[turn], seen[turn], sizeof(seen[turn]));
            rc[turn] = run(side, n, turn == 0 ? sizeof(in) : 1, &b[turn]);
        }

        if (rc[0] != rc[1] || b[0].overflow
            || (rc[0] <= 1 && !vmops_span_eq(vmops_span(b[0].p, b[0].n),
                                             vmops_span(b[1].p, b[1].n))))
        {
            abort();
        }
    }

    return 0;
}
