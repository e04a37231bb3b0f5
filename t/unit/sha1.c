/*
 * SHA-1 by the examples of FIPS 180-4 and at each length around its blocks.
 */

#include "unit.h"

#include "vmops_sha1.h"


static void
known_answers(void **state UNUSED)
{
    size_t          i;
    uint8_t         hash[20], want[20];
    static uint8_t  million[1000000];

    static const struct {
        const char  *text;
        const char  *hash;
    } cases[] = {
        { "", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
        { "abc", "a9993e364706816aba3e25717850c26c9cd0d89d" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "84983e441c3bd26ebaae4aa1f95129e5e54670f1" }
    };

    for (i = 0; i < COUNT(cases); i++) {
        vmops_sha1(hash, vmops_span_str(cases[i].text));
        assert_int_equal(vmops_hex_decode(want, 20,
                             vmops_span_str(cases[i].hash)), 0);
        assert_memory_equal(hash, want, 20);
    }

    memset(million, 'a', sizeof(million));
    vmops_sha1(hash, vmops_span(million, sizeof(million)));
    assert_int_equal(vmops_hex_decode(want, 20, vmops_span_str(
                         "34aa973cd4c4daa4f61eeb2bdbad27316534016f")), 0);
    assert_memory_equal(hash, want, 20);
}


/* SHA-1 over the hashes of 0 ... 200 times 'b', as sha1sum gives it */

static void
every_length(void **state UNUSED)
{
    size_t   n;
    uint8_t  bytes[201], all[201 * 20], hash[20], want[20];

    memset(bytes, 'b', sizeof(bytes));

    for (n = 0; n < sizeof(bytes); n++) {
        vmops_sha1(all + 20 * n, vmops_span(bytes, n));
    }

    vmops_sha1(hash, vmops_span(all, sizeof(all)));
    assert_int_equal(vmops_hex_decode(want, 20, vmops_span_str(
                         "5443555b8f115c2f0f9e7ce4fcf3be76845b7470")), 0);
    assert_memory_equal(hash, want, 20);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(every_length)
    };

    return RUN(tests);
}
