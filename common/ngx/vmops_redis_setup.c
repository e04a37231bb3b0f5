
/*
 * What a new connection says first, in one piece: AUTH, CLIENT SETNAME, and
 * the question whether the server serves and has our functions.
 */


#include "vmops_redis_int.h"


static ngx_int_t vmops_redis_setup_auth(vmops_redis_conn_t *conn);
static ngx_int_t vmops_redis_setup_name(vmops_redis_conn_t *conn);
static ngx_int_t vmops_redis_setup_check(vmops_redis_conn_t *conn);
static void vmops_redis_auth_done(void *data, redisReply *reply);
static void vmops_redis_ping_done(void *data, redisReply *reply);
static void vmops_redis_library_done(void *data, redisReply *reply);
static ngx_uint_t vmops_redis_library_fits(ngx_str_t *need, ngx_str_t *has);
static void vmops_redis_setup_done(vmops_redis_conn_t *conn);


void
vmops_redis_setup(vmops_redis_conn_t *conn)
{
    if (vmops_redis_setup_auth(conn) != NGX_OK
        || vmops_redis_setup_name(conn) != NGX_OK
        || vmops_redis_setup_check(conn) != NGX_OK)
    {
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_MEMORY, NULL);
    }
}


static ngx_int_t
vmops_redis_setup_auth(vmops_redis_conn_t *conn)
{
    int                  argc;
    ngx_str_t            argv[3];
    vmops_redis_conf_t  *conf;

    conf = conn->client->conf;

    if (conf->password.len == 0) {
        return NGX_OK;
    }

    argc = 0;
    ngx_str_set(&argv[argc], "AUTH");
    argc++;

    if (conf->user.len) {
        argv[argc++] = conf->user;
    }

    argv[argc++] = conf->password;

    return vmops_redis_call(conn, 0, vmops_redis_auth_done, conn, argc, argv)
           ? NGX_OK : NGX_ERROR;
}


/* for people with CLIENT LIST: a user who may not set it does without */

static ngx_int_t
vmops_redis_setup_name(vmops_redis_conn_t *conn)
{
    u_char     *p;
    u_char      buf[NGX_MAX_CONF_ERRSTR];
    ngx_str_t   argv[3];

    if (conn->client->conf->client_name.len == 0) {
        return NGX_OK;
    }

    p = ngx_snprintf(buf, sizeof(buf), "%V.%P.%s",
                     &conn->client->conf->client_name, ngx_pid, conn->role);

    ngx_str_set(&argv[0], "CLIENT");
    ngx_str_set(&argv[1], "SETNAME");
    argv[2].data = buf;
    argv[2].len = p - buf;

    return vmops_redis_call(conn, 0, NULL, NULL, 3, argv) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
vmops_redis_setup_check(vmops_redis_conn_t *conn)
{
    ngx_str_t  argv[4];

    if (!conn->commands || conn->client->conf->library.len == 0) {
        ngx_str_set(&argv[0], "PING");

        return vmops_redis_call(conn, 0, vmops_redis_ping_done, conn, 1, argv)
               ? NGX_OK : NGX_ERROR;
    }

    ngx_str_set(&argv[0], "FCALL_RO");
    ngx_str_set(&argv[1], "vmops_version");
    ngx_str_set(&argv[2], "1");
    ngx_str_set(&argv[3], "platform/{p}");

    return vmops_redis_call(conn, 0, vmops_redis_library_done, conn, 4, argv)
           ? NGX_OK : NGX_ERROR;
}


/* reply is NULL when the connection is lost already: nothing left to do */

static void
vmops_redis_auth_done(void *data, redisReply *reply)
{
    ngx_str_t  code;

    if (reply && reply->type == REDIS_REPLY_ERROR) {
        code = vmops_redis_code(reply);
        vmops_redis_lost(data, VMOPS_REDIS_LOST_AUTH, &code);
    }
}


static void
vmops_redis_ping_done(void *data, redisReply *reply)
{
    ngx_str_t            code;
    vmops_redis_lost_e   why;

    if (reply == NULL) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        why = vmops_redis_is(reply, "NOAUTH") ? VMOPS_REDIS_LOST_AUTH
                                              : VMOPS_REDIS_LOST_SERVING;
        code = vmops_redis_code(reply);
        vmops_redis_lost(data, why, &code);
        return;
    }

    vmops_redis_setup_done(data);
}


static void
vmops_redis_library_done(void *data, redisReply *reply)
{
    ngx_str_t            has;
    redisReply          *version;
    vmops_redis_lost_e   why;
    vmops_redis_conn_t  *conn;

    conn = data;

    if (reply == NULL) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        why = VMOPS_REDIS_LOST_LIBRARY;

        if (vmops_redis_is(reply, "NOAUTH")) {
            why = VMOPS_REDIS_LOST_AUTH;

        } else if (vmops_redis_is(reply, "NOPERM")) {
            why = VMOPS_REDIS_LOST_RIGHTS;

        } else if (!vmops_redis_is(reply, "ERR")
                   && vmops_redis_redirect(reply, NULL)
                      == VMOPS_REDIS_UNAVAILABLE)
        {
            why = VMOPS_REDIS_LOST_SERVING;
        }

        has = vmops_redis_code(reply);
        vmops_redis_lost(conn, why, &has);
        return;
    }

    /* "OK", version */

    ngx_str_set(&has, "unknown version");

    if (reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2) {
        version = reply->element[1];

        /* it is logged: whoever wrote it wrote a number */

        if (version->type == REDIS_REPLY_STRING
            && version->len == strspn(version->str, "0123456789."))
        {
            has.data = (u_char *) version->str;
            has.len = version->len;
        }
    }

    if (!vmops_redis_library_fits(&conn->client->conf->library, &has)) {
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_LIBRARY, &has);
        return;
    }

    vmops_redis_setup_done(conn);
}


/* the same major version, and at least the minor one: "1.10" serves "1.9" */

static ngx_uint_t
vmops_redis_library_fits(ngx_str_t *need, ngx_str_t *has)
{
    size_t      major;
    u_char     *dot;
    ngx_int_t   n, m;

    dot = ngx_strlchr(need->data, need->data + need->len, '.');
    if (dot == NULL) {
        return 0;
    }

    major = dot + 1 - need->data;

    if (has->len <= major || ngx_memcmp(has->data, need->data, major) != 0) {
        return 0;
    }

    n = ngx_atoi(need->data + major, need->len - major);
    m = ngx_atoi(has->data + major, has->len - major);

    return n != NGX_ERROR && m != NGX_ERROR && m >= n;
}


static void
vmops_redis_setup_done(vmops_redis_conn_t *conn)
{
    conn->told = 0;
    conn->backoff = 0;
    conn->net_log.log_level = conn->log.log_level;
    conn->starting = 0;
    conn->ready = 1;

    vmops_redis_again(conn);

    ngx_log_error(NGX_LOG_NOTICE, &conn->log, 0, "redis: ready");

    if (conn->up) {
        conn->up(conn);
    }
}
