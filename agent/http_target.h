
/*
 * HTTPS to a target (Proxmox VE): to the host inside the envelope and no
 * other, with the pinned key and no other, no proxy, no redirects, no netrc,
 * bounded answers, a deadline, and an end when it is not wanted any more.
 */

#ifndef VMOPS_HTTP_TARGET_H
#define VMOPS_HTTP_TARGET_H


#include "endpoint.h"
#include "net.h"


typedef struct http_s  http_t;

typedef struct {
    const char               *method;
    const char               *path;
    const char               *form;     /* urlencoded body; NULL: none */
    const struct curl_slist  *headers;
    uint64_t                  deadline; /* plat_boot_ms() */
    int                       once;     /* it must not be sent a second time
                                           where a kept connection fails */

    /* asked several times a second; NULL: it is not to be stopped */
    int                     (*unwanted)(void *data);
    void                     *data;
} http_request_t;

#define HTTP_REASON_MAX  255

/* body is valid until the next call; reason is clean UTF-8. */

typedef struct {
    unsigned      status;
    char          reason[HTTP_REASON_MAX + 1];
    vmops_span_t  body;
    int64_t       connect_ms;           /* -1: the connection was there */
} http_reply_t;

/* One thread at a time; connections are kept for its life.  NULL: no memory. */
http_t *http_new(const endpoint_t *ep);
void http_free(http_t *h);

/* 0 for any answer; -1 and *fail if there was none. */
int http_do(http_t *h, const http_request_t *req, http_reply_t *reply,
    net_fail_t *fail);

/* scheme, host and port as a URL begins; what a pin is to libcurl. */
void http_base(char *url, size_t size, const endpoint_t *ep);
void http_pins(char *pins, size_t size, const endpoint_t *ep);


#endif /* VMOPS_HTTP_TARGET_H */
