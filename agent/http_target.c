
/* HTTPS to targets. */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_target.h"
#include "vmops_utf8.h"
#include "vmops_banned.h"


#define HTTP_STEP_MS  200
#define HTTP_URL_MAX  2048

struct http_s {
    CURL           *easy;
    CURLM          *multi;
    char            base[VMOPS_HOSTNAME_MAX + 24];
    char            pins[2 * (ENDPOINT_PIN_TEXT + 1)];
    uint8_t        *body;
    size_t          body_n;
    size_t          body_cap;
    http_reply_t   *reply;
};


void
http_base(char *url, size_t size, const endpoint_t *ep)
{
    int  v6 = strchr(ep->host, ':') != NULL && ep->host[0] != '[';

    snprintf(url, size, "https://%s%s%s:%u", v6 ? "[" : "", ep->host,
             v6 ? "]" : "", ep->port);
}


void
http_pins(char *pins, size_t size, const endpoint_t *ep)
{
    char    pin[ENDPOINT_PIN_TEXT + 1];
    size_t  i, n = 0;

    pins[0] = '\0';

    for (i = 0; i < ep->pins_n && n < size; i++) {
        endpoint_pin_format(pin, ep->pins[i]);
        n += (size_t) snprintf(pins + n, size - n, "%s%s", i > 0 ? ";" : "",
                               pin);
    }
}


/* A ticket may be in it. */

static void
body_free(http_t *h)
{
    if (h->body != NULL) {
        sodium_memzero(h->body, h->body_cap);
        free(h->body);
    }
}


static size_t
take_body(char *data, size_t size, size_t n, void *to)
{
    size_t    cap;
    http_t   *h = to;
    uint8_t  *p;

    n *= size;

    if (n > VMOPS_AGENT_HTTP_MAX - h->body_n) {
        return 0;
    }

    if (n > h->body_cap - h->body_n) {
        cap = h->body_cap * 2 > h->body_n + n ? h->body_cap * 2
                                              : h->body_n + n;
        p = malloc(cap);
        if (p == NULL) {
            return 0;
        }
        if (h->body_n > 0) {
            memcpy(p, h->body, h->body_n);
        }
        body_free(h);
        h->body = p;
        h->body_cap = cap;
    }

    memcpy(h->body + h->body_n, data, n);
    h->body_n += n;

    return n;
}


/* The status line: in older versions of Proxmox VE it alone has the reason. */

static size_t
take_header(char *data, size_t size, size_t n, void *to)
{
    http_t         *h = to;
    size_t          len;
    vmops_span_t    s = vmops_span(data, n * size);
    const uint8_t  *space;

    if (s.n < 13 || memcmp(s.p, "HTTP/1.", 7) != 0) {
        return s.n;
    }

    h->body_n = 0;

    space = memchr(s.p + 9, ' ', s.n - 9);
    if (space == NULL) {
        return s.n;
    }

    len = s.n - (size_t) (space + 1 - s.p);
    while (len > 0 && (space[len] == '\n' || space[len] == '\r')) {
        len--;
    }

    len = vmops_utf8_clean((uint8_t *) h->reply->reason, HTTP_REASON_MAX,
                           vmops_span(space + 1, len));
    h->reply->reason[len] = '\0';

    return s.n;
}


http_t *
http_new(const endpoint_t *ep)
{
    http_t  *h;

    h = mem_new(sizeof(*h));
    if (h == NULL) {
        return NULL;
    }

    http_base(h->base, sizeof(h->base), ep);
    http_pins(h->pins, sizeof(h->pins), ep);

    h->easy = curl_easy_init();
    h->multi = curl_multi_init();

    if (h->easy == NULL || h->multi == NULL) {
        http_free(h);
        return NULL;
    }

    return h;
}


void
http_free(http_t *h)
{
    if (h != NULL) {
        curl_easy_cleanup(h->easy);
        curl_multi_cleanup(h->multi);
        body_free(h);
        free(h);
    }
}


