
/*
 * Allocators for libraries that handle secrets: every block remembers its
 * size and is cleared before it goes back.
 */

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "vmops_banned.h"


typedef union {
    size_t       size;
    max_align_t  align;
} block_t;


static void *
wipe_malloc(size_t n)
{
    block_t  *b;

    if (n > SIZE_MAX - sizeof(*b)) {
        return NULL;
    }

    b = malloc(sizeof(*b) + n);
    if (b == NULL) {
        return NULL;
    }

    b->size = n;

    return b + 1;
}


static void
wipe_free(void *p)
{
    block_t  *b = p;

    if (b != NULL) {
        b--;
        sodium_memzero(b, sizeof(*b) + b->size);
        free(b);
    }
}


static void *
wipe_realloc(void *p, size_t n)
{
    void    *to;
    size_t   size;

    if (p == NULL) {
        return wipe_malloc(n);
    }

    size = ((block_t *) p - 1)->size;

    /* OpenSSL: a size of zero frees */
    to = n != 0 ? wipe_malloc(n) : NULL;

    if (to != NULL) {
        memcpy(to, p, size < n ? size : n);
    }
    if (to != NULL || n == 0) {
        wipe_free(p);
    }

    return to;
}


static void *
wipe_calloc(size_t n, size_t size)
{
    void  *p;

    if (size != 0 && n > SIZE_MAX / size) {
        return NULL;
    }

    p = wipe_malloc(n * size);
    if (p != NULL) {
        memset(p, 0, n * size);
    }

    return p;
}


static char *
wipe_strdup(const char *s)
{
    char    *p;
    size_t   n = strlen(s) + 1;

    p = wipe_malloc(n);
    if (p != NULL) {
        memcpy(p, s, n);
    }

    return p;
}


static void *
ssl_malloc(size_t n, const char *file, int line)
{
    (void) file;
    (void) line;
    return n != 0 ? wipe_malloc(n) : NULL;
}


static void *
ssl_realloc(void *p, size_t n, const char *file, int line)
{
    (void) file;
    (void) line;
    return wipe_realloc(p, n);
}


static void
ssl_free(void *p, const char *file, int line)
{
    (void) file;
    (void) line;
    wipe_free(p);
}


int
wipe_alloc_init(void)
{
    if (CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free) != 1) {
        return -1;
    }

    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, wipe_malloc, wipe_free,
                                wipe_realloc, wipe_strdup, wipe_calloc)
           == CURLE_OK ? 0 : -1;
}
