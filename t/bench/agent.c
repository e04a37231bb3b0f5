
/*
 * Agents' sockets: upgrade, hello, auth, welcome, ready, and frames.  Or, with
 * subscriber_path, plain WebSocket subscribers of another server.
 */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "vmops_banned.h"


#define LABEL      "EXPORTER-Channel-Binding"
#define PER_SOURCE 8        /* sockets of one source address */


tenant_t        tenants[TENANTS_MAX];
unsigned        ntenants;
agent_t        *agents;
unsigned        nagents;
uint8_t         command_pk[32];
agent_counts_t  counts;
const char     *subscriber_path;
void          (*subscriber)(vmops_span_t message);
void          (*agent_changed)(agent_t *a);

static uint8_t        frame[VMOPS_WS_HEAD_MAX + VMOPS_WS_MESSAGE_MAX];
static uint8_t        text[VMOPS_WS_MESSAGE_MAX];
static uint8_t        rest[VMOPS_WS_HEADER_MAX];
static uint8_t       *arena_memory;
static size_t         arena_size;
static vmops_arena_t  arena;


static void agent_upgrade(conn_t *c);
static void agent_data(conn_t *c, uint8_t *p, size_t n);
static void agent_lost(conn_t *c);

static const conn_handler_t  agent_handler = {
    agent_upgrade, agent_data, agent_lost
};


vmops_arena_t *
agent_arena(void)
{
    if (arena_memory == NULL) {
        arena_size = vmops_json_arena_size(ANSWER_MAX);
        arena_memory = malloc(arena_size);
        if (arena_memory == NULL) {
            fatal("no memory");
        }
    }

    vmops_arena_init(&arena, arena_memory, arena_size);

    return &arena;
}


void
agent_open(agent_t *a)
{
    uint32_t  i = (uint32_t) (a - agents) / PER_SOURCE;

    /* 127.1.0.1 and on, without zeros and ones in the last byte */
    a->state = AGENT_UPGRADE;
    a->started = now_ns();
    a->text_n = 0;
    a->conn.handler = &agent_handler;
    a->conn.owner = a;
    conn_open(&a->conn, UINT32_C(1) << 16 | i / 200 << 8 | (i % 200 + 1));
}


void
agent_close(agent_t *a)
{
    size_t   n;
    uint8_t  body[VMOPS_WS_CONTROL_MAX];

    if (a->state == AGENT_OFF) {
        return;
    }

    if (a->state == AGENT_READY) {
        n = vmops_ws_close_write(body, VMOPS_CLOSE_NORMAL, vmops_span(NULL, 0));
        agent_send(a, VMOPS_WS_CLOSE, vmops_span(body, n));
    }

    conn_close(&a->conn);
    a->state = AGENT_OFF;
}


static void
agent_lost(conn_t *c)
{
    agent_t  *a = c->owner;

    a->state = AGENT_OFF;
    counts.closed++;

    if (agent_changed != NULL) {
        agent_changed(a);
    }
}


/* the server broke the protocol, or it is no server of ours */

static void
agent_fail(agent_t *a, const char *why)
{
    static unsigned  told;

    if (told < 10) {
        fprintf(stderr, "load: agent %u: %s\n", (unsigned) (a - agents), why);
        told++;
    }

    conn_close(&a->conn);
    agent_lost(&a->conn);
}


void
agent_send(agent_t *a, unsigned opcode, vmops_span_t payload)
{
    size_t    n;
    uint8_t   mask[4];
    uint32_t  random = randombytes_random();

    memcpy(mask, &random, 4);

    n = vmops_ws_head_write(frame, opcode, 1, payload.n, mask);
    if (payload.n > 0) {
        memcpy(frame + n, payload.p, payload.n);
        vmops_ws_mask(frame + n, payload.n, mask, 0);
    }

    conn_send(&a->conn, frame, n + payload.n);
}


void
agent_send_msg(agent_t *a, const vmops_msg_t *m)
{
    vmops_span_t  out;

    if (vmops_msg_write(text, sizeof(text), &out, m) != 0) {
        fatal("cannot write a message %s", vmops_msg_name(m->type));
    }

    agent_send(a, VMOPS_WS_TEXT, out);
}


