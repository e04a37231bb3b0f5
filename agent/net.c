
/* The control plane's address and libcurl's settings; failures in words. */

#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "net.h"
#include "vmops_envelope.h"
#include "vmops_banned.h"


static int
host_split(url_t *url, vmops_span_t host, vmops_span_t *port)
{
    const uint8_t  *p;

    *port = vmops_span(NULL, 0);

    if (host.n > 0 && host.p[0] == '[') {
        p = memchr(host.p, ']', host.n);
        if (p == NULL) {
            return -1;
        }
        *port = vmops_span(p + 1, host.n - (size_t) (p + 1 - host.p));
        host = vmops_span(host.p + 1, (size_t) (p - host.p) - 1);

    } else {
        p = memchr(host.p, ':', host.n);
        if (p != NULL) {
            *port = vmops_span(p, host.n - (size_t) (p - host.p));
            host.n = (size_t) (p - host.p);
        }
    }

    if (port->n > 0) {
        if (port->p[0] != ':') {
            return -1;
        }
        *port = vmops_span(port->p + 1, port->n - 1);
        if (port->n == 0) {
            return -1;
        }
    }

    return vmops_pattern_match(VMOPS_P_HOSTNAME, host)
           ? text_copy(url->host, sizeof(url->host), host) : -1;
}


static int
url_compose(url_t *url)
{
    int          n, v6 = strchr(url->host, ':') != NULL;
    char         port[8] = "";
    const char  *scheme = url->tls ? "https" : "http";

    if (url->port != (url->tls ? 443 : 80)) {
        snprintf(port, sizeof(port), ":%u", url->port);
    }

    n = snprintf(url->host_header, sizeof(url->host_header), "%s%s%s%s",
                 v6 ? "[" : "", url->host, v6 ? "]" : "", port);
    if (n < 0 || (size_t) n >= sizeof(url->host_header)) {
        return -1;
    }

    n = snprintf(url->base, sizeof(url->base), "%s://%s", scheme,
                 url->host_header);

    return n > 0 && (size_t) n < sizeof(url->base) ? 0 : -1;
}


int
url_parse(url_t *url, vmops_span_t text)
{
    char          *p;
    uint64_t       n;
    vmops_span_t   rest, port;

    memset(url, 0, sizeof(*url));

    if (text.n > 8 && memcmp(text.p, "https://", 8) == 0) {
        url->tls = 1;
        rest = vmops_span(text.p + 8, text.n - 8);

    } else if (text.n > 7 && memcmp(text.p, "http://", 7) == 0) {
        rest = vmops_span(text.p + 7, text.n - 7);

    } else {
        return -1;
    }

    if (rest.p[rest.n - 1] == '/') {
        rest.n--;
    }

    if (host_split(url, rest, &port) != 0) {
        return -1;
    }

    n = url->tls ? 443 : 80;
    if (port.n > 0 && (vmops_dec_parse(port, 65535, &n) != 0 || n == 0)) {
        return -1;
    }

    url->port = (uint16_t) n;

    for (p = url->host; *p != '\0'; p++) {
        if (*p >= 'A' && *p <= 'Z') {
            *p = (char) (*p - 'A' + 'a');
        }
    }

    if (url_compose(url) != 0) {
        return -1;
    }

    url->loopback = (uint8_t) vmops_host_is_loopback(vmops_span_str(url->host));

    return url->tls || url->loopback ? 0 : URL_NOT_TLS;
}


int
net_init(net_t *net, const identity_t *id, const settings_t *settings)
{
    int  rc = url_parse(&net->url, vmops_span_str(id->server));

    net->ca_file = id->ca_file;
    net->proxy = settings->proxy;

    if (!net->url.loopback) {
        proxy_find(&net->via, net->proxy, net->url.host);
    }

    return rc;
}


int
net_ca_usable(const char *path)
{
    int          rc;
    X509_STORE  *store = X509_STORE_new();

    rc = store != NULL && X509_STORE_load_locations(store, path, NULL) == 1;
    X509_STORE_free(store);

    return rc;
}


