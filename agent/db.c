
/* The database: opening, schema, and short forms of SQLite's calls. */

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "log.h"
#include "vmops_banned.h"


#define DB_FILE       "state.db"
#define DB_BUSY_MS    10000
#define DB_ASIDE_MAX  100

struct db_s {
    sqlite3       *sq;
    plat_mutex_t  *mutex;
    atomic_int     damaged;
};

/* PRAGMA user_version = number of steps that have been done */

static const char *const  schema[] = {

    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"

    /* state: 0 accepted, 1 effect begun, 2 task followed, 3 ended */
    "CREATE TABLE commands ("
    " id TEXT PRIMARY KEY, seq INTEGER NOT NULL, idem BLOB,"
    " state INTEGER NOT NULL, service TEXT NOT NULL, action TEXT NOT NULL,"
    " payload BLOB NOT NULL, key_id TEXT NOT NULL, sig BLOB NOT NULL,"
    " received INTEGER NOT NULL, started INTEGER, finished INTEGER,"
    " upid TEXT, status TEXT, error TEXT, result BLOB, result_sig BLOB,"
    " outbox INTEGER NOT NULL DEFAULT 0, changed INTEGER NOT NULL);"
    "CREATE INDEX commands_idem ON commands (idem) WHERE idem IS NOT NULL;"
    "CREATE INDEX commands_outbox ON commands (seq) WHERE outbox = 1;"
    "CREATE INDEX commands_received ON commands (received);"
    "CREATE INDEX commands_changed ON commands (changed);"

    /* vault_store.c */
    "CREATE TABLE secrets ("
    " id TEXT PRIMARY KEY, tenant TEXT NOT NULL, kind INTEGER NOT NULL,"
    " label TEXT NOT NULL, via TEXT, endpoint TEXT NOT NULL,"
    " floors BLOB NOT NULL, mac BLOB NOT NULL,"
    " rotate_asked INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;",

    "ALTER TABLE commands ADD COLUMN confirmed INTEGER;"
    "CREATE INDEX commands_confirmed ON commands (confirmed);",

    /* witness.c */
    "CREATE TABLE witnesses (id INTEGER PRIMARY KEY, n INTEGER NOT NULL,"
    " h BLOB NOT NULL, first INTEGER NOT NULL, ms INTEGER NOT NULL,"
    " sig BLOB NOT NULL, UNIQUE (n, h));"
    "DELETE FROM meta WHERE name = 'audit_head';",

    /* rows of commands that were damaged, as they were: no types, no checks */
    "CREATE TABLE damaged (at INTEGER NOT NULL, id, seq, idem, state, service,"
    " action, payload, key_id, sig, received, started, finished, upid, status,"
    " error, result, result_sig, outbox, changed, confirmed);",
};

#define SCHEMA_STEPS  ((int) (sizeof(schema) / sizeof(schema[0])))


/* What SQLite said, where it is no success. */

