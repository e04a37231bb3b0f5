
/*
 * Calls of the control plane's REST API: POST with a JSON body, signed as RFC
 * 9421 says when an identity is given.
 */

#ifndef VMOPS_REST_H
#define VMOPS_REST_H


#include "net.h"


typedef struct {
    long        status;                         /* HTTP */
    char        code[VMOPS_CODE_MAX + 1];       /* of a problem; or "" */
    int         problem;                        /* vmops_problem_t, or -1 */
    curl_off_t  retry_after_s;                  /* 0: the server did not say */
    net_fail_t  fail;                           /* when nothing came back */
    size_t      n;
    uint8_t     body[VMOPS_BODY_MAX];
} rest_reply_t;

#define REST_MS  30000

/*
 * path begins with a slash; if_match 0: no such header; id NULL: not signed.
 * 0 for a 2xx, 1 for any other answer, -1 when there was none.
 */
int rest_post(const net_t *net, const identity_t *id, const char *path,
    uint64_t if_match, vmops_span_t body, rest_reply_t *reply);


#endif /* VMOPS_REST_H */
