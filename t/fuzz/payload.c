/*
 * Any bytes as each of the signed payloads: what is taken can be written and
 * is read again.
 */

#include <stdlib.h>

#include "vmops_proto.h"


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static uint8_t  memory[1 << 20];
static uint8_t  out[VMOPS_PAYLOAD_MAX];


#define TRY(type, name)                                                       \
    static void                                                               \
    try_##name(vmops_span_t in)                                               \
    {                                                                         \
        type           v;                                                     \
        vmops_span_t   text;                                                  \
        vmops_arena_t  a;                                                     \
                                                                              \
        vmops_arena_init(&a, memory, sizeof(memory));                         \
                                                                              \
        if (vmops_##name##_parse(&v, &a, in) != 0) {                          \
            return;                                                           \
        }                                                                     \
                                                                              \
        if (vmops_##name##_write(out, sizeof(out), &text, &v) != 0) {         \
            abort();                                                          \
        }                                                                     \
                                                                              \
        vmops_arena_init(&a, memory, sizeof(memory));                         \
                                                                              \
        if (vmops_##name##_parse(&v, &a, text) != 0) {                        \
            abort();                                                          \
        }                                                                     \
    }

TRY(vmops_cmd_t, cmd)
TRY(vmops_result_t, result)
TRY(vmops_ctl_t, ctl)


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    try_cmd(vmops_span(p, n));
    try_result(vmops_span(p, n));
    try_ctl(vmops_span(p, n));

    return 0;
}
