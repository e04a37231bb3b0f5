
/*
 * A connection to Redis: connect, TLS, loss and another try.  The handlers of
 * the connection and of its timer are the state it is in.
 */


#include "vmops_redis_int.h"


static u_char *vmops_redis_log(ngx_log_t *log, u_char *buf, size_t len);
static void vmops_redis_connect_handler(ngx_event_t *ev);
static void vmops_redis_connected(vmops_redis_conn_t *conn);
static ngx_int_t vmops_redis_tls(vmops_redis_conn_t *conn);
static ngx_int_t vmops_redis_tls_name(vmops_redis_conn_t *conn, SSL *ssl);
static void vmops_redis_tls_handler(ngx_connection_t *c);
static void vmops_redis_tls_failed(vmops_redis_conn_t *conn);
static void vmops_redis_begin(vmops_redis_conn_t *conn);
static void *vmops_redis_array(const redisReadTask *task, int elements);
static void vmops_redis_reconnect(ngx_event_t *ev);
static void vmops_redis_release(vmops_redis_conn_t *conn);


static const char  *vmops_redis_reasons[] = {
    "cannot connect",
    "not ready in time",
    "TLS handshake failed",
    "authentication failed",
    "the server does not serve",
    "the function library is missing or too old",
    "this Redis user may not call the function library",
    "this node's keys are not those of the store",
    "connection closed",
    "no answer, connection given up",
    "protocol error",
    "reply too big",
    "no memory"
};


void
vmops_redis_conn_init(vmops_redis_conn_t *conn, vmops_redis_t *r,
    const char *role)
{
    conn->client = r;
    conn->role = role;

    conn->log = *r->cycle->log;
    conn->log.handler = vmops_redis_log;
    conn->log.data = conn;
    conn->log.action = NULL;
    conn->net_log = conn->log;

    vmops_redis_timer(&conn->timer, &conn->dummy, &conn->log, conn, NULL);

    ngx_queue_init(&conn->calls);
    ngx_queue_init(&conn->again);
    conn->unsent = ngx_queue_sentinel(&conn->calls);

    ngx_rbtree_init(&conn->deadlines, &conn->sentinel,
                    ngx_rbtree_insert_timer_value);
}


/* debug logging of a timer wants a connection, Debian's nginx logs so */

void
vmops_redis_timer(ngx_event_t *ev, ngx_connection_t *dummy, ngx_log_t *log,
    void *data, ngx_event_handler_pt handler)
{
    dummy->fd = (ngx_socket_t) -1;
    dummy->data = data;

    ev->handler = handler;
    ev->log = log;
    ev->data = dummy;
    ev->cancelable = 1;
}


static u_char *
vmops_redis_log(ngx_log_t *log, u_char *buf, size_t len)
{
    vmops_redis_conn_t  *conn;

    conn = log->data;

    return ngx_snprintf(buf, len, ", redis: \"%V\", client: %V, connection: %s",
                        &conn->client->conf->url,
                        &conn->client->conf->client_name, conn->role);
}


void
vmops_redis_connect(vmops_redis_conn_t *conn)
{
    ngx_int_t            rc;
    ngx_addr_t          *addr;
    ngx_connection_t    *c;
    vmops_redis_conf_t  *conf;

    conf = conn->client->conf;
    addr = &conf->addrs[conn->addr];

    conn->addr = (conn->addr + 1) % conf->naddrs;
    conn->err = 0;

    conn->net_log.log_level = conn->told
                              ? ngx_min(conn->log.log_level, NGX_LOG_ALERT)
                              : conn->log.log_level;

    ngx_memzero(&conn->peer, sizeof(ngx_peer_connection_t));

    conn->peer.sockaddr = addr->sockaddr;
    conn->peer.socklen = addr->socklen;
    conn->peer.name = &addr->name;
    conn->peer.get = ngx_event_get_peer;
    conn->peer.log = &conn->net_log;
    conn->peer.log_error = NGX_ERROR_ERR;

    rc = ngx_event_connect_peer(&conn->peer);

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        conn->err = ngx_socket_errno;
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_CONNECT, NULL);
        return;
    }

    c = conn->peer.connection;
    c->data = conn;
    conn->connection = c;
    conn->net_log.connection = c->number;

    c->pool = ngx_create_pool(512, &conn->net_log);
    if (c->pool == NULL) {
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_MEMORY, NULL);
        return;
    }

    c->read->handler = vmops_redis_connect_handler;
    c->write->handler = vmops_redis_connect_handler;

    conn->ready_by = ngx_current_msec + VMOPS_REDIS_CONNECT_MS;
    conn->timer.handler = vmops_redis_deadlines;

    vmops_redis_arm(conn);

    if (rc == NGX_OK) {
        vmops_redis_connected(conn);
    }
}


