
/* The opening handshake (RFC 6455, section 4.1). */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ws_parts.h"
#include "vmops_banned.h"


typedef struct {
    vmops_span_t  key;              /* what we sent */
    const char   *protocol;
    unsigned      status;
    unsigned      accept;           /* how often, and all right */
    unsigned      upgrade;
    unsigned      connection;
    unsigned      protocols;
    uint8_t       bad;
    uint64_t      retry_after_ms;
} answer_t;


static int
is_nocase(vmops_span_t s, const char *name)
{
    return s.n == strlen(name)
           && curl_strnequal((const char *) s.p, name, s.n);
}


static vmops_span_t
trim(vmops_span_t s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) {
        s.n--;
    }

    return s;
}


/* 1 if a comma-separated list has the token */

static int
has_token(vmops_span_t list, const char *token)
{
    size_t          n;
    const uint8_t  *comma;

    while (list.n > 0) {
        comma = memchr(list.p, ',', list.n);
        n = comma != NULL ? (size_t) (comma - list.p) : list.n;

        if (is_nocase(trim(vmops_span(list.p, n)), token)) {
            return 1;
        }
        if (comma == NULL) {
            break;
        }

        list = vmops_span(comma + 1, list.n - n - 1);
    }

    return 0;
}


/* RFC 9110, 10.2.3: seconds, or a date; an absurd one is cut */

static uint64_t
retry_after(vmops_span_t value)
{
    char      text[64];
    time_t    date;
    uint64_t  s, now;

    if (vmops_dec_parse(value, UINT32_MAX, &s) != 0) {
        if (text_copy(text, sizeof(text), value) != 0) {
            return 0;
        }

        now = plat_wall_ms() / 1000;
        date = curl_getdate(text, NULL);
        s = date > 0 && (uint64_t) date > now ? (uint64_t) date - now : 0;
    }

    return (s < VMOPS_AGENT_RETRY_AFTER_MAX_S
            ? s : VMOPS_AGENT_RETRY_AFTER_MAX_S) * 1000;
}


static void
take_header(answer_t *a, vmops_span_t name, vmops_span_t value)
{
    char  accept[VMOPS_WS_ACCEPT_TEXT + 1];

    if (is_nocase(name, "Upgrade")) {
        a->upgrade += has_token(value, "websocket");

    } else if (is_nocase(name, "Connection")) {
        a->connection += has_token(value, "upgrade");

    } else if (is_nocase(name, "Sec-WebSocket-Accept")) {
        vmops_ws_accept(accept, a->key);
        a->accept++;
        a->bad |= !vmops_span_is(value, accept);

    } else if (is_nocase(name, "Sec-WebSocket-Protocol")) {
        a->protocols++;
        a->bad |= !vmops_span_is(value, a->protocol);

    } else if (is_nocase(name, "Sec-WebSocket-Extensions")) {
        a->bad = 1;

    } else if (is_nocase(name, "Retry-After")) {
        a->retry_after_ms = retry_after(value);
    }
}


static int
take_status(answer_t *a, vmops_span_t line)
{
    uint64_t  status;

    if (line.n < 12 || memcmp(line.p, "HTTP/1.1 ", 9) != 0
        || vmops_dec_parse(vmops_span(line.p + 9, 3), 599, &status) != 0
        || status < 100 || (line.n > 12 && line.p[12] != ' '))
    {
        return -1;
    }

    a->status = (unsigned) status;

    return 0;
}


/* All lines up to the empty one; 0, or -1: this is not HTTP. */

static int
parse(answer_t *a, vmops_span_t text)
{
    size_t          n, lines = 0;
    vmops_span_t    line;
    const uint8_t  *end, *colon;

    while (text.n > 2) {
        end = memchr(text.p, '\n', text.n);
        n = (size_t) (end - text.p);

        if (n == 0 || text.p[n - 1] != '\r' || lines > VMOPS_WS_HEADERS_MAX) {
            return -1;
        }

        line = vmops_span(text.p, n - 1);
        text = vmops_span(end + 1, text.n - n - 1);

        if (lines++ == 0) {
            if (take_status(a, line) != 0) {
                return -1;
            }
            continue;
        }

        colon = memchr(line.p, ':', line.n);
        if (colon == NULL || colon == line.p || line.p[0] == ' '
            || line.p[0] == '\t')
        {
            return -1;
        }

        n = (size_t) (colon - line.p);
        take_header(a, vmops_span(line.p, n),
                    trim(vmops_span(colon + 1, line.n - n - 1)));
    }

    return 0;
}