static void
agent_upgrade(conn_t *c)
{
    int       n;
    agent_t  *a = c->owner;
    char      path[128], request[512];
    uint8_t   random[16];

    randombytes_buf(random, sizeof(random));
    vmops_ws_key_make(a->key, random);

    if (subscriber_path != NULL) {
        snprintf(path, sizeof(path), "%s%u", subscriber_path,
                 (unsigned) (a - agents));
    } else {
        snprintf(path, sizeof(path), "%s", VMOPS_WS_PATH);
    }

    n = snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\n"
                 "Host: %s\r\n"
                 "Upgrade: websocket\r\n"
                 "Connection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: %s\r\n"
                 "%s"
                 "\r\n",
                 path, target.host, a->key,
                 subscriber_path != NULL ? ""
                     : "Sec-WebSocket-Protocol: " VMOPS_SUBPROTOCOL "\r\n");

    conn_send(c, request, (size_t) n);
}


static void
agent_binding(agent_t *a, vmops_ws_auth_t *t)
{
    t->cb = VMOPS_CB_NONE;

    if (a->conn.ssl == NULL) {
        return;
    }

    t->cb = VMOPS_CB_TLS_EXPORTER;
    if (SSL_export_keying_material(a->conn.ssl, t->cb32, 32, LABEL,
                                   sizeof(LABEL) - 1, NULL, 0, 0)
        != 1)
    {
        fatal("no keying material (RFC 9266)");
    }
}


static void
agent_auth(agent_t *a, const vmops_msg_hello_t *hello)
{
    vmops_msg_t      m;
    vmops_ws_auth_t  t;

    memset(&t, 0, sizeof(t));
    memcpy(t.s_nonce, hello->nonce, 32);
    randombytes_buf(t.c_nonce, 32);
    memcpy(t.tenant16, a->tenant->id, 16);
    t.agent = a->id;
    memcpy(t.ed_pk, a->pk, 32);
    t.epoch = a->epoch;
    t.host = vmops_span_str(target.host);
    agent_binding(a, &t);

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_AUTH;
    m.u.auth.tenant = vmops_span_str(a->tenant->name);
    m.u.auth.agent = a->id;
    memcpy(m.u.auth.nonce, t.c_nonce, 32);
    m.u.auth.epoch = a->epoch;
    m.u.auth.cb = t.cb;
    m.u.auth.version = vmops_span_str("1.0.0");
    m.u.auth.platform = VMOPS_PLATFORM_LINUX;

    if (vmops_ws_auth_sign(m.u.auth.sig, &t, a->sk) != 0
        || vmops_ws_auth_hash(a->hash, &t, m.u.auth.sig) != 0)
    {
        fatal("cannot sign auth");
    }

    a->state = AGENT_WELCOME;
    agent_send_msg(a, &m);
}


static void
agent_ready(agent_t *a, const vmops_msg_welcome_t *w)
{
    vmops_msg_t  m;

    if (vmops_ws_welcome_verify(w->sig, a->hash, &w->session, w->epoch,
                                w->time, command_pk)
        != 0)
    {
        agent_fail(a, "the welcome's signature is wrong");
        return;
    }

    a->epoch = w->epoch;
    a->state = AGENT_READY;

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_READY;
    m.u.ready.last_seq = a->last_seq;
    agent_send_msg(a, &m);

    if (agent_changed != NULL) {
        agent_changed(a);
    }
}


static void
agent_message(agent_t *a, vmops_span_t message)
{
    vmops_msg_t  m;

    if (subscriber != NULL) {
        subscriber(message);
        return;
    }

    switch (vmops_msg_parse(&m, agent_arena(), message)) {
    case VMOPS_MSG_OK:
        break;
    case VMOPS_MSG_UNKNOWN:
        return;
    default:
        agent_fail(a, "a malformed message");
        return;
    }

    if (m.type == VMOPS_MSG_HELLO && a->state == AGENT_HELLO) {
        agent_auth(a, &m.u.hello);

    } else if (m.type == VMOPS_MSG_WELCOME && a->state == AGENT_WELCOME) {
        agent_ready(a, &m.u.welcome);

    } else if (m.type == VMOPS_MSG_CMD && a->state == AGENT_READY) {
        agent_command(a, &m.u.cmd, &arena);

    } else if (m.type == VMOPS_MSG_RESULT_OK) {
        counts.results_ok++;
    }
}


