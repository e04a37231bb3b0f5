/*
 * RFC 6455 frames: header reader and writer, masking, fragments, close
 * bodies, and the handshake's accept key.  No I/O, no allocation, no session:
 * the gateway and the agent each have their own around it.
 *
 * Functions that judge the peer return VMOPS_WS_OK, VMOPS_WS_MORE, or the
 * close code (1002, 1007, 1008, 1009) to fail the connection with.
 */

#ifndef VMOPS_WS_FRAME_H
#define VMOPS_WS_FRAME_H

#include "vmops_bytes.h"
#include "vmops_utf8.h"

#pragma GCC visibility push(hidden)

#define VMOPS_WS_OK             0
#define VMOPS_WS_MORE           (-1)

#define VMOPS_WS_CONTINUATION   0x0
#define VMOPS_WS_TEXT           0x1
#define VMOPS_WS_BINARY         0x2
#define VMOPS_WS_CLOSE          0x8
#define VMOPS_WS_PING           0x9
#define VMOPS_WS_PONG           0xa

#define VMOPS_WS_HEAD_MAX       14

/* close codes: RFC 6455 section 7.4, and ours (docs/protocol.md) */

#define VMOPS_CLOSE_NORMAL      1000
#define VMOPS_CLOSE_GOING_AWAY  1001
#define VMOPS_CLOSE_PROTOCOL    1002
#define VMOPS_CLOSE_UNSUPPORTED 1003
#define VMOPS_CLOSE_NO_STATUS   1005    /* never on the wire */
#define VMOPS_CLOSE_ABNORMAL    1006    /* nor this: no Close came */
#define VMOPS_CLOSE_BAD_DATA    1007
#define VMOPS_CLOSE_POLICY      1008
#define VMOPS_CLOSE_TOO_BIG     1009
#define VMOPS_CLOSE_INTERNAL    1011
#define VMOPS_CLOSE_TRY_LATER   1013
#define VMOPS_CLOSE_AUTH        4401
#define VMOPS_CLOSE_REVOKED     4403
#define VMOPS_CLOSE_NOT_READY   4408
#define VMOPS_CLOSE_REPLACED    4409
#define VMOPS_CLOSE_LOCKED      4423

/* Which side reads: a server demands masked frames, a client unmasked. */

typedef enum {
    VMOPS_WS_SERVER = 0,
    VMOPS_WS_CLIENT
} vmops_ws_side_t;

typedef struct {
    uint8_t          fin;
    uint8_t          opcode;
    uint8_t          masked;
    uint8_t          mask[4];
    uint64_t         len;
} vmops_ws_head_t;

/* A header as it arrives.  Zero-initialise; reusable after VMOPS_WS_OK. */

typedef struct {
    uint8_t          buf[VMOPS_WS_HEAD_MAX];
    uint8_t          have;
} vmops_ws_head_reader_t;

/*
 * Takes bytes from *p up to end and advances *p.  VMOPS_WS_OK: *head is
 * complete.  Every rule is judged at the first byte that breaks it: RSV bits,
 * unknown opcodes, fragmented or long control frames, masking, lengths that
 * are not minimal or have bit 63 (1002), data frames above max (1009).
 */
int vmops_ws_head_feed(vmops_ws_head_reader_t *r, vmops_ws_head_t *head,
    vmops_ws_side_t side, uint64_t max, const uint8_t **p,
    const uint8_t *end);

/* Writes a header, minimal length; mask NULL: unmasked.  Returns its size. */
size_t vmops_ws_head_write(uint8_t out[VMOPS_WS_HEAD_MAX], unsigned opcode,
    int fin, uint64_t len, const uint8_t *mask);

/* Masks or unmasks in place; offset is p's place in the frame's payload. */
void vmops_ws_mask(uint8_t *p, size_t n, const uint8_t mask[4],
    uint64_t offset);


/*
 * From bytes to messages.  The caller keeps the message's bytes, if it wants
 * them: data events hand them out as they arrive, unmasked in the caller's
 * own read buffer.
 */

typedef enum {
    VMOPS_WS_EV_NONE = 0,   /* all input taken, nothing to report */
    VMOPS_WS_EV_DATA,       /* bytes of a message; `end`: its last ones */
    VMOPS_WS_EV_CONTROL     /* a whole ping, pong or close */
} vmops_ws_event_type_t;

typedef struct {
    vmops_ws_event_type_t  type;
    uint8_t                opcode;  /* TEXT or BINARY; CLOSE, PING or PONG */
    uint8_t                end;
    vmops_span_t           data;    /* in the caller's input, or in the
                                       reader (control); valid until the next
                                       call */
} vmops_ws_event_t;

typedef struct {
    /* set by init, may be changed between frames */
    uint64_t               max_frame;
    uint64_t               max_message;
    uint32_t               max_fragments;

    /* its own */
    vmops_ws_side_t        side;
    vmops_ws_head_reader_t reader;
    vmops_ws_head_t        head;
    uint64_t               taken;       /* of this frame's payload */
    uint64_t               message;     /* bytes, all fragments so far */
    uint32_t               fragments;
    uint8_t                opcode;      /* of the message; 0: none is open */
    uint8_t                in_payload;
    vmops_utf8_t           utf8;
    uint8_t                control[VMOPS_WS_CONTROL_MAX];
} vmops_ws_reasm_t;

/* Limits from vmops_limits.h: frame 64 KiB, message 256 KiB, 100 fragments. */
void vmops_ws_reasm_init(vmops_ws_reasm_t *r, vmops_ws_side_t side);

/*
 * Takes bytes from *p up to end, advances *p and reports at most one event;
 * call again until VMOPS_WS_EV_NONE.  Text is checked as UTF-8 as it arrives
 * (1007), a message's size from each header alone (1009), its fragments are
 * counted (1008).  An empty message or last fragment is a DATA event of no
 * bytes with `end`.
 * VMOPS_WS_OK, or the close code; after one, do not call again.
 */
int vmops_ws_reasm_feed(vmops_ws_reasm_t *r, uint8_t **p, const uint8_t *end,
    vmops_ws_event_t *ev);

/* 1 between frames and outside a message: nothing was cut off. */
int vmops_ws_reasm_idle(const vmops_ws_reasm_t *r);


/* 1 if a peer may send this code in a Close (RFC 6455 section 7.4). */
int vmops_ws_close_code_ok(unsigned code);

/*
 * A Close's body: *code is VMOPS_CLOSE_NO_STATUS if it is empty, reason
 * points into body.  VMOPS_WS_OK, 1002 (one byte, a bad code) or 1007.
 */
int vmops_ws_close_parse(vmops_span_t body, unsigned *code,
    vmops_span_t *reason);

/* Writes a body; reason is cut to 123 bytes at a character.  Its size. */
size_t vmops_ws_close_write(uint8_t out[VMOPS_WS_CONTROL_MAX], unsigned code,
    vmops_span_t reason);


/* Handshake (RFC 6455 section 4). */

#define VMOPS_WS_KEY_TEXT     24
#define VMOPS_WS_ACCEPT_TEXT  28

/* 1 if it is the base64 of 16 bytes. */
int vmops_ws_key_ok(vmops_span_t key);
void vmops_ws_key_make(char out[VMOPS_WS_KEY_TEXT + 1],
    const uint8_t random[16]);
void vmops_ws_accept(char out[VMOPS_WS_ACCEPT_TEXT + 1], vmops_span_t key);

#pragma GCC visibility pop

#endif /* VMOPS_WS_FRAME_H */
