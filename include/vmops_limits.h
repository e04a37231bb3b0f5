
/*
 * Every limit that more than one file, or an operator, has to know.
 * Sizes are bytes, times are in the unit their name ends with.
 */

#ifndef VMOPS_LIMITS_H
#define VMOPS_LIMITS_H


/* common/ngx: the Redis client (per connection of a worker) */
#define VMOPS_REDIS_PENDING_MAX      16384     /* calls not yet answered */
#define VMOPS_REDIS_OUTPUT_MAX       (16 << 20) /* bytes of such calls */
#define VMOPS_REDIS_REPLY_MAX        (8 << 20) /* bytes of one reply */
#define VMOPS_REDIS_ELEMENTS_MAX     65536     /* of one array in a reply */
#define VMOPS_REDIS_ARGS_MAX         256       /* of one call */
#define VMOPS_REDIS_CHANNELS_MAX     65536     /* subscribed shard channels */
#define VMOPS_REDIS_CHANNEL_MAX      256       /* bytes of a channel's name */
#define VMOPS_REDIS_SUBSCRIBE_WINDOW 1024      /* SSUBSCRIBE under way */
#define VMOPS_REDIS_PASSWORD_MAX     512       /* bytes of a password file */
#define VMOPS_REDIS_CONNECT_MS       2000      /* connect, TLS, AUTH, checks */
#define VMOPS_REDIS_BACKOFF_MIN_MS   50
#define VMOPS_REDIS_BACKOFF_MAX_MS   2000
#define VMOPS_REDIS_HUNG_MS          1000      /* silence after a deadline */
#define VMOPS_REDIS_TRYAGAIN_MS      25        /* between two tries */
#define VMOPS_REDIS_SUBSCRIBE_MS     3000      /* to confirm a subscription */
#define VMOPS_REDIS_PING_MS          5000      /* silence of a subscriber */

/* common/ngx: the beat */
#define VMOPS_BEAT_MS                1000
#define VMOPS_BEAT_DEADLINE_MS       900
#define VMOPS_BEAT_TTL_MS            4000
#define VMOPS_BEAT_LOST_MS           3000
#define VMOPS_BEAT_COHORTS_MAX       1024
#define VMOPS_BEAT_COHORT_MAX        64        /* bytes of a cohort's name */
#define VMOPS_BEAT_LIVE_MAX          1024      /* incarnations */

#endif /* VMOPS_LIMITS_H */
