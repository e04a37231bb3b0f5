
/*
 * Figures: an operation, done over and over by HTTP clients, either the next
 * as soon as the one before is done, or at a fixed rate.  At a fixed rate the
 * time counts from when an operation was due, whether or not a client was free
 * then (no coordinated omission).
 */

#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "vmops_banned.h"


#define OPEN_CLIENTS  256
#define TOLD_MAX      5
#define STRIDE        7919      /* a prime: agents in no order */


typedef struct {
    void       (*start)(client_t *h);
    unsigned     clients;
    unsigned     agents;        /* the first so many take part */
    uint64_t     begin;         /* what was due before is not counted */
    uint64_t     end;
    uint64_t     due;           /* fixed rate: of the next operation */
    uint64_t     interval;      /* 0: closed loop */
    uint64_t     limit;         /* of operations; 0: none */

    uint64_t     issued;
    uint64_t     counted;
    uint64_t     errors;
    uint64_t     unsent;
    uint64_t     finished;      /* when the last one was */
} figure_t;

static figure_t    figure;
static client_t   *idle[CLIENTS_MAX];
static unsigned    nidle;
static const char *get_path;
static unsigned    told;


static agent_t *
op_agent(const client_t *h)
{
    uint64_t  i = figure.limit ? h->op : h->op * STRIDE;

    return &agents[i % figure.agents];
}


static void
op_start(uint64_t due)
{
    client_t  *h = idle[--nidle];

    h->started = due;
    h->op = figure.issued++;
    figure.start(h);
}


static void
op_done(client_t *h, int ok, int status, vmops_span_t body)
{
    uint64_t  now = now_ns();

    idle[nidle++] = h;
    figure.finished = now;

    if (!ok) {
        figure.errors++;
        if (told++ < TOLD_MAX) {
            fprintf(stderr, "load: status %d: %.*s\n", status,
                    (int) (body.n < 500 ? body.n : 500),
                    (const char *) body.p);
        }

    } else if (h->started >= figure.begin) {
        histogram_add(now - h->started);
        if (figure.limit || now < figure.end) {
            figure.counted++;
        }
    }

    if (figure.interval == 0 && now < figure.end
        && (figure.limit == 0 || figure.issued < figure.limit))
    {
        op_start(now);
    }
}


/* starts what is due; when the next one is */

static uint64_t
figure_due(uint64_t now)
{
    if (figure.interval == 0 || now >= figure.end) {
        return figure.end;
    }

    while (figure.due <= now && nidle > 0) {
        op_start(figure.due);
        figure.due += figure.interval;
    }

    return figure.due > now && figure.due < figure.end ? figure.due
                                                       : figure.end;
}


static int
figure_over(uint64_t now)
{
    if (nidle < figure.clients) {
        return 0;
    }

    return now >= figure.end
           || (figure.limit && figure.issued >= figure.limit);
}


static void
figure_run(void)
{
    unsigned  i;
    uint64_t  now, next;

    for (i = 0, nidle = 0; i < figure.clients; i++) {
        idle[nidle++] = http_client(figure.clients - 1 - i);
    }

    if (figure.interval == 0) {
        while (nidle > 0) {
            op_start(now_ns());
        }
    }

    for ( ;; ) {
        now = now_ns();
        next = figure_due(now);

        if (figure_over(now)) {
            break;
        }
        if (now > figure.end + (WAIT_S + 10) * SECOND) {
            fatal("%u answers did not come", figure.clients - nidle);
        }

        loop_once(now < figure.end ? next : now + SECOND / 10);
    }

    if (figure.interval && figure.due < figure.end) {
        figure.unsent = (figure.end - figure.due) / figure.interval;
    }
}


/* in_flight=N seconds=N [warm=MS] [rate=N] [limit=N] [agents=N] */

