
/*
 * The keys of the vault: keystore.bin.  A state-MAC key, for what the agent
 * keeps about its secrets, and the vault keys (VK), the last one current.
 */

#ifndef VMOPS_KEYSTORE_H
#define VMOPS_KEYSTORE_H


#include "sealed_file.h"


#define KEYSTORE_KEYS_MAX  16

typedef struct {
    uint8_t       vk[32];
    uint8_t       kid[32];
    char          key_id[VMOPS_KEY_ID_TEXT + 1];
} vault_key_t;

typedef struct {
    sealed_rc_t   state;            /* SEALED_OK: the rest is valid */
    uint64_t      stamp;            /* of the file when it was read */
    uint8_t       mac_key[32];
    size_t        keys_n;
    vault_key_t   keys[KEYSTORE_KEYS_MAX];
} keystore_t;

/* In memory for secrets; NULL: none. */
keystore_t *keystore_new(void);
void keystore_free(keystore_t *ks);

/* Reads the file; ks->state says how that went. */
void keystore_load(keystore_t *ks, const home_t *home);

/* Reads it again if it is another one by now: 1 if it was. */
int keystore_refresh(keystore_t *ks, const home_t *home);

/*
 * A new state-MAC key and a first VK, where there is no readable keystore.
 * 0, or -1: an older file is never written over.
 */
int keystore_create(keystore_t *ks, const home_t *home);

int keystore_remove(const home_t *home);

/* The key new envelopes are sealed with; NULL if there is none. */
const vault_key_t *keystore_current(const keystore_t *ks);

/* By key id; NULL if this keystore does not have it. */
const vault_key_t *keystore_find(const keystore_t *ks, vmops_span_t key_id);


#endif /* VMOPS_KEYSTORE_H */
