/*
 * Any bytes as each of the text forms: ids, times, base64, patterns, and the
 * small texts of a WebSocket.  The first byte is a length.
 */

#include <stdlib.h>

#include "vmops_keys.h"
#include "vmops_utf8.h"
#include "vmops_ws_frame.h"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static void
same(vmops_span_t in, const char *text)
{
    if (!vmops_span_is(in, text)) {
        abort();
    }
}


static void
ids(vmops_span_t in)
{
    char           text[64];
    int64_t        ms, back;
    vmops_uuid_t   u;

    if (vmops_uuid_parse(&u, in) == 0) {
        vmops_uuid_format(text, &u);
        same(in, text);
    }

    if (vmops_secret_ref_parse(&u, in) == 0) {
        vmops_secret_ref_format(text, &u);
        same(in, text);
    }

    if (vmops_time_parse(&ms, in) == 0) {
        vmops_time_format(text, ms);

        if (vmops_time_parse(&back, vmops_span_str(text)) != 0
            || back != ms)
        {
            abort();
        }
    }
}


static void
base64(vmops_span_t in)
{
    size_t    len;
    uint8_t   bytes[512];
    char      text[VMOPS_B64U_LEN(sizeof(bytes)) + 4];

    if (vmops_b64u_decode(bytes, sizeof(bytes), &len, in) == 0) {
        text[vmops_b64u_encode(text, bytes, len)] = '\0';
        same(in, text);
    }

    if (vmops_b64_decode(bytes, sizeof(bytes), &len, in) == 0) {
        text[vmops_b64_encode(text, bytes, len)] = '\0';
        same(in, text);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    size_t        cut;
    uint8_t       clean[512];
    unsigned      pattern, close;
    vmops_span_t  in, reason;

    if (n < 1 || n > 512) {
        return 0;
    }

    cut = p[0] % n;
    in = vmops_span(p + 1, n - 1);

    ids(in);
    base64(in);

    for (pattern = 0; pattern < VMOPS_P_MAX_; pattern++) {
        (void) vmops_pattern_match(pattern, in);
    }

    if (vmops_ws_close_parse(in, &close, &reason) == VMOPS_WS_OK
        && !vmops_utf8_valid(reason))
    {
        abort();
    }

    (void) vmops_ws_key_ok(in);

    n = vmops_utf8_clean(clean, cut, in);

    if (n > cut || !vmops_pattern_match(VMOPS_P_TEXT, vmops_span(clean, n))) {
        abort();
    }

    return 0;
}
