/*
 * Any bytes as JSON: what is taken is UTF-8, and writes and reads again to
 * the same bytes.
 */

#include <stdlib.h>

#include "vmops_json.h"
#include "vmops_utf8.h"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static uint8_t  memory[2][1 << 20];
static uint8_t  out[2][1 << 18];


static int
again(vmops_span_t in, int turn, vmops_span_t *text)
{
    vmops_jw_t           w;
    vmops_arena_t        a;
    const vmops_json_t  *root;

    vmops_arena_init(&a, memory[turn], vmops_json_arena_size(in.n));

    if (vmops_json_parse(&root, &a, in) != VMOPS_JSON_OK) {
        return -1;
    }

    vmops_jw_init(&w, out[turn], sizeof(out[turn]));
    vmops_jw_node(&w, root);

    if (vmops_jw_done(&w, text) != 0 || !vmops_utf8_valid(*text)) {
        abort();
    }

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    vmops_span_t  first, second;

    if (n > 65536 || again(vmops_span(p, n), 0, &first) != 0) {
        return 0;
    }

    if (again(first, 1, &second) != 0 || !vmops_span_eq(first, second)) {
        abort();
    }

    return 0;
}
