
/*
 * A minimal WebSocket client (RFC 6455) for the agent's own channel: text
 * messages, no extensions, over libcurl's CURLOPT_CONNECT_ONLY, which brings
 * TLS, proxies and the CA.  One thread uses a socket.
 */

#ifndef VMOPS_WS_CLIENT_H
#define VMOPS_WS_CLIENT_H


#include "net.h"
#include "vmops_ws_frame.h"


typedef struct ws_s  ws_t;

typedef enum {
    WS_E_NONE = 0,
    WS_E_CONNECT,           /* fail says where */
    WS_E_STATUS,            /* an HTTP answer other than 101 */
    WS_E_HANDSHAKE,         /* no HTTP, or a 101 that breaks a rule */
    WS_E_TIMEOUT,
    WS_E_STOPPED,           /* the program is asked to stop */
    WS_E_INTERNAL
} ws_error_type_t;

typedef struct {
    ws_error_type_t  type;
    net_fail_t       fail;
    unsigned         status;
    uint64_t         retry_after_ms;    /* 0: the server did not say */
} ws_error_t;

/*
 * Connects and does the opening handshake within VMOPS_AGENT_CONNECT_MS each.
 * NULL and *err, or the socket.  waker ends the wait when the program is to
 * stop.
 */
ws_t *ws_connect(const net_t *net, const char *path, const char *protocol,
    plat_waker_t *waker, ws_error_t *err);

/* For plat_wait(); and whether there is something to be written. */
intptr_t ws_socket(const ws_t *ws);
int ws_pending(const ws_t *ws);

/* When bytes last came in, plat_boot_ms(). */
uint64_t ws_heard(const ws_t *ws);

/* RFC 9266 tls-exporter: 0, or -1 where there is no TLS. */
int ws_exporter(ws_t *ws, uint8_t out[32]);

typedef enum {
    WS_NOTHING = 0,         /* wait until it is readable */
    WS_MESSAGE,
    WS_CLOSED               /* ws_close_code() says how: ws_end() is next */
} ws_rc_t;

/*
 * Reads on.  A message is text, valid until the next call.  Pings are
 * answered, a Close too.
 */
ws_rc_t ws_read(ws_t *ws, vmops_span_t *message);

/* Queues one text message and writes what the socket takes.  0; -1: dead, or
 * the peer does not read. */
int ws_send(ws_t *ws, vmops_span_t text);
int ws_flush(ws_t *ws);

/*
 * After WS_CLOSED: the peer's code, VMOPS_CLOSE_NO_STATUS if its Close had
 * none, or 1006 (RFC 6455, 7.1.5) if there was no Close; and whether it was
 * the peer that broke a rule.
 */
unsigned ws_close_code(const ws_t *ws);
int ws_peer_failed(const ws_t *ws);

/*
 * Ends it: sends a Close (the code that a broken rule asks for, if one was
 * broken, otherwise `code`) unless one was sent, waits at most
 * VMOPS_WS_CLOSE_MS for the peer's and for the end of the connection, frees.
 */
void ws_end(ws_t *ws, unsigned code);


#endif /* VMOPS_WS_CLIENT_H */
