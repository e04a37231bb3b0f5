/*
 * The agent channel's messages and the signed payloads inside them
 * (docs/protocol.md): plain structs on one side, JSON bytes on the other.
 *
 * Spans and lists of a parsed struct point into the text or the arena; both
 * must stay.  In messages unknown members are ignored; payloads, which are
 * signed, are parsed strictly.  Every field is checked against its limit.
 */

#ifndef VMOPS_PROTO_H
#define VMOPS_PROTO_H

#include "vmops_json.h"
#include "vmops_keys.h"
#include "vmops_kinds.h"

#pragma GCC visibility push(hidden)

#define VMOPS_SUBPROTOCOL  "vmops.agent.v1"
#define VMOPS_WS_PATH      "/ws/v1/agents/connect"

/* A command's status: the final ones come last. */

typedef enum {
    VMOPS_ST_QUEUED = 0,
    VMOPS_ST_DELIVERED,
    VMOPS_ST_RUNNING,
    VMOPS_ST_SUCCEEDED,
    VMOPS_ST_FAILED,
    VMOPS_ST_REJECTED,
    VMOPS_ST_CANCELLED,
    VMOPS_ST_TIMED_OUT,
    VMOPS_ST_INDETERMINATE,
    VMOPS_ST_MAX_
} vmops_status_t;

const char *vmops_status_name(unsigned status);
int vmops_status_find(vmops_span_t name);               /* -1: unknown */

static inline int
vmops_status_is_final(unsigned status)
{
    return status >= VMOPS_ST_SUCCEEDED && status < VMOPS_ST_MAX_;
}

/* Any JSON inside a message.  Written from `text` if it is set, else from
 * `node`, else null; parsed into `node` (NULL for null or absent). */

typedef struct {
    vmops_span_t         text;
    const vmops_json_t  *node;
} vmops_value_t;


/* Signed payloads. */

typedef struct {
    vmops_span_t    ref;            /* sec_… */
    uint64_t        version;
    uint8_t         family;         /* vmops_family_t; commands only */
} vmops_secret_use_t;

typedef struct {
    uint8_t         present;        /* 0: `{}` */
    vmops_uuid_t    vm_uuid;
    uint8_t         guest;          /* vmops_guest_t */
    vmops_span_t    node;
    uint32_t        vmid;
} vmops_target_t;

typedef struct {
    vmops_uuid_t        id;
    uint64_t            seq;
    uint64_t            iat;        /* Unix ms, server's time */
    uint64_t            exp;        /* iat + 1000 * timeout_s, checked */
    vmops_span_t        service;
    vmops_span_t        action;
    vmops_target_t      target;
    vmops_value_t       params;     /* an object; text must be one, too */
    vmops_secret_use_t  secrets[VMOPS_CMD_SECRETS_MAX];
    size_t              secrets_n;
    uint32_t            timeout_s;
    vmops_span_t        by_subject;
    vmops_span_t        by_role;
    uint8_t             has_idem;
    uint8_t             idem[32];
} vmops_cmd_t;

typedef struct {
    vmops_uuid_t        id;
    uint8_t             status;     /* a final one */
    uint64_t            started;    /* Unix ms; 0: never */
    uint64_t            finished;
    vmops_value_t       result;     /* an object or null */
    vmops_span_t        error_code; /* p NULL: no error */
    vmops_span_t        error_stage;
    vmops_span_t        error_detail_code;
    vmops_secret_use_t  secrets[VMOPS_CMD_SECRETS_MAX];
    size_t              secrets_n;
    uint8_t             cmd_hash[32];
} vmops_result_t;

typedef enum {
    VMOPS_CTL_CANCEL = 0,           /* id */
    VMOPS_CTL_ROTATE,               /* ref */
    VMOPS_CTL_PROBE,                /* ref */
    VMOPS_CTL_REKEY,                /* key, key_id */
    VMOPS_CTL_APPROVED,
    VMOPS_CTL_BYE,                  /* code: the Close that follows */
    VMOPS_CTL_MAX_
} vmops_ctl_do_t;

typedef struct {
    uint64_t            n;          /* from 1, growing within a session */
    uint8_t             what;       /* vmops_ctl_do_t */
    vmops_uuid_t        id;
    vmops_span_t        ref;
    uint8_t             key[32];
    vmops_span_t        key_id;
    uint32_t            code;
} vmops_ctl_t;

/* 0 and *out; -1 if it does not fit or a field is out of its limits. */

