
/*
 * The journal (docs/protocol.md, Delivery): each command is written here, on
 * the disk, before its effect; its end is written before it is told to anybody.
 * The ended ones whose result the gateway has not confirmed are the outbox.
 */

#ifndef VMOPS_JOURNAL_H
#define VMOPS_JOURNAL_H


#include "db.h"
#include "vmops_proto.h"


#define JOURNAL_KEPT_MS   (30ull * 86400 * 1000)
#define JOURNAL_KEPT      10000
#define JOURNAL_DOUBT_MS  10000
#define JOURNAL_SURE_MS   (3600ull * 1000)

typedef enum {
    JOURNAL_ACCEPTED = 0,   /* taken in; no effect yet */
    JOURNAL_STARTED,        /* the effect may have taken place */
    JOURNAL_FOLLOWED,       /* it is the task `upid` of its target */
    JOURNAL_ENDED
} journal_state_t;

typedef enum {
    INTAKE_NEW = 0,         /* written: may run */
    INTAKE_KNOWN,           /* taken in before, not ended */
    INTAKE_ENDED,           /* taken in before, and ended */
    INTAKE_REPLAY,          /* another one with this seq or idem, or later */
    INTAKE_UNFIT,           /* new, and not written as it shall not run */
    INTAKE_UNWRITTEN,       /* new, and could not be written: must not run */
    INTAKE_ERROR            /* it could not be judged: must not run */
} intake_t;

/* A command as it stands; spans are valid during the callback. */

typedef struct {
    int64_t          rowid;
    uint8_t          whole;         /* 0: not as it was written; only rowid and
                                       what spans there are can be used */
    vmops_uuid_t     id;
    uint64_t         seq;
    journal_state_t  state;
    vmops_span_t     service;
    vmops_span_t     action;
    vmops_span_t     payload;       /* of the cmd frame: p, k, s */
    vmops_span_t     key_id;
    vmops_span_t     sig;
    uint64_t         received;      /* Unix ms; 0: not yet */
    uint64_t         started;
    uint64_t         finished;
    vmops_span_t     upid;
    vmops_span_t     status;
    vmops_span_t     error;
    vmops_span_t     result;        /* the signed payload */
    vmops_span_t     result_sig;
    int              outbox;
    uint64_t         changed;       /* grows with every change of any row */
} journal_row_t;

/* 0 to go on, anything else ends the walk. */
typedef int (*journal_walk_t)(void *data, const journal_row_t *row);

/*
 * Begins the life of a newly paired identity: epoch 0, and, if it is another
 * agent than before, no past at all.  Before the identity is written,
 * journal_pairing() says what is about to come.  0, or -1.
 */
int journal_pairing(db_t *db, const vmops_uuid_t *agent);
int journal_paired(db_t *db, const vmops_uuid_t *agent);

/*
 * Whether the journal is that of the identity which was found.  If pairing it
 * came only so far, the rest is done.  0, -1, or JOURNAL_LOST: it is an empty
 * one or another's, and what this agent did before is not known.
 */
#define JOURNAL_LOST  (-21)

int journal_belongs(db_t *db, const vmops_uuid_t *agent);

/*
 * The epoch to present; journal_set_epoch() returns once it is on disk.  0, or
 * -1: an epoch that is too old would pass for a copy's.
 */
int journal_epoch(db_t *db, uint64_t *epoch);
int journal_set_epoch(db_t *db, uint64_t epoch);
int journal_last_seq(db_t *db, uint64_t *seq);

/*
 * Takes in a command whose signature held: one transaction, on the disk.
 * fit 0: it is only judged, and a new one is INTAKE_UNFIT.
 */
intake_t journal_intake(db_t *db, const vmops_cmd_t *cmd,
    const vmops_signed_frame_t *frame, int fit);

/* Before the effect; with the task's UPID as soon as it is known. */
int journal_started(db_t *db, const vmops_uuid_t *id);
int journal_followed(db_t *db, const vmops_uuid_t *id, vmops_span_t upid);

/* The end (status, error, result, result_sig): its signed result is in the
 * outbox from now on. */
int journal_ended(db_t *db, const vmops_uuid_t *id, const journal_row_t *end);

/*
 * Copies a row that is damaged to the table `damaged`, as it is, and puts this
 * end of its order into its place; cmd NULL: nothing, as its order cannot be
 * read either.
 */
int journal_set_aside(db_t *db, int64_t rowid, const vmops_cmd_t *cmd,
    const journal_row_t *end);

/* The gateway has it; the gateway asked again for an ended one. */
int journal_confirmed(db_t *db, const vmops_uuid_t *id);
int journal_again(db_t *db, const vmops_uuid_t *id);

/*
 * A gateway's store may have lost the last it was told: the results that were
 * confirmed in the last JOURNAL_DOUBT_MS, counted from the last of them, are in
 * the outbox once more, unless that was JOURNAL_SURE_MS ago.
 */
int journal_doubt(db_t *db);

/*
 * Walks: one command; those not ended, or damaged; the outbox; those changed
 * after a change number, oldest change first.  The walk holds the database's
 * lock: callbacks use nothing of this interface.  0, the callback's value, or
 * -1.
 */
int journal_one(db_t *db, const vmops_uuid_t *id, journal_walk_t walk,
    void *data);
int journal_open_ones(db_t *db, journal_walk_t walk, void *data);
int journal_outbox(db_t *db, journal_walk_t walk, void *data);
int journal_changes(db_t *db, uint64_t after, int limit, journal_walk_t walk,
    void *data);

/* Forgets ended, confirmed commands that are old or too many. */
int journal_prune(db_t *db);


#endif /* VMOPS_JOURNAL_H */
