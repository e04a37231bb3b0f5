/*
 * Every limit of vmops, in one place.
 *
 * Sizes are bytes, times are milliseconds (_MS) or seconds (_S), unless the
 * name says otherwise.  The section of the documentation a number comes from
 * stands above its group.
 */

#ifndef VMOPS_LIMITS_H
#define VMOPS_LIMITS_H

/* REST requests */

#define VMOPS_BODY_MAX                65536
#define VMOPS_PARAMS_MAX              32768   /* `params`, re-serialised */
#define VMOPS_LABELS_MAX              32      /* members of `labels` */
#define VMOPS_LABEL_KEY_MAX           63
#define VMOPS_LABEL_VALUE_MAX         255
#define VMOPS_TARGET_URI_MAX          2048    /* RFC 9421 @target-uri */
#define VMOPS_BEARER_MAX              256
#define VMOPS_IDEMPOTENCY_KEY_MAX     128     /* visible ASCII */
#define VMOPS_LIST_LIMIT_MIN          1
#define VMOPS_LIST_LIMIT_MAX          200
#define VMOPS_LIST_LIMIT_DEFAULT      50
#define VMOPS_WAIT_MAX_S              60      /* Prefer: wait=N */
#define VMOPS_SSE_COMMENT_MS          15000
#define VMOPS_SSE_QUEUE_MAX           262144  /* unsent bytes of one stream */
#define VMOPS_PRINCIPAL_CACHE_MS      1000
#define VMOPS_ERRORS_MAX              8       /* errors[] of one problem */

/* what a REST worker holds */

#define VMOPS_PRINCIPALS_MAX          16384   /* cached ones */
#define VMOPS_ACTIVE_MAX              65536   /* tenants known to be listed */
#define VMOPS_LIVE_LINGER_MS          30000   /* subscribed after the last */
#define VMOPS_LIVE_CHECK_MS           500     /* principals of streams */
#define VMOPS_LIVE_RETRY_MS           1000    /* the store did not answer */
#define VMOPS_SSE_PAGE                64      /* events of one write */

/* the legacy path and vmops_redact (docs/legacy.md) */

#define VMOPS_REDACT_DEPTH_MAX        64
#define VMOPS_REDACT_STRING_MAX       65536   /* as it came, quotes included:
                                                 a longer one is masked */
#define VMOPS_REDACT_BUF              16384   /* also what is held back before
                                                 an answer's header goes out */
#define VMOPS_REDACT_BUFS             4       /* of one answer */
#define VMOPS_SENSITIVE_NAME_MAX      256     /* letters and digits: a longer
                                                 name counts as a secret's */

/* names and ids */

#define VMOPS_UUID_TEXT               36
#define VMOPS_SECRET_REF_TEXT         36      /* sec_ + 32 hex */
#define VMOPS_TENANT_MAX              32
#define VMOPS_NAME_MIN                1
#define VMOPS_NAME_MAX                64      /* agents, VMs, tokens, tenants */
#define VMOPS_HOSTNAME_MAX            253
#define VMOPS_NODE_MAX                63
#define VMOPS_VMID_MIN                100
#define VMOPS_VMID_MAX                999999999
#define VMOPS_BOT_ID_MAX              64
#define VMOPS_LABEL_MAX               128     /* label of a secret */
#define VMOPS_SUBJECT_MAX             128
#define VMOPS_ROLE_MAX                16
#define VMOPS_VERSION_MAX             32      /* agent's version text */
#define VMOPS_CODE_MAX                64      /* any stable code */
#define VMOPS_ACTION_NAME_MAX         32
#define VMOPS_PLAN_MAX                64
#define VMOPS_KEY_ID_TEXT             34      /* k1, c1 ... + 32 hex */
#define VMOPS_TIME_TEXT               24      /* 2026-01-01T00:00:00.000Z */

/* JSON (vmops_json.h) */

#define VMOPS_JSON_DEPTH_MAX          16
#define VMOPS_JSON_NODES_MAX          4096
#define VMOPS_JSON_MEMBERS_MAX        512     /* of one object */
#define VMOPS_JSON_POINTER_MAX        255
#define VMOPS_JSON_NUMBER_MAX         64      /* characters of one number */

/* secret envelope (docs/protocol.md) */