/* Where the header ends, the empty line included; 0: not yet. */

static size_t
header_end(const uint8_t *p, size_t n, size_t from)
{
    size_t  i;

    for (i = from > 3 ? from - 3 : 0; i + 4 <= n; i++) {
        if (memcmp(p + i, "\r\n\r\n", 4) == 0) {
            return i + 4;
        }
    }

    return 0;
}


/* Reads the whole header into head; what follows it stays in ws->in. */

static int
read_header(ws_t *ws, uint8_t *head, size_t *head_n, ws_error_t *err)
{
    int       rc;
    size_t    have = 0, n, end = 0;
    uint64_t  now, deadline = plat_boot_ms() + VMOPS_AGENT_CONNECT_MS;

    err->type = WS_E_HANDSHAKE;

    while (end == 0) {
        n = (size_t) (ws->in_end - ws->in_p);

        if (n > VMOPS_WS_HEADER_MAX - have) {
            return -1;
        }

        memcpy(head + have, ws->in_p, n);
        end = header_end(head, have + n, have);

        if (end != 0) {
            ws->in_p += end - have;
            break;
        }

        have += n;
        ws->in_p = ws->in_end;

        rc = ws_read_raw(ws);
        if (rc < 0) {
            return -1;
        }
        if (rc > 0) {
            continue;
        }

        now = plat_boot_ms();
        if (plat_stop_asked() || now >= deadline) {
            err->type = plat_stop_asked() ? WS_E_STOPPED : WS_E_TIMEOUT;
            return -1;
        }

        plat_wait(ws_socket(ws),
                  PLAT_READABLE | (ws_pending(ws) ? PLAT_WRITABLE : 0),
                  ws->waker, deadline - now);

        if (ws_flush(ws) != 0) {
            return -1;
        }
    }

    *head_n = end;

    return 0;
}


static int
judge(const answer_t *a, ws_error_t *err)
{
    err->status = a->status;

    if (a->status != 101) {
        err->type = WS_E_STATUS;
        err->retry_after_ms = a->retry_after_ms;
        return -1;
    }

    err->type = WS_E_HANDSHAKE;

    return !a->bad && a->accept == 1 && a->upgrade >= 1 && a->connection >= 1
           && a->protocols == 1 ? 0 : -1;
}


int
ws_handshake(ws_t *ws, const net_t *net, const char *path,
    const char *protocol, ws_error_t *err)
{
    int        n, rc;
    char       request[1024], key[VMOPS_WS_KEY_TEXT + 1];
    size_t     head_n;
    uint8_t    random[16];
    uint8_t   *head;
    answer_t   answer;

    randombytes_buf(random, sizeof(random));
    vmops_ws_key_make(key, random);

    n = snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\n"
                 "Host: %s\r\n"
                 "User-Agent: vmops-agent/" AGENT_VERSION "\r\n"
                 "Upgrade: websocket\r\n"
                 "Connection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: %s\r\n"
                 "Sec-WebSocket-Protocol: %s\r\n"
                 "\r\n", path, net->url.host_header, key, protocol);

    if (n < 0 || (size_t) n >= sizeof(request)
        || ws_write_raw(ws, request, (size_t) n) != 0)
    {
        err->type = WS_E_HANDSHAKE;
        return -1;
    }

    head = malloc(VMOPS_WS_HEADER_MAX);
    if (head == NULL) {
        err->type = WS_E_INTERNAL;
        return -1;
    }

    memset(&answer, 0, sizeof(answer));
    answer.key = vmops_span_str(key);
    answer.protocol = protocol;

    rc = read_header(ws, head, &head_n, err);

    if (rc == 0) {
        err->type = WS_E_HANDSHAKE;
        rc = parse(&answer, vmops_span(head, head_n)) == 0
             ? judge(&answer, err) : -1;
    }

    free(head);

    return rc;
}
