
/*
 * The proxy that libcurl takes on the way to the control plane.  libcurl
 * chooses it and does not say which: this finds the same one, for messages.
 */

#ifndef VMOPS_PROXY_H
#define VMOPS_PROXY_H


#include "vmops_limits.h"


typedef struct {
    const char  *name;      /* of the setting; NULL: no proxy is known */
    int          bad;       /* it is no address of a proxy */
    char         at[VMOPS_HOST_HEADER_MAX + 1];     /* HOST:PORT alone; "" if
                                                       bad, or none is known */
} proxy_t;

/* set: what config.json says, or ""; host: the control plane's. */
void proxy_find(proxy_t *proxy, const char *set, const char *host);


#endif /* VMOPS_PROXY_H */
