
/* Inside of the WebSocket client; for ws_*.c only. */

#ifndef VMOPS_WS_PARTS_H
#define VMOPS_WS_PARTS_H


#include "ws_client.h"


#define WS_READ      16384
#define WS_ABNORMAL  1006

struct ws_s {
    CURL              *easy;
    curl_socket_t      sock;
    plat_waker_t      *waker;
    uint64_t           heard;

    vmops_ws_reasm_t   reasm;
    uint8_t            in[WS_READ];
    uint8_t           *in_p;            /* not yet taken */
    uint8_t           *in_end;
    uint8_t           *message;         /* VMOPS_WS_MESSAGE_MAX */
    size_t             message_n;

    uint8_t           *out;             /* VMOPS_WS_QUEUE_BYTES */
    size_t             out_at;
    size_t             out_n;

    unsigned           close_code;      /* 0: open */
    unsigned           fail_code;       /* the peer broke a rule */
    uint8_t            close_sent;
    uint8_t            eof;
};

/* Bytes as they are: the handshake, and frames made by ws_client.c. */
int ws_write_raw(ws_t *ws, const void *p, size_t n);

/* Reads into ws->in behind what is there: 1 got some, 0 none yet, -1 over. */
int ws_read_raw(ws_t *ws);

/* The opening handshake on a connected socket: 0, or -1 and *err. */
int ws_handshake(ws_t *ws, const net_t *net, const char *path,
    const char *protocol, ws_error_t *err);


#endif /* VMOPS_WS_PARTS_H */
