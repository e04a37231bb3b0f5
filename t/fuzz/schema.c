/*
 * Any JSON as the parameters of each action and as an agent's routes: what is
 * wrong is told with a code and a pointer into the document, and what is
 * right stays right when it is written and read again.  The first byte
 * chooses.
 */

#include <stdlib.h>

#include "vmops_action.h"
#include "vmops_proto.h"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static uint8_t  memory[2][1 << 20];
static uint8_t  out[1 << 18];


static int
check(unsigned choice, vmops_span_t text, int turn, const vmops_json_t **root)
{
    vmops_arena_t       a;
    vmops_json_error_t  err;

    vmops_arena_init(&a, memory[turn], sizeof(memory[turn]));

    if (vmops_json_parse(root, &a, text) != VMOPS_JSON_OK) {
        return -1;
    }

    vmops_json_error_init(&err, "");

    if ((choice < VMOPS_ACT_MAX_
         ? vmops_action_check(vmops_action_at(choice), *root, &err)
         : vmops_routes_check(*root, &err)) == 0)
    {
        return 0;
    }

    if (err.code == VMOPS_JE_NONE || vmops_json_error_name(err.code) == NULL
        || memchr(err.pointer, '\0', sizeof(err.pointer)) == NULL
        || (err.pointer[0] != '\0' && err.pointer[0] != '/'))
    {
        abort();
    }

    return -1;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    unsigned             choice;
    vmops_jw_t           w;
    vmops_span_t         text;
    const vmops_json_t  *root;

    if (n < 1 || n > 32768) {
        return 0;
    }

    choice = p[0] % (VMOPS_ACT_MAX_ + 1);

    if (check(choice, vmops_span(p + 1, n - 1), 0, &root) != 0) {
        return 0;
    }

    vmops_jw_init(&w, out, sizeof(out));
    vmops_jw_node(&w, root);

    if (vmops_jw_done(&w, &text) != 0 || check(choice, text, 1, &root) != 0) {
        abort();
    }

    return 0;
}
