
/* The vault's rows in the database; for vault.c only. */

#ifndef VMOPS_VAULT_STORE_H
#define VMOPS_VAULT_STORE_H


#include "vault.h"


/* mac_key NULL: rows are read as not readable. */

int vault_row_read(db_t *db, const char *tenant, const uint8_t *mac_key,
    const vmops_uuid_t *id, vault_entry_t *e);
int vault_row_write(db_t *db, const char *tenant, const uint8_t mac_key[32],
    const vault_entry_t *e);

/* The first id above `after` (NULL: of all).  0, 1 at the end, or -1. */
int vault_row_next(db_t *db, const char *tenant, const vmops_uuid_t *after,
    vmops_uuid_t *id);


#endif /* VMOPS_VAULT_STORE_H */
