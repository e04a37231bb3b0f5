
/* The proxy of config.json, of HTTPS_PROXY and the like; and NO_PROXY. */

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy.h"
#include "vmops_banned.h"


/* In libcurl's order. */

static const char *const  variables[] = {
    "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"
};

typedef struct {
    const char  *scheme;
    const char  *port;      /* where the address has none */
} kind_t;

static const kind_t  kinds[] = {
    { "http", "1080" },
    { "https", "443" },
    { "socks", "1080" },
    { "socks4", "1080" },
    { "socks4a", "1080" },
    { "socks5", "1080" },
    { "socks5h", "1080" },
};


/* An empty variable is none. */

static const char *
variable(const char *name)
{
    const char  *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}


/*
 * One entry of NO_PROXY: the host, or a domain it is in.  Networks are not
 * computed: for an address it may be in one.
 */

static int
names_host(const char *entry, size_t n, const char *host)
{
    size_t  len = strlen(host);

    if (memchr(entry, '/', n) != NULL) {
        return host[strspn(host, "0123456789.")] == '\0'
               || strchr(host, ':') != NULL;
    }

    if (n > 0 && entry[0] == '.') {
        entry++;
        n--;
    }
    if (n > 0 && entry[n - 1] == '.') {
        n--;
    }

    return n > 0 && n <= len
           && curl_strnequal(host + len - n, entry, n)
           && (n == len || host[len - n - 1] == '.');
}


static int
is_exempt(const char *host)
{
    size_t       n;
    const char  *list = variable("no_proxy");

    if (list == NULL) {
        list = variable("NO_PROXY");
    }
    if (list == NULL) {
        return 0;
    }
    if (strcmp(list, "*") == 0) {
        return 1;
    }

    for ( ; *list != '\0'; list += n) {
        list += strspn(list, ", \t");
        n = strcspn(list, ", \t");
        if (names_host(list, n, host)) {
            return 1;
        }
    }

    return 0;
}


static const kind_t *
find_kind(const char *scheme)
{
    size_t  i;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (curl_strequal(scheme, kinds[i].scheme)) {
            return &kinds[i];
        }
    }

    return NULL;
}


/* By libcurl's own parser; its user and password go nowhere. */

static void
parse(proxy_t *proxy, const char *value)
{
    char          *scheme = NULL, *host = NULL, *port = NULL;
    CURLU         *url = curl_url();
    const kind_t  *kind = NULL;

    if (url != NULL
        && curl_url_set(url, CURLUPART_URL, value,
                        CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME)
           == CURLUE_OK
        && curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK
        && curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK)
    {
        kind = find_kind(scheme);
    }

    if (kind != NULL) {
        curl_url_get(url, CURLUPART_PORT, &port, 0);
        snprintf(proxy->at, sizeof(proxy->at), "%s:%s", host,
                 port != NULL ? port : kind->port);
    }

    proxy->bad = url != NULL && kind == NULL;

    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
}


void
proxy_find(proxy_t *proxy, const char *set, const char *host)
{
    size_t       i;
    const char  *value = NULL;

    memset(proxy, 0, sizeof(*proxy));

    if (is_exempt(host)) {
        return;
    }

    if (set[0] != '\0') {
        proxy->name = "proxy in config.json";
        value = set;
    }

    for (i = 0; value == NULL && i < sizeof(variables) / sizeof(variables[0]);
         i++)
    {
        proxy->name = variables[i];
        value = variable(variables[i]);
    }

    if (value != NULL) {
        parse(proxy, value);
    }
}
