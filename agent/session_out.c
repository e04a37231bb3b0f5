
/* What the agent tells: status, news, results. */

#include <stdlib.h>
#include <string.h>

#include "actions/actions.h"
#include "journal.h"
#include "log.h"
#include "recover.h"
#include "session_parts.h"
#include "witness.h"
#include "vmops_banned.h"


#define LOOK_MS     1000        /* how often it is looked for changes */
#define STATUS_MAX  32768
#define RESULT_MAX  (2 * VMOPS_WS_MESSAGE_MAX / 3)
#define PRUNE_MS    3600000


static int
send_status(session_t *s)
{
    uint8_t      text[STATUS_MAX];
    vmops_jw_t   w;
    vmops_msg_t  m;

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_STATUS;

    vmops_jw_init(&w, text, sizeof(text));
    routes_write(s->agent->routes, &w);
    if (vmops_jw_done(&w, &m.u.status.routes.text) != 0) {
        return 0;
    }

    m.u.status.keystore = s->keystore ? VMOPS_KEYSTORE_OK
                                      : VMOPS_KEYSTORE_UNREADABLE;
    if (s->key_id[0] != '\0') {
        m.u.status.key_id = vmops_span_str(s->key_id);
    }
    m.u.status.capabilities = (uint8_t) act_capabilities();

    /* first the one before: the server looks whether it still is in its log */
    m.u.status.has_audit_head = s->has_head;
    m.u.status.audit_head = s->head;
    s->has_head = witness_last(s->agent->db, &s->head) == 0;

    return session_send(s, &m);
}


/* On change, and every VMOPS_STATUS_EVERY_S. */

static int
status_due(session_t *s)
{
    int       keystore, changed;
    char      key_id[VMOPS_KEY_ID_TEXT + 1];
    uint64_t  now = plat_boot_ms();
    unsigned  version;

    if (s->status_at != 0 && now - s->looked_at < LOOK_MS) {
        return 0;
    }

    s->looked_at = now;
    version = routes_version(s->agent->routes);
    keystore = vault_readable(s->agent->vault, key_id);

    changed = version != s->routes_version || keystore != s->keystore
              || strcmp(key_id, s->key_id) != 0;

    s->routes_version = version;
    s->keystore = keystore;
    memcpy(s->key_id, key_id, sizeof(key_id));

    if (!changed && s->status_at != 0
        && now - s->status_at < VMOPS_STATUS_EVERY_S * 1000)
    {
        return 0;
    }

    s->status_at = now;

    if (now - s->pruned_at > PRUNE_MS) {
        s->pruned_at = now;
        journal_prune(s->agent->db);
    }

    return 1;
}


static int
is_unconfirmed(const session_t *s, const vmops_uuid_t *id)
{
    size_t  i;

    for (i = 0; i < s->unconfirmed_n; i++) {
        if (vmops_uuid_eq(&s->unconfirmed[i].id, id)) {
            return 1;
        }
    }

    return 0;
}


/*
 * One result as a frame; 1: later, there is enough under way.  One that does
 * not hold would only end the session, again and again: those behind it go on.
 */

static int
send_result(void *data, const journal_row_t *row)
{
    int           rc, order = 0;
    uint8_t      *buf;
    session_t    *s = data;
    vmops_msg_t   m;
    vmops_span_t  text;

    if (is_unconfirmed(s, &row->id)) {
        return 0;
    }
    if (s->unconfirmed_n == SESSION_UNCONFIRMED_MAX || ws_pending(s->ws)) {
        return 1;
    }

    switch (recover_holds(s->agent, row, &order)) {

    case 1:
        break;

    case 0:
        s->outbox_damaged = 1;
        return 0;

    default:
        return 1;
    }

    memset(&m, 0, sizeof(m));
    m.type = VMOPS_MSG_RESULT;
    m.u.result.id = row->id;
    m.u.result.signed_.payload = row->result;
    memcpy(m.u.result.signed_.sig, row->result_sig.p, VMOPS_SIG);

    /* of an order from before this session: the server may have lost it */
    if (order && row->seq <= s->seq_before) {
        m.u.result.has_cmd = 1;
        m.u.result.cmd.payload = row->payload;
        m.u.result.cmd.key_id = row->key_id;
        memcpy(m.u.result.cmd.sig, row->sig.p, VMOPS_SIG);
    }

    buf = malloc(RESULT_MAX);
    if (buf == NULL) {
        return 1;
    }

    rc = vmops_msg_write(buf, RESULT_MAX, &text, &m) == 0
         ? ws_send(s->ws, text) : -1;

    free(buf);
    s->unconfirmed[s->unconfirmed_n].id = row->id;
    s->unconfirmed[s->unconfirmed_n++].confirmed = 0;

    return rc;
}


/*
 * Writes down what was confirmed.  As long as that cannot be written it stays
 * among those that were sent: it would be sent again and again.
 */

static void
write_confirmed(session_t *s)
{
    size_t  i = 0;

    while (i < s->unconfirmed_n) {
        if (!s->unconfirmed[i].confirmed) {
            i++;
            continue;
        }
        if (journal_confirmed(s->agent->db, &s->unconfirmed[i].id) != 0) {
            return;
        }
        s->unconfirmed[i] = s->unconfirmed[--s->unconfirmed_n];
        s->outbox_due = 1;
    }
}


void
session_on_result_ok(session_t *s, const vmops_uuid_t *id)
{
    size_t  i;

    for (i = 0; i < s->unconfirmed_n; i++) {
        if (vmops_uuid_eq(&s->unconfirmed[i].id, id)) {
            s->unconfirmed[i].confirmed = 1;
        }
    }

    write_confirmed(s);
}


static int
send_news(session_t *s)
{
    int       rc = 0;
    size_t    n;
    uint8_t  *bytes;

    while (rc == 0 && !ws_pending(s->ws)
           && (bytes = channel_take(s->agent->channel, &n)) != NULL)
    {
        rc = ws_send(s->ws, vmops_span(bytes, n));
        free(bytes);
    }

    return rc;
}


/* What could not be done for want of memory or of room is tried again. */

static void
look_again(session_t *s)
{
    s->again_at = plat_boot_ms();

    write_confirmed(s);
    session_resume_tasks(s);

    if (s->outbox_damaged) {
        s->outbox_damaged = recover_outbox(s->agent) != 0;
    }
}


int
session_pump(session_t *s)
{
    int  rc;

    if (ws_flush(s->ws) != 0 || send_news(s) != 0) {
        return -1;
    }

    if (channel_outbox_due(s->agent->channel)) {
        s->outbox_due = 1;
    }

    if (plat_boot_ms() - s->again_at > LOOK_MS) {
        look_again(s);
    }

    if (s->outbox_due && !ws_pending(s->ws)) {
        rc = journal_outbox(s->agent->db, send_result, s);
        if (rc < 0) {
            return -1;
        }
        s->outbox_due = rc == 1 && s->unconfirmed_n < SESSION_UNCONFIRMED_MAX;
    }

    return status_due(s) ? send_status(s) : 0;
}
