
/* The database: opening, schema, and short forms of SQLite's calls. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "log.h"
#include "vmops_banned.h"


#define DB_BUSY_MS  10000

struct db_s {
    sqlite3       *sq;
    plat_mutex_t  *mutex;
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
};

#define SCHEMA_STEPS  ((int) (sizeof(schema) / sizeof(schema[0])))


static int
exec(db_t *db, const char *sql)
{
    return sqlite3_exec(db->sq, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}


/* -1 on failure */

static int
version_read(db_t *db)
{
    int            version;
    sqlite3_stmt  *st;

    st = db_query(db, "PRAGMA user_version", "");
    version = st != NULL && sqlite3_step(st) == SQLITE_ROW
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


db_t *
db_open(const home_t *home)
{
    char   path[PLAT_PATH_MAX];
    db_t  *db;

    db = mem_new(sizeof(*db));
    if (db == NULL) {
        return NULL;
    }

    db->mutex = plat_mutex_new();

    if (db->mutex == NULL
        || home_path(path, home->state, "state.db") != 0
        || sqlite3_open_v2(path, &db->sq,
                           SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                           | SQLITE_OPEN_FULLMUTEX, NULL) != SQLITE_OK
        || sqlite3_busy_timeout(db->sq, DB_BUSY_MS) != SQLITE_OK
        || exec(db, "PRAGMA journal_mode = WAL") != 0
        || exec(db, "PRAGMA synchronous = FULL") != 0
        || exec(db, "PRAGMA trusted_schema = OFF") != 0
        || upgrade(db) != 0)
    {
        db_close(db);
        return NULL;
    }

    return db;
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
    sqlite3_stmt  *st;

    if (sqlite3_prepare_v2(db->sq, sql, -1, &st, NULL) != SQLITE_OK) {
        log_event(LOG_ERROR, "db_error",
                  LOG_NUM("code", sqlite3_extended_errcode(db->sq)));
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
        rc = sqlite3_step(st);
    } while (rc == SQLITE_ROW);

    sqlite3_finalize(st);

    if (rc != SQLITE_DONE) {
        log_event(LOG_ERROR, "db_error",
                  LOG_NUM("code", sqlite3_extended_errcode(db->sq)));
        return -1;
    }

    return 0;
}


int
db_changes(db_t *db)
{
    return sqlite3_changes(db->sq);
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


int64_t
db_meta_int(db_t *db, const char *name, int64_t absent)
{
    int64_t        value = absent;
    sqlite3_stmt  *st;

    db_lock(db);

    st = db_query(db, "SELECT value FROM meta WHERE name = ?", "t", name);
    if (st != NULL && sqlite3_step(st) == SQLITE_ROW) {
        value = sqlite3_column_int64(st, 0);
    }

    sqlite3_finalize(st);
    db_unlock(db);

    return value;
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
    if (st != NULL && sqlite3_step(st) == SQLITE_ROW) {
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
