
/* The journal's statements. */

#include <string.h>

#include "journal.h"
#include "vmops_banned.h"


#define ROW                                                                   \
    "SELECT id, seq, state, service, action, payload, key_id, sig, received," \
    " started, finished, upid, status, error, result, result_sig, outbox,"    \
    " changed, rowid FROM commands "

#define CHANGED  "(SELECT ifnull(max(changed), 0) + 1 FROM commands)"


/* Under the lock: 1 if the journal names this agent so, 0, or -1. */

static int
names(db_t *db, const char *name, const vmops_uuid_t *agent)
{
    int            step;
    sqlite3_stmt  *st;

    st = db_query(db, "SELECT 1 FROM meta WHERE name = ? AND value = ?", "tu",
                  name, agent);
    step = st != NULL ? db_step(db, st) : SQLITE_ERROR;
    sqlite3_finalize(st);

    return step == SQLITE_ROW ? 1 : step == SQLITE_DONE ? 0 : -1;
}


int
journal_pairing(db_t *db, const vmops_uuid_t *agent)
{
    int  rc;

    db_lock(db);
    rc = db_run(db, "INSERT OR REPLACE INTO meta VALUES ('pairing', ?)", "u",
                agent);
    db_unlock(db);

    return rc;
}


int
journal_paired(db_t *db, const vmops_uuid_t *agent)
{
    int  same, rc;

    db_lock(db);
    rc = db_begin(db);
    same = names(db, "agent", agent);

    if (rc == 0 && same != 1) {
        rc = same < 0
             || db_run(db, "DELETE FROM commands", "")
             || db_run(db, "DELETE FROM witnesses", "")
             || db_run(db, "DELETE FROM meta WHERE name = 'last_seq'", "")
             || db_run(db, "INSERT OR REPLACE INTO meta VALUES ('agent', ?)",
                       "u", agent);
    }

    if (rc == 0
        && db_run(db, "INSERT OR REPLACE INTO meta VALUES ('epoch', 0)", "")
           == 0
        && db_run(db, "DELETE FROM meta WHERE name = 'pairing'", "") == 0
        && db_commit(db) == 0)
    {
        db_unlock(db);
        return 0;
    }

    db_rollback(db);
    db_unlock(db);

    return -1;
}


int
journal_belongs(db_t *db, const vmops_uuid_t *agent)
{
    int  rc, begun = 0;

    db_lock(db);
    rc = names(db, "agent", agent);
    if (rc == 0) {
        begun = names(db, "pairing", agent);
    }
    db_unlock(db);

    if (rc == 1) {
        return 0;
    }

    return begun == 1 ? journal_paired(db, agent)
           : rc == 0 && begun == 0 ? JOURNAL_LOST : -1;
}


int
journal_epoch(db_t *db, uint64_t *epoch)
{
    int64_t  n;

    if (db_meta_int(db, "epoch", &n) != 0) {
        return -1;
    }

    *epoch = (uint64_t) n;

    return 0;
}


int
journal_set_epoch(db_t *db, uint64_t epoch)
{
    return epoch <= INT64_MAX
           ? db_meta_set_int(db, "epoch", (int64_t) epoch) : -1;
}


int
journal_last_seq(db_t *db, uint64_t *seq)
{
    int64_t  n;

    if (db_meta_int(db, "last_seq", &n) != 0) {
        return -1;
    }

    *seq = (uint64_t) n;

    return 0;
}


/* Under the lock, inside the transaction. */

