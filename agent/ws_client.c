
/* The WebSocket client: connection, frames in and out, the end. */

#include <openssl/ssl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "ws_parts.h"
#include "vmops_banned.h"


static void
ws_free(ws_t *ws)
{
    if (ws != NULL) {
        curl_easy_cleanup(ws->easy);
        free(ws->message);
        free(ws->out);
        free(ws);
    }
}


static int
connect_only(ws_t *ws, const net_t *net, const char *path, ws_error_t *err)
{
    CURLcode  rc;

    if (net_setup(ws->easy, net, path) != 0
        || net_stoppable(ws->easy) != 0
        || curl_easy_setopt(ws->easy, CURLOPT_CONNECT_ONLY, 1L) != CURLE_OK
        || curl_easy_setopt(ws->easy, CURLOPT_HTTPPROXYTUNNEL, 1L)
           != CURLE_OK)
    {
        err->type = WS_E_INTERNAL;
        return -1;
    }

    rc = curl_easy_perform(ws->easy);

    if (rc != CURLE_OK) {
        err->type = rc == CURLE_ABORTED_BY_CALLBACK ? WS_E_STOPPED
                                                    : WS_E_CONNECT;
        net_fail(&err->fail, ws->easy, rc, net);
        return -1;
    }

    if (curl_easy_getinfo(ws->easy, CURLINFO_ACTIVESOCKET, &ws->sock)
        != CURLE_OK)
    {
        err->type = WS_E_INTERNAL;
        return -1;
    }

    return 0;
}


