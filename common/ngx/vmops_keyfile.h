
/*
 * Key files of the directory that vmops_keys and agents_ws_keys name: 32 raw
 * bytes each, readable by nobody but their owner (conf/vmops_keys.c makes
 * them).
 */


#ifndef _VMOPS_KEYFILE_H_INCLUDED_
#define _VMOPS_KEYFILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#pragma GCC visibility push(hidden)


#define VMOPS_KEYFILE_SIZE  32


typedef struct {
    char    *name;                 /* "mac.key"; NULL ends a list */
    size_t   offset;               /* of the 32 bytes, in the structure */
} vmops_keyfile_t;


/*
 * At configuration time, in the master.  Reads each file of the list into its
 * place in keys, a structure in cf->pool, which is wiped together with the
 * pool.  dir is relative to nginx.conf's directory.  Returns NGX_CONF_OK, or
 * NGX_CONF_ERROR when what is wrong is logged.
 */
char *vmops_keyfile_read(ngx_conf_t *cf, ngx_str_t *dir,
    const vmops_keyfile_t *list, void *keys);


#pragma GCC visibility pop


#endif /* _VMOPS_KEYFILE_H_INCLUDED_ */