static intake_t
intake_judge(db_t *db, const vmops_cmd_t *cmd)
{
    int            step;
    intake_t       rc = INTAKE_NEW;
    sqlite3_stmt  *st;

    st = db_query(db, "SELECT state FROM commands WHERE id = ?", "u",
                  &cmd->id);
    if (st == NULL) {
        return INTAKE_ERROR;
    }
    step = db_step(db, st);
    if (step == SQLITE_ROW) {
        rc = sqlite3_column_int(st, 0) == JOURNAL_ENDED ? INTAKE_ENDED
                                                        : INTAKE_KNOWN;

    } else if (step != SQLITE_DONE) {
        rc = INTAKE_ERROR;
    }
    sqlite3_finalize(st);

    if (rc != INTAKE_NEW) {
        return rc;
    }

    st = db_query(db, "SELECT 1 FROM meta WHERE name = 'last_seq'"
                  " AND value >= ? UNION ALL SELECT 1 FROM commands"
                  " WHERE idem = ? AND received > ?", "ibi",
                  (int64_t) cmd->seq,
                  vmops_span(cmd->has_idem ? cmd->idem : NULL,
                             cmd->has_idem ? sizeof(cmd->idem) : 0),
                  (int64_t) (plat_wall_ms() - VMOPS_AGENT_IDEM_S * 1000ull));
    if (st == NULL) {
        return INTAKE_ERROR;
    }
    step = db_step(db, st);
    if (step != SQLITE_DONE) {
        rc = step == SQLITE_ROW ? INTAKE_REPLAY : INTAKE_ERROR;
    }
    sqlite3_finalize(st);

    return rc;
}


intake_t
journal_intake(db_t *db, const vmops_cmd_t *cmd,
    const vmops_signed_frame_t *frame, int fit)
{
    int       begun;
    intake_t  rc;

    if (cmd->seq > INT64_MAX) {
        return INTAKE_REPLAY;
    }

    db_lock(db);

    /* a journal that cannot be written can still be read */
    begun = db_begin(db) == 0;
    rc = intake_judge(db, cmd);

    if (rc == INTAKE_NEW && !fit) {
        rc = INTAKE_UNFIT;
    }

    if (rc == INTAKE_NEW
        && (!begun
            || db_run(db, "INSERT INTO commands (id, seq, idem, state, service,"
                   " action, payload, key_id, sig, received, changed)"
                   " VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?, " CHANGED ")",
                   "uibssbsbi", &cmd->id, (int64_t) cmd->seq,
                   vmops_span(cmd->has_idem ? cmd->idem : NULL,
                              cmd->has_idem ? sizeof(cmd->idem) : 0),
                   cmd->service, cmd->action, frame->payload, frame->key_id,
                   vmops_span(frame->sig, sizeof(frame->sig)),
                   (int64_t) plat_wall_ms()) != 0
            || db_run(db, "INSERT OR REPLACE INTO meta VALUES ('last_seq', ?)",
                      "i", (int64_t) cmd->seq) != 0
            || db_commit(db) != 0))
    {
        rc = INTAKE_UNWRITTEN;
    }

    if (rc != INTAKE_NEW && begun) {
        db_rollback(db);
    }

    db_unlock(db);

    return rc;
}


int
journal_started(db_t *db, const vmops_uuid_t *id)
{
    int  rc;

    db_lock(db);
    rc = db_run(db, "UPDATE commands SET state = 1, started = ifnull(started,"
                " ?), changed = " CHANGED " WHERE id = ? AND state < 3",
                "iu", (int64_t) plat_wall_ms(), id);
    if (rc == 0 && db_changes(db) != 1) {
        rc = -1;
    }
    db_unlock(db);

    return rc;
}


int
journal_followed(db_t *db, const vmops_uuid_t *id, vmops_span_t upid)
{
    int  rc;

    db_lock(db);
    rc = db_run(db, "UPDATE commands SET state = 2, upid = ?, changed = "
                CHANGED " WHERE id = ? AND state < 3", "su", upid, id);
    db_unlock(db);

    return rc;
}


int
journal_ended(db_t *db, const vmops_uuid_t *id, const journal_row_t *end)
{
    int  rc;

    db_lock(db);
    rc = db_run(db, "UPDATE commands SET state = 3, status = ?, error = ?,"
                " result = ?, result_sig = ?, finished = ?, outbox = 1,"
                " changed = " CHANGED " WHERE id = ? AND state < 3",
                "ssbbiu", end->status, end->error, end->result,
                end->result_sig, (int64_t) plat_wall_ms(), id);
    db_unlock(db);

    return rc;
}


/* Under the lock, inside the transaction: a row of before, and its end. */

