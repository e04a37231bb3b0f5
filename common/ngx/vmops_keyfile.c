
/* key files, read at configuration time */


#include "vmops_keyfile.h"

#include <sodium.h>


static char *vmops_keyfile_one(ngx_conf_t *cf, ngx_str_t *dir, char *name,
    u_char *key);
static void vmops_keyfile_wipe(void *data);


char *
vmops_keyfile_read(ngx_conf_t *cf, ngx_str_t *dir, const vmops_keyfile_t *list,
    void *keys)
{
    u_char              *key;
    ngx_str_t            full;
    ngx_pool_cleanup_t  *cln;

    full = *dir;

    if (ngx_conf_full_name(cf->cycle, &full, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    for ( /* void */ ; list->name; list++) {

        key = (u_char *) keys + list->offset;

        cln = ngx_pool_cleanup_add(cf->pool, 0);
        if (cln == NULL) {
            return NGX_CONF_ERROR;
        }

        cln->handler = vmops_keyfile_wipe;
        cln->data = key;

        if (vmops_keyfile_one(cf, &full, list->name, key) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
vmops_keyfile_one(ngx_conf_t *cf, ngx_str_t *dir, char *name, u_char *key)
{
    char             *rv;
    size_t            len;
    u_char            extra;
    ssize_t           n;
    ngx_fd_t          fd;
    ngx_str_t         path;
    ngx_file_info_t   fi;

    len = dir->len + 1 + ngx_strlen(name);

    path.data = ngx_pnalloc(cf->temp_pool, len + 1);
    if (path.data == NULL) {
        return NGX_CONF_ERROR;
    }

    path.len = ngx_sprintf(path.data, "%V/%s%Z", dir, name) - path.data - 1;

    fd = ngx_open_file(path.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", &path);
        return NGX_CONF_ERROR;
    }

    rv = NGX_CONF_ERROR;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", &path);
        goto done;
    }

    if (!ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "key file \"%V\" is no regular file", &path);
        goto done;
    }

    if (ngx_file_access(&fi) & 0077) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "key file \"%V\" can be reached by group or others, "
                           "its mode has to be 0600", &path);
        goto done;
    }

    n = ngx_read_fd(fd, key, VMOPS_KEYFILE_SIZE);

    if (n != VMOPS_KEYFILE_SIZE || ngx_read_fd(fd, &extra, 1) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, n == -1 ? ngx_errno : 0,
                           "key file \"%V\" has to be exactly %d bytes", &path,
                           VMOPS_KEYFILE_SIZE);
        goto done;
    }

    rv = NGX_CONF_OK;

done:

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cf->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", &path);
    }

    return rv;
}


static void
vmops_keyfile_wipe(void *data)
{
    sodium_memzero(data, VMOPS_KEYFILE_SIZE);
}
