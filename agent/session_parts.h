
/* Inside of the session; for session*.c only. */

#ifndef VMOPS_SESSION_PARTS_H
#define VMOPS_SESSION_PARTS_H


#include "session.h"
#include "ws_client.h"


#define SESSION_UNCONFIRMED_MAX  64     /* results under way */

typedef enum {
    SESSION_HELLO = 0,      /* waits for hello */
    SESSION_WELCOME,        /* has sent auth */
    SESSION_READY
} session_state_t;

typedef struct resume_s  resume_t;

typedef struct {
    agent_t          *agent;
    executor_t       *executor;
    prober_t         *prober;
    ws_t             *ws;

    /* of one connection */
    session_state_t   state;
    uint64_t          connected;        /* plat_boot_ms() */
    vmops_ws_auth_t   auth;
    uint8_t           auth_hash[VMOPS_HASH];
    vmops_uuid_t      session;          /* what ctl is bound to */
    uint64_t          ctl_n;
    unsigned          approved;
    uint64_t          seq_before;       /* last_seq when it began */
    unsigned          close_with;       /* our Close's code; 0: none */

    /* the server's clock: it said server_ms when ours was boot_ms */
    uint64_t          server_ms;
    uint64_t          boot_ms;

    /* what the gateway was told, and when */
    uint64_t          status_at;
    uint64_t          looked_at;
    unsigned          routes_version;
    int               keystore;
    char              key_id[VMOPS_KEY_ID_TEXT + 1];

    /* results sent and not confirmed, or not yet written down as confirmed */
    uint8_t           outbox_due;
    uint8_t           outbox_damaged;   /* it has rows that do not hold */
    size_t            unconfirmed_n;
    struct {
        vmops_uuid_t  id;
        uint8_t       confirmed;
    }                 unconfirmed[SESSION_UNCONFIRMED_MAX];
    uint64_t          again_at;         /* when what failed was last tried */

    /* over connections */
    session_end_t     end;              /* by a signed bye */
    uint8_t           ended;
    uint8_t           seq_known;        /* resume_seq is set */
    uint8_t           resumed;          /* tasks of before the start: they are
                                           known, */
    resume_t         *resumes;          /* and not followed yet */
    uint64_t          resume_seq;       /* last_seq when the agent started */
    uint64_t          pruned_at;
    unsigned          attempts;
    uint64_t          pause_ms;         /* asked for by the server */
    const char       *why;              /* for run.json */
    uint8_t           has_head;
    vmops_seal_t      head;             /* of the audit, before this welcome */
} session_t;


/* Sends a message now; -1: the connection is no more. */
int session_send(session_t *s, const vmops_msg_t *m);

/* The connection is to be closed with this code. */
void session_fail(session_t *s, unsigned code, const char *why);

/* session_auth.c: 0, or -1 after session_fail(). */
int session_on_hello(session_t *s, const vmops_msg_hello_t *m);
int session_on_welcome(session_t *s, const vmops_msg_welcome_t *m);

/* session_cmd.c */
int session_on_cmd(session_t *s, const vmops_signed_frame_t *m);
int session_on_ctl(session_t *s, const vmops_signed_frame_t *m);

/* Follows tasks of before the start, as far as there is memory for it now. */
void session_resume_tasks(session_t *s);
void session_resumes_free(session_t *s);

/* session_out.c */
int session_pump(session_t *s);
void session_on_result_ok(session_t *s, const vmops_uuid_t *id);


#endif /* VMOPS_SESSION_PARTS_H */
