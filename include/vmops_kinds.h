/*
 * The small vocabularies everything shares: services, secret kinds, their
 * families, action classes and scopes.
 */

#ifndef VMOPS_KINDS_H
#define VMOPS_KINDS_H

#include "vmops_bytes.h"

#pragma GCC visibility push(hidden)

/* X(NAME, "name"): the order is the value, from 0 */

#define VMOPS_SERVICES(X)                                                     \
    X(PROXMOX,   "proxmox")                                                   \
    X(SSH,       "ssh")                                                       \
    X(SYNCTHING, "syncthing")

/* X(number, NAME, "name", family) */

#define VMOPS_SECRET_KINDS(X)                                                 \
    X(1, PROXMOX_PASSWORD,   "proxmox_password",   VMOPS_FAMILY_PROXMOX)      \
    X(2, PROXMOX_TOKEN,      "proxmox_token",      VMOPS_FAMILY_PROXMOX)      \
    X(3, SSH_PASSWORD,       "ssh_password",       VMOPS_FAMILY_SSH)          \
    X(4, SSH_KEY,            "ssh_key",            VMOPS_FAMILY_SSH)          \
    X(5, SYNCTHING_API_KEY,  "syncthing_api_key",  VMOPS_FAMILY_SYNCTHING)    \
    X(6, SYNCTHING_PASSWORD, "syncthing_password", VMOPS_FAMILY_SYNCTHING)    \
    X(7, OPAQUE,             "opaque",             VMOPS_FAMILY_NONE)

/* X(NAME, "name", bit of TLV 0x0020) */

#define VMOPS_CLASSES(X)                                                      \
    X(READ,      "read",      1)                                              \
    X(POWER,     "power",     2)                                              \
    X(SNAPSHOT,  "snapshot",  4)                                              \
    X(CREATE,    "create",    8)                                              \
    X(CONFIGURE, "configure", 16)                                             \
    X(DELETE,    "delete",    32)                                             \
    X(MIGRATE,   "migrate",   64)                                             \
    X(EXEC,      "exec",      128)                                            \
    X(ROLLBACK,  "rollback",  256)                                            \
    X(RESTORE,   "restore",   512)                                            \
    X(SYNCTHING, "syncthing", 1024)

#define VMOPS_CLASSES_ALL  2047

typedef enum {
#define VMOPS_X(id, name)  VMOPS_SERVICE_##id,
    VMOPS_SERVICES(VMOPS_X)
#undef VMOPS_X
    VMOPS_SERVICE_MAX_
} vmops_service_t;

/* A service's secrets are of the family of the same name. */

typedef enum {
    VMOPS_FAMILY_PROXMOX = VMOPS_SERVICE_PROXMOX,
    VMOPS_FAMILY_SSH = VMOPS_SERVICE_SSH,
    VMOPS_FAMILY_SYNCTHING = VMOPS_SERVICE_SYNCTHING,
    VMOPS_FAMILY_NONE
} vmops_family_t;

typedef enum {
#define VMOPS_X(number, id, name, family)  VMOPS_KIND_##id = number,
    VMOPS_SECRET_KINDS(VMOPS_X)
#undef VMOPS_X
    VMOPS_KIND_MAX_
} vmops_kind_t;

typedef enum {
#define VMOPS_X(id, name, bit)  VMOPS_CLASS_##id = bit,
    VMOPS_CLASSES(VMOPS_X)
#undef VMOPS_X
} vmops_class_t;

typedef enum {
    VMOPS_SCOPE_VM = 0,         /* target is vm_uuid */
    VMOPS_SCOPE_ENDPOINT,       /* target is a secret_ref of the family */
    VMOPS_SCOPE_TASK            /* target is a command_id of the tenant */
} vmops_scope_t;

typedef enum {
    VMOPS_GUEST_QEMU = 0,
    VMOPS_GUEST_LXC,
    VMOPS_GUEST_MAX_
} vmops_guest_t;

/* Names for numbers; NULL for a number out of range. */

const char *vmops_service_name(unsigned service);
const char *vmops_family_name(unsigned family);
const char *vmops_kind_name(unsigned kind);
const char *vmops_class_name(unsigned class_bit);
const char *vmops_scope_name(unsigned scope);
const char *vmops_guest_name(unsigned guest);

/* Numbers for names; -1 for an unknown name. */

int vmops_service_find(vmops_span_t name);
int vmops_kind_find(vmops_span_t name);
int vmops_class_find(vmops_span_t name);
int vmops_guest_find(vmops_span_t name);

/* The family of a kind; VMOPS_FAMILY_NONE for opaque and unknown ones. */
vmops_family_t vmops_kind_family(unsigned kind);

#pragma GCC visibility pop

#endif /* VMOPS_KINDS_H */
