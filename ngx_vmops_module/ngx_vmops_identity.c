
/*
 * The six kinds of principals, and what their records say.  A record under a
 * MAC that does not hold is nobody's.
 */


#include "ngx_vmops.h"


static void ngx_vmops_principal_flags(ngx_vmops_principal_t *p,
    redisReply *tenant);
static void ngx_vmops_append(u_char **p, vmops_span_t *to, const char *prefix,
    vmops_span_t from);


/* by ngx_vmops_kind_e */

static const struct {
    const char             *name;          /* the argument pkind */
    const char             *actor;         /* what its id follows */
    ngx_vmops_function_e    fn;            /* that answers the record */
    vmops_record_t          record;
    const char             *path;          /* of its key */
} ngx_vmops_kinds[] = {
    { "", "", 0, 0, "" },
    { "token", "token:", NGX_VMOPS_FN_principal, VMOPS_RECORD_token,
      "tokens" },
    { "session", "", NGX_VMOPS_FN_principal, VMOPS_RECORD_session,
      "sessions" },
    { "var", "user:", NGX_VMOPS_FN_principal, 0, "" },
    { "platform", "platform:", NGX_VMOPS_FN_platform_principal,
      VMOPS_RECORD_platform_token, "tokens" },
    { "agent", "agent:", NGX_VMOPS_FN_principal, VMOPS_RECORD_agent,
      "agents" }
};

/* by ngx_vmops_who_e */

static const char *const  ngx_vmops_roles[] = {
    "", "viewer", "operator", "owner", "platform_admin", "agent"
};


ngx_vmops_who_e
ngx_vmops_role(vmops_span_t name)
{
    ngx_vmops_who_e  role;

    for (role = NGX_VMOPS_FOR_VIEWER; role <= NGX_VMOPS_FOR_OWNER; role++) {
        if (vmops_span_is(name, ngx_vmops_roles[role])) {
            return role;
        }
    }

    return NGX_VMOPS_FOR_ANYONE;
}


vmops_span_t
ngx_vmops_kind_name(ngx_vmops_kind_e kind)
{
    return vmops_span_str(ngx_vmops_kinds[kind].name);
}


ngx_vmops_function_e
ngx_vmops_kind_function(ngx_vmops_kind_e kind)
{
    return ngx_vmops_kinds[kind].fn;
}


/* the MAC of the record that a claim leads to */

ngx_int_t
ngx_vmops_claim_verify(ngx_vmops_claim_t *claim, redisReply *record)
{
    u_char        text[VMOPS_REDIS_KEY_MAX];
    vmops_span_t  key;

    if (claim->kind == NGX_VMOPS_VAR) {
        return NGX_OK;
    }

    key = ngx_vmops_key(text, claim->kind == NGX_VMOPS_PLATFORM
                              ? NULL : &claim->tenant,
                        ngx_vmops_kinds[claim->kind].path, claim->key);

    return ngx_vmops_mac_check(ngx_vmops_kinds[claim->kind].record, key,
                               record);
}


/* NULL: no memory, or a record that cannot be read */