#define VMOPS_AAD_META_MAX            1024
#define VMOPS_SECRET_PLAINTEXT_MAX    16384   /* padded */
#define VMOPS_SECRET_PAD              256
#define VMOPS_SECRET_PAD_LARGE        1024
#define VMOPS_SECRET_PAD_SMALL_MAX    4096    /* unpadded, block 256 to it */
#define VMOPS_SECRET_CIPHERTEXT_MAX   (VMOPS_SECRET_PLAINTEXT_MAX + 16)
#define VMOPS_SECRET_CIPHERTEXT_MIN   (VMOPS_SECRET_PAD + 16)
#define VMOPS_SECRET_OLD_KEPT_S       86400   /* old ciphertext, rotated */
#define VMOPS_SECRET_OLD_MAX          16      /* of one, those not expired */
#define VMOPS_SECRETS_PER_TENANT      10000
#define VMOPS_BINDINGS_PER_SECRET     1000

/* pairing, identity, RFC 9421 (docs/protocol.md) */

#define VMOPS_PAIRING_S               600
#define VMOPS_PAIRING_TRIES           5
#define VMOPS_PAIRINGS_WAITING        1000    /* of a tenant, of 2^20 codes */
#define VMOPS_PAIRING_FAILED_PER_MIN  10      /* per address */
#define VMOPS_HTTPSIG_WINDOW_S        300     /* created, both directions */
#define VMOPS_HTTPSIG_NONCE_S         601
#define VMOPS_SEQ_AHEAD_MAX           1000000000  /* of the store's last: what
                                                 one from a backup may lack */
#define VMOPS_EPOCH_AHEAD_MAX         1000000000  /* the same of epochs */
#define VMOPS_EPOCH_TAKEOVERS         3
#define VMOPS_EPOCH_TAKEOVER_S        600
#define VMOPS_EPOCH_TAKEOVER_PING_MS  2000    /* the displaced must answer */

/* tokens and sessions (docs/principals.md) */

#define VMOPS_TOKEN_SECRET            43      /* base62 characters, 256 bits */
#define VMOPS_TOKEN_CRC               6
#define VMOPS_TOKEN_MAX               (4 + VMOPS_TENANT_MAX + 1                \
                                       + VMOPS_TOKEN_SECRET + VMOPS_TOKEN_CRC)
#define VMOPS_COOKIE_MAX              (VMOPS_TENANT_MAX + 1                    \
                                       + VMOPS_TOKEN_SECRET)
#define VMOPS_SESSION_ABSOLUTE_S      43200
#define VMOPS_SESSION_IDLE_S          1800
#define VMOPS_TOKENS_PER_TENANT       1000
#define VMOPS_SESSIONS_PER_TOKEN      100     /* the oldest ends */

/* agent channel (docs/protocol.md) */

#define VMOPS_WS_FRAME_MAX            65536
#define VMOPS_WS_MESSAGE_MAX          262144
#define VMOPS_WS_FRAGMENTS_MAX        100
#define VMOPS_WS_CONTROL_MAX          125     /* RFC 6455 5.5 */
#define VMOPS_WS_QUEUE_BYTES          262144
#define VMOPS_WS_QUEUE_FRAMES         64
#define VMOPS_ROTATIONS_TOLD          16      /* requests, of one `ready` */
#define VMOPS_WS_STUCK_MS             5000    /* a full queue does not move */
#define VMOPS_WS_PING_S               25
#define VMOPS_WS_IDLE_S               60
#define VMOPS_WS_READY_MS             5000
#define VMOPS_WS_PRE_READY_FRAMES     2
#define VMOPS_WS_PRE_READY_BYTES      1024    /* of one frame */
#define VMOPS_WS_PRE_READY_PER_ADDR   20      /* of IPv6: of a /64 */
#define VMOPS_WS_PRE_READY_PER_WORKER 2000
#define VMOPS_WS_CLOSE_MS             2000    /* our Close to the peer's */
#define VMOPS_WS_HEADER_MAX           65536   /* all of a handshake answer */
#define VMOPS_WS_HEADERS_MAX          100
#define VMOPS_STATUS_EVERY_S          60
#define VMOPS_BYE_PAUSE_MAX_MS        300000  /* unsigned bye */
#define VMOPS_SUSPENDED_PAUSE_MS      300000

