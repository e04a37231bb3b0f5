
/* What every part of the agent shares. */

#ifndef VMOPS_AGENT_H
#define VMOPS_AGENT_H


#include <stddef.h>
#include <stdint.h>

#include "platform/platform.h"
#include "vmops_bytes.h"


#define AGENT_VERSION  "0.1.0"


/* Where the agent's files are (agent/README.md lists them). */

typedef struct {
    char  config[PLAT_PATH_MAX];
    char  state[PLAT_PATH_MAX];
} home_t;

/* The folders of this user, or both in dir (NULL: not given).  0, or -1. */
int home_open(home_t *home, const char *dir);

/*
 * Whether what a change writes can be written to both, tried: what is sent
 * before it is written must not fail for that.  0, or -1.
 */
int home_room(const home_t *home);

/* folder/name; -1 if that is too long. */
int home_path(char path[PLAT_PATH_MAX], const char *folder, const char *name);


/* config.json: what its user may set by hand; absent members have defaults. */

typedef struct {
    char     proxy[256];        /* "": HTTPS_PROXY and NO_PROXY decide */
    uint8_t  channel_binding;   /* VMOPS_CB_* */
} settings_t;

/* 0 (also without such a file), or -1 with the JSON pointer of the fault. */
int settings_load(settings_t *settings, const home_t *home,
    char fault[VMOPS_JSON_POINTER_MAX + 1]);


/* n bytes that are zero; NULL: no memory.  For what is not secret. */
void *mem_new(size_t n);

/* A NUL-terminated copy; -1 (and an empty one) if it does not fit. */
int text_copy(char *dst, size_t size, vmops_span_t text);

/*
 * libcurl and OpenSSL clear every block they free: to be called before any
 * other function of theirs.  0, or -1.
 */
int wipe_alloc_init(void);


#endif /* VMOPS_AGENT_H */
