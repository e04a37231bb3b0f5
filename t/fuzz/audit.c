/*
 * Any bytes as an export of the audit: what is taken as a line can be written,
 * and is read as the same; and what holds as a whole is the one log that was
 * sealed with the key, from its beginning or from where it says that it was
 * trimmed, up to one of its seals.
 */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "vmops_audit.h"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


#define ENTRIES  6

static const char *const  entries[ENTRIES] = {
    "{\"event\":\"tenant.created\",\"actor\":\"platform:1\"}",
    "{\"event\":\"token.created\",\"actor\":\"token:1\",\"name\":\"\xC3\xA9\"}",
    "{\"event\":\"vm.added\",\"id\":\"2\"}",
    "{\"event\":\"audit.trimmed\",\"actor\":\"system\",\"to\":\"2\"}",
    "{\"event\":\"audit.lost\",\"from\":\"5\",\"to\":\"6\"}",
    "{\"event\":\"vm.deleted\",\"id\":\"2\"}"
};

/* their numbers; a seal ends with the second, the fourth and the last */
static const uint64_t  numbers[ENTRIES] = { 1, 2, 3, 4, 7, 8 };

static uint8_t  heads[ENTRIES][VMOPS_HASH];
static uint8_t  memory[2][1 << 20];
static uint8_t  out[2][2 * VMOPS_AUDIT_LINE_MAX];


static void
again(const vmops_audit_line_t *line)
{
    vmops_jw_t          w;
    vmops_span_t        first, second;
    vmops_arena_t       a;
    vmops_audit_line_t  back;

    vmops_jw_init(&w, out[0], sizeof(out[0]));
    vmops_audit_write(&w, line);

    if (vmops_jw_done(&w, &first) != 0 || first.p[first.n - 1] != '\n') {
        abort();
    }

    vmops_arena_init(&a, memory[1], sizeof(memory[1]));
    vmops_jw_init(&w, out[1], sizeof(out[1]));

    if (vmops_audit_parse(&back, &a, vmops_span(first.p, first.n - 1)) != 0) {
        abort();
    }

    vmops_audit_write(&w, &back);

    if (vmops_jw_done(&w, &second) != 0 || !vmops_span_eq(first, second)) {
        abort();
    }
}


static void
prepare(uint8_t pk[32])
{
    size_t         i;
    uint8_t        sk[64], h[VMOPS_HASH] = { 0 };
    const uint8_t  seed[32] = { 1 };

    crypto_sign_seed_keypair(pk, sk, seed);

    for (i = 0; i < ENTRIES; i++) {
        vmops_audit_link(h, h, numbers[i], 1000 + numbers[i],
                         vmops_span_str(entries[i]));
        memcpy(heads[i], h, VMOPS_HASH);
    }
}


static int
is_sealed(const vmops_audit_check_t *c)
{
    size_t  i;

    for (i = 1; i < ENTRIES; i += 2) {
        if (c->n == numbers[i]
            && memcmp(c->head, heads[i], VMOPS_HASH) == 0)
        {
            return 1;
        }
    }

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    size_t               len;
    const uint8_t       *end;
    vmops_arena_t        a;
    vmops_audit_line_t   line;
    vmops_audit_check_t  c;
    static uint8_t       pk[32];

    if (heads[0][0] == 0) {
        prepare(pk);
    }

    vmops_audit_check_init(&c, vmops_span_str("acme"), pk);

    while (n > 0) {
        end = memchr(p, '\n', n);
        len = end != NULL ? (size_t) (end - p) : n;

        vmops_arena_init(&a, memory[0], sizeof(memory[0]));

        if (vmops_audit_parse(&line, &a, vmops_span(p, len)) == 0) {
            again(&line);
        }

        vmops_arena_init(&a, memory[0], sizeof(memory[0]));

        if (vmops_audit_check(&c, &line, &a, vmops_span(p, len)) != 0) {
            return 0;
        }

        len += end != NULL;
        p += len;
        n -= len;
    }

    if (vmops_audit_check_end(&c) == 0 && c.n != 0 && !is_sealed(&c)) {
        abort();
    }

    return 0;
}
