
/* The seals that were seen, in the database. */

#include <string.h>

#include "witness.h"
#include "vmops_banned.h"


#define COLUMNS  "SELECT n, h, first, ms, sig FROM witnesses "


int
witness_keep(db_t *db, const vmops_seal_t *seal)
{
    int  rc;

    if (seal->from > INT64_MAX || seal->to > INT64_MAX
        || seal->ms > INT64_MAX)
    {
        return -1;
    }

    db_lock(db);

    rc = db_run(db, "INSERT OR IGNORE INTO witnesses (n, h, first, ms, sig)"
                " VALUES (?, ?, ?, ?, ?)", "ibiib", (int64_t) seal->to,
                vmops_span(seal->head, VMOPS_HASH), (int64_t) seal->from,
                (int64_t) seal->ms, vmops_span(seal->sig, VMOPS_SIG))
         || db_run(db, "DELETE FROM witnesses WHERE id <="
                   " (SELECT max(id) FROM witnesses) - ?", "i",
                   (int64_t) WITNESSES_MAX);

    db_unlock(db);

    return rc == 0 ? 0 : -1;
}


static int
read_row(sqlite3_stmt *st, vmops_seal_t *seal)
{
    vmops_span_t  head = db_blob(st, 1), sig = db_blob(st, 4);

    memset(seal, 0, sizeof(*seal));

    if (head.n != VMOPS_HASH || sig.n != VMOPS_SIG) {
        return -1;
    }

    seal->to = (uint64_t) sqlite3_column_int64(st, 0);
    seal->from = (uint64_t) sqlite3_column_int64(st, 2);
    seal->ms = (uint64_t) sqlite3_column_int64(st, 3);
    memcpy(seal->head, head.p, VMOPS_HASH);
    memcpy(seal->sig, sig.p, VMOPS_SIG);

    return 0;
}


int
witness_last(db_t *db, vmops_seal_t *seal)
{
    int            rc = -1;
    sqlite3_stmt  *st;

    db_lock(db);

    st = db_query(db, COLUMNS "ORDER BY n DESC, id LIMIT 1", "");
    if (st != NULL && db_step(db, st) == SQLITE_ROW) {
        rc = read_row(st, seal);
    }

    sqlite3_finalize(st);
    db_unlock(db);

    return rc;
}


int
witness_list(db_t *db, vmops_seal_t *list, size_t *n)
{
    int            rc, step = SQLITE_DONE;
    sqlite3_stmt  *st;

    *n = 0;
    db_lock(db);

    st = db_query(db, COLUMNS "ORDER BY n, id LIMIT ?", "i",
                  (int64_t) WITNESSES_MAX);
    rc = st != NULL ? 0 : -1;

    while (rc == 0 && (step = db_step(db, st)) == SQLITE_ROW) {
        rc = read_row(st, &list[*n]);
        *n += rc == 0;
    }

    sqlite3_finalize(st);
    db_unlock(db);

    return rc == 0 && step == SQLITE_DONE ? 0 : -1;
}