static int
setup_target(http_t *h, const http_request_t *req, long left)
{
    char      url[HTTP_URL_MAX];
    CURLcode  rc;

    if ((size_t) snprintf(url, sizeof(url), "%s%s", h->base, req->path)
        >= sizeof(url)
        || h->pins[0] == '\0')
    {
        return -1;
    }

    rc = curl_easy_setopt(h->easy, CURLOPT_URL, url);
    rc |= curl_easy_setopt(h->easy, CURLOPT_PROTOCOLS_STR, "https");
    rc |= curl_easy_setopt(h->easy, CURLOPT_PROXY, "");
    rc |= curl_easy_setopt(h->easy, CURLOPT_FOLLOWLOCATION, 0L);
    rc |= curl_easy_setopt(h->easy, CURLOPT_HTTP_VERSION,
                           (long) CURL_HTTP_VERSION_1_1);
    rc |= curl_easy_setopt(h->easy, CURLOPT_SSLVERSION,
                           (long) CURL_SSLVERSION_TLSv1_2);
    rc |= net_not_held(h->easy);
    rc |= curl_easy_setopt(h->easy, CURLOPT_TIMEOUT_MS, left);
    rc |= curl_easy_setopt(h->easy, CURLOPT_CONNECTTIMEOUT_MS,
                           left < VMOPS_AGENT_CONNECT_MS
                           ? left : (long) VMOPS_AGENT_CONNECT_MS);

    /* its certificate is a private CA's and names anything: what counts is
     * the key that the user confirmed */
    rc |= curl_easy_setopt(h->easy, CURLOPT_SSL_VERIFYPEER, 0L);
    rc |= curl_easy_setopt(h->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    rc |= curl_easy_setopt(h->easy, CURLOPT_PINNEDPUBLICKEY, h->pins);

    return rc == CURLE_OK ? 0 : -1;
}


static int
setup_request(http_t *h, const http_request_t *req)
{
    CURLcode  rc;

    rc = curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, req->headers);
    rc |= curl_easy_setopt(h->easy, CURLOPT_WRITEFUNCTION, take_body);
    rc |= curl_easy_setopt(h->easy, CURLOPT_WRITEDATA, h);
    rc |= curl_easy_setopt(h->easy, CURLOPT_HEADERFUNCTION, take_header);
    rc |= curl_easy_setopt(h->easy, CURLOPT_HEADERDATA, h);

    if (req->form != NULL) {
        rc |= curl_easy_setopt(h->easy, CURLOPT_POST, 1L);
        rc |= curl_easy_setopt(h->easy, CURLOPT_POSTFIELDSIZE,
                               (long) strlen(req->form));
        rc |= curl_easy_setopt(h->easy, CURLOPT_POSTFIELDS, req->form);
    } else {
        rc |= curl_easy_setopt(h->easy, CURLOPT_HTTPGET, 1L);
    }

    rc |= curl_easy_setopt(h->easy, CURLOPT_CUSTOMREQUEST, req->method);
    rc |= curl_easy_setopt(h->easy, CURLOPT_FRESH_CONNECT, (long) req->once);

    return rc == CURLE_OK ? 0 : -1;
}


/* Runs the transfer; CURLE_ABORTED_BY_CALLBACK when it is not wanted. */

static CURLcode
transfer(http_t *h, const http_request_t *req)
{
    int       running = 1, left;
    CURLMsg  *msg;

    while (running) {
        if (curl_multi_perform(h->multi, &running) != CURLM_OK) {
            return CURLE_FAILED_INIT;
        }
        if (!running) {
            break;
        }
        if (req->unwanted != NULL && req->unwanted(req->data)) {
            return CURLE_ABORTED_BY_CALLBACK;
        }

        /* libcurl's own clock stands still in suspend */
        if (plat_boot_ms() >= req->deadline) {
            return CURLE_OPERATION_TIMEDOUT;
        }
        if (curl_multi_poll(h->multi, NULL, 0, HTTP_STEP_MS, NULL)
            != CURLM_OK)
        {
            return CURLE_FAILED_INIT;
        }
    }

    msg = curl_multi_info_read(h->multi, &left);

    return msg != NULL && msg->msg == CURLMSG_DONE ? msg->data.result
                                                   : CURLE_FAILED_INIT;
}


int
http_do(http_t *h, const http_request_t *req, http_reply_t *reply,
    net_fail_t *fail)
{
    long        status = 0, connects = 0;
    CURLcode    rc = CURLE_FAILED_INIT;
    uint64_t    now = plat_boot_ms();
    curl_off_t  us = 0;

    memset(reply, 0, sizeof(*reply));
    h->reply = reply;
    h->body_n = 0;

    if (now >= req->deadline) {
        *fail = NET_FAIL(VMOPS_STAGE_HTTP, VMOPS_CMDERR_timeout);
        return -1;
    }

    curl_easy_reset(h->easy);

    if (setup_target(h, req, (long) (req->deadline - now)) == 0
        && setup_request(h, req) == 0
        && curl_multi_add_handle(h->multi, h->easy) == CURLM_OK)
    {
        rc = transfer(h, req);
        curl_multi_remove_handle(h->multi, h->easy);
    }

    if (rc != CURLE_OK) {
        net_fail(fail, h->easy, rc, NULL);
        return -1;
    }

    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(h->easy, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(h->easy, CURLINFO_APPCONNECT_TIME_T, &us);

    reply->status = (unsigned) status;
    reply->body = vmops_span(h->body, h->body_n);
    reply->connect_ms = connects > 0 ? us / 1000 : -1;

    return 0;
}
