
/*
 * What is typed for a secret: its kind, endpoint and the secret itself; for
 * cli_secret_put.c.
 */

#ifndef VMOPS_CLI_SECRET_FORM_H
#define VMOPS_CLI_SECRET_FORM_H


#include "cli.h"
#include "route.h"


#define SECRET_MAX  12288

/* Options as given; NULL: not given. */

typedef struct {
    const char  *kind;
    const char  *label;
    const char  *host;
    const char  *port;
    const char  *user;
    const char  *pin;
    const char  *accept;
    const char  *classes;
    const char  *vmids;
    const char  *from_stdin;
} secret_form_t;

typedef struct {
    unsigned     kind;
    const char  *user;          /* what its user name looks like; NULL: none */
    const char  *port;          /* default; NULL: it has no endpoint */
    const char  *question;
} secret_kind_t;

/* NULL: this version does not enter secrets of that kind. */
const secret_kind_t *secret_kind(unsigned kind);

/* These give EXIT_OK, or an exit code and have said why. */

/* No option of an endpoint where the kind has none. */
int secret_form_fits(const secret_kind_t *k, const secret_form_t *o);

int secret_form_user(endpoint_t *ep, const secret_kind_t *k,
    const char *user);
int secret_form_endpoint(endpoint_t *ep, const secret_kind_t *k,
    const secret_form_t *o);

/* What the endpoint shows is looked at, and pinned if it is confirmed. */
int secret_form_pin(endpoint_t *ep, unsigned kind, const secret_form_t *o,
    shown_t *shown);

/* Reads the secret into memory of SECRET_MAX bytes. */
int secret_form_read(const secret_kind_t *k, const secret_form_t *o,
    char *secret, size_t *n);


#endif /* VMOPS_CLI_SECRET_FORM_H */
