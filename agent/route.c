
/* Route diagnostics. */

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_target.h"
#include "route.h"
#include "vmops_banned.h"


/* The leaf's PEM, as libcurl's certinfo has it. */

static const char *
leaf_pem(CURL *easy)
{
    struct curl_slist     *s;
    struct curl_certinfo  *info = NULL;

    if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &info) != CURLE_OK
        || info == NULL || info->num_of_certs < 1)
    {
        return NULL;
    }

    for (s = info->certinfo[0]; s != NULL; s = s->next) {
        if (strncmp(s->data, "Cert:", 5) == 0) {
            return s->data + 5;
        }
    }

    return NULL;
}


static int
leaf_hashes(shown_t *shown, const char *pem)
{
    int             n, rc = -1;
    BIO            *bio;
    X509           *cert = NULL;
    unsigned char  *der = NULL;

    bio = BIO_new_mem_buf(pem, -1);
    if (bio != NULL) {
        cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    }

    if (cert != NULL && X509_digest(cert, EVP_sha256(), shown->cert, NULL)) {
        n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
        if (n > 0) {
            SHA256(der, (size_t) n, shown->spki);
            OPENSSL_free(der);
            rc = 0;
        }
    }

    X509_free(cert);
    BIO_free(bio);

    return rc;
}


static CURLcode
probe_connect(CURL *easy, const endpoint_t *ep)
{
    char      url[VMOPS_HOSTNAME_MAX + 24];
    CURLcode  rc;

    http_base(url, sizeof(url), ep);

    rc = curl_easy_setopt(easy, CURLOPT_URL, url);
    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    rc |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    rc |= net_not_held(easy);
    rc |= curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_CERTINFO, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSLVERSION,
                           (long) CURL_SSLVERSION_TLSv1_2);
    rc |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           (long) VMOPS_AGENT_CONNECT_MS);
    rc |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) ROUTE_PROBE_MS);

    if (rc != CURLE_OK || net_stoppable(easy) != 0) {
        return CURLE_FAILED_INIT;
    }

    return curl_easy_perform(easy);
}


static int
pin_holds(const endpoint_t *ep, const shown_t *shown)
{
    size_t  i;

    for (i = 0; i < ep->pins_n; i++) {
        if (memcmp(ep->pins[i], shown->spki, 32) == 0) {
            return 1;
        }
    }

    return 0;
}


void
route_probe(probe_t *probe, const endpoint_t *ep, int pins)
{
    CURL        *easy;
    CURLcode     rc = CURLE_FAILED_INIT;
    uint64_t     start = plat_boot_ms();
    const char  *pem = NULL;

    memset(probe, 0, sizeof(*probe));

    easy = curl_easy_init();
    if (easy != NULL) {
        rc = probe_connect(easy, ep);
        pem = rc == CURLE_OK ? leaf_pem(easy) : NULL;
    }

    probe->latency_ms = (int64_t) (plat_boot_ms() - start);

    if (rc != CURLE_OK) {
        net_fail(&probe->fail, easy, rc, NULL);

    } else if (pem == NULL || leaf_hashes(&probe->shown, pem) != 0) {
        probe->fail = NET_FAIL(VMOPS_STAGE_TLS, VMOPS_CMDERR_tls_failed);

    } else if (pins && !pin_holds(ep, &probe->shown)) {
        probe->fail = NET_FAIL(VMOPS_STAGE_PIN, VMOPS_CMDERR_tls_pin_mismatch);

    } else {
        probe->ok = 1;
        probe->fail.stage = pins ? VMOPS_STAGE_PIN : VMOPS_STAGE_TLS;
    }

    curl_easy_cleanup(easy);
}


void
route_cert_format(char out[ROUTE_CERT_TEXT + 1], const uint8_t cert[32])
{
    size_t  i;

    for (i = 0; i < 32; i++) {
        snprintf(out + i * 3, 3, "%02X", cert[i]);
        out[i * 3 + 2] = i < 31 ? ':' : '\0';
    }
}