CURLcode
net_not_held(CURL *easy)
{
    CURLcode  rc;

    rc = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);

    return rc;
}


int
net_setup(CURL *easy, const net_t *net, const char *path)
{
    char      url[IDENTITY_URL_MAX + 512];
    CURLcode  rc;

    snprintf(url, sizeof(url), "%s%s", net->url.base, path);

    rc = curl_easy_setopt(easy, CURLOPT_URL, url);
    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR,
                           net->url.tls ? "https" : "http");
    rc |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                           (long) CURL_HTTP_VERSION_1_1);
    rc |= net_not_held(easy);
    rc |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    rc |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           (long) VMOPS_AGENT_CONNECT_MS);
    rc |= curl_easy_setopt(easy, CURLOPT_SSLVERSION,
                           (long) CURL_SSLVERSION_TLSv1_2);

    if (net->ca_file[0] != '\0') {
        rc |= curl_easy_setopt(easy, CURLOPT_CAINFO, net->ca_file);
        rc |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);

    } else {
        rc |= curl_easy_setopt(easy, CURLOPT_SSL_OPTIONS,
                               (long) CURLSSLOPT_NATIVE_CA);
    }

    if (net->url.loopback) {
        rc |= curl_easy_setopt(easy, CURLOPT_PROXY, "");

    } else if (net->proxy[0] != '\0') {
        rc |= curl_easy_setopt(easy, CURLOPT_PROXY, net->proxy);
    }

    return rc == CURLE_OK ? 0 : -1;
}


static int
stop_check(void *data, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void) data;
    (void) a;
    (void) b;
    (void) c;
    (void) d;

    return plat_stop_asked();
}


int
net_stoppable(CURL *easy)
{
    return curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L)
           | curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, stop_check)
           ? -1 : 0;
}


/* A connection that was not made in time, or not at all. */

static void
fail_connect(net_fail_t *fail, CURL *easy, CURLcode rc)
{
    long        number = 0;
    curl_off_t  looked_up = 0, connected = 0, ready = 0;

    curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &number);
    curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &looked_up);
    curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected);
    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &ready);

    /* a kept connection has this time, and none of its making */
    if (rc == CURLE_OPERATION_TIMEDOUT && ready > 0) {
        *fail = NET_FAIL(VMOPS_STAGE_HTTP, VMOPS_CMDERR_timeout);
        return;
    }

    if (rc == CURLE_OPERATION_TIMEDOUT && connected > 0) {
        *fail = NET_FAIL(VMOPS_STAGE_TLS, VMOPS_CMDERR_connect_timeout);
        return;
    }

    if (rc == CURLE_OPERATION_TIMEDOUT && looked_up == 0) {
        *fail = NET_FAIL(VMOPS_STAGE_DNS, VMOPS_CMDERR_dns_failed);
        return;
    }

    *fail = NET_FAIL(VMOPS_STAGE_TCP, VMOPS_CMDERR_connect_timeout);

    switch (plat_net_error(number)) {

    case PLAT_NET_REFUSED:
        fail->code = VMOPS_CMDERR_connection_refused;
        break;

    case PLAT_NET_NO_ROUTE:
        fail->code = VMOPS_CMDERR_no_route;
        break;

    default:
        break;
    }
}


/* What only the way to the control plane has: a proxy, and CAs. */

static void
fail_server(net_fail_t *fail, CURL *easy, CURLcode rc, const net_t *net)
{
    fail->proxy = net->via.at[0] != '\0' && fail->stage <= VMOPS_STAGE_TCP;

    if (rc == CURLE_PEER_FAILED_VERIFICATION) {
        curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &fail->verify);

        /* libcurl compares the name itself, and notes nothing of that */
        if (fail->verify <= X509_V_ERR_UNSPECIFIED) {
            fail->verify = X509_V_ERR_HOSTNAME_MISMATCH;
        }

    } else if (rc == CURLE_SSL_CACERT_BADFILE) {
        fail->verify = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    }
}


