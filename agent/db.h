
/*
 * The agent's database: state.db, SQLite in WAL mode with synchronous=FULL,
 * so that what was committed is on the disk.  One connection, one lock; the
 * CLI and the running agent may have it open at the same time.
 */

#ifndef VMOPS_DB_H
#define VMOPS_DB_H


#include <sqlite3.h>

#include "agent.h"


typedef struct db_s  db_t;

/*
 * Opens, makes or upgrades it.  0; PLAT_E: it cannot be opened now; DB_DAMAGED:
 * it is no database, or not a whole one.
 */
#define DB_DAMAGED  (-20)

int db_open(db_t **db, const home_t *home);
void db_close(db_t *db);

/* Reads all of it: 0, PLAT_E or DB_DAMAGED. */
int db_check(db_t *db);

/* Whether SQLite has found it damaged since it was opened; any thread. */
int db_damaged(const db_t *db);

/*
 * What is damaged stays, under another name: state.db.damaged, .1, ...; while
 * nobody has it open.  0, or -1.
 */
int db_set_aside(const home_t *home);

/* Several statements as one: between these only one thread uses db. */
void db_lock(db_t *db);
void db_unlock(db_t *db);

/* Under the lock.  0, or -1: then roll back. */
int db_begin(db_t *db);
int db_commit(db_t *db);
void db_rollback(db_t *db);

/*
 * Prepares sql and binds its parameters; under the lock.  types has a letter
 * for each: t a C string (NULL: null), s a vmops_span_t as text, b one as
 * blob (p NULL: null), i an int64_t, u a const vmops_uuid_t * as its text.
 * The memory must stay until sqlite3_finalize().  NULL on failure.
 */
sqlite3_stmt *db_query(db_t *db, const char *sql, const char *types, ...);

/* The same, run to its end: 0, or -1.  Under the lock. */
int db_run(db_t *db, const char *sql, const char *types, ...);

/* Rows changed by the last db_run(). */
int db_changes(db_t *db);

/* sqlite3_step(); a failure is logged.  SQLITE_ROW, SQLITE_DONE or neither. */
int db_step(db_t *db, sqlite3_stmt *st);

/* Columns of the row a statement stands on; empty for NULL. */
vmops_span_t db_text(sqlite3_stmt *st, int column);
vmops_span_t db_blob(sqlite3_stmt *st, int column);

/*
 * Small numbers and texts by name; these take the lock themselves.  0, or -1; a
 * number that is not there is 0.
 */
int db_meta_int(db_t *db, const char *name, int64_t *value);
int db_meta_set_int(db_t *db, const char *name, int64_t value);
int db_meta_text(db_t *db, const char *name, char *text, size_t size);
int db_meta_set_text(db_t *db, const char *name, const char *text);


#endif /* VMOPS_DB_H */