int vmops_cmd_write(uint8_t *buf, size_t cap, vmops_span_t *out,
    const vmops_cmd_t *c) VMOPS_CHECKED;
int vmops_result_write(uint8_t *buf, size_t cap, vmops_span_t *out,
    const vmops_result_t *r) VMOPS_CHECKED;
int vmops_ctl_write(uint8_t *buf, size_t cap, vmops_span_t *out,
    const vmops_ctl_t *c) VMOPS_CHECKED;

/* 0, or -1 for anything but exactly the form.  Verify the signature first. */

int vmops_cmd_parse(vmops_cmd_t *c, vmops_arena_t *a, vmops_span_t payload)
    VMOPS_CHECKED;
int vmops_result_parse(vmops_result_t *r, vmops_arena_t *a,
    vmops_span_t payload) VMOPS_CHECKED;
int vmops_ctl_parse(vmops_ctl_t *c, vmops_arena_t *a, vmops_span_t payload)
    VMOPS_CHECKED;


/* Channel messages. */

typedef enum {
    VMOPS_MSG_HELLO = 0,
    VMOPS_MSG_AUTH,
    VMOPS_MSG_WELCOME,
    VMOPS_MSG_READY,
    VMOPS_MSG_CMD,
    VMOPS_MSG_ACK,
    VMOPS_MSG_SECRET_GET,
    VMOPS_MSG_SECRET,
    VMOPS_MSG_PROGRESS,
    VMOPS_MSG_LOG,
    VMOPS_MSG_RESULT,
    VMOPS_MSG_RESULT_OK,
    VMOPS_MSG_CTL,
    VMOPS_MSG_BYE,
    VMOPS_MSG_STATUS,
    VMOPS_MSG_MAX_
} vmops_msg_type_t;

typedef enum {
    VMOPS_PLATFORM_LINUX = 0,
    VMOPS_PLATFORM_WINDOWS
} vmops_platform_t;

typedef enum {
    VMOPS_AGENT_PENDING = 0,        /* pending_approval */
    VMOPS_AGENT_APPROVED
} vmops_agent_approval_t;

typedef enum {
    VMOPS_KEYSTORE_OK = 0,
    VMOPS_KEYSTORE_UNREADABLE
} vmops_keystore_t;

typedef struct {                    /* p, k, s: a signed payload */
    vmops_span_t    payload;        /* bytes, b64u in JSON */
    vmops_span_t    key_id;         /* p NULL in a result: the agent's own */
    uint8_t         sig[64];
} vmops_signed_frame_t;

typedef struct {
    uint8_t         nonce[32];
    uint64_t        time;           /* Unix ms */
} vmops_msg_hello_t;

typedef struct {
    vmops_span_t    tenant;
    vmops_uuid_t    agent;
    uint8_t         nonce[32];
    uint64_t        epoch;
    uint8_t         cb;             /* VMOPS_CB_* */
    uint8_t         sig[64];
    vmops_span_t    version;
    uint8_t         platform;       /* vmops_platform_t */
} vmops_msg_auth_t;

typedef struct {
    vmops_uuid_t    session;
    uint64_t        epoch;
    uint64_t        time;
    uint32_t        ping_s;
    uint8_t         status;         /* vmops_agent_approval_t */
    uint8_t         has_audit_head;
    vmops_seal_t    audit_head;
    vmops_span_t    command_key_id;
    uint8_t         sig[64];
} vmops_msg_welcome_t;

typedef struct {
    uint64_t        last_seq;
} vmops_msg_ready_t;

typedef struct {
    vmops_uuid_t    id;
    uint8_t         accepted;       /* 0: rejected */
    vmops_span_t    code;           /* rejected: a command error code */
} vmops_msg_ack_t;

typedef struct {
    vmops_span_t    id;             /* of the request, chosen by the agent */
    vmops_span_t    ref;
    uint64_t        version;
} vmops_msg_secret_get_t;

typedef struct {
    vmops_span_t    id;
    vmops_span_t    error;          /* p NULL: the record follows */
    vmops_span_t    ref;
    uint64_t        version;
    uint8_t         kind;           /* vmops_kind_t */
    vmops_span_t    alg;
    vmops_span_t    key_id;
    uint64_t        created_ms;
    vmops_span_t    nonce;          /* bytes */
    vmops_span_t    ciphertext;     /* bytes */
    vmops_span_t    aad_meta;
} vmops_msg_secret_t;