ngx_vmops_principal_t *
ngx_vmops_principal_make(ngx_vmops_claim_t *claim, redisReply *record,
    redisReply *tenant)
{
    u_char                 *last;
    const char             *prefix;
    vmops_span_t            id, subject, role, csrf, cohort;
    ngx_vmops_principal_t  *p;

    /* a session acts in the name of the token that it was opened with */

    id = claim->kind == NGX_VMOPS_VAR ? claim->subject
         : claim->kind == NGX_VMOPS_AGENT ? claim->key
         : claim->kind == NGX_VMOPS_SESSION ? ngx_vmops_field(record, "subject")
         : ngx_vmops_field(record, "token_id");

    subject = ngx_vmops_field(record, "subject");
    role = ngx_vmops_field(record, "role");
    csrf = ngx_vmops_field(record, "csrf");
    cohort = ngx_vmops_field(tenant, "cohort");

    if (claim->kind == NGX_VMOPS_VAR) {
        subject = claim->subject;
        role = claim->role_name;
    }

    p = ngx_calloc(sizeof(ngx_vmops_principal_t) + claim->tenant.n
                   + claim->key.n + sizeof("platform:") + id.n
                   + sizeof("platform:") + id.n + subject.n
                   + sizeof("platform_admin") + csrf.n + cohort.n,
                   ngx_vmops_worker.log);
    if (p == NULL) {
        return NULL;
    }

    p->refs = 1;
    p->kind = claim->kind;

    switch (claim->kind) {

    case NGX_VMOPS_AGENT:
        p->role = NGX_VMOPS_FOR_AGENT;
        p->revoked = ngx_vmops_field_is(record, "revoked", "1");
        p->suspended = !ngx_vmops_field_is(tenant, "status", "active");
        ngx_vmops_principal_flags(p, tenant);

        if (vmops_b64u_decode_exact(p->ed_pk, 32,
                                    ngx_vmops_field(record, "ed_pk"))
            != 0)
        {
            ngx_free(p);
            return NULL;
        }

        break;

    case NGX_VMOPS_PLATFORM:
        p->role = vmops_span_is(role, ngx_vmops_roles[NGX_VMOPS_FOR_PLATFORM])
                  ? NGX_VMOPS_FOR_PLATFORM : NGX_VMOPS_FOR_ANYONE;
        break;

    default: /* NGX_VMOPS_TOKEN, NGX_VMOPS_SESSION, NGX_VMOPS_VAR */
        p->role = ngx_vmops_role(role);
        p->expires_ms = ngx_vmops_field_int(record, "expires_at");
        p->suspended = !ngx_vmops_field_is(tenant, "status", "active");
        ngx_vmops_principal_flags(p, tenant);
    }

    prefix = ngx_vmops_kinds[claim->kind].actor;

    last = (u_char *) (p + 1);

    ngx_vmops_append(&last, &p->tenant, "", claim->tenant);
    ngx_vmops_append(&last, &p->key, "", claim->key);
    ngx_vmops_append(&last, &p->actor, prefix, id);
    ngx_vmops_append(&last, &p->subject, subject.n ? "" : prefix,
                     subject.n ? subject : id);
    ngx_vmops_append(&last, &p->role_name, ngx_vmops_roles[p->role],
                     vmops_span("", 0));
    ngx_vmops_append(&last, &p->csrf, "", csrf);
    ngx_vmops_append(&last, &p->cohort, "", cohort);

    return p;
}


/* what the tenant's record says of flags */

static void
ngx_vmops_principal_flags(ngx_vmops_principal_t *p, redisReply *tenant)
{
    u_char         name[64];
    vmops_flag_e   flag;
    vmops_span_t   value;

    for (flag = 0; flag < VMOPS_FLAGS; flag++) {

        ngx_snprintf(name, sizeof(name), "flag:%V%Z",
                     vmops_beat_flag_name(flag));

        value = ngx_vmops_field(tenant, (char *) name);

        if (value.n) {
            p->flags[flag] = vmops_span_is(value, "1") ? VMOPS_FLAG_TRUE
                                                       : VMOPS_FLAG_FALSE;
        }
    }
}


/* tenant beats cohort beats global; on where nobody said anything */

ngx_uint_t
ngx_vmops_flag(ngx_vmops_principal_t *p, vmops_flag_e flag)
{
    ngx_str_t           cohort;
    vmops_flag_value_e  value;

    value = p->flags[flag];

    if (value == VMOPS_FLAG_UNSET) {
        cohort.data = (u_char *) p->cohort.p;
        cohort.len = p->cohort.n;

        value = vmops_beat_flag(ngx_vmops_worker.beat, &cohort, flag);
    }

    return value != VMOPS_FLAG_FALSE;
}


void
ngx_vmops_principal_free(ngx_vmops_principal_t *p)
{
    if (--p->refs == 0) {
        ngx_free(p);
    }
}


static void
ngx_vmops_append(u_char **p, vmops_span_t *to, const char *prefix,
    vmops_span_t from)
{
    to->p = *p;

    *p = ngx_cpymem(*p, prefix, ngx_strlen(prefix));
    *p = ngx_cpymem(*p, from.p, from.n);

    to->n = *p - to->p;
}
