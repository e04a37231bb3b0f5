
/*
 * What the files of the load program share: one thread, one epoll, agents'
 * sockets and HTTP clients on it.  Memory is never given back before the end.
 */

#ifndef BENCH_H
#define BENCH_H

#include <netinet/in.h>
#include <openssl/ssl.h>

#include "vmops_proto.h"
#include "vmops_ws_frame.h"

#define AGENTS_MAX      16000   /* a process has 20,000 descriptors */
#define CLIENTS_MAX     1024
#define TENANTS_MAX     64
#define TOKENS_MAX      64      /* of a tenant */
#define FIGURE_MAX_S    600
#define WAIT_S          20      /* Prefer: wait of a command */
#define TIMEOUT_S       30      /* of a command */

#define SECOND          UINT64_C(1000000000)    /* times are ns */


/* net.c: the loop, connections plain and TLS */

typedef struct {
    struct sockaddr_in  addr;
    char                host[64];       /* Host header */
    SSL_CTX            *tls;            /* NULL: plain */
} target_t;

typedef struct conn_s  conn_t;

typedef struct {
    void              (*open)(conn_t *c);
    void              (*data)(conn_t *c, uint8_t *p, size_t n);
    void              (*closed)(conn_t *c);
} conn_handler_t;

typedef enum {
    CONN_CLOSED = 0,
    CONN_CONNECTING,
    CONN_TLS,
    CONN_OPEN
} conn_state_t;

struct conn_s {
    int                    fd;
    conn_state_t           state;
    unsigned               turn;        /* of this slot: stale events differ */
    unsigned               writing;     /* EPOLLOUT is asked for */
    SSL                   *ssl;
    const conn_handler_t  *handler;
    void                  *owner;
    uint8_t               *out;         /* not yet taken by the kernel */
    size_t                 out_n;
    size_t                 out_cap;
};

extern target_t  target;

void target_set(const char *host, uint16_t port, const char *ca);

/* source: the last three bytes of an address of 127/8, 0 for 127.0.0.1 */
void conn_open(conn_t *c, uint32_t source);
void conn_send(conn_t *c, const void *p, size_t n);
void conn_close(conn_t *c);                 /* without calling closed */

uint64_t now_ns(void);
uint64_t now_ms(void);                      /* Unix time */

/* waits for something to happen, not beyond `until`, and handles it */
void loop_once(uint64_t until);
void loop_watch(int fd);                    /* returned by loop_readable */
int loop_readable(void);

void fatal(const char *format, ...) __attribute__((format(printf, 1, 2),
    noreturn));


/* http.c: keep-alive clients, one request at a time each */

typedef struct client_s  client_t;
typedef void (*client_pt)(client_t *h, int status, vmops_span_t body);

struct client_s {
    conn_t         conn;
    unsigned       index;
    unsigned       busy;
    client_pt      done;            /* status 0: no answer came */
    uint64_t       started;         /* ns; this and the next: the caller's */
    uint64_t       op;
    unsigned       parts;           /* of the operation, not yet done */
    char          *request;
    size_t         request_n;
    uint8_t       *in;
    size_t         in_n;
};

#define REQUEST_MAX  16384
#define ANSWER_MAX   131072

/* headers: whole lines, each with its CR LF */
void http_request(client_t *h, const char *method, const char *path,
    const char *headers, vmops_span_t body, client_pt done);
client_t *http_client(unsigned index);
void http_close_all(void);


/* agent.c, command.c: sockets of vmops.agent.v1 */

typedef struct {
    char           name[VMOPS_TENANT_MAX + 1];
    uint8_t        id[16];
    unsigned       ntokens;
    char           bearer[TOKENS_MAX][VMOPS_TOKEN_MAX + 32];
} tenant_t;                     /* bearer: header lines */

typedef enum {
    AGENT_OFF = 0,
    AGENT_UPGRADE,
    AGENT_HELLO,
    AGENT_WELCOME,
    AGENT_READY
} agent_state_t;

typedef struct {
    conn_t            conn;
    agent_state_t     state;
    tenant_t         *tenant;
    const char       *bearer;               /* of who gives it orders */

    vmops_uuid_t      id;
    uint8_t           sk[64];
    uint8_t           pk[32];
    uint8_t           x_pk[32];
    uint8_t           kid[32];
    char              vm[VMOPS_UUID_TEXT + 1];
    char              ref[VMOPS_SECRET_REF_TEXT + 1];
    uint64_t          epoch;
    uint64_t          last_seq;

    char              key[VMOPS_WS_KEY_TEXT + 1];
    uint8_t           nonce[32];
    uint8_t           hash[VMOPS_HASH];     /* of T and its signature */
    uint64_t          started;
    vmops_ws_reasm_t  reasm;
    uint8_t          *text;                 /* of an incomplete message */
    size_t            text_n;
} agent_t;

typedef struct {
    uint64_t          commands;
    uint64_t          results_ok;
    uint64_t          refused;      /* what a real agent would refuse */
    uint64_t          closed;       /* sockets the server closed */
    uint64_t          verified;
} agent_counts_t;

extern tenant_t        tenants[TENANTS_MAX];
extern unsigned        ntenants;
extern agent_t        *agents;
extern unsigned        nagents;
extern uint8_t         command_pk[32];
extern agent_counts_t  counts;
extern unsigned        verify_every;    /* 1: each command's signature */

/* path of another server's socket: messages go to subscriber() instead */
extern const char     *subscriber_path;
extern void          (*subscriber)(vmops_span_t message);

/* called when an agent has sent ready, and when its socket is gone */
extern void          (*agent_changed)(agent_t *a);

void agent_open(agent_t *a);
void agent_close(agent_t *a);
void agent_send(agent_t *a, unsigned opcode, vmops_span_t payload);
void agent_send_msg(agent_t *a, const vmops_msg_t *m);
void agent_command(agent_t *a, const vmops_signed_frame_t *f,
    vmops_arena_t *arena);

/* empty scratch for the message at hand */
vmops_arena_t *agent_arena(void);


/* setup.c, sockets.c, figure.c: what the lines on the standard input ask for */

typedef struct {
    const char    *name;
    const char    *value;
} word_t;

typedef struct {
    word_t         words[16];
    unsigned       n;
} line_t;

const char *line_text(const line_t *line, const char *name);
uint64_t line_number(const line_t *line, const char *name, uint64_t absent,
    uint64_t max);

void setup_agents(const line_t *line);
void setup_subscribers(const line_t *line);

void sockets_connect(const line_t *line);
void sockets_disconnect(const line_t *line);
void figure_commands(const line_t *line);
void figure_get(const line_t *line);
void figure_publish(const line_t *line);


/* histogram.c: 1 us steps up to 100 ms, 1 ms steps up to a minute */

void histogram_reset(void);
void histogram_add(uint64_t ns);
void histogram_print(void);         /* ,"p50_ms":…,"p99_ms":… and so on */

#endif /* BENCH_H */
