/*
 * RFC 6455 frames: each stream is fed whole, then one byte at a time, and
 * both give the same messages or the same close code.
 */

#include "unit.h"

#include "vmops_ws_frame.h"


static const uint8_t  key[4] = { 0x37, 0xfa, 0x21, 0x3d };

static uint8_t        stream[1 << 20];
static uint8_t        copy[1 << 20];
static vmops_buf_t    b;


static void
begin(void)
{
    vmops_buf_init(&b, stream, sizeof(stream));
}


static void
frame(vmops_ws_side_t reader, unsigned opcode, int fin, const void *p,
    size_t n)
{
    size_t    start;
    uint8_t   head[VMOPS_WS_HEAD_MAX];

    vmops_buf_put(&b, head,
                  vmops_ws_head_write(head, opcode, fin, n,
                                      reader == VMOPS_WS_SERVER ? key
                                                                : NULL));
    start = b.n;
    vmops_buf_put(&b, p, n);
    assert_false(b.overflow);

    if (reader == VMOPS_WS_SERVER) {
        vmops_ws_mask(stream + start, n, key, 0);
    }
}


/* what came: "T:text" "B:bytes" "c:close" "p:ping" "o:pong", comma between */

typedef struct {
    char              text[400000];
    size_t            n;
    int               rc;
    size_t            open;     /* message begun, not ended */
    vmops_ws_reasm_t  r;
} session_t;

static session_t  whole, single;


static void
note(session_t *s, vmops_ws_event_t *ev)
{
    char  kind;

    kind = ev->opcode == VMOPS_WS_TEXT ? 'T' : ev->opcode == VMOPS_WS_BINARY
           ? 'B' : ev->opcode == VMOPS_WS_CLOSE ? 'c'
           : ev->opcode == VMOPS_WS_PING ? 'p' : 'o';

    assert_true(s->n + ev->data.n + 4 < sizeof(s->text));

    if (ev->type == VMOPS_WS_EV_CONTROL || !s->open) {
        s->text[s->n++] = kind;
        s->text[s->n++] = ':';
    }

    if (ev->data.n != 0) {
        memcpy(s->text + s->n, ev->data.p, ev->data.n);
        s->n += ev->data.n;
    }

    if (ev->type == VMOPS_WS_EV_DATA) {
        s->open = !ev->end;
    }

    if (ev->end) {
        s->text[s->n++] = ',';
    }
}


static void
feed(session_t *s, vmops_ws_side_t side, size_t step)
{
    size_t             i, n;
    uint8_t           *p;
    vmops_ws_event_t   ev;

    s->n = 0;
    s->open = 0;
    s->rc = VMOPS_WS_OK;
    vmops_ws_reasm_init(&s->r, side);
    memcpy(copy, stream, b.n);

    for (i = 0; i < b.n && s->rc == VMOPS_WS_OK; i += n) {
        n = step < b.n - i ? step : b.n - i;
        p = copy + i;

        do {
            s->rc = vmops_ws_reasm_feed(&s->r, &p, copy + i + n, &ev);

            if (s->rc == VMOPS_WS_OK && ev.type != VMOPS_WS_EV_NONE) {
                note(s, &ev);
            }
        } while (s->rc == VMOPS_WS_OK && ev.type != VMOPS_WS_EV_NONE);

        if (s->rc == VMOPS_WS_OK) {
            assert_ptr_equal(p, copy + i + n);
        }
    }
}


static void
expect(vmops_ws_side_t side, int rc, const char *text)
{
    size_t  step;

    feed(&whole, side, sizeof(stream));
    assert_int_equal(whole.rc, rc);

    for (step = 1; step <= 7; step += 2) {
        feed(&single, side, step);
        assert_int_equal(single.rc, rc);

        if (rc == VMOPS_WS_OK) {
            assert_int_equal(single.n, whole.n);
            assert_memory_equal(single.text, whole.text, whole.n);
        }
    }

    if (text != NULL) {
        assert_span(vmops_span(whole.text, whole.n), text);
    }
}


