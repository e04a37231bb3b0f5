/*
 * Which proxy is named when none was reached: the one that libcurl takes, and
 * never what its address holds of a user and a password.
 */

#include "unit.h"

#include <curl/curl.h>

#include "proxy.h"


static const char *const  variables[] = {
    "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy",
    "NO_PROXY"
};


static int
no_variables(UNUSED void **state)
{
    size_t  i;

    for (i = 0; i < COUNT(variables); i++) {
        unsetenv(variables[i]);
    }

    return 0;
}


static void
without_a_setting_there_is_none(UNUSED void **state)
{
    proxy_t  p;

    setenv("HTTPS_PROXY", "", 1);
    proxy_find(&p, "", "vps.example");
    assert_string_equal(p.at, "");
    assert_int_equal(p.bad, 0);
}


static void
the_configuration_comes_before_the_environment(UNUSED void **state)
{
    size_t   i;
    char     value[32], at[32];
    proxy_t  p;

    for (i = 4; i-- > 0; ) {
        snprintf(value, sizeof(value), "http://p%u.lan:3128", (unsigned) i);
        snprintf(at, sizeof(at), "p%u.lan:3128", (unsigned) i);
        setenv(variables[i], value, 1);
        proxy_find(&p, "", "vps.example");
        assert_string_equal(p.at, at);
        assert_string_equal(p.name, variables[i]);
    }

    proxy_find(&p, "socks5h://other.lan", "vps.example");
    assert_string_equal(p.at, "other.lan:1080");
}


static void
an_address_is_host_and_port(UNUSED void **state)
{
    size_t   i;
    proxy_t  p;

    static const struct {
        const char  *value;
        const char  *at;
    } rows[] = {
        { "proxy.lan:3128", "proxy.lan:3128" },
        { "http://proxy.lan", "proxy.lan:1080" },
        { "HTTP://proxy.lan:8080/", "proxy.lan:8080" },
        { "https://proxy.lan", "proxy.lan:443" },
        { "socks5://[2001:db8::1]:1081", "[2001:db8::1]:1081" },
        { "http://user:a-password@proxy.lan:3128", "proxy.lan:3128" },
    };

    static const char *const  bad[] = {
        "htp://proxy.lan:3128", "ftp://user:a-password@proxy.lan",
        "http://proxy.lan:port", "http://",
    };

    for (i = 0; i < COUNT(rows); i++) {
        proxy_find(&p, rows[i].value, "vps.example");
        assert_string_equal(p.at, rows[i].at);
        assert_int_equal(p.bad, 0);
    }

    for (i = 0; i < COUNT(bad); i++) {
        proxy_find(&p, bad[i], "vps.example");
        assert_string_equal(p.at, "");
        assert_int_equal(p.bad, 1);
    }
}


/* libcurl's own choice: of a proxy that is none it says so before it connects
 * to anything; to the host itself nobody listens */

static int
curl_takes_it(const char *host)
{
    char                url[64], resolve[64];
    long                number = 0;
    CURL               *easy = curl_easy_init();
    struct curl_slist  *list = NULL;

    snprintf(url, sizeof(url), "https://%s:1", host);
    snprintf(resolve, sizeof(resolve), "%s:1:127.0.0.1", host);
    list = curl_slist_append(list, resolve);

    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_RESOLVE, list);
    curl_easy_setopt(easy, CURLOPT_PROXY, "none://proxy.lan");
    assert_int_equal(curl_easy_perform(easy), CURLE_COULDNT_CONNECT);
    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);

    curl_easy_cleanup(easy);
    curl_slist_free_all(list);

    return number == 0;
}


static void
no_proxy_is_read_as_libcurl_does(UNUSED void **state)
{
    size_t   i;
    proxy_t  p;

    static const struct {
        const char  *list;
        const char  *host;
        int          taken;
    } rows[] = {
        { "", "vps.example", 1 },
        { "*", "vps.example", 0 },
        { "vps.example", "vps.example", 0 },
        { "VPS.Example", "vps.example", 0 },
        { "example", "vps.example", 0 },
        { ".example", "vps.example", 0 },
        { "example.", "vps.example", 0 },
        { "ps.example", "vps.example", 1 },
        { "a.vps.example", "vps.example", 1 },
        { "localhost,127.0.0.1", "vps.example", 1 },
        { "localhost, vps.example", "vps.example", 0 },
        { "localhost\tvps.example", "vps.example", 0 },
        { ",", "vps.example", 1 },
        { "127.0.0.2", "127.0.0.2", 0 },
        { "127.0.0.2", "127.0.0.3", 1 },
        { "127.0.0.0/8", "127.0.0.2", 0 },
        { "127.0.0.0/8", "vps.example", 1 },
    };

    for (i = 0; i < COUNT(rows); i++) {
        setenv("NO_PROXY", rows[i].list, 1);
        proxy_find(&p, "http://proxy.lan:3128", rows[i].host);

        if ((p.at[0] != '\0') != rows[i].taken
            || curl_takes_it(rows[i].host) != rows[i].taken)
        {
            fail_msg("NO_PROXY=\"%s\" for %s", rows[i].list, rows[i].host);
        }
    }
}


int
main(void)
{
#define T(f)  cmocka_unit_test_setup(f, no_variables)

    const struct CMUnitTest  tests[] = {
        T(without_a_setting_there_is_none),
        T(the_configuration_comes_before_the_environment),
        T(an_address_is_host_and_port),
        T(no_proxy_is_read_as_libcurl_does),
    };

    return RUN(tests);
}
