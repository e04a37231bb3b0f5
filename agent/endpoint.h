
/*
 * Where a secret may be sent, and what it may be used for: the part of an
 * envelope that is no secret (tags 0x0001, 0x0010 ... 0x0022).
 */

#ifndef VMOPS_ENDPOINT_H
#define VMOPS_ENDPOINT_H


#include "agent.h"
#include "vmops_envelope.h"
#include "vmops_json.h"


#define ENDPOINT_USER_MAX   256
#define ENDPOINT_VMIDS_MAX  32
#define ENDPOINT_PINS_MAX   2
#define ENDPOINT_JSON_MAX   4096

/* "sha256//" and 44 characters of base64, as curl writes a pin */
#define ENDPOINT_PIN_TEXT   52

typedef struct {
    char      user[ENDPOINT_USER_MAX + 1];      /* "": none */
    char      host[VMOPS_HOSTNAME_MAX + 1];
    uint16_t  port;                             /* 0: no endpoint at all */
    uint8_t   has_classes;
    uint8_t   pins_n;
    uint8_t   pins[ENDPOINT_PINS_MAX][32];      /* TLS SPKI SHA-256 */
    uint64_t  classes;
    size_t    vmids_n;                          /* 0: no restriction */
    uint8_t   vmids[ENDPOINT_VMIDS_MAX * 8];    /* as tag 0x0022 has them */
} endpoint_t;

/* Fills the fields of an envelope; spans point into ep. */
void endpoint_to_secret(const endpoint_t *ep, vmops_secret_t *s);

/* And back.  -1 if the envelope holds more than fits here. */
int endpoint_from_secret(endpoint_t *ep, const vmops_secret_t *s);

/* As one JSON object, for the agent's own records.  0, or -1. */
int endpoint_write(vmops_jw_t *w, const endpoint_t *ep);
int endpoint_parse(endpoint_t *ep, vmops_span_t json);

/* What people write.  0, or -1 for anything that is not of that form. */

int endpoint_set_host(endpoint_t *ep, const char *text);    /* name, address */
int endpoint_set_port(endpoint_t *ep, const char *text);
int endpoint_set_classes(endpoint_t *ep, const char *text); /* read,power */
int endpoint_set_vmids(endpoint_t *ep, const char *text);   /* 100-199,300 */
int endpoint_pin_parse(uint8_t pin[32], vmops_span_t text); /* sha256//... */
void endpoint_pin_format(char out[ENDPOINT_PIN_TEXT + 1],
    const uint8_t pin[32]);


#endif /* VMOPS_ENDPOINT_H */
