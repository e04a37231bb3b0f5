
/* Who this agent is, and whose orders it takes: identity.bin. */

#ifndef VMOPS_IDENTITY_H
#define VMOPS_IDENTITY_H


#include "sealed_file.h"
#include "vmops_keys.h"


#define IDENTITY_URL_MAX  255

typedef struct {
    char          tenant[VMOPS_TENANT_MAX + 1];
    vmops_uuid_t  agent;
    char          name[VMOPS_NAME_MAX + 1];
    char          server[IDENTITY_URL_MAX + 1];    /* scheme://host[:port] */
    char          ca_file[PLAT_PATH_MAX];          /* "": the system's */

    uint8_t       ed_seed[32];
    uint8_t       x_sk[32];            /* X25519, for later sharing */
    uint8_t       command_pk[32];      /* pinned at pairing, or by rekey */

    /* computed */
    uint8_t       tenant16[16];
    uint8_t       ed_pk[32];
    uint8_t       ed_sk[64];
    uint8_t       x_pk[32];
    char          command_key_id[VMOPS_KEY_ID_TEXT + 1];
} identity_t;

/* In memory for secrets; NULL: none.  identity_free() clears it. */
identity_t *identity_new(void);
void identity_free(identity_t *id);

/* New keys; the rest is the caller's to fill. */
void identity_make_keys(identity_t *id);

/* Computes what is computed, once the rest is filled. */
void identity_compute(identity_t *id);

/* 1 if there is one, readable or not; nothing is opened or made. */
int identity_there(const home_t *home);

sealed_rc_t identity_load(identity_t *id, const home_t *home);

/* 0, or -1 with the old file in place. */
int identity_save(const identity_t *id, const home_t *home);

/* After unpairing.  0, or -1. */
int identity_remove(const home_t *home);

/* The six groups of digits to compare with the console's. */
void identity_fingerprint(char out[VMOPS_FINGERPRINT_TEXT + 1],
    const identity_t *id);


#endif /* VMOPS_IDENTITY_H */
