
/* The running agent: what its parts share. */

#ifndef VMOPS_DAEMON_H
#define VMOPS_DAEMON_H


#include "channel.h"
#include "db.h"
#include "identity.h"
#include "net.h"
#include "route.h"
#include "vault.h"


/* All of it outlives every thread. */

typedef struct {
    const home_t    *home;
    identity_t      *id;
    net_t            net;
    settings_t       settings;
    db_t            *db;
    vault_t         *vault;
    routes_t        *routes;
    channel_t       *channel;
    plat_waker_t    *waker;         /* of the main thread */
} agent_t;

/* Runs until it is asked to stop, or was told to for good: an exit code. */
int daemon_run(const home_t *home, int foreground);


#endif /* VMOPS_DAEMON_H */