typedef struct {
    vmops_uuid_t   secret;
    vmops_route_t  route;           /* secret_ref and code unused */
    const char    *code;            /* NULL: none */
} known_t;

struct routes_s {
    plat_mutex_t  *mutex;
    unsigned       version;
    size_t         n;
    known_t        known[VMOPS_ROUTES_MAX];
};


routes_t *
routes_new(void)
{
    routes_t  *r = mem_new(sizeof(*r));

    if (r != NULL) {
        r->mutex = plat_mutex_new();
        if (r->mutex == NULL) {
            free(r);
            r = NULL;
        }
    }

    return r;
}


void
routes_free(routes_t *r)
{
    if (r != NULL) {
        plat_mutex_free(r->mutex);
        free(r);
    }
}


/* Under the lock. */

static known_t *
find(routes_t *r, const vmops_uuid_t *secret)
{
    size_t  i;

    for (i = 0; i < r->n; i++) {
        if (vmops_uuid_eq(&r->known[i].secret, secret)) {
            return &r->known[i];
        }
    }

    return NULL;
}


/* Under the lock: 1 if it is another state than before. */

static int
replace(known_t *k, const vmops_route_t *route, const char *code)
{
    int  changed;

    if (route->ok && route->stage < VMOPS_STAGE_AUTH
        && k->route.stage >= VMOPS_STAGE_AUTH)
    {
        k->route.checked_ms = route->checked_ms;
        return 0;
    }

    changed = k->route.ok != route->ok || k->route.stage != route->stage
              || k->code != code;
    k->route = *route;
    k->code = code;

    return changed;
}


int
routes_set(routes_t *r, const vmops_uuid_t *secret, const vmops_route_t *route)
{
    int          error, changed = 0;
    known_t     *k;
    const char  *code = NULL;

    if (route->code.p != NULL) {
        error = vmops_command_error_find(route->code);
        code = vmops_command_error_info((unsigned) error)->code;
    }

    plat_mutex_lock(r->mutex);

    k = find(r, secret);

    if (k != NULL) {
        changed = replace(k, route, code);

    } else if (r->n < VMOPS_ROUTES_MAX) {
        r->known[r->n++] = (known_t) { *secret, *route, code };
        changed = 1;
    }

    r->version += (unsigned) changed;
    plat_mutex_unlock(r->mutex);

    return changed;
}


unsigned
routes_version(routes_t *r)
{
    unsigned  version;

    plat_mutex_lock(r->mutex);
    version = r->version;
    plat_mutex_unlock(r->mutex);

    return version;
}


int
routes_secret(routes_t *r, size_t i, vmops_uuid_t *secret)
{
    int  rc = -1;

    plat_mutex_lock(r->mutex);

    if (i < r->n) {
        *secret = r->known[i].secret;
        rc = 0;
    }

    plat_mutex_unlock(r->mutex);

    return rc;
}


void
routes_forget(routes_t *r, const vmops_uuid_t *secret)
{
    known_t  *k;

    plat_mutex_lock(r->mutex);

    k = find(r, secret);
    if (k != NULL) {
        *k = r->known[--r->n];
        r->version++;
    }

    plat_mutex_unlock(r->mutex);
}


void
routes_write(routes_t *r, vmops_jw_t *w)
{
    char           ref[VMOPS_SECRET_REF_TEXT + 1];
    size_t         i;
    vmops_route_t  route;

    vmops_jw_arr(w);
    plat_mutex_lock(r->mutex);

    for (i = 0; i < r->n; i++) {
        vmops_secret_ref_format(ref, &r->known[i].secret);
        route = r->known[i].route;
        route.secret_ref = vmops_span_str(ref);
        route.code = vmops_span_str(r->known[i].code);
        vmops_route_write(w, &route);
    }

    plat_mutex_unlock(r->mutex);
    vmops_jw_arr_end(w);
}