typedef struct {
    vmops_uuid_t    id;
    uint8_t         percent;        /* 0 ... 100 */
    vmops_span_t    stage;
    vmops_span_t    message;
} vmops_msg_progress_t;

typedef struct {
    vmops_uuid_t    id;
    vmops_span_t    line;
} vmops_msg_log_t;

typedef struct {
    vmops_uuid_t          id;
    vmops_signed_frame_t  signed_;      /* key_id unused */
    uint8_t               has_cmd;      /* from the outbox */
    vmops_signed_frame_t  cmd;
} vmops_msg_result_t;

typedef struct {
    vmops_uuid_t    id;
} vmops_msg_id_t;

typedef struct {
    vmops_span_t    code;           /* a name, e.g. tenant_suspended */
    uint32_t        retry_after_ms;
} vmops_msg_bye_t;

typedef struct {
    vmops_value_t   routes;         /* vmops_routes_check() holds */
    uint8_t         keystore;       /* vmops_keystore_t */
    vmops_span_t    key_id;         /* p NULL: none */
    uint8_t         capabilities;   /* bit 1 << vmops_service_t */
    uint8_t         has_audit_head;
    vmops_seal_t    audit_head;
} vmops_msg_status_t;

typedef struct {
    vmops_msg_type_t             type;
    union {
        vmops_msg_hello_t        hello;
        vmops_msg_auth_t         auth;
        vmops_msg_welcome_t      welcome;
        vmops_msg_ready_t        ready;
        vmops_signed_frame_t     cmd;
        vmops_msg_ack_t          ack;
        vmops_msg_secret_get_t   secret_get;
        vmops_msg_secret_t       secret;
        vmops_msg_progress_t     progress;
        vmops_msg_log_t          log;
        vmops_msg_result_t       result;
        vmops_msg_id_t           result_ok;
        vmops_signed_frame_t     ctl;
        vmops_msg_bye_t          bye;
        vmops_msg_status_t       status;
    } u;
} vmops_msg_t;

typedef enum {
    VMOPS_MSG_OK = 0,
    VMOPS_MSG_UNKNOWN,              /* JSON with another `t`: ignore it */
    VMOPS_MSG_MALFORMED             /* close 1008 */
} vmops_msg_rc_t;

/* "hello", "auth", …, "secret.get", …; NULL out of range */
const char *vmops_msg_name(unsigned type);

/* One message as JSON.  0 and *out, or -1: no room, or out of limits. */
int vmops_msg_write(uint8_t *buf, size_t cap, vmops_span_t *out,
    const vmops_msg_t *m) VMOPS_CHECKED;

vmops_msg_rc_t vmops_msg_parse(vmops_msg_t *m, vmops_arena_t *a,
    vmops_span_t text) VMOPS_CHECKED;


/*
 * AgentRecord.routes: an array of at most VMOPS_ROUTES_MAX
 * {secret_ref, ok, stage, code, latency_ms, checked_at}; code and latency_ms
 * may be null.  In `status`, and in the body of POST /agents/heartbeat.
 */

typedef enum {
    VMOPS_STAGE_DNS = 0,
    VMOPS_STAGE_TCP,
    VMOPS_STAGE_TLS,
    VMOPS_STAGE_PIN,
    VMOPS_STAGE_AUTH,
    VMOPS_STAGE_HTTP,
    VMOPS_STAGE_MAX_
} vmops_stage_t;

typedef struct {
    vmops_span_t    secret_ref;
    uint8_t         ok;
    uint8_t         stage;          /* vmops_stage_t: the last one reached */
    vmops_span_t    code;           /* p NULL: none */
    int64_t         latency_ms;     /* < 0: null */
    int64_t         checked_ms;
} vmops_route_t;

const char *vmops_stage_name(unsigned stage);
int vmops_routes_check(const vmops_json_t *node, vmops_json_error_t *err);
void vmops_route_write(vmops_jw_t *w, const vmops_route_t *r);

/* {from, n, h, ms, sig}; NULL: null */
void vmops_seal_write(vmops_jw_t *w, const vmops_seal_t *s);
int vmops_seal_parse(vmops_seal_t *s, const vmops_json_t *node);

/* A set of services as an array of names, and back (heartbeat, status). */
void vmops_capabilities_write(vmops_jw_t *w, unsigned bits);
int vmops_capabilities_parse(unsigned *bits, const vmops_json_t *node);

#pragma GCC visibility pop

#endif /* VMOPS_PROTO_H */
