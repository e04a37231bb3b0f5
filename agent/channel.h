
/*
 * Between the threads that run commands and the one that has the socket.
 * What is posted while there is no session is dropped: results are in the
 * journal's outbox, all else is only news.
 */

#ifndef VMOPS_CHANNEL_H
#define VMOPS_CHANNEL_H


#include "vault.h"
#include "vmops_proto.h"


typedef struct channel_s  channel_t;

channel_t *channel_new(plat_waker_t *waker);
void channel_free(channel_t *ch);


/* For those who run commands; any thread. */

/*
 * Queues a message, unless it contains an open secret or the queue is full.
 * 0; -1: it contains a secret (the other cases are no concern of callers).
 */
int channel_post(channel_t *ch, const vmops_msg_t *m);

/* There is a new result in the outbox. */
void channel_outbox(channel_t *ch);

/*
 * Asks for a ciphertext, again after a reconnect, until there is an answer,
 * the deadline (plat_boot_ms()) or unwanted(data).  0; -1 and *error.
 */
int channel_secret(channel_t *ch, const vmops_uuid_t *secret,
    uint64_t version, uint64_t deadline, int (*unwanted)(void *data),
    void *data, sealed_secret_t *out, vmops_command_error_t *error);


/* For the one with the socket. */

void channel_up(channel_t *ch);
void channel_down(channel_t *ch);

/* The next message to write, to be given to free(); NULL: none. */
uint8_t *channel_take(channel_t *ch, size_t *n);

/* Whether channel_outbox() was called since the last time. */
int channel_outbox_due(channel_t *ch);

void channel_answer(channel_t *ch, const vmops_msg_secret_t *answer);


#endif /* VMOPS_CHANNEL_H */