static void
rfc_examples(void **state UNUSED)
{
    /* RFC 6455 section 5.7 */
    static const uint8_t  unmasked[] = { 0x81, 5, 'H', 'e', 'l', 'l', 'o' };
    static const uint8_t  masked[] = {
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58
    };
    static const uint8_t  fragmented[] = {
        0x01, 3, 'H', 'e', 'l', 0x80, 2, 'l', 'o'
    };

    begin();
    vmops_buf_put(&b, unmasked, sizeof(unmasked));
    expect(VMOPS_WS_CLIENT, VMOPS_WS_OK, "T:Hello,");
    expect(VMOPS_WS_SERVER, VMOPS_CLOSE_PROTOCOL, NULL);

    begin();
    vmops_buf_put(&b, masked, sizeof(masked));
    expect(VMOPS_WS_SERVER, VMOPS_WS_OK, "T:Hello,");
    expect(VMOPS_WS_CLIENT, VMOPS_CLOSE_PROTOCOL, NULL);

    begin();
    vmops_buf_put(&b, fragmented, sizeof(fragmented));
    expect(VMOPS_WS_CLIENT, VMOPS_WS_OK, "T:Hello,");

    begin();
    frame(VMOPS_WS_SERVER, VMOPS_WS_TEXT, 1, "Hello", 5);
    assert_int_equal(b.n, sizeof(masked));
    assert_memory_equal(stream, masked, sizeof(masked));
}


static void
messages(void **state UNUSED)
{
    unsigned  side;

    for (side = VMOPS_WS_SERVER; side <= VMOPS_WS_CLIENT; side++) {

        begin();            /* empty ones, control in between */
        frame(side, VMOPS_WS_TEXT, 1, "", 0);
        frame(side, VMOPS_WS_PING, 1, "", 0);
        frame(side, VMOPS_WS_BINARY, 1, "\xff", 1);
        frame(side, VMOPS_WS_PONG, 1, "x", 1);
        expect(side, VMOPS_WS_OK, "T:,p:,B:\xff,o:x,");
        assert_true(vmops_ws_reasm_idle(&whole.r));

        begin();            /* fragments, a character cut in two */
        frame(side, VMOPS_WS_TEXT, 0, "a\xe2", 2);
        frame(side, VMOPS_WS_CONTINUATION, 0, "", 0);
        frame(side, VMOPS_WS_CONTINUATION, 0, "\x82\xac", 2);
        frame(side, VMOPS_WS_CONTINUATION, 1, "", 0);
        frame(side, VMOPS_WS_CLOSE, 1, "\x03\xe8", 2);
        expect(side, VMOPS_WS_OK, "T:a\xe2\x82\xac,c:\x03\xe8,");

        begin();            /* cut off: not idle, no message */
        frame(side, VMOPS_WS_TEXT, 0, "abc", 3);
        expect(side, VMOPS_WS_OK, "T:abc");
        assert_false(vmops_ws_reasm_idle(&whole.r));
        b.n -= 1;
        feed(&whole, side, sizeof(stream));
        assert_false(vmops_ws_reasm_idle(&whole.r));
        b.n = 1;
        feed(&whole, side, sizeof(stream));
        assert_false(vmops_ws_reasm_idle(&whole.r));
    }

    /* a ping inside a fragmented message does not end it */
    begin();
    frame(VMOPS_WS_SERVER, VMOPS_WS_TEXT, 0, "ab", 2);
    frame(VMOPS_WS_SERVER, VMOPS_WS_PING, 1, "!", 1);
    frame(VMOPS_WS_SERVER, VMOPS_WS_CONTINUATION, 1, "cd", 2);
    expect(VMOPS_WS_SERVER, VMOPS_WS_OK, "T:abp:!,cd,");
}


