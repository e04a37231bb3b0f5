
/* The directive that names a Redis server. */


#include "vmops_redis_int.h"


#define VMOPS_REDIS_PORT  6379


typedef struct {
    ngx_flag_t               tls;
    ngx_str_t                user;
    ngx_str_t                password_file;
    ngx_str_t                ca_file;
    ngx_str_t                name;
} vmops_redis_args_t;


typedef struct {
    ngx_str_t                prefix;
    size_t                   offset;
} vmops_redis_option_t;


static char *vmops_redis_conf_args(ngx_conf_t *cf, vmops_redis_args_t *args);
static char *vmops_redis_conf_address(ngx_conf_t *cf, vmops_redis_conf_t *rc,
    vmops_redis_args_t *args);
static char *vmops_redis_conf_password(ngx_conf_t *cf, vmops_redis_conf_t *rc,
    ngx_str_t *file);
static ssize_t vmops_redis_conf_read(ngx_conf_t *cf, ngx_str_t *file,
    u_char *buf, size_t size);
static void vmops_redis_conf_wipe(void *data);
static char *vmops_redis_conf_tls(ngx_conf_t *cf, vmops_redis_conf_t *rc,
    ngx_str_t *ca_file);


static vmops_redis_option_t  vmops_redis_options[] = {
    { ngx_string("user="), offsetof(vmops_redis_args_t, user) },
    { ngx_string("password_file="),
      offsetof(vmops_redis_args_t, password_file) },
    { ngx_string("ca_file="), offsetof(vmops_redis_args_t, ca_file) },
    { ngx_string("name="), offsetof(vmops_redis_args_t, name) },
    { ngx_null_string, 0 }
};


char *
vmops_redis_conf_parse(ngx_conf_t *cf, ngx_command_t *cmd,
    vmops_redis_conf_t *rc)
{
    char                *rv;
    vmops_redis_args_t   args;

    if (rc->url.data) {
        return "is duplicate";
    }

    ngx_memzero(&args, sizeof(vmops_redis_args_t));

    rv = vmops_redis_conf_args(cf, &args);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (!args.tls && (args.ca_file.len || args.name.len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"ca_file\" and \"name\" in \"%V\" need \"tls\"",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (args.user.len && args.password_file.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"user\" in \"%V\" needs \"password_file\"",
                           &cmd->name);
        return NGX_CONF_ERROR;
    }

    rv = vmops_redis_conf_address(cf, rc, &args);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rc->user = args.user;

    if (args.password_file.len) {
        rv = vmops_redis_conf_password(cf, rc, &args.password_file);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return args.tls ? vmops_redis_conf_tls(cf, rc, &args.ca_file)
                    : NGX_CONF_OK;
}


static char *
vmops_redis_conf_args(ngx_conf_t *cf, vmops_redis_args_t *args)
{
    ngx_str_t             *value, *field;
    ngx_uint_t             i;
    vmops_redis_option_t  *o;

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "tls") == 0) {
            args->tls = 1;
            continue;
        }

        for (o = vmops_redis_options; o->prefix.len; o++) {
            if (value[i].len > o->prefix.len
                && ngx_strncmp(value[i].data, o->prefix.data, o->prefix.len)
                   == 0)
            {
                break;
            }
        }

        if (o->prefix.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        field = (ngx_str_t *) ((char *) args + o->offset);

        if (field->len) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        field->data = value[i].data + o->prefix.len;
        field->len = value[i].len - o->prefix.len;
    }

    return NGX_CONF_OK;
}


