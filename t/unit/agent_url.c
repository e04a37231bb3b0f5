/*
 * The control plane's address: what is taken, how its Host header is written,
 * and that plain http stays on this machine.
 */

#include "unit.h"

#include "net.h"


typedef struct {
    const char  *text;
    const char  *host;
    const char  *host_header;
    const char  *base;
    int          tls;
} good_t;

static const good_t  good[] = {
    { "https://vps.example", "vps.example", "vps.example",
      "https://vps.example", 1 },
    { "https://VPS.Example/", "vps.example", "vps.example",
      "https://vps.example", 1 },
    { "https://vps.example:443", "vps.example", "vps.example",
      "https://vps.example", 1 },
    { "https://vps.example:8443", "vps.example", "vps.example:8443",
      "https://vps.example:8443", 1 },
    { "https://10.1.2.3:8443", "10.1.2.3", "10.1.2.3:8443",
      "https://10.1.2.3:8443", 1 },
    { "https://[2001:db8::1]:8443", "2001:db8::1", "[2001:db8::1]:8443",
      "https://[2001:db8::1]:8443", 1 },
    { "http://127.0.0.1:8080", "127.0.0.1", "127.0.0.1:8080",
      "http://127.0.0.1:8080", 0 },
    { "http://localhost:80", "localhost", "localhost", "http://localhost",
      0 },
    { "http://[::1]:8080/", "::1", "[::1]:8080", "http://[::1]:8080", 0 },
};

static const char *const  bad[] = {
    "", "https://", "https:///", "ftp://vps.example", "vps.example",
    "HTTPS//x", "https://vps.example/path", "https://vps.example?x",
    "https://vps.example#x", "https://user@vps.example",
    "https://user:pass@vps.example", "https://vps.example:",
    "https://vps.example:0", "https://vps.example:65536",
    "https://vps.example:80x", "https://[::1", "https://[::1]x",
    "https://vps .example", "https://vps.example\r\nX: y", "https://-",
};

static const char *const  not_tls[] = {
    "http://vps.example", "http://10.0.0.1", "http://127.0.0.1.example",
    "http://localhost.example", "http://128.0.0.1",
};


static void
good_ones(UNUSED void **state)
{
    url_t   url;
    size_t  i;

    for (i = 0; i < COUNT(good); i++) {
        assert_int_equal(url_parse(&url, vmops_span_str(good[i].text)), 0);
        assert_string_equal(url.host, good[i].host);
        assert_string_equal(url.host_header, good[i].host_header);
        assert_string_equal(url.base, good[i].base);
        assert_int_equal(url.tls, good[i].tls);
    }
}


static void
bad_ones(UNUSED void **state)
{
    url_t   url;
    size_t  i;

    for (i = 0; i < COUNT(bad); i++) {
        if (url_parse(&url, vmops_span_str(bad[i])) != -1) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
}


static void
plain_http_beyond_this_machine(UNUSED void **state)
{
    url_t   url;
    size_t  i;

    for (i = 0; i < COUNT(not_tls); i++) {
        assert_int_equal(url_parse(&url, vmops_span_str(not_tls[i])),
                         URL_NOT_TLS);
    }
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(good_ones),
        cmocka_unit_test(bad_ones),
        cmocka_unit_test(plain_http_beyond_this_machine),
    };

    return RUN(tests);
}
