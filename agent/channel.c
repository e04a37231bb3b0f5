
/* Messages out, and requests for ciphertexts. */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "log.h"
#include "redact.h"
#include "vmops_banned.h"


#define MESSAGE_MAX  8192       /* progress, log, ack, secret.get, status */
#define STEP_MS      200

typedef struct item_s  item_t;

struct item_s {
    item_t           *next;
    size_t            n;
    uint8_t          *bytes;
};

typedef struct request_s  request_t;

struct request_s {
    request_t        *next;
    char              id[24];
    char              ref[VMOPS_SECRET_REF_TEXT + 1];
    uint64_t          version;
    sealed_secret_t  *out;
    uint8_t           queued;       /* in this session */
    enum { ASKED = 0, ANSWERED, REFUSED, MALFORMED } state;
};

struct channel_s {
    plat_mutex_t     *mutex;
    plat_cond_t      *cond;
    plat_waker_t     *waker;
    item_t           *first;
    item_t          **last;
    size_t            bytes;
    request_t        *requests;
    uint64_t          counter;
    uint8_t           up;
    uint8_t           outbox;
};


channel_t *
channel_new(plat_waker_t *waker)
{
    channel_t  *ch = mem_new(sizeof(*ch));

    if (ch == NULL) {
        return NULL;
    }

    ch->waker = waker;
    ch->last = &ch->first;
    ch->mutex = plat_mutex_new();
    ch->cond = plat_cond_new();

    if (ch->mutex == NULL || ch->cond == NULL) {
        channel_free(ch);
        return NULL;
    }

    return ch;
}


/* Under the lock. */

static item_t *
pop(channel_t *ch)
{
    item_t  *item = ch->first;

    if (item != NULL) {
        ch->first = item->next;
        ch->bytes -= item->n;
        if (ch->first == NULL) {
            ch->last = &ch->first;
        }
    }

    return item;
}


static void
drop_all(channel_t *ch)
{
    item_t  *item;

    while ((item = pop(ch)) != NULL) {
        free(item->bytes);
        free(item);
    }
}


void
channel_free(channel_t *ch)
{
    if (ch != NULL) {
        drop_all(ch);
        plat_mutex_free(ch->mutex);
        plat_cond_free(ch->cond);
        free(ch);
    }
}


/* Under the lock; 0, or -1: it was dropped, as there is no room for it. */

static int
push(channel_t *ch, vmops_span_t text)
{
    item_t  *item;

    if (!ch->up || text.n > VMOPS_WS_QUEUE_BYTES - ch->bytes) {
        return -1;
    }

    item = mem_new(sizeof(*item));
    if (item == NULL) {
        return -1;
    }

    item->bytes = malloc(text.n);
    if (item->bytes == NULL) {
        free(item);
        return -1;
    }

    memcpy(item->bytes, text.p, text.n);
    item->n = text.n;
    *ch->last = item;
    ch->last = &item->next;
    ch->bytes += text.n;

    return 0;
}


int
channel_post(channel_t *ch, const vmops_msg_t *m)
{
    uint8_t       buf[MESSAGE_MAX];
    vmops_span_t  text;

    if (vmops_msg_write(buf, sizeof(buf), &text, m) != 0) {
        log_event(LOG_ERROR, "message_not_written",
                  LOG_CODE("type", vmops_msg_name(m->type)));
        return 0;
    }

    if (redact_found_json(text)) {
        log_event(LOG_ERROR, "leak_blocked",
                  LOG_CODE("type", vmops_msg_name(m->type)));
        return -1;
    }

    plat_mutex_lock(ch->mutex);
    push(ch, text);
    plat_mutex_unlock(ch->mutex);
    plat_wake(ch->waker);

    return 0;
}


void
channel_outbox(channel_t *ch)
{
    plat_mutex_lock(ch->mutex);
    ch->outbox = 1;
    plat_mutex_unlock(ch->mutex);
    plat_wake(ch->waker);
}


int
channel_outbox_due(channel_t *ch)
{
    int  due;

    plat_mutex_lock(ch->mutex);
    due = ch->outbox;
    ch->outbox = 0;
    plat_mutex_unlock(ch->mutex);

    return due;
}


uint8_t *
channel_take(channel_t *ch, size_t *n)
{
    item_t   *item;
    uint8_t  *bytes = NULL;

    plat_mutex_lock(ch->mutex);
    item = pop(ch);
    plat_mutex_unlock(ch->mutex);

    if (item != NULL) {
        bytes = item->bytes;
        *n = item->n;
        free(item);
    }

    return bytes;
}


/* Under the lock. */

