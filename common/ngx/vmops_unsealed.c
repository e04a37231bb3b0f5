
/* the list of tenants that may have entries to be sealed: who is put there */


#include "vmops_unsealed.h"

#include "vmops_banned.h"


/*
 * What is remembered: a tenant that takes the slot of another one costs a call
 * more, and no memory.
 */

#define VMOPS_UNSEALED_SLOTS  1024

typedef struct {
    ngx_msec_t               until;
    size_t                   len;          /* 0: nobody */
    u_char                   name[VMOPS_TENANT_MAX];
} vmops_unsealed_slot_t;

struct vmops_unsealed_s {
    vmops_redis_t           *redis;
    vmops_unsealed_slot_t    slots[VMOPS_UNSEALED_SLOTS];
};


static void vmops_unsealed_state(void *data, ngx_uint_t up);
static ngx_uint_t vmops_unsealed_audited(const char *function);
static void vmops_unsealed_told(void *data, redisReply *reply);


/* the functions that may write an entry; "" is none */

#define VMOPS_AUDITED_RO(name)     ""
#define VMOPS_AUDITED_RW(name)     name
#define VMOPS_AUDITED_RW_Q(name)   ""
#define VMOPS_AUDITED_OOM(name)    name
#define VMOPS_AUDITED_OOM_Q(name)  ""

#define VMOPS_FUNCTION(name, key, flags, args, reply, about)                  \
    VMOPS_AUDITED_##flags(#name),

static const char *const  vmops_unsealed_functions[] = {
#include "vmops_functions.def"
    NULL
};

#undef VMOPS_FUNCTION


vmops_unsealed_t *
vmops_unsealed_create(ngx_cycle_t *cycle, vmops_redis_t *redis)
{
    vmops_unsealed_t  *u;

    u = ngx_pcalloc(cycle->pool, sizeof(vmops_unsealed_t));
    if (u == NULL) {
        return NULL;
    }

    u->redis = redis;

    if (vmops_redis_on_state(redis, vmops_unsealed_state, u) != NGX_OK) {
        return NULL;
    }

    return u;
}


/* a store that comes back may have lost whom it was told of last */

static void
vmops_unsealed_state(void *data, ngx_uint_t up)
{
    vmops_unsealed_t *u = data;

    if (!up) {
        ngx_memzero(u->slots, sizeof(u->slots));
    }
}


void
vmops_unsealed_tell(vmops_unsealed_t *u, vmops_span_t tenant,
    const char *function)
{
    ngx_str_t               argv[5];
    vmops_unsealed_slot_t  *slot;

    if (tenant.n == 0 || tenant.n > VMOPS_TENANT_MAX) {
        return;
    }

    slot = &u->slots[ngx_crc32_short((u_char *) tenant.p, tenant.n)
                     % VMOPS_UNSEALED_SLOTS];

    if (slot->len == tenant.n
        && ngx_memcmp(slot->name, tenant.p, tenant.n) == 0
        && (ngx_msec_int_t) (slot->until - ngx_current_msec) > 0)
    {
        return;
    }

    if (!vmops_unsealed_audited(function)) {
        return;
    }

    ngx_str_set(&argv[0], "FCALL");
    ngx_str_set(&argv[1], "vmops_unsealed_add");
    ngx_str_set(&argv[2], "1");
    ngx_str_set(&argv[3], "platform/{p}");
    argv[4].data = (u_char *) tenant.p;
    argv[4].len = tenant.n;

    if (vmops_redis_command(u->redis, VMOPS_REDIS_CALL_MS, vmops_unsealed_told,
                            slot, 5, argv)
        == NULL)
    {
        return;
    }

    slot->until = ngx_current_msec + VMOPS_AUDIT_MARK_MS;
    slot->len = tenant.n;
    ngx_memcpy(slot->name, tenant.p, tenant.n);
}


static ngx_uint_t
vmops_unsealed_audited(const char *function)
{
    const char *const  *name;

    for (name = vmops_unsealed_functions; *name; name++) {
        if (ngx_strcmp(*name, function) == 0) {
            return 1;
        }
    }

    return 0;
}


/* not told: not remembered, whoever has the slot by now */

static void
vmops_unsealed_told(void *data, redisReply *reply)
{
    vmops_unsealed_slot_t *slot = data;

    if (vmops_redis_redirect(reply, NULL) != VMOPS_REDIS_OK) {
        slot->len = 0;
    }
}
