
/* REST calls to the control plane. */

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "rest.h"
#include "vmops_httpsig.h"
#include "vmops_banned.h"


#define HEADER_MAX  512


static size_t
take_body(char *data, size_t size, size_t n, void *to)
{
    rest_reply_t  *reply = to;

    n *= size;
    if (n > sizeof(reply->body) - reply->n) {
        return 0;
    }

    memcpy(reply->body + reply->n, data, n);
    reply->n += n;

    return n;
}


static int
header_add(struct curl_slist **list, const char *name, const char *value)
{
    char                text[HEADER_MAX];
    struct curl_slist  *longer;

    if ((size_t) snprintf(text, sizeof(text), "%s: %s", name, value)
        >= sizeof(text))
    {
        return -1;
    }

    longer = curl_slist_append(*list, text);
    if (longer == NULL) {
        return -1;
    }

    *list = longer;

    return 0;
}


static int
sign(struct curl_slist **list, const net_t *net, const identity_t *id,
    const char *path, vmops_span_t body)
{
    char             uri[VMOPS_TARGET_URI_MAX];
    char             digest[VMOPS_HTTPSIG_DIGEST_TEXT + 1];
    char             input[VMOPS_HTTPSIG_INPUT_MAX + 1];
    char             signature[VMOPS_HTTPSIG_SIG_TEXT + 1];
    vmops_httpsig_t  h;

    memset(&h, 0, sizeof(h));
    snprintf(uri, sizeof(uri), "%s%s", net->url.base, path);
    vmops_httpsig_digest(digest, body);
    randombytes_buf(h.nonce, sizeof(h.nonce));

    h.method = vmops_span_str("POST");
    h.target_uri = vmops_span_str(uri);
    h.digest = vmops_span_str(digest);
    h.tenant = vmops_span_str(id->tenant);
    h.agent = id->agent;
    h.created_s = (int64_t) (plat_wall_ms() / 1000);

    if (vmops_httpsig_sign(input, signature, &h, id->ed_sk) != 0) {
        return -1;
    }

    return header_add(list, "Content-Digest", digest) == 0
           && header_add(list, "Signature-Input", input) == 0
           && header_add(list, "Signature", signature) == 0 ? 0 : -1;
}


static int
headers_make(struct curl_slist **list, const net_t *net, const identity_t *id,
    const char *path, uint64_t if_match, vmops_span_t body)
{
    char  version[24];

    snprintf(version, sizeof(version), "\"%llu\"",
             (unsigned long long) if_match);

    return header_add(list, "Content-Type", "application/json") == 0
           && header_add(list, "Expect", "") == 0
           && (if_match == 0 || header_add(list, "If-Match", version) == 0)
           && (id == NULL || sign(list, net, id, path, body) == 0) ? 0 : -1;
}


static void
problem_read(rest_reply_t *reply)
{
    uint8_t              memory[32768];
    vmops_span_t         code;
    vmops_arena_t        arena;
    const vmops_json_t  *root;

    reply->problem = -1;
    vmops_arena_init(&arena, memory, sizeof(memory));

    if (vmops_json_parse(&root, &arena, vmops_span(reply->body, reply->n))
        != VMOPS_JSON_OK
        || vmops_json_str(vmops_json_get(root, "code"), &code) != 0
        || !vmops_pattern_match(VMOPS_P_CODE, code))
    {
        return;
    }

    if (text_copy(reply->code, sizeof(reply->code), code) == 0) {
        reply->problem = vmops_problem_find(code);
    }
}


static CURLcode
perform(CURL *easy, const net_t *net, const char *path,
    struct curl_slist *headers, vmops_span_t body, rest_reply_t *reply)
{
    CURLcode  rc;

    if (net_setup(easy, net, path) != 0 || net_stoppable(easy) != 0) {
        return CURLE_FAILED_INIT;
    }

    rc = curl_easy_setopt(easy, CURLOPT_POST, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long) body.n);
    rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.p);
    rc |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    rc |= curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) REST_MS);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, reply);

    return rc == CURLE_OK ? curl_easy_perform(easy) : CURLE_FAILED_INIT;
}


int
rest_post(const net_t *net, const identity_t *id, const char *path,
    uint64_t if_match, vmops_span_t body, rest_reply_t *reply)
{
    CURL               *easy;
    CURLcode            rc = CURLE_OUT_OF_MEMORY;
    struct curl_slist  *headers = NULL;

    memset(reply, 0, sizeof(*reply));
    reply->problem = -1;

    easy = curl_easy_init();

    if (easy != NULL
        && headers_make(&headers, net, id, path, if_match, body) == 0)
    {
        rc = perform(easy, net, path, headers, body, reply);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &reply->status);
        curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &reply->retry_after_s);
    }

    if (rc != CURLE_OK) {
        net_fail(&reply->fail, easy, rc, net);
        reply->status = 0;
    }

    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);

    if (rc != CURLE_OK) {
        return -1;
    }

    if (reply->status >= 200 && reply->status < 300) {
        return 0;
    }

    problem_read(reply);

    return 1;
}
