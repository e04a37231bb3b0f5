
/*
 * What a new connection says first, in one piece: AUTH, CLIENT SETNAME, and
 * the question whether the server serves and has our functions.  Then it asks
 * whether the data are those of this node's keys.
 */


#include "vmops_redis_int.h"


static ngx_int_t vmops_redis_setup_auth(vmops_redis_conn_t *conn);
static ngx_int_t vmops_redis_setup_name(vmops_redis_conn_t *conn);
static ngx_int_t vmops_redis_setup_check(vmops_redis_conn_t *conn);
static void vmops_redis_auth_done(void *data, redisReply *reply);
static void vmops_redis_ping_done(void *data, redisReply *reply);
static void vmops_redis_library_done(void *data, redisReply *reply);
static void vmops_redis_unfit(vmops_redis_conn_t *conn, redisReply *reply);
static void vmops_redis_setup_keys(vmops_redis_conn_t *conn);
static void vmops_redis_keys_done(void *data, redisReply *reply);
static void vmops_redis_keys_differ(vmops_redis_conn_t *conn,
    redisReply *reply);
static ngx_str_t vmops_redis_word(redisReply *reply, size_t i,
    const char *letters);
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
    vmops_redis_conn_t  *conn;

    conn = data;

    if (reply == NULL) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        vmops_redis_unfit(conn, reply);
        return;
    }

    /* "OK", version */

    has = vmops_redis_word(reply, 1, "0123456789.");

    if (!vmops_redis_library_fits(&conn->client->conf->library, &has)) {

        if (has.len == 0) {
            ngx_str_set(&has, "unknown version");
        }

        vmops_redis_lost(conn, VMOPS_REDIS_LOST_LIBRARY, &has);
        return;
    }

    vmops_redis_setup_keys(conn);
}


/* an error in place of a function's answer */

static void
vmops_redis_unfit(vmops_redis_conn_t *conn, redisReply *reply)
{
    ngx_str_t           code;
    vmops_redis_lost_e  why;

    why = VMOPS_REDIS_LOST_LIBRARY;

    if (vmops_redis_is(reply, "NOAUTH")) {
        why = VMOPS_REDIS_LOST_AUTH;

    } else if (vmops_redis_is(reply, "NOPERM")) {
        why = VMOPS_REDIS_LOST_RIGHTS;

    } else if (!vmops_redis_is(reply, "ERR")
               && vmops_redis_redirect(reply, NULL) == VMOPS_REDIS_UNAVAILABLE)
    {
        why = VMOPS_REDIS_LOST_SERVING;
    }

    code = vmops_redis_code(reply);
    vmops_redis_lost(conn, why, &code);
}


static void
vmops_redis_setup_keys(vmops_redis_conn_t *conn)
{
    ngx_str_t            argv[4 + VMOPS_REDIS_KEYS];
    ngx_uint_t           i;
    vmops_redis_conf_t  *conf;

    conf = conn->client->conf;

    if (conf->keys[0].len == 0) {
        vmops_redis_setup_done(conn);
        return;
    }

    ngx_str_set(&argv[0], "FCALL");
    ngx_str_set(&argv[1], "vmops_keys_match");
    ngx_str_set(&argv[2], "1");
    ngx_str_set(&argv[3], "platform/{p}");

    for (i = 0; i < VMOPS_REDIS_KEYS; i++) {
        argv[4 + i] = conf->keys[i];

        if (conf->keys[i].len == 0) {
            ngx_str_set(&argv[4 + i], "");
        }
    }

    if (vmops_redis_call(conn, 0, vmops_redis_keys_done, conn,
                         4 + VMOPS_REDIS_KEYS, argv)
        == NULL)
    {
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_MEMORY, NULL);
    }
}


/* "OK", replaced_at; or "conflict", here, there */

static void
vmops_redis_keys_done(void *data, redisReply *reply)
{
    off_t                since;
    ngx_str_t            word;
    vmops_redis_conn_t  *conn;

    conn = data;

    if (reply == NULL) {
        return;
    }

    if (reply->type == REDIS_REPLY_ERROR) {
        vmops_redis_unfit(conn, reply);
        return;
    }

    word = vmops_redis_word(reply, 0, "OK");

    if (word.len == 0) {
        vmops_redis_keys_differ(conn, reply);
        return;
    }

    word = vmops_redis_word(reply, 1, "0123456789");
    since = ngx_atoof(word.data, word.len);

    conn->client->keys_since = since == NGX_ERROR ? 0 : since;

    vmops_redis_setup_done(conn);
}


static void
vmops_redis_keys_differ(vmops_redis_conn_t *conn, redisReply *reply)
{
    u_char     *p;
    u_char      buf[NGX_MAX_CONF_ERRSTR];
    ngx_str_t   here, there, detail;

    here = vmops_redis_word(reply, 1, "0123456789abcdefmp");
    there = vmops_redis_word(reply, 2, "0123456789abcdefmp");

    p = ngx_snprintf(buf, sizeof(buf),
                     "(here %V, there %V): copy the keys of the other nodes",
                     &here, &there);

    detail.data = buf;
    detail.len = p - buf;

    vmops_redis_lost(conn, VMOPS_REDIS_LOST_KEYS, &detail);
}


/*
 * A string of the reply that has only these letters, or an empty one: what
 * somebody else may have written there is not logged.
 */

static ngx_str_t
vmops_redis_word(redisReply *reply, size_t i, const char *letters)
{
    ngx_str_t    word;
    redisReply  *e;

    ngx_str_set(&word, "");

    if (reply->type == REDIS_REPLY_ARRAY && i < reply->elements) {
        e = reply->element[i];

        if (e->type == REDIS_REPLY_STRING && e->len == strspn(e->str, letters))
        {
            word.data = (u_char *) e->str;
            word.len = e->len;
        }
    }

    return word;
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