static void
agent_control(agent_t *a, const vmops_ws_event_t *ev)
{
    char          why[64];
    unsigned      code;
    vmops_span_t  reason;

    if (ev->opcode == VMOPS_WS_PING) {
        agent_send(a, VMOPS_WS_PONG, ev->data);

    } else if (ev->opcode == VMOPS_WS_CLOSE
               && vmops_ws_close_parse(ev->data, &code, &reason) == 0)
    {
        snprintf(why, sizeof(why), "closed with %u", code);
        agent_fail(a, why);
    }
}


/* the common case, a message in one piece, is not copied */

static void
agent_piece(agent_t *a, const vmops_ws_event_t *ev)
{
    vmops_span_t  message = ev->data;

    if (a->text_n > 0 || !ev->end) {
        a->text = realloc(a->text, a->text_n + ev->data.n + 1);
        if (a->text == NULL) {
            fatal("no memory");
        }
        if (ev->data.n > 0) {
            memcpy(a->text + a->text_n, ev->data.p, ev->data.n);
        }
        a->text_n += ev->data.n;
        message = vmops_span(a->text, a->text_n);
    }

    if (ev->end) {
        a->text_n = 0;
        agent_message(a, message);
    }
}


static void
agent_frames(agent_t *a, uint8_t *p, const uint8_t *end)
{
    unsigned          turn = a->conn.turn;
    vmops_ws_event_t  ev;

    do {
        if (vmops_ws_reasm_feed(&a->reasm, &p, end, &ev) != VMOPS_WS_OK) {
            agent_fail(a, "a bad frame");
            return;
        }
        if (ev.type == VMOPS_WS_EV_DATA) {
            agent_piece(a, &ev);
        } else if (ev.type == VMOPS_WS_EV_CONTROL) {
            agent_control(a, &ev);
        }
    } while (ev.type != VMOPS_WS_EV_NONE && a->conn.turn == turn);
}


static void
agent_upgraded(agent_t *a)
{
    char     accept[VMOPS_WS_ACCEPT_TEXT + 1];
    char    *end;
    size_t   n;

    a->text[a->text_n] = '\0';

    end = strstr((char *) a->text, "\r\n\r\n");
    if (end == NULL) {
        return;
    }

    vmops_ws_accept(accept, vmops_span_str(a->key));

    if (strncmp((char *) a->text, "HTTP/1.1 101 ", 13) != 0
        || strstr((char *) a->text, accept) == NULL)
    {
        a->text[48] = '\0';
        agent_fail(a, (char *) a->text);
        return;
    }

    vmops_ws_reasm_init(&a->reasm, VMOPS_WS_CLIENT);
    a->state = AGENT_HELLO;

    if (subscriber_path != NULL) {
        a->state = AGENT_READY;
        if (agent_changed != NULL) {
            agent_changed(a);
        }
    }

    n = (size_t) (end + 4 - (char *) a->text);
    n = a->text_n - n;
    a->text_n = 0;

    if (n > 0 && n <= sizeof(rest)) {
        memcpy(rest, end + 4, n);
        agent_frames(a, rest, rest + n);
    }
}


static void
agent_data(conn_t *c, uint8_t *p, size_t n)
{
    agent_t  *a = c->owner;

    if (a->state != AGENT_UPGRADE) {
        agent_frames(a, p, p + n);
        return;
    }

    if (a->text_n + n > VMOPS_WS_HEADER_MAX) {
        agent_fail(a, "the upgrade's header does not end");
        return;
    }

    a->text = realloc(a->text, a->text_n + n + 64);
    if (a->text == NULL) {
        fatal("no memory");
    }
    memcpy(a->text + a->text_n, p, n);
    a->text_n += n;
    agent_upgraded(a);
}