static void
lengths(void **state UNUSED)
{
    size_t          i;
    unsigned        side;
    static uint8_t  payload[VMOPS_WS_FRAME_MAX];

    static const size_t  sizes[] = {
        0, 1, 125, 126, 127, 128, 65534, 65535, 65536
    };

    memset(payload, 'x', sizeof(payload));

    for (side = VMOPS_WS_SERVER; side <= VMOPS_WS_CLIENT; side++) {
        for (i = 0; i < COUNT(sizes); i++) {
            begin();
            frame(side, VMOPS_WS_TEXT, 1, payload, sizes[i]);
            frame(side, VMOPS_WS_PING, 1, "", 0);
            expect(side, VMOPS_WS_OK, NULL);
            assert_int_equal(whole.n, 2 + sizes[i] + 1 + 3);
        }
    }

    /* 4 * 64 KiB is a message, one byte more is none */
    begin();
    for (i = 0; i < 4; i++) {
        frame(VMOPS_WS_CLIENT, i == 0 ? VMOPS_WS_TEXT : VMOPS_WS_CONTINUATION,
              0, payload, sizeof(payload));
    }
    frame(VMOPS_WS_CLIENT, VMOPS_WS_CONTINUATION, 1, "", 0);
    expect(VMOPS_WS_CLIENT, VMOPS_WS_OK, NULL);
    b.n -= 2;
    frame(VMOPS_WS_CLIENT, VMOPS_WS_CONTINUATION, 1, "x", 1);
    expect(VMOPS_WS_CLIENT, VMOPS_CLOSE_TOO_BIG, NULL);

    /* 100 fragments are a message, 101 are not; empty ones count */
    begin();
    for (i = 0; i < VMOPS_WS_FRAGMENTS_MAX - 1; i++) {
        frame(VMOPS_WS_CLIENT, i == 0 ? VMOPS_WS_TEXT : VMOPS_WS_CONTINUATION,
              0, "", 0);
    }
    frame(VMOPS_WS_CLIENT, VMOPS_WS_CONTINUATION, 1, "", 0);
    expect(VMOPS_WS_CLIENT, VMOPS_WS_OK, "T:,");
    b.n -= 2;
    frame(VMOPS_WS_CLIENT, VMOPS_WS_CONTINUATION, 0, "", 0);
    frame(VMOPS_WS_CLIENT, VMOPS_WS_CONTINUATION, 1, "", 0);
    expect(VMOPS_WS_CLIENT, VMOPS_CLOSE_POLICY, NULL);
}


/* each of these is enough by its header alone */

