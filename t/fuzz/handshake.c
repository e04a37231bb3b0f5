/*
 * Any bytes as a server's answer to the agent's opening handshake: in one
 * piece and byte by byte it ends the same way, and what follows the header
 * is left for the frames.  The agent's key is always that of 16 zero bytes.
 */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "ws_parts.h"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


/* what ws_client.c does by libcurl: the input is the socket */

static vmops_span_t  socket_;
static size_t        step;

int
ws_write_raw(ws_t *ws, const void *p, size_t n)
{
    return ws == NULL || p == NULL || n == 0;
}

int
ws_read_raw(ws_t *ws)
{
    size_t  n, have = (size_t) (ws->in_end - ws->in_p);

    memmove(ws->in, ws->in_p, have);
    ws->in_p = ws->in;

    n = step < WS_READ - have ? step : WS_READ - have;
    n = n < socket_.n ? n : socket_.n;

    if (n > 0) {
        memcpy(ws->in + have, socket_.p, n);
        socket_ = vmops_span(socket_.p + n, socket_.n - n);
    }

    ws->in_end = ws->in + have + n;

    return n > 0 ? 1 : -1;
}

intptr_t
ws_socket(const ws_t *ws)
{
    return (intptr_t) ws->sock;
}

int
ws_pending(const ws_t *ws)
{
    return ws->out_n > ws->out_at;
}

int
ws_flush(ws_t *ws)
{
    return ws_pending(ws) ? -1 : 0;
}


static const char *
zeros_name(void)
{
    return "zeros";
}

static uint32_t
zeros_random(void)
{
    return 0;
}

static void
zeros_buf(void *const p, const size_t n)
{
    memset(p, 0, n);
}


typedef struct {
    int         rc;
    size_t      left;           /* bytes behind the header */
    ws_error_t  err;
} end_t;


static end_t
shake(vmops_span_t in, size_t piece)
{
    end_t         e;
    net_t         net;
    static ws_t   ws;

    memset(&e, 0, sizeof(e));
    memset(&net, 0, sizeof(net));
    memset(&ws, 0, sizeof(ws));
    ws.in_p = ws.in_end = ws.in;
    socket_ = in;
    step = piece;

    e.rc = ws_handshake(&ws, &net, "/", "vmops.agent.v1", &e.err);
    e.left = (size_t) (ws.in_end - ws.in_p) + socket_.n;

    return e;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    end_t  whole, bytes;

    static randombytes_implementation  zeros = {
        zeros_name, zeros_random, NULL, NULL, zeros_buf, NULL
    };

    if (n > WS_READ) {
        return 0;
    }

    randombytes_set_implementation(&zeros);

    whole = shake(vmops_span(p, n), WS_READ);
    bytes = shake(vmops_span(p, n), 1);

    if (whole.rc != bytes.rc || whole.err.status != bytes.err.status
        || (whole.rc == 0 && whole.left != bytes.left)
        || (whole.rc != 0 && whole.err.type != bytes.err.type)
        || (whole.rc == 0 && n - whole.left < 4)
        || (whole.rc == 0 && memcmp(p + (n - whole.left) - 4, "\r\n\r\n", 4)))
    {
        abort();
    }

    return 0;
}
