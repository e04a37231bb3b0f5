/*
 * Whether an export of the audit is what was sealed.
 *
 * Numbers may be missing only where a seal says so: its `from` is signed, and
 * it chains to the seal before.  The log may begin later than 1 only where one
 * of its sealed entries says that what was before has been trimmed.
 */

#include "vmops_audit.h"
#include "vmops_banned.h"


static int
fault(vmops_audit_check_t *c, vmops_audit_fault_t what, uint64_t n)
{
    c->fault = what;
    c->at = n;

    return -1;
}


void
vmops_audit_check_init(vmops_audit_check_t *c, vmops_span_t tenant,
    const uint8_t pk[32])
{
    memset(c, 0, sizeof(*c));

    c->tenant = tenant;
    c->pk = pk;
    vmops_tenant16(c->tenant16, tenant);
}


static int
check_begin(vmops_audit_check_t *c, const vmops_audit_begin_t *b)
{
    if (c->began) {
        return fault(c, VMOPS_AUDIT_FORM, c->n + 1);
    }

    c->began = 1;

    if (b->tenant.n != c->tenant.n
        || memcmp(b->tenant.p, c->tenant.p, b->tenant.n) != 0)
    {
        return fault(c, VMOPS_AUDIT_TENANT, 0);
    }

    if (!b->has_start) {
        return 0;
    }

    if (vmops_seal_verify(&b->start, c->tenant16, c->pk) != 0) {
        return fault(c, VMOPS_AUDIT_SIGNATURE, b->start.from);
    }

    c->start = c->n = c->sealed = b->start.to;
    memcpy(c->head, b->start.head, VMOPS_HASH);

    return 0;
}


/* {"event":"audit.trimmed","actor":"system","to":"<the start>"} */

static int
vouches(const vmops_audit_check_t *c, vmops_arena_t *a, vmops_span_t entry)
{
    uint64_t             n;
    vmops_span_t         event, to;
    const vmops_json_t  *root;

    return vmops_json_parse(&root, a, entry) == VMOPS_JSON_OK
           && vmops_json_str(vmops_json_get(root, "event"), &event) == 0
           && vmops_span_is(event, "audit.trimmed")
           && vmops_json_str(vmops_json_get(root, "to"), &to) == 0
           && vmops_dec_parse(to, INT64_MAX, &n) == 0 && n == c->start;
}


static int
check_entry(vmops_audit_check_t *c, const vmops_audit_entry_t *e,
    vmops_arena_t *a)
{
    uint64_t  before = c->n;

    if (e->n <= before || (c->from != 0 && e->n != before + 1)) {
        return fault(c, VMOPS_AUDIT_ORDER, before + 1);
    }

    if (c->from == 0) {
        c->from = e->n;
    }

    c->n = e->n;
    c->ms = e->ms;
    c->entries++;
    vmops_audit_link(c->head, c->head, e->n, e->ms, e->entry);

    if (memcmp(c->head, e->h, VMOPS_HASH) != 0) {
        return fault(c, VMOPS_AUDIT_CONTENT, before + 1);
    }

    if (c->start != 0 && !c->trimmed && vouches(c, a, e->entry)) {
        c->trimmed = 1;
    }

    return 0;
}


static int
check_seal(vmops_audit_check_t *c, const vmops_seal_t *s)
{
    uint64_t  next = c->sealed + 1;

    if (vmops_seal_verify(s, c->tenant16, c->pk) != 0) {
        return fault(c, VMOPS_AUDIT_SIGNATURE, next);
    }

    if (s->from != c->from || s->to != c->n
        || memcmp(s->head, c->head, VMOPS_HASH) != 0)
    {
        return fault(c, VMOPS_AUDIT_CHAIN, next);
    }

    if (s->from != next) {
        if (c->lost == 0) {
            c->lost_from = next;
        }
        c->lost += s->from - next;
    }

    c->seals++;
    c->sealed = s->to;
    c->from = 0;

    return 0;
}


static int
check_end(vmops_audit_check_t *c, uint64_t n)
{
    c->ended = 1;

    if (n != c->n) {
        return fault(c, VMOPS_AUDIT_INCOMPLETE, c->n + 1);
    }

    if (c->from != 0) {
        return fault(c, VMOPS_AUDIT_UNSEALED, c->from);
    }

    if (c->start != 0 && !c->trimmed) {
        return fault(c, VMOPS_AUDIT_START, 1);
    }

    return 0;
}


int
vmops_audit_check(vmops_audit_check_t *c, vmops_audit_line_t *line,
    vmops_arena_t *a, vmops_span_t text)
{
    c->line++;

    if (vmops_audit_parse(line, a, text) != 0
        || c->ended || (!c->began && line->type != VMOPS_AUDIT_BEGIN))
    {
        return fault(c, VMOPS_AUDIT_FORM, c->n + 1);
    }

    switch (line->type) {

    case VMOPS_AUDIT_BEGIN:
        return check_begin(c, &line->u.begin);
    case VMOPS_AUDIT_ENTRY:
        return check_entry(c, &line->u.entry, a);
    case VMOPS_AUDIT_SEAL:
        return check_seal(c, &line->u.seal.seal);
    case VMOPS_AUDIT_END:
        break;
    }

    return check_end(c, line->u.end.n);
}


int
vmops_audit_check_end(vmops_audit_check_t *c)
{
    return c->ended ? 0 : fault(c, VMOPS_AUDIT_INCOMPLETE, c->n + 1);
}


void
vmops_audit_check_form(vmops_audit_check_t *c)
{
    c->line++;
    (void) fault(c, VMOPS_AUDIT_FORM, c->n + 1);
}