static int
failed(db_t *db, int rc)
{
    if ((rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB) {
        db->damaged = 1;
    }

    log_event(LOG_ERROR, "db_error", LOG_NUM("code", rc),
              LOG_NUM("extended", sqlite3_extended_errcode(db->sq)));

    return -1;
}


static int
exec(db_t *db, const char *sql)
{
    int  rc = sqlite3_exec(db->sq, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : failed(db, rc);
}


/* -1 on failure */

static int
version_read(db_t *db)
{
    int            version;
    sqlite3_stmt  *st;

    st = db_query(db, "PRAGMA user_version", "");
    version = st != NULL && db_step(db, st) == SQLITE_ROW
              ? sqlite3_column_int(st, 0) : -1;
    sqlite3_finalize(st);

    return version;
}


static int
upgrade(db_t *db)
{
    int   version, rc;
    char  sql[64];

    /* mostly: and then nothing is written, which a full disk would not take */
    version = version_read(db);
    if (version == SCHEMA_STEPS) {
        return 0;
    }

    if (exec(db, "BEGIN IMMEDIATE") != 0) {
        return -1;
    }

    /* one that a later version has made is left alone */
    version = version_read(db);
    rc = version >= 0 && version <= SCHEMA_STEPS ? 0 : -1;

    for ( ; rc == 0 && version < SCHEMA_STEPS; version++) {
        rc = exec(db, schema[version]);
    }

    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", version);

    if (rc == 0 && exec(db, sql) == 0 && exec(db, "COMMIT") == 0) {
        return 0;
    }

    exec(db, "ROLLBACK");

    return -1;
}


int
db_open(db_t **opened, const home_t *home)
{
    int    rc;
    char   path[PLAT_PATH_MAX];
    db_t  *db;

    *opened = NULL;

    db = mem_new(sizeof(*db));
    if (db == NULL) {
        return PLAT_E;
    }

    db->mutex = plat_mutex_new();

    if (db->mutex == NULL
        || home_path(path, home->state, DB_FILE) != 0
        || sqlite3_open_v2(path, &db->sq,
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                           | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK
        || sqlite3_busy_timeout(db->sq, DB_BUSY_MS) != SQLITE_OK
        || exec(db, "PRAGMA journal_mode = WAL") != 0
        || exec(db, "PRAGMA synchronous = FULL") != 0
        || exec(db, "PRAGMA trusted_schema = OFF") != 0
        || upgrade(db) != 0)
    {
        rc = db->damaged ? DB_DAMAGED : PLAT_E;
        db_close(db);
        return rc;
    }

    *opened = db;

    return 0;
}


void
db_close(db_t *db)
{
    if (db != NULL) {
        sqlite3_close(db->sq);
        plat_mutex_free(db->mutex);
        free(db);
    }
}


int
db_check(db_t *db)
{
    int            rc = PLAT_E;
    sqlite3_stmt  *st;

    db_lock(db);

    st = db_query(db, "PRAGMA integrity_check(1)", "");
    if (st != NULL && db_step(db, st) == SQLITE_ROW) {
        rc = vmops_span_is(db_text(st, 0), "ok") ? 0 : DB_DAMAGED;
    }

    sqlite3_finalize(st);
    db_unlock(db);

    return db->damaged ? DB_DAMAGED : rc;
}


int
db_damaged(const db_t *db)
{
    return db->damaged;
}


int
db_set_aside(const home_t *home)
{
    int   i, n, rc;
    char  from[PLAT_PATH_MAX], wal[PLAT_PATH_MAX], shm[PLAT_PATH_MAX];
    char  to[PLAT_PATH_MAX], to_wal[PLAT_PATH_MAX + 8];

    if (home_path(from, home->state, DB_FILE) != 0
        || home_path(wal, home->state, DB_FILE "-wal") != 0
        || home_path(shm, home->state, DB_FILE "-shm") != 0)
    {
        return -1;
    }

    for (i = 0; i < DB_ASIDE_MAX; i++) {
        n = i > 0 ? snprintf(to, sizeof(to), "%s.damaged.%d", from, i)
                  : snprintf(to, sizeof(to), "%s.damaged", from);
        if (n < 0 || (size_t) n >= sizeof(to)) {
            return -1;
        }

        if (plat_file_stamp(to) != 0) {
            continue;
        }

        /* a log that was left would be taken for the next file's */
        snprintf(to_wal, sizeof(to_wal), "%s-wal", to);
        rc = plat_rename_new(wal, to_wal);
        if (rc != 0 && rc != PLAT_ENOENT) {
            return -1;
        }

        plat_remove(shm);
        rc = plat_rename_new(from, to);

        return rc == 0 || rc == PLAT_ENOENT ? 0 : -1;
    }

    return -1;
}


void
db_lock(db_t *db)
{
    plat_mutex_lock(db->mutex);
}


void
db_unlock(db_t *db)
{
    plat_mutex_unlock(db->mutex);
}


int
db_begin(db_t *db)
{
    return exec(db, "BEGIN IMMEDIATE");
}


int
db_commit(db_t *db)
{
    return exec(db, "COMMIT");
}


void
db_rollback(db_t *db)
{
    exec(db, "ROLLBACK");
}


static int
bind(sqlite3_stmt *st, const char *types, va_list args)
{
    int                  i, rc = SQLITE_OK;
    char                 text[VMOPS_UUID_TEXT + 1];
    vmops_span_t         s;
    const vmops_uuid_t  *u;

    for (i = 1; rc == SQLITE_OK && types[i - 1] != '\0'; i++) {

        switch (types[i - 1]) {

        case 't':
            rc = sqlite3_bind_text(st, i, va_arg(args, const char *), -1,
                                   SQLITE_STATIC);
            break;

        case 's':
            s = va_arg(args, vmops_span_t);
            rc = sqlite3_bind_text(st, i, (const char *) s.p, (int) s.n,
                                   SQLITE_STATIC);
            break;

        case 'b':
            s = va_arg(args, vmops_span_t);
            rc = sqlite3_bind_blob(st, i, s.p, (int) s.n, SQLITE_STATIC);
            break;

        case 'i':
            rc = sqlite3_bind_int64(st, i, va_arg(args, int64_t));
            break;

        case 'u':
            u = va_arg(args, const vmops_uuid_t *);
            vmops_uuid_format(text, u);
            rc = sqlite3_bind_text(st, i, text, -1, SQLITE_TRANSIENT);
            break;

        default:
            rc = SQLITE_MISUSE;
        }
    }

    return rc == SQLITE_OK ? 0 : -1;
}


static sqlite3_stmt *
prepare(db_t *db, const char *sql, const char *types, va_list args)
{
    int            rc;
    sqlite3_stmt  *st;

    rc = sqlite3_prepare_v2(db->sq, sql, -1, &st, NULL);
    if (rc != SQLITE_OK) {
        failed(db, rc);
        return NULL;
    }

    if (bind(st, types, args) != 0) {
        sqlite3_finalize(st);
        return NULL;
    }

    return st;
}


sqlite3_stmt *
db_query(db_t *db, const char *sql, const char *types, ...)
{
    va_list        args;
    sqlite3_stmt  *st;

    va_start(args, types);
    st = prepare(db, sql, types, args);
    va_end(args);

    return st;
}


int
db_run(db_t *db, const char *sql, const char *types, ...)
{
    int            rc;
    va_list        args;
    sqlite3_stmt  *st;

    va_start(args, types);
    st = prepare(db, sql, types, args);
    va_end(args);

    if (st == NULL) {
        return -1;
    }

    do {
        rc = db_step(db, st);
    } while (rc == SQLITE_ROW);

    sqlite3_finalize(st);

    return rc == SQLITE_DONE ? 0 : -1;
}


int
db_changes(db_t *db)
{
    return sqlite3_changes(db->sq);
}


int
db_step(db_t *db, sqlite3_stmt *st)
{
    int  rc = sqlite3_step(st);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        failed(db, rc);
    }

    return rc;
}


vmops_span_t
db_text(sqlite3_stmt *st, int column)
{
    const void  *p = sqlite3_column_text(st, column);

    return vmops_span(p, (size_t) sqlite3_column_bytes(st, column));
}


vmops_span_t
db_blob(sqlite3_stmt *st, int column)
{
    const void  *p = sqlite3_column_blob(st, column);

    return vmops_span(p, (size_t) sqlite3_column_bytes(st, column));
}


int
db_meta_int(db_t *db, const char *name, int64_t *value)
{
    int            step = SQLITE_ERROR;
    sqlite3_stmt  *st;

    *value = 0;
    db_lock(db);

    st = db_query(db, "SELECT value FROM meta WHERE name = ?", "t", name);
    if (st != NULL) {
        step = db_step(db, st);
    }
    if (step == SQLITE_ROW) {
        *value = sqlite3_column_int64(st, 0);
    }

    sqlite3_finalize(st);
    db_unlock(db);

    return step == SQLITE_ROW || step == SQLITE_DONE ? 0 : -1;
}


int
db_meta_set_int(db_t *db, const char *name, int64_t value)
{
    int  rc;

    db_lock(db);
    rc = db_run(db, "INSERT OR REPLACE INTO meta VALUES (?, ?)", "ti", name,
                value);
    db_unlock(db);

    return rc;
}


int
db_meta_text(db_t *db, const char *name, char *text, size_t size)
{
    int            rc = -1;
    sqlite3_stmt  *st;

    text[0] = '\0';
    db_lock(db);

    st = db_query(db, "SELECT value FROM meta WHERE name = ?", "t", name);
    if (st != NULL && db_step(db, st) == SQLITE_ROW) {
        rc = text_copy(text, size, db_text(st, 0));
    }

    sqlite3_finalize(st);
    db_unlock(db);

    return rc;
}


int
db_meta_set_text(db_t *db, const char *name, const char *text)
{
    int  rc;

    db_lock(db);
    rc = db_run(db, "INSERT OR REPLACE INTO meta VALUES (?, ?)", "tt", name,
                text);
    db_unlock(db);

    return rc;
}
