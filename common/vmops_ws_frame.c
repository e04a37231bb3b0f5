/*
 * RFC 6455 frame headers, masking, close bodies, handshake keys.
 */

#include "vmops_ws_frame.h"
#include "vmops_sha1.h"
#include "vmops_banned.h"


#define FIN       0x80
#define RSV       0x70
#define OPCODE    0x0f
#define MASKED    0x80
#define LENGTH    0x7f
#define CONTROL   0x08

#define LENGTH16  126
#define LENGTH64  127


static int
opcode_is_known(unsigned opcode)
{
    return opcode <= VMOPS_WS_BINARY
           || (opcode >= VMOPS_WS_CLOSE && opcode <= VMOPS_WS_PONG);
}


/* what the first two bytes alone can break */

static int
judge_first(uint8_t c)
{
    if ((c & RSV) != 0 || !opcode_is_known(c & OPCODE)
        || ((c & CONTROL) != 0 && (c & FIN) == 0))
    {
        return VMOPS_CLOSE_PROTOCOL;
    }

    return VMOPS_WS_OK;
}


static int
judge_second(uint8_t first, uint8_t c, vmops_ws_side_t side)
{
    if (((c & MASKED) != 0) != (side == VMOPS_WS_SERVER)
        || ((first & CONTROL) != 0 && (c & LENGTH) > VMOPS_WS_CONTROL_MAX))
    {
        return VMOPS_CLOSE_PROTOCOL;
    }

    return VMOPS_WS_OK;
}


static size_t
length_bytes(uint8_t c)
{
    return (c & LENGTH) == LENGTH64 ? 8 : (c & LENGTH) == LENGTH16 ? 2 : 0;
}


static int
judge_length(vmops_ws_head_t *head, const uint8_t *buf, uint64_t max)
{
    switch (length_bytes(buf[1])) {

    case 0:
        head->len = buf[1] & LENGTH;
        break;

    case 2:
        head->len = vmops_get_u16(buf + 2);
        if (head->len < LENGTH16) {
            return VMOPS_CLOSE_PROTOCOL;
        }
        break;

    default:
        head->len = vmops_get_u64(buf + 2);
        if (head->len <= 0xffff || head->len >> 63 != 0) {
            return VMOPS_CLOSE_PROTOCOL;
        }
    }

    if ((buf[0] & CONTROL) == 0 && head->len > max) {
        return VMOPS_CLOSE_TOO_BIG;
    }

    return VMOPS_WS_OK;
}


int
vmops_ws_head_feed(vmops_ws_head_reader_t *r, vmops_ws_head_t *head,
    vmops_ws_side_t side, uint64_t max, const uint8_t **p, const uint8_t *end)
{
    int     rc;
    size_t  length_at_end, all;

    while (*p < end) {
        r->buf[r->have++] = *(*p)++;
        rc = VMOPS_WS_OK;

        if (r->have == 1) {
            rc = judge_first(r->buf[0]);

        } else if (r->have == 2) {
            rc = judge_second(r->buf[0], r->buf[1], side);
        }

        if (rc != VMOPS_WS_OK) {
            return rc;
        }

        if (r->have < 2) {
            continue;
        }

        length_at_end = 2 + length_bytes(r->buf[1]);
        all = length_at_end + (side == VMOPS_WS_SERVER ? 4 : 0);

        if (r->have == length_at_end) {
            rc = judge_length(head, r->buf, max);
            if (rc != VMOPS_WS_OK) {
                return rc;
            }
        }

        if (r->have == all) {
            head->fin = (r->buf[0] & FIN) != 0;
            head->opcode = r->buf[0] & OPCODE;
            head->masked = side == VMOPS_WS_SERVER;

            if (head->masked) {
                memcpy(head->mask, r->buf + length_at_end, 4);
            }

            r->have = 0;
            return VMOPS_WS_OK;
        }
    }

    return VMOPS_WS_MORE;
}