#define VMOPS_CMD_PAYLOAD_MAX         49152
#define VMOPS_RESULT_PAYLOAD_MAX      49152
#define VMOPS_CTL_PAYLOAD_MAX         1024
#define VMOPS_PAYLOAD_MAX             49152   /* the largest of the three */
#define VMOPS_STAGE_MAX               32
#define VMOPS_MESSAGE_MAX             256
#define VMOPS_LINE_MAX                512
#define VMOPS_REQUEST_ID_MAX          36      /* id of secret.get */
#define VMOPS_ROUTES_MAX              64
#define VMOPS_HOST_HEADER_MAX         255     /* `host` of T: one length byte */
#define VMOPS_CMD_SECRETS_MAX         2       /* the action's own, its via */

/* commands (docs/protocol.md) */

#define VMOPS_TIMEOUT_MIN_S           1
#define VMOPS_TIMEOUT_MAX_S           3600
#define VMOPS_TIMEOUT_DEFAULT_S       120
#define VMOPS_DISPATCH_MS             10000   /* queued and not sent */
#define VMOPS_IDEMPOTENCY_S           86400
#define VMOPS_COMMANDS_OPEN_MAX       1000    /* per tenant, by default */
#define VMOPS_COMMANDS_FINISHED_MAX   10000   /* kept per tenant */
#define VMOPS_COMMANDS_KEPT_S         2592000
#define VMOPS_LOG_LINES_MAX           200     /* kept per command */
#define VMOPS_RATE_REQUESTS_PER_MIN   600     /* per token, by default */
#define VMOPS_RATE_COMMANDS_PER_MIN   120     /* per tenant, by default */
#define VMOPS_RATE_MAX                1000000 /* what a directive may say */

/* common/ngx: the Redis client (per connection of a worker) */

#define VMOPS_REDIS_PENDING_MAX       16384   /* calls not yet answered */
#define VMOPS_REDIS_OUTPUT_MAX        (16 << 20) /* bytes of such calls */
#define VMOPS_REDIS_WINDOW            8192    /* of them sent, but for a longer
                                                 call, which goes alone */
#define VMOPS_REDIS_BATCH             4096    /* no more until no more than that
                                                 are not answered */
#define VMOPS_REDIS_REPLY_MAX         (8 << 20) /* bytes of one reply */
#define VMOPS_REDIS_ELEMENTS_MAX      65536   /* of one array in a reply */
#define VMOPS_REDIS_PACKED_MAX        1024    /* elements of a packed text */
#define VMOPS_REDIS_ARGS_MAX          256     /* of one call */
#define VMOPS_REDIS_CHANNELS_MAX      65536   /* subscribed shard channels */
#define VMOPS_REDIS_CHANNEL_MAX       256     /* bytes of a channel's name */
#define VMOPS_REDIS_SUBSCRIBE_WINDOW  1024    /* SSUBSCRIBE under way */
#define VMOPS_REDIS_PASSWORD_MAX      512     /* bytes of a password file */
#define VMOPS_REDIS_CONNECT_MS        2000    /* connect, TLS, AUTH, checks */
#define VMOPS_REDIS_CALL_MS           2000    /* one call of a request */
#define VMOPS_REDIS_BACKOFF_MIN_MS    50
#define VMOPS_REDIS_BACKOFF_MAX_MS    2000
#define VMOPS_REDIS_HUNG_MS           1000    /* silence after a deadline */
#define VMOPS_REDIS_TRYAGAIN_MS       25      /* between two tries */
#define VMOPS_REDIS_SUBSCRIBE_MS      3000    /* to confirm a subscription */
#define VMOPS_REDIS_PING_MS           5000    /* silence of a subscriber */
#define VMOPS_REDIS_KEY_MAX           512

/* common/ngx: the beat */

#define VMOPS_BEAT_MS                 1000
#define VMOPS_BEAT_DEADLINE_MS        900
#define VMOPS_BEAT_TTL_MS             4000
#define VMOPS_BEAT_LOST_MS            3000    /* no beat: stop dispatching */
#define VMOPS_BEAT_COHORTS_MAX        1024
#define VMOPS_BEAT_COHORT_MAX         64      /* bytes of a cohort's name */
#define VMOPS_BEAT_LIVE_MAX           1024    /* incarnations */

/* common/ngx: counters (docs/operations.md) */