static void
refused_headers(void **state UNUSED)
{
    size_t                  i, n;
    vmops_ws_head_t         head;
    const uint8_t          *p;
    vmops_ws_head_reader_t  r;

    static const struct {
        const char  *bytes;
        size_t       n;
        int          rc;
    } cases[] = {
        { "\x91", 1, 1002 }, { "\xa1", 1, 1002 }, { "\xc1", 1, 1002 },
        { "\x83", 1, 1002 }, { "\x87", 1, 1002 }, { "\x8b", 1, 1002 },
        { "\x8f", 1, 1002 }, { "\x03", 1, 1002 },
        { "\x09", 1, 1002 }, { "\x08", 1, 1002 }, { "\x0a", 1, 1002 },
        { "\x89\x7e", 2, 1002 }, { "\x88\x7f", 2, 1002 },
        { "\x81\x80", 2, 1002 },                        /* masked */
        { "\x81\x7e\x00\x7d", 4, 1002 },                /* not minimal */
        { "\x81\x7e\x00\x00", 4, 1002 },
        { "\x81\x7f\0\0\0\0\0\0\xff\xff", 10, 1002 },
        { "\x81\x7f\0\0\0\0\0\0\0\x05", 10, 1002 },
        { "\x81\x7f\x80\0\0\0\0\0\0\0", 10, 1002 },     /* 2^63 */
        { "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10, 1002 },
        { "\x81\x7f\x40\0\0\0\0\0\0\0", 10, 1009 },     /* 2^62 */
        { "\x82\x7f\0\0\0\0\0\1\0\1", 10, 1009 }        /* 64 KiB + 1 */
    };

    for (i = 0; i < COUNT(cases); i++) {
        /* at its last byte, and not before */
        memset(&r, 0, sizeof(r));
        for (n = 0; n < cases[i].n; n++) {
            p = (const uint8_t *) cases[i].bytes + n;
            assert_int_equal(vmops_ws_head_feed(&r, &head, VMOPS_WS_CLIENT,
                                 VMOPS_WS_FRAME_MAX, &p, p + 1),
                             n + 1 == cases[i].n ? cases[i].rc
                                                 : VMOPS_WS_MORE);
        }
    }

    memset(&r, 0, sizeof(r));
    p = (const uint8_t *) "\x81\x05";
    assert_int_equal(vmops_ws_head_feed(&r, &head, VMOPS_WS_SERVER,
                         VMOPS_WS_FRAME_MAX, &p, p + 2), 1002);

    /* a limit of its own before ready */
    memset(&r, 0, sizeof(r));
    p = (const uint8_t *) "\x81\x7e\x04\x01";
    assert_int_equal(vmops_ws_head_feed(&r, &head, VMOPS_WS_CLIENT,
                         VMOPS_WS_PRE_READY_BYTES, &p, p + 4), 1009);
    memset(&r, 0, sizeof(r));
    p = (const uint8_t *) "\x81\x7e\x04\x00";
    assert_int_equal(vmops_ws_head_feed(&r, &head, VMOPS_WS_CLIENT,
                         VMOPS_WS_PRE_READY_BYTES, &p, p + 4), VMOPS_WS_OK);
}


static void
refused_sequences(void **state UNUSED)
{
    size_t  i;

    static const char *const  bad_text[] = {
        "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80",
        "\xe2\x82", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0"
        "\x80" "edited"
    };

    begin();                /* a continuation of nothing */
    frame(VMOPS_WS_SERVER, VMOPS_WS_CONTINUATION, 1, "x", 1);
    expect(VMOPS_WS_SERVER, VMOPS_CLOSE_PROTOCOL, NULL);

    begin();                /* after a whole message, too */
    frame(VMOPS_WS_SERVER, VMOPS_WS_TEXT, 1, "x", 1);
    frame(VMOPS_WS_SERVER, VMOPS_WS_CONTINUATION, 0, "x", 1);
    expect(VMOPS_WS_SERVER, VMOPS_CLOSE_PROTOCOL, NULL);

    begin();                /* a message in a message */
    frame(VMOPS_WS_SERVER, VMOPS_WS_TEXT, 0, "x", 1);
    frame(VMOPS_WS_SERVER, VMOPS_WS_TEXT, 1, "x", 1);
    expect(VMOPS_WS_SERVER, VMOPS_CLOSE_PROTOCOL, NULL);

    for (i = 0; i < COUNT(bad_text); i++) {
        begin();
        frame(VMOPS_WS_SERVER, VMOPS_WS_TEXT, 1, bad_text[i],
              strlen(bad_text[i]));
        expect(VMOPS_WS_SERVER, VMOPS_CLOSE_BAD_DATA, NULL);

        begin();
        frame(VMOPS_WS_SERVER, VMOPS_WS_BINARY, 1, bad_text[i],
              strlen(bad_text[i]));
        expect(VMOPS_WS_SERVER, VMOPS_WS_OK, NULL);
    }

    /* bad bytes are found before the frame is complete */
    begin();
    frame(VMOPS_WS_SERVER, VMOPS_WS_TEXT, 0, "abc\xff" "defghijk", 12);
    b.n -= 8;
    expect(VMOPS_WS_SERVER, VMOPS_CLOSE_BAD_DATA, NULL);
    b.n -= 1;
    expect(VMOPS_WS_SERVER, VMOPS_WS_OK, NULL);
}


static void
masking(void **state UNUSED)
{
    size_t   i, n, split;
    uint8_t  p[40], q[40];

    for (n = 0; n <= sizeof(p); n++) {
        for (split = 0; split <= n; split++) {
            fill(p, n, 3);
            memcpy(q, p, n);
            vmops_ws_mask(q, split, key, 0);
            vmops_ws_mask(q + split, n - split, key, split);

            for (i = 0; i < n; i++) {
                assert_int_equal(q[i], p[i] ^ key[i % 4]);
            }
        }
    }

    fill(p, 8, 0);
    memcpy(q, p, 8);
    vmops_ws_mask(q, 8, key, (UINT64_C(1) << 62) + 3);
    assert_int_equal(q[0], key[3]);
}


static void
close_bodies(void **state UNUSED)
{
    size_t         i, n;
    uint8_t        body[VMOPS_WS_CONTROL_MAX], text[200];
    unsigned       code, got;
    vmops_span_t   reason;

    static const struct {
        unsigned  from, to;
        int       ok;
    } codes[] = {
        { 0, 999, 0 }, { 1000, 1003, 1 }, { 1004, 1006, 0 },
        { 1007, 1014, 1 }, { 1015, 2999, 0 }, { 3000, 4999, 1 },
        { 5000, 65535, 0 }
    };

    for (i = 0; i < COUNT(codes); i++) {
        for (code = codes[i].from; code <= codes[i].to; code++) {
            vmops_put_u16(body, (uint16_t) code);
            assert_int_equal(vmops_ws_close_parse(vmops_span(body, 2), &got,
                                                  &reason),
                             codes[i].ok ? VMOPS_WS_OK
                                         : VMOPS_CLOSE_PROTOCOL);
        }
    }

    assert_int_equal(vmops_ws_close_parse(vmops_span(NULL, 0), &got,
                                          &reason), VMOPS_WS_OK);
    assert_int_equal(got, VMOPS_CLOSE_NO_STATUS);
    assert_int_equal(vmops_ws_close_parse(vmops_span("\x03", 1), &got,
                                          &reason), VMOPS_CLOSE_PROTOCOL);
    assert_int_equal(vmops_ws_close_parse(vmops_span("\x03\xe8\xff", 3),
                                          &got, &reason),
                     VMOPS_CLOSE_BAD_DATA);
    assert_int_equal(vmops_ws_close_parse(vmops_span("\x03\xe8\xc3", 3),
                                          &got, &reason),
                     VMOPS_CLOSE_BAD_DATA);

    n = vmops_ws_close_write(body, 4409, vmops_span_str("replaced"));
    assert_int_equal(vmops_ws_close_parse(vmops_span(body, n), &got,
                                          &reason), VMOPS_WS_OK);
    assert_int_equal(got, 4409);
    assert_span(reason, "replaced");

    for (i = 0; i < sizeof(text); i += 2) {
        memcpy(text + i, "\xc3\xa9", 2);
    }
    n = vmops_ws_close_write(body, 1000, vmops_span(text, sizeof(text)));
    assert_int_equal(n, 2 + 122);
    assert_int_equal(vmops_ws_close_parse(vmops_span(body, n), &got,
                                          &reason), VMOPS_WS_OK);
}


static void
handshake_keys(void **state UNUSED)
{
    char     text[VMOPS_WS_ACCEPT_TEXT + 1];
    size_t   i;
    uint8_t  random[16];

    static const char *const  refused[] = {
        "", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZQAA", "dGhlIHNhbXBsZSBub25j!Q==",
        "dGhlIHNhbXBsZSBub25jZQ== "
    };

    vmops_ws_accept(text, vmops_span_str("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_string_equal(text, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_span(text_of(vectors("t/vectors/keys-v1.json"), "ws_accept"),
                text);

    assert_true(vmops_ws_key_ok(vmops_span_str("dGhlIHNhbXBsZSBub25jZQ==")));
    for (i = 0; i < COUNT(refused); i++) {
        assert_false(vmops_ws_key_ok(vmops_span_str(refused[i])));
    }

    memcpy(random, "the sample nonce", 16);
    vmops_ws_key_make(text, random);
    assert_string_equal(text, "dGhlIHNhbXBsZSBub25jZQ==");
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(rfc_examples),
        cmocka_unit_test(messages),
        cmocka_unit_test(lengths),
        cmocka_unit_test(refused_headers),
        cmocka_unit_test(refused_sequences),
        cmocka_unit_test(masking),
        cmocka_unit_test(close_bodies),
        cmocka_unit_test(handshake_keys)
    };

    return RUN(tests);
}
