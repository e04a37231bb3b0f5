/*
 * Any bytes as a token, a session's cookie and a typed pairing code: what is
 * taken has the form of one that was made, and names its tenant in it.
 */

#include <ctype.h>
#include <stdlib.h>

#include "vmops_keys.h"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


/* as `made`, but for what is random: 43 characters, and a token's check */

static void
same_form(vmops_span_t in, const char *made, size_t random)
{
    size_t  i, fixed = strlen(made) - random;

    if (in.n != strlen(made) || memcmp(in.p, made, fixed) != 0) {
        abort();
    }

    for (i = fixed; i < in.n; i++) {
        if (!isalnum(in.p[i])) {
            abort();
        }
    }
}


static void
token(vmops_span_t in)
{
    char           made[VMOPS_TOKEN_MAX + 1];
    vmops_token_t  t;
    const uint8_t  random[32] = { 0 };

    if (vmops_token_parse(&t, in) != 0) {
        return;
    }

    if (t.platform) {
        t.tenant = vmops_span_str("platform");
    }

    if (vmops_token_make(made, t.tenant, random) != 0) {
        abort();
    }

    same_form(in, made, 49);
}


static void
cookie(vmops_span_t in)
{
    char           made[VMOPS_COOKIE_MAX + 1];
    vmops_span_t   tenant;
    const uint8_t  random[32] = { 0 };

    if (vmops_cookie_parse(&tenant, in) != 0) {
        return;
    }

    if (vmops_cookie_make(made, tenant, random) != 0) {
        abort();
    }

    same_form(in, made, 43);
}


static void
pairing_code(vmops_span_t in)
{
    char  code[VMOPS_PAIRING_CODE + 1], again[VMOPS_PAIRING_CODE + 1];

    if (vmops_pairing_code_normalise(code, in) != 0) {
        return;
    }

    if (strlen(code) != VMOPS_PAIRING_CODE
        || vmops_pairing_code_normalise(again, vmops_span_str(code)) != 0
        || strcmp(code, again) != 0)
    {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    token(vmops_span(p, n));
    cookie(vmops_span(p, n));
    pairing_code(vmops_span(p, n));

    return 0;
}
