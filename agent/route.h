
/*
 * The way to a secret's endpoint, tried stage by stage without the secret:
 * dns, tcp, tls, pin.  Only endpoints of stored secrets are ever probed.
 */

#ifndef VMOPS_ROUTE_H
#define VMOPS_ROUTE_H


#include "endpoint.h"
#include "net.h"
#include "vault.h"


/* What a server showed, to be confirmed by a person. */

typedef struct {
    uint8_t  spki[32];          /* SHA-256 of its public key: the pin */
    uint8_t  cert[32];          /* SHA-256 of its certificate */
} shown_t;

typedef struct {
    uint8_t        ok;
    net_fail_t     fail;        /* stage: the last one reached */
    int64_t        latency_ms;
    shown_t        shown;       /* once the tls stage is passed */
} probe_t;

#define ROUTE_PROBE_MS  15000

/* pins: whether the endpoint's pins are to hold, too. */
void route_probe(probe_t *probe, const endpoint_t *ep, int pins);

/* "AA:BB:...", as Proxmox VE's own pages show a certificate. */

#define ROUTE_CERT_TEXT  95

void route_cert_format(char out[ROUTE_CERT_TEXT + 1], const uint8_t cert[32]);


/* The last known state of each route, for the frame `status`. */

typedef struct routes_s  routes_t;

routes_t *routes_new(void);
void routes_free(routes_t *r);

/*
 * Thread-safe.  What a probe can say does not undo what a command found at a
 * later stage.  1 if it is another state than before.
 */
int routes_set(routes_t *r, const vmops_uuid_t *secret,
    const vmops_route_t *route);

/* The secret at place i, as things are: 0, or -1 beyond the last one.  A place
 * that is forgotten is taken by another. */
int routes_secret(routes_t *r, size_t i, vmops_uuid_t *secret);
void routes_forget(routes_t *r, const vmops_uuid_t *secret);

/* Grows with every such change. */
unsigned routes_version(routes_t *r);

/* The array of AgentRecord.routes. */
void routes_write(routes_t *r, vmops_jw_t *w);


#endif /* VMOPS_ROUTE_H */
