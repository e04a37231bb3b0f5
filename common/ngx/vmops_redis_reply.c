
/* Error replies: which of them speak of the way to the store. */


#include "vmops_redis_int.h"


typedef struct {
    const char              *word;
    vmops_redis_answer_e     answer;
} vmops_redis_word_t;


/* the first word of an error is its code (Redis cluster specification, and
   the shared errors of its server.c) */

static vmops_redis_word_t  vmops_redis_words[] = {
    { "MOVED",       VMOPS_REDIS_MOVED },
    { "ASK",         VMOPS_REDIS_ASK },
    { "TRYAGAIN",    VMOPS_REDIS_TRYAGAIN },
    { "CLUSTERDOWN", VMOPS_REDIS_UNAVAILABLE },
    { "LOADING",     VMOPS_REDIS_UNAVAILABLE },
    { "MASTERDOWN",  VMOPS_REDIS_UNAVAILABLE },
    { "READONLY",    VMOPS_REDIS_UNAVAILABLE },
    { "NOREPLICAS",  VMOPS_REDIS_UNAVAILABLE },
    { "BUSY",        VMOPS_REDIS_UNAVAILABLE },
    { "OOM",         VMOPS_REDIS_UNAVAILABLE },
    { "MISCONF",     VMOPS_REDIS_UNAVAILABLE },
    { NULL,          VMOPS_REDIS_ERROR }
};


/* a library between its removal and the next load has no code of its own */

static const char  vmops_redis_no_function[] = "ERR Function not found";


static ngx_int_t vmops_redis_target(redisReply *reply, size_t word,
    vmops_redis_redirect_t *to);


vmops_redis_answer_e
vmops_redis_redirect(redisReply *reply, vmops_redis_redirect_t *to)
{
    vmops_redis_word_t      *w;
    vmops_redis_redirect_t   unused;

    if (reply == NULL) {
        return VMOPS_REDIS_UNAVAILABLE;
    }

    if (reply->type != REDIS_REPLY_ERROR) {
        return VMOPS_REDIS_OK;
    }

    if (reply->len >= sizeof(vmops_redis_no_function) - 1
        && ngx_memcmp(reply->str, vmops_redis_no_function,
                      sizeof(vmops_redis_no_function) - 1)
           == 0)
    {
        return VMOPS_REDIS_UNAVAILABLE;
    }

    for (w = vmops_redis_words; w->word; w++) {
        if (vmops_redis_is(reply, w->word)) {
            break;
        }
    }

    if ((w->answer == VMOPS_REDIS_MOVED || w->answer == VMOPS_REDIS_ASK)
        && vmops_redis_target(reply, ngx_strlen(w->word), to ? to : &unused)
           != NGX_OK)
    {
        return VMOPS_REDIS_ERROR;
    }

    return w->answer;
}


/* "MOVED 3999 127.0.0.1:6381" */

static ngx_int_t
vmops_redis_target(redisReply *reply, size_t word, vmops_redis_redirect_t *to)
{
    u_char     *p, *last, *space;
    ngx_int_t   slot;

    p = (u_char *) reply->str;
    last = p + reply->len;
    p += word + 1;

    if (p >= last) {
        return NGX_ERROR;
    }

    space = ngx_strlchr(p, last, ' ');
    if (space == NULL || space + 1 == last) {
        return NGX_ERROR;
    }

    slot = ngx_atoi(p, space - p);
    if (slot == NGX_ERROR || slot > 16383) {
        return NGX_ERROR;
    }

    to->slot = slot;
    to->addr.data = space + 1;
    to->addr.len = last - to->addr.data;

    return NGX_OK;
}


/* the rest of an error may quote arguments */

ngx_str_t
vmops_redis_code(redisReply *reply)
{
    u_char     *p, *last;
    ngx_str_t   code;

    p = (u_char *) reply->str;
    last = p + reply->len;

    code.data = p;

    while (p < last && ((*p >= 'A' && *p <= 'Z') || *p == '_')) {
        p++;
    }

    code.len = p - code.data;

    return code;
}


ngx_uint_t
vmops_redis_is(redisReply *reply, const char *word)
{
    ngx_str_t  code;

    if (reply->type != REDIS_REPLY_ERROR) {
        return 0;
    }

    code = vmops_redis_code(reply);

    return code.len == ngx_strlen(word)
           && ngx_memcmp(code.data, word, code.len) == 0;
}