ws_t *
ws_connect(const net_t *net, const char *path, const char *protocol,
    plat_waker_t *waker, ws_error_t *err)
{
    ws_t  *ws;

    memset(err, 0, sizeof(*err));
    err->type = WS_E_INTERNAL;

    ws = mem_new(sizeof(*ws));
    if (ws == NULL) {
        return NULL;
    }

    ws->waker = waker;
    ws->in_p = ws->in_end = ws->in;
    ws->easy = curl_easy_init();
    ws->message = malloc(VMOPS_WS_MESSAGE_MAX);
    ws->out = malloc(VMOPS_WS_QUEUE_BYTES);
    vmops_ws_reasm_init(&ws->reasm, VMOPS_WS_CLIENT);

    if (ws->easy == NULL || ws->message == NULL || ws->out == NULL
        || connect_only(ws, net, path, err) != 0
        || ws_handshake(ws, net, path, protocol, err) != 0)
    {
        ws_free(ws);
        return NULL;
    }

    err->type = WS_E_NONE;

    return ws;
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


uint64_t
ws_heard(const ws_t *ws)
{
    return ws->heard;
}


unsigned
ws_close_code(const ws_t *ws)
{
    return ws->close_code;
}


int
ws_peer_failed(const ws_t *ws)
{
    return ws->fail_code != 0;
}


int
ws_exporter(ws_t *ws, uint8_t out[32])
{
    static const char  label[] = "EXPORTER-Channel-Binding";

    struct curl_tlssessioninfo  *info = NULL;

    if (curl_easy_getinfo(ws->easy, CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK
        || info == NULL || info->backend != CURLSSLBACKEND_OPENSSL
        || info->internals == NULL)
    {
        return -1;
    }

    return SSL_export_keying_material(info->internals, out, 32, label,
                                      sizeof(label) - 1, NULL, 0, 0) == 1
           ? 0 : -1;
}


int
ws_flush(ws_t *ws)
{
    size_t    n;
    CURLcode  rc;

    while (ws->out_at < ws->out_n) {
        n = 0;
        rc = curl_easy_send(ws->easy, ws->out + ws->out_at,
                            ws->out_n - ws->out_at, &n);
        ws->out_at += n;

        if (rc == CURLE_AGAIN) {
            return 0;
        }
        if (rc != CURLE_OK) {
            return -1;
        }
    }

    ws->out_at = ws->out_n = 0;

    return 0;
}


int
ws_write_raw(ws_t *ws, const void *p, size_t n)
{
    if (ws->out_at > 0) {
        memmove(ws->out, ws->out + ws->out_at, ws->out_n - ws->out_at);
        ws->out_n -= ws->out_at;
        ws->out_at = 0;
    }

    if (n > VMOPS_WS_QUEUE_BYTES - ws->out_n) {
        return -1;
    }

    memcpy(ws->out + ws->out_n, p, n);
    ws->out_n += n;

    return ws_flush(ws);
}


static int
send_frame(ws_t *ws, unsigned opcode, int fin, vmops_span_t data)
{
    int       rc;
    size_t    n;
    uint8_t   mask[4];
    uint8_t  *frame;

    frame = malloc(VMOPS_WS_HEAD_MAX + data.n);
    if (frame == NULL) {
        return -1;
    }

    randombytes_buf(mask, sizeof(mask));
    n = vmops_ws_head_write(frame, opcode, fin, data.n, mask);

    if (data.n > 0) {
        memcpy(frame + n, data.p, data.n);
        vmops_ws_mask(frame + n, data.n, mask, 0);
    }

    rc = ws_write_raw(ws, frame, n + data.n);
    free(frame);

    return rc;
}


int
ws_send(ws_t *ws, vmops_span_t text)
{
    int           rc = 0;
    unsigned      opcode = VMOPS_WS_TEXT;
    vmops_span_t  part;

    if (ws->close_sent || text.n > VMOPS_WS_MESSAGE_MAX) {
        return -1;
    }

    do {
        part = text;
        if (part.n > VMOPS_WS_FRAME_MAX) {
            part.n = VMOPS_WS_FRAME_MAX;
        }

        text = vmops_span(text.p + part.n, text.n - part.n);
        rc = send_frame(ws, opcode, text.n == 0, part);
        opcode = VMOPS_WS_CONTINUATION;

    } while (rc == 0 && text.n > 0);

    return rc;
}


static int
send_close(ws_t *ws, unsigned code)
{
    size_t   n;
    uint8_t  body[VMOPS_WS_CONTROL_MAX];

    if (ws->close_sent) {
        return 0;
    }

    n = code == VMOPS_CLOSE_NO_STATUS
        ? 0 : vmops_ws_close_write(body, code, vmops_span(NULL, 0));
    ws->close_sent = 1;

    return send_frame(ws, VMOPS_WS_CLOSE, 1, vmops_span(body, n));
}


int
ws_read_raw(ws_t *ws)
{
    size_t    n = 0, have;
    CURLcode  rc;

    have = (size_t) (ws->in_end - ws->in_p);
    memmove(ws->in, ws->in_p, have);
    ws->in_p = ws->in;
    ws->in_end = ws->in + have;

    if (have == WS_READ) {
        return 1;
    }

    rc = curl_easy_recv(ws->easy, ws->in_end, WS_READ - have, &n);

    if (rc == CURLE_AGAIN) {
        return 0;
    }
    if (rc != CURLE_OK || n == 0) {
        ws->eof = 1;
        return -1;
    }

    ws->in_end += n;
    ws->heard = plat_boot_ms();

    return 1;
}


static ws_rc_t
failed(ws_t *ws, unsigned code)
{
    ws->fail_code = code;
    ws->close_code = WS_ABNORMAL;

    return WS_CLOSED;
}


static ws_rc_t
take_control(ws_t *ws, const vmops_ws_event_t *ev)
{
    int           rc;
    unsigned      code;
    vmops_span_t  reason;

    switch (ev->opcode) {

    case VMOPS_WS_PING:
        /* a peer that pings and never reads gets no more than this */
        if (ws->out_n - ws->out_at < VMOPS_WS_QUEUE_BYTES / 2
            && !ws->close_sent)
        {
            send_frame(ws, VMOPS_WS_PONG, 1, ev->data);
        }
        return WS_NOTHING;

    case VMOPS_WS_CLOSE:
        rc = vmops_ws_close_parse(ev->data, &code, &reason);
        if (rc != VMOPS_WS_OK) {
            return failed(ws, (unsigned) rc);
        }
        ws->close_code = code;
        send_close(ws, code);
        return WS_CLOSED;

    default:
        return WS_NOTHING;
    }
}


static ws_rc_t
take_data(ws_t *ws, const vmops_ws_event_t *ev, vmops_span_t *message)
{
    if (ev->opcode != VMOPS_WS_TEXT) {
        return failed(ws, VMOPS_CLOSE_UNSUPPORTED);
    }

    /* the reassembler holds the message below VMOPS_WS_MESSAGE_MAX */
    if (ev->data.n > 0) {
        memcpy(ws->message + ws->message_n, ev->data.p, ev->data.n);
        ws->message_n += ev->data.n;
    }

    if (!ev->end) {
        return WS_NOTHING;
    }

    *message = vmops_span(ws->message, ws->message_n);
    ws->message_n = 0;

    return WS_MESSAGE;
}


ws_rc_t
ws_read(ws_t *ws, vmops_span_t *message)
{
    int               rc;
    ws_rc_t           result = WS_NOTHING;
    vmops_ws_event_t  ev;

    if (ws->close_code != 0) {
        return WS_CLOSED;
    }

    while (result == WS_NOTHING) {
        rc = vmops_ws_reasm_feed(&ws->reasm, &ws->in_p, ws->in_end, &ev);
        if (rc != VMOPS_WS_OK) {
            return failed(ws, (unsigned) rc);
        }

        if (ev.type == VMOPS_WS_EV_DATA) {
            result = take_data(ws, &ev, message);

        } else if (ev.type == VMOPS_WS_EV_CONTROL) {
            result = take_control(ws, &ev);

        } else {
            rc = ws_read_raw(ws);
            if (rc == 0) {
                return WS_NOTHING;
            }
            if (rc < 0) {
                ws->close_code = WS_ABNORMAL;
                return WS_CLOSED;
            }
        }
    }

    return result;
}


/* Reads and drops until the peer's Close (if still due) and its EOF. */

static void
linger(ws_t *ws)
{
    uint64_t      now, end = plat_boot_ms() + VMOPS_WS_CLOSE_MS;
    unsigned      events;
    vmops_span_t  message;

    while (!ws->eof && (now = plat_boot_ms()) < end) {

        if (ws_flush(ws) != 0) {
            return;
        }

        if (ws->close_code == 0 && ws->fail_code == 0) {
            if (ws_read(ws, &message) != WS_NOTHING) {
                continue;
            }
        } else {
            ws->in_p = ws->in_end = ws->in;
            if (ws_read_raw(ws) != 0) {
                continue;
            }
        }

        events = PLAT_READABLE | (ws_pending(ws) ? PLAT_WRITABLE : 0);
        plat_wait(ws_socket(ws), events, ws->waker, end - now);
    }
}


void
ws_end(ws_t *ws, unsigned code)
{
    if (ws == NULL) {
        return;
    }

    if (!ws->eof
        && send_close(ws, ws->fail_code != 0 ? ws->fail_code : code) == 0)
    {
        linger(ws);
    }

    ws_free(ws);
}