static char *
vmops_redis_conf_address(ngx_conf_t *cf, vmops_redis_conf_t *rc,
    vmops_redis_args_t *args)
{
    ngx_url_t   u;
    ngx_str_t  *value, *name;

    value = cf->args->elts;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = value[1];
    u.default_port = VMOPS_REDIS_PORT;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in address \"%V\"",
                           u.err ? u.err : "no memory", &u.url);
        return NGX_CONF_ERROR;
    }

    rc->url = value[1];
    rc->addrs = u.addrs;
    rc->naddrs = u.naddrs;

    if (!args->tls) {
        return NGX_CONF_OK;
    }

    if (u.family == AF_UNIX) {
        return "does not speak TLS on a unix socket";
    }

    name = args->name.len ? &args->name : &u.host;

    if (name->data[0] == '[' && name->len > 2) {
        name->data++;
        name->len -= 2;
    }

    rc->server_name.len = name->len;
    rc->server_name.data = ngx_pnalloc(cf->pool, name->len + 1);
    if (rc->server_name.data == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_cpystrn(rc->server_name.data, name->data, name->len + 1);

    return NGX_CONF_OK;
}


static char *
vmops_redis_conf_password(ngx_conf_t *cf, vmops_redis_conf_t *rc,
    ngx_str_t *file)
{
    ssize_t              n;
    u_char              *buf;
    ngx_pool_cleanup_t  *cln;

    if (ngx_conf_full_name(cf->cycle, file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    buf = ngx_pcalloc(cf->pool, VMOPS_REDIS_PASSWORD_MAX + 1);
    if (buf == NULL) {
        return NGX_CONF_ERROR;
    }

    cln->handler = vmops_redis_conf_wipe;
    cln->data = buf;

    n = vmops_redis_conf_read(cf, file, buf, VMOPS_REDIS_PASSWORD_MAX + 1);
    if (n == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    if (n > VMOPS_REDIS_PASSWORD_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "password file \"%V\" is longer than %d bytes",
                           file, VMOPS_REDIS_PASSWORD_MAX);
        return NGX_CONF_ERROR;
    }

    while (n && (buf[n - 1] == LF || buf[n - 1] == CR)) {
        n--;
    }

    if (n == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "password file \"%V\" is empty", file);
        return NGX_CONF_ERROR;
    }

    rc->password.data = buf;
    rc->password.len = n;

    return NGX_CONF_OK;
}


static ssize_t
vmops_redis_conf_read(ngx_conf_t *cf, ngx_str_t *file, u_char *buf,
    size_t size)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_file_info_t  fi;

    n = NGX_ERROR;

    fd = ngx_open_file(file->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", file);
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", file);

    } else if (!ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "password file \"%V\" is not a regular file", file);

    } else if (ngx_file_access(&fi) & (S_IRWXG|S_IRWXO)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "password file \"%V\" must not be accessible by "
                           "group or others (chmod 600)", file);

    } else {
        n = ngx_read_fd(fd, buf, size);

        if (n == -1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               ngx_read_fd_n " \"%V\" failed", file);
            n = NGX_ERROR;
        }
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", file);
    }

    return n;
}


static void
vmops_redis_conf_wipe(void *data)
{
    ngx_explicit_memzero(data, VMOPS_REDIS_PASSWORD_MAX + 1);
}


static char *
vmops_redis_conf_tls(ngx_conf_t *cf, vmops_redis_conf_t *rc,
    ngx_str_t *ca_file)
{
    ngx_ssl_t           *ssl;
    ngx_pool_cleanup_t  *cln;

    ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (ssl == NULL) {
        return NGX_CONF_ERROR;
    }

    ssl->log = cf->log;

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(ssl);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    if (ca_file->len) {
        if (ngx_ssl_trusted_certificate(cf, ssl, ca_file, 4) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

    } else if (SSL_CTX_set_default_verify_paths(ssl->ctx) != 1) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "SSL_CTX_set_default_verify_paths() failed");
        return NGX_CONF_ERROR;
    }

    /* nginx's own callback would let a handshake pass, to be checked later */

    SSL_CTX_set_verify(ssl->ctx, SSL_VERIFY_PEER, NULL);

    rc->ssl = ssl;

    return NGX_CONF_OK;
}
