/*
 * Any bytes as a message of the channel: what is taken can be written, and
 * the written form is read as the same.
 */

#include <stdlib.h>

#include "vmops_proto.h"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static uint8_t  memory[2][1 << 20];
static uint8_t  out[2][VMOPS_WS_MESSAGE_MAX];


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    vmops_msg_t    m, back;
    vmops_span_t   first, second;
    vmops_arena_t  a;

    if (n > 65536) {
        return 0;
    }

    vmops_arena_init(&a, memory[0], sizeof(memory[0]));

    if (vmops_msg_parse(&m, &a, vmops_span(p, n)) != VMOPS_MSG_OK) {
        return 0;
    }

    if (vmops_msg_write(out[0], sizeof(out[0]), &first, &m) != 0) {
        abort();
    }

    vmops_arena_init(&a, memory[1], sizeof(memory[1]));

    if (vmops_msg_parse(&back, &a, first) != VMOPS_MSG_OK
        || vmops_msg_write(out[1], sizeof(out[1]), &second, &back) != 0
        || !vmops_span_eq(first, second))
    {
        abort();
    }

    return 0;
}