static int
put_ended(db_t *db, const vmops_cmd_t *cmd, const journal_row_t *end)
{
    int64_t  now = (int64_t) plat_wall_ms();

    return db_run(db, "INSERT OR IGNORE INTO commands (id, seq, idem, state,"
                  " service, action, payload, key_id, sig, received, finished,"
                  " status, error, result, result_sig, outbox, changed)"
                  " VALUES (?, ?, ?, 3, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, "
                  CHANGED ")", "uibssbsbiissbb", &cmd->id, (int64_t) cmd->seq,
                  vmops_span(cmd->has_idem ? cmd->idem : NULL,
                             cmd->has_idem ? sizeof(cmd->idem) : 0),
                  cmd->service, cmd->action, end->payload, end->key_id,
                  end->sig, now, now, end->status, end->error, end->result,
                  end->result_sig);
}


int
journal_set_aside(db_t *db, int64_t rowid, const vmops_cmd_t *cmd,
    const journal_row_t *end)
{
    int  rc;

    db_lock(db);

    rc = db_begin(db) == 0
         && db_run(db, "INSERT INTO damaged SELECT ?, id, seq, idem, state,"
                   " service, action, payload, key_id, sig, received, started,"
                   " finished, upid, status, error, result, result_sig, outbox,"
                   " changed, confirmed FROM commands WHERE rowid = ?", "ii",
                   (int64_t) plat_wall_ms(), rowid) == 0
         && db_run(db, "DELETE FROM commands WHERE rowid = ?", "i", rowid) == 0
         && (cmd == NULL || put_ended(db, cmd, end) == 0)
         && db_commit(db) == 0 ? 0 : -1;

    if (rc != 0) {
        db_rollback(db);
    }

    db_unlock(db);

    return rc;
}


int
journal_confirmed(db_t *db, const vmops_uuid_t *id)
{
    int  rc;

    db_lock(db);
    rc = db_run(db, "UPDATE commands SET outbox = 0, confirmed ="
                " ifnull(confirmed, ?), changed = " CHANGED
                " WHERE id = ? AND outbox = 1", "iu",
                (int64_t) plat_wall_ms(), id);
    db_unlock(db);

    return rc;
}


int
journal_doubt(db_t *db)
{
    int  rc;

    db_lock(db);
    rc = db_run(db, "UPDATE commands SET outbox = 1 WHERE state = 3"
                " AND confirmed > (SELECT max(confirmed) FROM commands) - ?"
                " AND confirmed > ?", "ii", (int64_t) JOURNAL_DOUBT_MS,
                (int64_t) (plat_wall_ms() - JOURNAL_SURE_MS));
    db_unlock(db);

    return rc;
}


int
journal_again(db_t *db, const vmops_uuid_t *id)
{
    int  rc;

    db_lock(db);
    rc = db_run(db, "UPDATE commands SET outbox = 1, changed = " CHANGED
                " WHERE id = ? AND state = 3", "u", id);
    db_unlock(db);

    return rc;
}


/* The types that the columns of ROW were written with; a capital: or null. */

static int
row_types(sqlite3_stmt *st)
{
    int                i, type;
    static const char  types[] = "tiittbtbiIITTTBBi";

    for (i = 0; types[i] != '\0'; i++) {
        type = sqlite3_column_type(st, i);

        switch (types[i]) {

        case 't':
        case 'T':
            if (type != SQLITE_TEXT && (types[i] == 't' || type != SQLITE_NULL))
            {
                return -1;
            }
            break;

        case 'b':
        case 'B':
            if (type != SQLITE_BLOB && (types[i] == 'b' || type != SQLITE_NULL))
            {
                return -1;
            }
            break;

        default:
            if ((type != SQLITE_INTEGER || sqlite3_column_int64(st, i) < 0)
                && (types[i] == 'i' || type != SQLITE_NULL))
            {
                return -1;
            }
        }
    }

    return 0;
}


