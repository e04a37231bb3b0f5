/*
 * What the unit tests share: cmocka with TAP, vectors, hex.
 */

#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmops_json.h"

#define UNUSED  __attribute__((unused))

#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))

#define RUN(tests)                                                            \
    (cmocka_set_message_output(CM_OUTPUT_TAP),                                \
     cmocka_run_group_tests(tests, NULL, NULL))


/* a span as assertions like it */

UNUSED static void
assert_span(vmops_span_t s, const char *text)
{
    if (!vmops_span_is(s, text)) {
        fail_msg("\"%.*s\" is not \"%s\"", (int) s.n, (const char *) s.p,
                 text);
    }
}


/* a JSON document of t/vectors, for as long as the program runs */

UNUSED static const vmops_json_t *
vectors(const char *path)
{
    FILE                *f;
    size_t               n;
    vmops_arena_t        a;
    const vmops_json_t  *root;
    static uint8_t       text[65536], memory[1 << 20];

    f = fopen(path, "rb");
    if (f == NULL) {
        fail_msg("%s: run from the top of the tree", path);
        return NULL;
    }

    n = fread(text, 1, sizeof(text), f);
    fclose(f);

    vmops_arena_init(&a, memory, sizeof(memory));
    assert_int_equal(vmops_json_parse(&root, &a, vmops_span(text, n)),
                     VMOPS_JSON_OK);
    return root;
}


UNUSED static vmops_span_t
text_of(const vmops_json_t *node, const char *name)
{
    vmops_span_t  s;

    if (vmops_json_str(vmops_json_get(node, name), &s) != 0) {
        fail_msg("no string \"%s\" in the vectors", name);
    }

    return s;
}


/* hex of any length into dst; returns the bytes as a span */

UNUSED static vmops_span_t
hex_of(uint8_t *dst, size_t cap, const vmops_json_t *node, const char *name)
{
    vmops_span_t  s;

    s = text_of(node, name);
    assert_true(s.n / 2 <= cap);
    assert_int_equal(vmops_hex_decode(dst, s.n / 2, s), 0);

    return vmops_span(dst, s.n / 2);
}


/* bytes first, first + 1, … */

UNUSED static void
fill(uint8_t *p, size_t n, uint8_t first)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        p[i] = (uint8_t) (first + i);
    }
}

#endif /* UNIT_H */