static void
ask(channel_t *ch, request_t *r)
{
    uint8_t       buf[512];
    vmops_msg_t   m;
    vmops_span_t  text;

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_SECRET_GET;
    m.u.secret_get.id = vmops_span_str(r->id);
    m.u.secret_get.ref = vmops_span_str(r->ref);
    m.u.secret_get.version = r->version;

    if (vmops_msg_write(buf, sizeof(buf), &text, &m) == 0
        && push(ch, text) == 0)
    {
        r->queued = 1;
        plat_wake(ch->waker);
    }
}


void
channel_up(channel_t *ch)
{
    request_t  *r;

    plat_mutex_lock(ch->mutex);

    ch->up = 1;
    for (r = ch->requests; r != NULL; r = r->next) {
        ask(ch, r);
    }

    plat_mutex_unlock(ch->mutex);
}


void
channel_down(channel_t *ch)
{
    request_t  *r;

    plat_mutex_lock(ch->mutex);

    ch->up = 0;
    drop_all(ch);
    for (r = ch->requests; r != NULL; r = r->next) {
        r->queued = 0;
    }

    plat_mutex_unlock(ch->mutex);
}


static int
copy_bytes(uint8_t *to, size_t cap, size_t *n, vmops_span_t from)
{
    if (from.n > cap) {
        return -1;
    }

    if (from.n > 0) {
        memcpy(to, from.p, from.n);
    }
    *n = from.n;

    return 0;
}


static int
copy_answer(sealed_secret_t *to, const vmops_msg_secret_t *a)
{
    memset(to, 0, sizeof(*to));
    to->kind = a->kind;
    to->version = a->version;
    to->created_ms = a->created_ms;

    return text_copy(to->alg, sizeof(to->alg), a->alg)
           || text_copy(to->key_id, sizeof(to->key_id), a->key_id)
           || copy_bytes(to->nonce, sizeof(to->nonce), &to->nonce_n, a->nonce)
           || copy_bytes(to->ciphertext, sizeof(to->ciphertext),
                         &to->ciphertext_n, a->ciphertext)
           || copy_bytes(to->aad_meta, sizeof(to->aad_meta), &to->aad_meta_n,
                         a->aad_meta) ? -1 : 0;
}


void
channel_answer(channel_t *ch, const vmops_msg_secret_t *answer)
{
    request_t  *r;

    plat_mutex_lock(ch->mutex);

    for (r = ch->requests; r != NULL; r = r->next) {
        if (r->state != ASKED || !vmops_span_is(answer->id, r->id)) {
            continue;
        }

        r->state = answer->error.p != NULL ? REFUSED
                   : vmops_span_is(answer->ref, r->ref)
                     && answer->version == r->version
                     && copy_answer(r->out, answer) == 0 ? ANSWERED
                                                         : MALFORMED;
        plat_cond_broadcast(ch->cond);
        break;
    }

    plat_mutex_unlock(ch->mutex);
}


static void
request_remove(channel_t *ch, request_t *r)
{
    request_t  **p;

    for (p = &ch->requests; *p != r; p = &(*p)->next) { /* void */ }

    *p = r->next;
}


int
channel_secret(channel_t *ch, const vmops_uuid_t *secret, uint64_t version,
    uint64_t deadline, int (*unwanted)(void *data), void *data,
    sealed_secret_t *out, vmops_command_error_t *error)
{
    int        stop = 0;
    uint64_t   now;
    request_t  r;

    memset(&r, 0, sizeof(r));
    r.version = version;
    r.out = out;
    vmops_secret_ref_format(r.ref, secret);

    plat_mutex_lock(ch->mutex);

    snprintf(r.id, sizeof(r.id), "%llu", (unsigned long long) ++ch->counter);
    r.next = ch->requests;
    ch->requests = &r;

    while (r.state == ASKED && !stop && (now = plat_boot_ms()) < deadline) {
        if (!r.queued) {
            ask(ch, &r);
        }
        plat_cond_wait(ch->cond, ch->mutex,
                       deadline - now < STEP_MS ? deadline - now : STEP_MS);
        stop = unwanted(data);
    }

    request_remove(ch, &r);
    plat_mutex_unlock(ch->mutex);

    switch (r.state) {

    case ANSWERED:
        return 0;

    case REFUSED:
        *error = VMOPS_CMDERR_secret_unreadable;
        return -1;

    case MALFORMED:
        *error = VMOPS_CMDERR_secret_tampered;
        return -1;

    default:
        *error = stop ? VMOPS_CMDERR_cancelled : VMOPS_CMDERR_timeout;
        return -1;
    }
}
