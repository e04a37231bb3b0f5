
/*
 * What connections have in common: the control plane's address, libcurl's
 * settings for it, and what a failure means.
 */

#ifndef VMOPS_NET_H
#define VMOPS_NET_H


#include <curl/curl.h>

#include "identity.h"
#include "proxy.h"
#include "vmops_problem.h"
#include "vmops_proto.h"


typedef struct {
    uint8_t   tls;
    uint8_t   loopback;
    uint16_t  port;
    char      host[VMOPS_HOSTNAME_MAX + 1];         /* without brackets */
    char      host_header[VMOPS_HOST_HEADER_MAX + 1];
    char      base[IDENTITY_URL_MAX + 1];           /* scheme://host_header */
} url_t;

#define URL_NOT_TLS  (-2)       /* plain http beyond this machine */

/*
 * https://host[:port] and nothing after it, or http:// for a loopback
 * address.  0, -1, or URL_NOT_TLS.
 */
int url_parse(url_t *url, vmops_span_t text);


/* How the control plane is reached. */

typedef struct {
    url_t        url;
    const char  *ca_file;       /* "": the system's store */
    const char  *proxy;         /* "": the environment decides */
    proxy_t      via;           /* what that comes to */
} net_t;

/* 0, or what url_parse() says of id->server.  Points into both. */
int net_init(net_t *net, const identity_t *id, const settings_t *settings);

/* Whether libcurl can take a CA from the file: it is PEM, all of it. */
int net_ca_usable(const char *path);

/* Where a connection failed, and the code for it. */

typedef struct {
    vmops_stage_t          stage;
    vmops_command_error_t  code;
    int                    proxy;   /* it is the proxy that was not reached */
    long                   verify;  /* X509_V_ERR_*, or 0: no matter of trust */
} net_fail_t;

#define NET_FAIL(stage_, code_)                                               \
    ((net_fail_t) { .stage = stage_, .code = code_ })

/* Settings for the control plane: proxies, CA, no redirects, HTTP/1.1. */
int net_setup(CURL *easy, const net_t *net, const char *path);

/*
 * No signals; and a look-up that is given up is not waited for: a name server
 * that does not answer holds up getaddrinfo() for half a minute and more.
 */
CURLcode net_not_held(CURL *easy);

/* Ends the transfer when the program is asked to stop. */
int net_stoppable(CURL *easy);

/*
 * What a failed transfer means.  net NULL: it was to a secret's endpoint, where
 * there is no proxy and a pin decides.
 */
void net_fail(net_fail_t *fail, CURL *easy, CURLcode rc, const net_t *net);

/* A code of it that tells the proxy and trust apart, too: for `status`. */
const char *net_fail_name(const net_fail_t *fail);

/* What was not reached: the server's host, or the proxy's HOST:PORT. */
const char *net_fail_at(const net_fail_t *fail, const net_t *net);

/* One sentence that says what to do, with the name of what was not reached. */
void net_sentence(char *text, size_t size, const net_fail_t *fail,
    const char *host);


#endif /* VMOPS_NET_H */