static void
figure_print(const line_t *line, void (*start)(client_t *h))
{
    double          seconds;
    uint64_t        rate, now;
    agent_counts_t  before = counts;

    memset(&figure, 0, sizeof(figure));
    rate = line_number(line, "rate", 0, 1000000);
    figure.start = start;
    figure.interval = rate ? SECOND / rate : 0;
    figure.clients = (unsigned) line_number(line, "in_flight",
                                            rate ? OPEN_CLIENTS : 1,
                                            CLIENTS_MAX);
    figure.limit = line_number(line, "limit", 0, 10000000);
    figure.agents = (unsigned) line_number(line, "agents", nagents, nagents);

    histogram_reset();
    told = 0;

    now = now_ns();
    figure.due = now;
    figure.begin = now + line_number(line, "warm", 0, 60000) * 1000000;
    figure.end = figure.begin
                 + line_number(line, "seconds", figure.limit ? FIGURE_MAX_S : 5,
                               FIGURE_MAX_S) * SECOND;
    figure_run();

    seconds = (double) ((figure.limit ? figure.finished : figure.end)
                        - figure.begin) / SECOND;

    printf("{\"count\":%llu,\"errors\":%llu,\"unsent\":%llu,\"seconds\":%.3f,"
           "\"rate\":%.1f,\"commands\":%llu,\"results\":%llu,"
           "\"verified\":%llu,\"refused\":%llu,\"closed\":%llu",
           (unsigned long long) figure.counted,
           (unsigned long long) figure.errors,
           (unsigned long long) figure.unsent, seconds,
           (double) figure.counted / seconds,
           (unsigned long long) (counts.commands - before.commands),
           (unsigned long long) (counts.results_ok - before.results_ok),
           (unsigned long long) (counts.verified - before.verified),
           (unsigned long long) (counts.refused - before.refused),
           (unsigned long long) (counts.closed - before.closed));
    histogram_print();
    printf("}\n");
}


/* a command, from the POST to the answer that it succeeded */

static void
command_done(client_t *h, int status, vmops_span_t body)
{
    static const char  succeeded[] = "\"status\":\"succeeded\"";

    op_done(h, status == 200
               && memmem(body.p, body.n, succeeded, sizeof(succeeded) - 1)
                  != NULL, status, body);
}


static void
command_start(client_t *h)
{
    int       n;
    char      headers[VMOPS_TOKEN_MAX + 192], body[256];
    agent_t  *a = op_agent(h);

    snprintf(headers, sizeof(headers),
             "%sContent-Type: application/json\r\nPrefer: wait=%d\r\n",
             a->bearer, WAIT_S);
    n = snprintf(body, sizeof(body),
                 "{\"vm_uuid\":\"%s\",\"params\":{},\"timeout_s\":%d}", a->vm,
                 TIMEOUT_S);

    http_request(h, "POST", "/api/v1/vm-ops/proxmox/status", headers,
                 vmops_span(body, (size_t) n), command_done);
}


/* commands [verify=N] …: agents check the signature of every Nth */

void
figure_commands(const line_t *line)
{
    if (nagents == 0) {
        fatal("no agents yet");
    }

    verify_every = (unsigned) line_number(line, "verify", 1, 1000000);
    figure_print(line, command_start);
}


static void
get_done(client_t *h, int status, vmops_span_t body)
{
    op_done(h, status == 200, status, body);
}


static void
get_start(client_t *h)
{
    http_request(h, "GET", get_path, "", vmops_span(NULL, 0), get_done);
}


static void
vm_start(client_t *h)
{
    char      path[128];
    agent_t  *a = op_agent(h);

    snprintf(path, sizeof(path), "/api/v1/vms/%s", a->vm);
    http_request(h, "GET", path, a->bearer, vmops_span(NULL, 0),
                 get_done);
}


/* get path=PATH …, or an agent's VM without a path */

void
figure_get(const line_t *line)
{
    get_path = line_text(line, "path");

    if (get_path == NULL && nagents == 0) {
        fatal("no agents yet");
    }

    figure_print(line, get_path != NULL ? get_start : vm_start);
}


/* a message is done when it is answered and has arrived at its socket */

static int  publish_status;


static void
publish_part(client_t *h)
{
    if (--h->parts == 0) {
        op_done(h, publish_status / 100 == 2, publish_status,
                vmops_span(NULL, 0));
    }
}


static void
publish_arrived(vmops_span_t message)
{
    char      number[16] = "";
    unsigned  i;

    memcpy(number, message.p,
           message.n < sizeof(number) ? message.n : sizeof(number) - 1);
    i = (unsigned) strtoul(number, NULL, 10);

    if (i < figure.clients && http_client(i)->parts > 0) {
        publish_part(http_client(i));
    }
}


static void
publish_done(client_t *h, int status, vmops_span_t body)
{
    (void) body;

    publish_status = status;
    publish_part(h);
}


static void
publish_start(client_t *h)
{
    int   n;
    char  path[128], body[512];

    h->parts = 2;
    snprintf(path, sizeof(path), "%s%u", get_path,
             (unsigned) (op_agent(h) - agents));
    n = snprintf(body, sizeof(body), "%-*u", 400, h->index);

    http_request(h, "POST", path, "Content-Type: text/plain\r\n",
                 vmops_span(body, (size_t) n), publish_done);
}


/* publish path=PREFIX … */

void
figure_publish(const line_t *line)
{
    get_path = line_text(line, "path");

    if (get_path == NULL || nagents == 0) {
        fatal("publish wants a path and subscribers");
    }

    subscriber = publish_arrived;
    figure_print(line, publish_start);
}