void
net_fail(net_fail_t *fail, CURL *easy, CURLcode rc, const net_t *net)
{
    switch (rc) {

    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        *fail = NET_FAIL(VMOPS_STAGE_DNS, VMOPS_CMDERR_dns_failed);
        break;

    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
        fail_connect(fail, easy, rc);
        break;

    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        *fail = NET_FAIL(VMOPS_STAGE_PIN, VMOPS_CMDERR_tls_pin_mismatch);
        break;

    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
        *fail = NET_FAIL(VMOPS_STAGE_TLS, VMOPS_CMDERR_tls_failed);
        break;

    case CURLE_ABORTED_BY_CALLBACK:
        *fail = NET_FAIL(VMOPS_STAGE_HTTP, VMOPS_CMDERR_cancelled);
        break;

    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
        *fail = NET_FAIL(VMOPS_STAGE_HTTP, VMOPS_CMDERR_internal);
        break;

    default:
        *fail = NET_FAIL(VMOPS_STAGE_HTTP, VMOPS_CMDERR_target_error);
    }

    if (net != NULL) {
        fail_server(fail, easy, rc, net);
    }
}


const char *
net_fail_name(const net_fail_t *fail)
{
    return fail->proxy ? "proxy_unreachable"
           : fail->verify != 0 ? "certificate_untrusted"
           : vmops_command_error_info(fail->code)->code;
}


const char *
net_fail_at(const net_fail_t *fail, const net_t *net)
{
    return fail->proxy ? net->via.at : net->url.host;
}


typedef struct {
    vmops_command_error_t  code;
    const char            *sentence;        /* with one %s: the host */
} sentence_t;

static const sentence_t  sentences[] = {
    { VMOPS_CMDERR_dns_failed,
      "The name %s is not known here: check its spelling, and whether the VPN "
      "with its DNS is on." },
    { VMOPS_CMDERR_no_route,
      "The VPN seems to be off: no route to the host %s." },
    { VMOPS_CMDERR_connection_refused,
      "The host %s answers, but nothing listens on that port: is the service "
      "up, is the port right?" },
    { VMOPS_CMDERR_connect_timeout,
      "The host %s did not answer in time: is it up, is a firewall in "
      "between?" },
    { VMOPS_CMDERR_tls_failed,
      "%s does not speak TLS on that port: is the port right?" },
    { VMOPS_CMDERR_tls_pin_mismatch,
      "The certificate key of %s is not the one that was confirmed: if you "
      "changed it, vmops-agent secret rotate REF asks about the new one; if "
      "not, do not." },
    { VMOPS_CMDERR_auth_failed,
      "%s refused to sign the secret's user in: enter the secret again." },
    { VMOPS_CMDERR_permission_denied,
      "%s lets the secret's user in, but not do this: give it the missing "
      "privilege there." },
    { VMOPS_CMDERR_timeout,
      "%s took the connection, but did not answer in time." },
    { VMOPS_CMDERR_target_error,
      "The connection to %s broke off, or something in between answered "
      "instead: is there a proxy, or a sign-in page of this network?" },
};


void
net_sentence(char *text, size_t size, const net_fail_t *fail, const char *host)
{
    size_t  i;

    if (fail->proxy) {
        snprintf(text, size, "The proxy %s (HTTPS_PROXY, or config.json) was "
                 "not reached: is it up, is its address right?", host);
        return;
    }

    if (fail->verify != 0) {
        snprintf(text, size, "The certificate of %s is not trusted here (%s). "
                 "One by a CA of your own: --ca-file PEM.", host,
                 X509_verify_cert_error_string(fail->verify));
        return;
    }

    for (i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++) {
        if (sentences[i].code == fail->code) {
            snprintf(text, size, sentences[i].sentence, host);
            return;
        }
    }

    snprintf(text, size, "The connection to %s failed (%s).", host,
             vmops_command_error_info(fail->code)->code);
}