#define VMOPS_METRICS_MS              1000    /* gauges are looked at */

/* what is kept in Redis, and how often it is looked after */

#define VMOPS_SWEEP_MS                2000
#define VMOPS_SWEEP_LEASE_MS          1750  /* over when the timer fires */
#define VMOPS_SWEEP_TENANTS           256     /* leased at once */
#define VMOPS_SWEEP_STEP              200     /* records of one call */
#define VMOPS_PURGE_STEP              500     /* keys looked at by one call */
#define VMOPS_PURGE_PACE_MS           5       /* between two of one tenant's */
#define VMOPS_DROPPED_KEEP_MS         86400000  /* no call is that late */
#define VMOPS_ACTIVE_CACHE_S          60
#define VMOPS_STORE_LAG_MS            3000    /* a fail-over loses less */
#define VMOPS_REVOKE_AGAIN_MS         3000
#define VMOPS_REVOKE_AGAIN_MAX        1024    /* of a worker at once */
#define VMOPS_EVENTS_MAX              100000
#define VMOPS_EVENTS_TRIM_EVERY       16      /* audit numbers of commands */
#define VMOPS_EVENTS_UNSEALED_MAX     200000  /* where nobody seals them */

/*
 * the audit (docs/audit.md): sealed within 2 s.  A worker that dies with the
 * lease of a tenant costs it one more lease, and one more look.
 */

#define VMOPS_AUDIT_LOOK_MS           250     /* of each worker */
#define VMOPS_AUDIT_LEASE_MS          500
#define VMOPS_AUDIT_TENANTS           64      /* leased at once */
#define VMOPS_AUDIT_MARK_MS           5000    /* a worker's word that there may
                                                 be entries is good for it */
#define VMOPS_AUDIT_KEEP_MS           10000   /* no drop after such a word */
#define VMOPS_AUDIT_ENTRY_MAX         4096
#define VMOPS_AUDIT_VALUE_MAX         512     /* of an entry: a longer one is
                                                 cut */
#define VMOPS_AUDIT_METHOD_MAX        32      /* of a legacy request */
#define VMOPS_AUDIT_PATH_MAX          512     /* in JSON perhaps 6 times that */
#define VMOPS_AUDIT_SEAL_ENTRIES      100     /* under one seal */
#define VMOPS_AUDIT_SEAL_TEXT         512     /* one as JSON */
#define VMOPS_AUDIT_LINE_MAX          32768   /* of an export */
/* the function library (redis/) */

#define VMOPS_LIB_MINOR               0       /* its version is 1.<minor> */
#define VMOPS_OVERDUE_MS              1500    /* past the deadline: a result
                                                 may still be on its way */
#define VMOPS_FRESH_MS                3000    /* a session counts as live
                                                 before all lists know it */
#define VMOPS_ACTIVE_KEEP_MS          120000  /* no drop after an add */
#define VMOPS_NONCES_MAX              600     /* kept per agent */
#define VMOPS_RATE_MS                 60000   /* window of every rate */
#define VMOPS_OPEN_RETRY_MS           1000    /* too many open: try then */
#define VMOPS_PAIRING_KEPT_S          3600    /* after it expired */
#define VMOPS_PLATFORM_AUDIT_MAX      10000
#define VMOPS_PAGE_BYTES              1048576 /* a longer page ends early */
#define VMOPS_SCAN_MAX                1000    /* looked at for one page */
#define VMOPS_TRIM_MAX                4       /* old commands per call */

/* the agent */

#define VMOPS_AGENT_HTTP_MAX          1048576 /* an answer of Proxmox, … */
#define VMOPS_AGENT_CONNECT_MS        10000
#define VMOPS_AGENT_BACKOFF_MIN_MS    500
#define VMOPS_AGENT_BACKOFF_MAX_MS    30000
#define VMOPS_AGENT_REPLACED_MS       5000    /* after a 4409 */
#define VMOPS_AGENT_RETRY_AFTER_MAX_S 3600    /* an absurd Retry-After */
#define VMOPS_AGENT_EXECUTORS         8
#define VMOPS_AGENT_IDEM_S            86400   /* journal refuses a known idem */
#define VMOPS_LEAK_MIN                8       /* shorter ones: not searched */

#endif /* VMOPS_LIMITS_H */
