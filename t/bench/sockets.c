
/* All sockets at once: opened and made ready, or closed. */

#define _GNU_SOURCE

#include <stdio.h>

#include "bench.h"
#include "vmops_banned.h"


#define FAILED_MAX  100
#define STATUS_S    30


static unsigned       next_open, last_open, pending, failed;
static const agent_t *latest;
static vmops_span_t   wanted;       /* of a body, as it stands there */
static int            seen;


static void
open_next(void)
{
    while (next_open < last_open && agents[next_open].state != AGENT_OFF) {
        next_open++;
    }

    if (next_open < last_open) {
        pending++;
        agent_open(&agents[next_open++]);
    }
}


static void
socket_changed(agent_t *a)
{
    if (a->state == AGENT_READY) {
        histogram_add(now_ns() - a->started);
        latest = a;

    } else if (++failed > FAILED_MAX) {
        fatal("more than %u sockets could not be opened", FAILED_MAX);
    }

    pending--;
    open_next();
}


static void
status_done(client_t *h, int status, vmops_span_t body)
{
    (void) h;

    seen = status == 200
           && memmem(body.p, body.n, wanted.p, wanted.n) != NULL;
}


/* waits until the server says so of the agent that came or went last */

static void
wait_status(const agent_t *a, const char *status)
{
    char       path[128], id[VMOPS_UUID_TEXT + 1];
    uint64_t   deadline = now_ns() + STATUS_S * SECOND;
    client_t  *h = http_client(0);

    if (subscriber_path != NULL || a == NULL) {
        return;
    }

    vmops_uuid_format(id, &a->id);
    snprintf(path, sizeof(path), "/api/v1/agents/%s", id);
    wanted = vmops_span_str(status);

    for (seen = 0; !seen; /* void */) {
        http_request(h, "GET", path, a->bearer, vmops_span(NULL, 0),
                     status_done);

        while (h->busy) {
            if (now_ns() > deadline) {
                fatal("no %s of agent %s", status, id);
            }
            loop_once(deadline);
        }
    }
}


/* connect in_flight=N [n=N] */

void
sockets_connect(const line_t *line)
{
    unsigned  i, in_flight;
    uint64_t  start = now_ns(), deadline, seconds;

    in_flight = (unsigned) line_number(line, "in_flight", 64, 1024);
    last_open = (unsigned) line_number(line, "n", nagents, nagents);
    next_open = 0;
    failed = 0;
    latest = NULL;
    deadline = start + FIGURE_MAX_S * SECOND;

    histogram_reset();
    agent_changed = socket_changed;

    for (i = 0; i < in_flight; i++) {
        open_next();
    }

    while (pending > 0) {
        if (now_ns() > deadline) {
            fatal("sockets do not get ready");
        }
        loop_once(now_ns() + SECOND);
    }

    agent_changed = NULL;
    wait_status(latest, "\"status\":\"online\"");
    seconds = now_ns() - start;

    printf("{\"sockets\":%u,\"failed\":%u,\"seconds\":%.3f,\"rate\":%.1f",
           last_open, failed, (double) seconds / SECOND,
           (double) last_open * SECOND / (double) seconds);
    histogram_print();
    printf("}\n");
}


void
sockets_disconnect(const line_t *line)
{
    unsigned  i;

    (void) line;

    for (i = 0; i < nagents; i++) {
        if (agents[i].state == AGENT_READY) {
            latest = &agents[i];
        }
        agent_close(&agents[i]);
    }

    wait_status(latest, "\"status\":\"offline\"");
    latest = NULL;
    printf("{}\n");
}
