
/*
 * Rows of the table "secrets".
 *
 *     floors    3 times (u64 version || hash (32) || kid (32)):
 *               previous, current, next
 *     endpoint  its JSON: no secret, and needed when the keystore is lost
 *     mac       keyed BLAKE2b-256 over the whole row
 */

#include <sodium.h>
#include <string.h>

#include "vault_store.h"
#include "vmops_keys.h"
#include "vmops_banned.h"


#define FLOOR     72
#define FLOORS    (3 * FLOOR)

typedef struct {
    const char          *tenant;
    const vault_entry_t *e;
    const char          *via;       /* text, or "" */
    vmops_span_t         endpoint;
    vmops_span_t         floors;
} row_t;


static void
row_mac(uint8_t mac[32], const uint8_t key[32], const row_t *r)
{
    size_t                    i;
    uint8_t                   head[4];
    crypto_generichash_state  st;

    vmops_span_t  parts[] = {
        VMOPS_SPAN("vmops/vault-row/v1"),
        vmops_span(r->e->id.b, sizeof(r->e->id.b)),
        vmops_span_str(r->tenant),
        vmops_span_str(vmops_kind_name(r->e->kind)),
        vmops_span_str(r->e->label),
        vmops_span_str(r->via),
        r->endpoint,
        r->floors,
    };

    crypto_generichash_init(&st, key, 32, 32);

    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        vmops_put_u32(head, (uint32_t) parts[i].n);
        crypto_generichash_update(&st, head, sizeof(head));
        if (parts[i].n > 0) {
            crypto_generichash_update(&st, parts[i].p, parts[i].n);
        }
    }

    crypto_generichash_final(&st, mac, 32);
}


static void
floor_get(floor_t *f, const uint8_t *p)
{
    f->version = vmops_get_u64(p);
    memcpy(f->hash, p + 8, 32);
    memcpy(f->kid, p + 40, 32);
}


static void
floor_put(vmops_buf_t *b, const floor_t *f)
{
    vmops_buf_u64(b, f->version);
    vmops_buf_put(b, f->hash, 32);
    vmops_buf_put(b, f->kid, 32);
}


/* Columns: kind, label, via, endpoint, floors, mac, rotate_asked. */

static int
entry_read(vault_entry_t *e, sqlite3_stmt *st, const char *tenant,
    const uint8_t *mac_key)
{
    row_t         row;
    char          via[VMOPS_UUID_TEXT + 1];
    uint8_t       mac[32];
    vmops_span_t  stored;

    row = (row_t) { tenant, e, via, db_text(st, 3), db_blob(st, 4) };
    stored = db_blob(st, 5);

    e->kind = (unsigned) sqlite3_column_int(st, 0);
    e->rotate_asked = sqlite3_column_int(st, 6) != 0;

    if (vmops_kind_name(e->kind) == NULL || row.floors.n != FLOORS
        || text_copy(e->label, sizeof(e->label), db_text(st, 1)) != 0
        || text_copy(via, sizeof(via), db_text(st, 2)) != 0
        || endpoint_parse(&e->endpoint, row.endpoint) != 0)
    {
        return -1;
    }

    if (via[0] != '\0') {
        e->has_via = 1;
        if (vmops_uuid_parse(&e->via, vmops_span_str(via)) != 0) {
            return -1;
        }
    }

    floor_get(&e->previous, row.floors.p);
    floor_get(&e->current, row.floors.p + FLOOR);
    floor_get(&e->next, row.floors.p + 2 * FLOOR);

    if (mac_key != NULL) {
        row_mac(mac, mac_key, &row);
        e->readable = stored.n == sizeof(mac)
                      && vmops_ct_eq(stored.p, mac, sizeof(mac));
    }

    return 0;
}


int
vault_row_read(db_t *db, const char *tenant, const uint8_t *mac_key,
    const vmops_uuid_t *id, vault_entry_t *e)
{
    int            rc = -1;
    vmops_uuid_t   wanted = *id;        /* may be e's own */
    sqlite3_stmt  *st;

    memset(e, 0, sizeof(*e));
    e->id = wanted;

    db_lock(db);

    st = db_query(db, "SELECT kind, label, via, endpoint, floors, mac,"
                  " rotate_asked FROM secrets WHERE id = ? AND tenant = ?",
                  "ut", &wanted, tenant);
    if (st != NULL && db_step(db, st) == SQLITE_ROW) {
        rc = entry_read(e, st, tenant, mac_key);
    }

    sqlite3_finalize(st);
    db_unlock(db);

    return rc;
}


int
vault_row_write(db_t *db, const char *tenant, const uint8_t mac_key[32],
    const vault_entry_t *e)
{
    int          rc;
    char         via[VMOPS_UUID_TEXT + 1] = "";
    row_t        row;
    uint8_t      mac[32], floors[FLOORS], json[ENDPOINT_JSON_MAX];
    vmops_jw_t   w;
    vmops_buf_t  b;

    if (e->has_via) {
        vmops_uuid_format(via, &e->via);
    }

    row = (row_t) { tenant, e, via, { NULL, 0 },
                    vmops_span(floors, sizeof(floors)) };

    vmops_jw_init(&w, json, sizeof(json));
    if (endpoint_write(&w, &e->endpoint) != 0
        || vmops_jw_done(&w, &row.endpoint) != 0)
    {
        return -1;
    }

    vmops_buf_init(&b, floors, sizeof(floors));
    floor_put(&b, &e->previous);
    floor_put(&b, &e->current);
    floor_put(&b, &e->next);

    row_mac(mac, mac_key, &row);

    db_lock(db);
    rc = db_run(db, "INSERT OR REPLACE INTO secrets (id, tenant, kind, label,"
                " via, endpoint, floors, mac, rotate_asked)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", "utittsbbi", &e->id,
                tenant, (int64_t) e->kind, e->label, via, row.endpoint,
                row.floors, vmops_span(mac, sizeof(mac)),
                (int64_t) e->rotate_asked);
    db_unlock(db);

    return rc;
}


int
vault_row_next(db_t *db, const char *tenant, const vmops_uuid_t *after,
    vmops_uuid_t *id)
{
    int            rc = -1, step;
    char           text[VMOPS_UUID_TEXT + 1] = "";
    sqlite3_stmt  *st;

    if (after != NULL) {
        vmops_uuid_format(text, after);
    }

    db_lock(db);

    st = db_query(db, "SELECT id FROM secrets WHERE tenant = ? AND id > ?"
                  " ORDER BY id LIMIT 1", "tt", tenant, text);
    if (st != NULL) {
        step = db_step(db, st);
        rc = step == SQLITE_ROW ? vmops_uuid_parse(id, db_text(st, 0))
             : step == SQLITE_DONE ? 1 : -1;
    }

    sqlite3_finalize(st);
    db_unlock(db);

    return rc;
}
