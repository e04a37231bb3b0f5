
/*
 * Seals of the audit that a server has shown to this agent (docs/audit.md): a
 * log that does not have them was changed, or cut.
 */

#ifndef VMOPS_WITNESS_H
#define VMOPS_WITNESS_H


#include "db.h"
#include "vmops_keys.h"


#define WITNESSES_MAX  1000     /* the ones shown last are kept */

/* One whose signature held; a known one changes nothing.  0, or -1. */
int witness_keep(db_t *db, const vmops_seal_t *seal);

/* The furthest one; of two that differ, the one shown first.  -1: none. */
int witness_last(db_t *db, vmops_seal_t *seal);

/* All of them by number, at most WITNESSES_MAX.  0, or -1. */
int witness_list(db_t *db, vmops_seal_t *list, size_t *n);


#endif /* VMOPS_WITNESS_H */