size_t
vmops_ws_head_write(uint8_t out[VMOPS_WS_HEAD_MAX], unsigned opcode, int fin,
    uint64_t len, const uint8_t *mask)
{
    size_t   n;
    uint8_t  masked;

    masked = mask != NULL ? MASKED : 0;
    out[0] = (uint8_t) ((fin ? FIN : 0) | opcode);

    if (len < LENGTH16) {
        out[1] = (uint8_t) (masked | len);
        n = 2;

    } else if (len <= 0xffff) {
        out[1] = masked | LENGTH16;
        vmops_put_u16(out + 2, (uint16_t) len);
        n = 4;

    } else {
        out[1] = masked | LENGTH64;
        vmops_put_u64(out + 2, len);
        n = 10;
    }

    if (mask != NULL) {
        memcpy(out + n, mask, 4);
        n += 4;
    }

    return n;
}


void
vmops_ws_mask(uint8_t *p, size_t n, const uint8_t mask[4], uint64_t offset)
{
    size_t    i;
    uint8_t   key[8];
    uint64_t  word, by;

    for (i = 0; i < 8; i++) {
        key[i] = mask[(offset + i) & 3];
    }

    memcpy(&by, key, 8);

    for (i = 0; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        word ^= by;
        memcpy(p + i, &word, 8);
    }

    for ( ; i < n; i++) {
        p[i] ^= key[i & 7];
    }
}


int
vmops_ws_close_code_ok(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014)
           || (code >= 3000 && code <= 4999);
}


int
vmops_ws_close_parse(vmops_span_t body, unsigned *code, vmops_span_t *reason)
{
    *code = VMOPS_CLOSE_NO_STATUS;
    *reason = vmops_span(NULL, 0);

    if (body.n == 0) {
        return VMOPS_WS_OK;
    }

    if (body.n == 1 || !vmops_ws_close_code_ok(vmops_get_u16(body.p))) {
        return VMOPS_CLOSE_PROTOCOL;
    }

    *code = vmops_get_u16(body.p);
    *reason = vmops_span(body.p + 2, body.n - 2);

    return vmops_utf8_valid(*reason) ? VMOPS_WS_OK : VMOPS_CLOSE_BAD_DATA;
}


size_t
vmops_ws_close_write(uint8_t out[VMOPS_WS_CONTROL_MAX], unsigned code,
    vmops_span_t reason)
{
    size_t  n;

    n = vmops_utf8_cut(reason, VMOPS_WS_CONTROL_MAX - 2);

    vmops_put_u16(out, (uint16_t) code);

    if (n != 0) {
        memcpy(out + 2, reason.p, n);
    }

    return 2 + n;
}


int
vmops_ws_key_ok(vmops_span_t key)
{
    size_t   len;
    uint8_t  bytes[16];

    return key.n == VMOPS_WS_KEY_TEXT
           && vmops_b64_decode(bytes, sizeof(bytes), &len, key) == 0
           && len == sizeof(bytes);
}


void
vmops_ws_key_make(char out[VMOPS_WS_KEY_TEXT + 1], const uint8_t random[16])
{
    vmops_b64_encode(out, random, 16);
    out[VMOPS_WS_KEY_TEXT] = '\0';
}


/* RFC 6455 section 4.2.2, item 5.4 */

void
vmops_ws_accept(char out[VMOPS_WS_ACCEPT_TEXT + 1], vmops_span_t key)
{
    uint8_t      text[VMOPS_WS_KEY_TEXT + 36], hash[20];
    vmops_buf_t  b;

    vmops_buf_init(&b, text, sizeof(text));
    vmops_buf_span(&b, key);
    vmops_buf_str(&b, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");

    vmops_sha1(hash, vmops_span(b.p, b.n));
    vmops_b64_encode(out, hash, sizeof(hash));
    out[VMOPS_WS_ACCEPT_TEXT] = '\0';
}