static void
vmops_redis_connect_handler(ngx_event_t *ev)
{
    int                  err;
    socklen_t            len;
    ngx_connection_t    *c;
    vmops_redis_conn_t  *conn;

    c = ev->data;
    conn = c->data;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        (void) ngx_connection_error(c, err, "connect() failed");
        conn->err = err;
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_CONNECT, NULL);
        return;
    }

    vmops_redis_connected(conn);
}


static void
vmops_redis_connected(vmops_redis_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->connection;

    if (ngx_tcp_nodelay(c) != NGX_OK) {
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_CONNECT, NULL);
        return;
    }

    if (conn->client->conf->ssl == NULL) {
        vmops_redis_begin(conn);
        return;
    }

    if (vmops_redis_tls(conn) != NGX_OK) {
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_TLS, NULL);
    }
}


static ngx_int_t
vmops_redis_tls(vmops_redis_conn_t *conn)
{
    ngx_connection_t  *c;

    c = conn->connection;

    if (ngx_ssl_create_connection(conn->client->conf->ssl, c, NGX_SSL_CLIENT)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (vmops_redis_tls_name(conn, c->ssl->connection) != NGX_OK) {
        ngx_ssl_error(NGX_LOG_ERR, &conn->net_log, 0,
                      "setting the server's name failed");
        return NGX_ERROR;
    }

    if (ngx_ssl_handshake(c) == NGX_AGAIN) {
        c->ssl->handler = vmops_redis_tls_handler;
        return NGX_OK;
    }

    vmops_redis_tls_handler(c);

    return NGX_OK;
}


/* OpenSSL compares the certificate with the name within the handshake */

static ngx_int_t
vmops_redis_tls_name(vmops_redis_conn_t *conn, SSL *ssl)
{
    char               *name;
    X509_VERIFY_PARAM  *param;

    name = (char *) conn->client->conf->server_name.data;
    param = SSL_get0_param(ssl);

    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1) {
        return NGX_OK;
    }

    ERR_clear_error();

    X509_VERIFY_PARAM_set_hostflags(param,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);

    if (X509_VERIFY_PARAM_set1_host(param, name, 0) != 1
        || SSL_set_tlsext_host_name(ssl, name) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
vmops_redis_tls_handler(ngx_connection_t *c)
{
    vmops_redis_conn_t  *conn;

    conn = c->data;

    if (!c->ssl->handshaked
        || SSL_get_verify_result(c->ssl->connection) != X509_V_OK)
    {
        vmops_redis_tls_failed(conn);
        return;
    }

    vmops_redis_begin(conn);
}


static void
vmops_redis_tls_failed(vmops_redis_conn_t *conn)
{
    long       rc;
    ngx_str_t  detail;

    rc = SSL_get_verify_result(conn->connection->ssl->connection);

    if (rc == X509_V_OK) {
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_TLS, NULL);
        return;
    }

    detail.data = (u_char *) X509_verify_cert_error_string(rc);
    detail.len = ngx_strlen(detail.data);

    vmops_redis_lost(conn, VMOPS_REDIS_LOST_TLS, &detail);
}


static void
vmops_redis_begin(vmops_redis_conn_t *conn)
{
    conn->reader = redisReaderCreate();
    if (conn->reader == NULL) {
        vmops_redis_lost(conn, VMOPS_REDIS_LOST_MEMORY, NULL);
        return;
    }

    /* hiredis allocates as many elements as the peer announces */

    conn->array = conn->reader->fn->createArray;
    conn->objects = *conn->reader->fn;
    conn->objects.createArray = vmops_redis_array;
    conn->reader->fn = &conn->objects;
    conn->reader->privdata = conn;
    conn->partial = 0;

    conn->pos = conn->buf;
    conn->last = conn->buf;

    conn->connection->read->handler = vmops_redis_read_handler;
    conn->connection->write->handler = vmops_redis_write_handler;

    vmops_redis_setup(conn);

    if (conn->connection && conn->connection->read->ready) {
        ngx_post_event(conn->connection->read, &ngx_posted_events);
    }
}


/* the only object that is made before its bytes are here */

static void *
vmops_redis_array(const redisReadTask *task, int elements)
{
    vmops_redis_conn_t  *conn;

    conn = task->privdata;

    if (elements > VMOPS_REDIS_ELEMENTS_MAX) {
        return NULL;
    }

    return conn->array(task, elements);
}


static void
vmops_redis_reconnect(ngx_event_t *ev)
{
    ngx_connection_t  *dummy;

    dummy = ev->data;

    vmops_redis_connect(dummy->data);
}


/*
 * The one way out of every state: whatever waited is told, and another try is
 * due after the backoff.
 */

void
vmops_redis_lost(vmops_redis_conn_t *conn, vmops_redis_lost_e why,
    ngx_str_t *detail)
{
    ngx_uint_t        ready;
    ngx_msec_t        delay;
    static ngx_str_t  empty = ngx_null_string;

    ready = conn->ready;

    if (!(conn->told & ((ngx_uint_t) 1 << why))) {
        conn->told |= (ngx_uint_t) 1 << why;

        if (ready) {
            ngx_log_error(NGX_LOG_ERR, &conn->log, 0,
                          "redis: %s, %ui calls failed",
                          vmops_redis_reasons[why], conn->ncalls);

        } else {
            ngx_log_error(NGX_LOG_ERR, &conn->log, conn->err, "redis: %s%s%V",
                          vmops_redis_reasons[why],
                          detail == NULL ? ""
                          : why == VMOPS_REDIS_LOST_KEYS ? " " : ": ",
                          detail ? detail : &empty);
        }
    }

    vmops_redis_release(conn);

    if (conn->backoff == 0) {
        conn->backoff = VMOPS_REDIS_BACKOFF_MIN_MS;
    }

    delay = conn->backoff / 2 + ngx_random() % (conn->backoff / 2 + 1);

    conn->backoff = ngx_min(conn->backoff * 2, VMOPS_REDIS_BACKOFF_MAX_MS);

    conn->timer.handler = vmops_redis_reconnect;
    conn->timer.cancelable = 1;
    ngx_add_timer(&conn->timer, delay);

    if (ready && conn->down) {
        conn->down(conn);
    }

    vmops_redis_fail_all(conn);
}


void
vmops_redis_conn_close(vmops_redis_conn_t *conn)
{
    vmops_redis_release(conn);
    vmops_redis_fail_all(conn);
}


static void
vmops_redis_release(vmops_redis_conn_t *conn)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    conn->starting = 0;
    conn->ready = 0;

    if (conn->timer.timer_set) {
        ngx_del_timer(&conn->timer);
    }

    if (conn->reader) {
        redisReaderFree(conn->reader);
        conn->reader = NULL;
    }

    c = conn->connection;
    if (c == NULL) {
        return;
    }

    conn->connection = NULL;

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }

    pool = c->pool;

    ngx_close_connection(c);

    if (pool) {
        ngx_destroy_pool(pool);
    }
}