static void
row_read(sqlite3_stmt *st, journal_row_t *row)
{
    int64_t  state, outbox;

    memset(row, 0, sizeof(*row));

    /* before anything is read as what it may not be */
    row->whole = row_types(st) == 0;

    state = sqlite3_column_int64(st, 2);
    outbox = sqlite3_column_int64(st, 16);

    if (state < 0 || state > JOURNAL_ENDED || outbox < 0 || outbox > 1) {
        row->whole = 0;
    }

    row->seq = (uint64_t) sqlite3_column_int64(st, 1);
    row->state = row->whole ? (journal_state_t) state : JOURNAL_ENDED;
    row->service = db_text(st, 3);
    row->action = db_text(st, 4);
    row->payload = db_blob(st, 5);
    row->key_id = db_text(st, 6);
    row->sig = db_blob(st, 7);
    row->received = (uint64_t) sqlite3_column_int64(st, 8);
    row->started = (uint64_t) sqlite3_column_int64(st, 9);
    row->finished = (uint64_t) sqlite3_column_int64(st, 10);
    row->upid = db_text(st, 11);
    row->status = db_text(st, 12);
    row->error = db_text(st, 13);
    row->result = db_blob(st, 14);
    row->result_sig = db_blob(st, 15);
    row->outbox = (int) outbox;
    row->changed = (uint64_t) sqlite3_column_int64(st, 17);
    row->rowid = sqlite3_column_int64(st, 18);

    if (vmops_uuid_parse(&row->id, db_text(st, 0)) != 0
        || row->sig.n != VMOPS_SIG
        || (row->state == JOURNAL_ACCEPTED
            && (row->started != 0 || row->upid.p != NULL))
        || (row->state == JOURNAL_FOLLOWED && row->upid.n == 0))
    {
        row->whole = 0;
    }
}


/* Consumes the statement; the lock is held. */

static int
walk_rows(db_t *db, sqlite3_stmt *st, journal_walk_t walk, void *data)
{
    int            rc = 0, step = SQLITE_DONE;
    journal_row_t  row;

    if (st == NULL) {
        return -1;
    }

    while (rc == 0 && (step = db_step(db, st)) == SQLITE_ROW) {
        row_read(st, &row);
        rc = walk(data, &row);
    }

    sqlite3_finalize(st);

    return rc == 0 && step != SQLITE_DONE ? -1 : rc;
}


int
journal_one(db_t *db, const vmops_uuid_t *id, journal_walk_t walk, void *data)
{
    int  rc;

    db_lock(db);
    rc = walk_rows(db, db_query(db, ROW "WHERE id = ?", "u", id), walk, data);
    db_unlock(db);

    return rc;
}


int
journal_open_ones(db_t *db, journal_walk_t walk, void *data)
{
    int  rc;

    db_lock(db);
    rc = walk_rows(db, db_query(db, ROW "WHERE state IS NOT 3 OR outbox NOT IN"
                            " (0, 1) ORDER BY seq", ""), walk,
                   data);
    db_unlock(db);

    return rc;
}


int
journal_outbox(db_t *db, journal_walk_t walk, void *data)
{
    int  rc;

    db_lock(db);
    rc = walk_rows(db, db_query(db, ROW "WHERE outbox = 1 AND state = 3 ORDER"
                            " BY seq", ""), walk,
                   data);
    db_unlock(db);

    return rc;
}


int
journal_changes(db_t *db, uint64_t after, int limit, journal_walk_t walk,
    void *data)
{
    int  rc;

    db_lock(db);
    rc = walk_rows(db, db_query(db, "SELECT * FROM (" ROW "WHERE changed > ?"
                            " ORDER BY changed DESC LIMIT ?) ORDER BY changed",
                            "ii", (int64_t) after, (int64_t) limit), walk,
                   data);
    db_unlock(db);

    return rc;
}


int
journal_prune(db_t *db)
{
    int  rc;

    db_lock(db);
    rc = db_run(db, "DELETE FROM commands WHERE state = 3 AND outbox = 0"
                " AND received < ? AND (received < ? OR seq <= (SELECT seq"
                " FROM commands ORDER BY seq DESC LIMIT 1 OFFSET ?))", "iii",
                (int64_t) (plat_wall_ms() - VMOPS_AGENT_IDEM_S * 1000ull),
                (int64_t) (plat_wall_ms() - JOURNAL_KEPT_MS),
                (int64_t) JOURNAL_KEPT)
         || db_run(db, "DELETE FROM damaged WHERE at < ?", "i",
                   (int64_t) (plat_wall_ms() - JOURNAL_KEPT_MS)) ? -1 : 0;
    db_unlock(db);

    return rc;
}
