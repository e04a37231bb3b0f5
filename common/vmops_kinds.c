/*
 * Names of the small vocabularies.
 */

#include "vmops_kinds.h"
#include "vmops_banned.h"


typedef struct {
    unsigned     number;
    const char  *name;
} name_t;


static const name_t  services[] = {
#define VMOPS_X(id, name)  { VMOPS_SERVICE_##id, name },
    VMOPS_SERVICES(VMOPS_X)
#undef VMOPS_X
    { 0, NULL }
};

static const name_t  kinds[] = {
#define VMOPS_X(number, id, name, family)  { number, name },
    VMOPS_SECRET_KINDS(VMOPS_X)
#undef VMOPS_X
    { 0, NULL }
};

static const name_t  classes[] = {
#define VMOPS_X(id, name, bit)  { bit, name },
    VMOPS_CLASSES(VMOPS_X)
#undef VMOPS_X
    { 0, NULL }
};

static const name_t  scopes[] = {
    { VMOPS_SCOPE_VM, "vm" },
    { VMOPS_SCOPE_ENDPOINT, "endpoint" },
    { VMOPS_SCOPE_TASK, "task" },
    { 0, NULL }
};

static const name_t  guests[] = {
    { VMOPS_GUEST_QEMU, "qemu" },
    { VMOPS_GUEST_LXC, "lxc" },
    { 0, NULL }
};


static const char *
name_of(const name_t *names, unsigned number)
{
    for ( ; names->name != NULL; names++) {
        if (names->number == number) {
            return names->name;
        }
    }

    return NULL;
}


static int
number_of(const name_t *names, vmops_span_t name)
{
    for ( ; names->name != NULL; names++) {
        if (vmops_span_is(name, names->name)) {
            return (int) names->number;
        }
    }

    return -1;
}


const char *
vmops_service_name(unsigned service)
{
    return name_of(services, service);
}


const char *
vmops_family_name(unsigned family)
{
    return name_of(services, family);
}


const char *
vmops_kind_name(unsigned kind)
{
    return name_of(kinds, kind);
}


const char *
vmops_class_name(unsigned class_bit)
{
    return name_of(classes, class_bit);
}


const char *
vmops_scope_name(unsigned scope)
{
    return name_of(scopes, scope);
}


const char *
vmops_guest_name(unsigned guest)
{
    return name_of(guests, guest);
}


int
vmops_service_find(vmops_span_t name)
{
    return number_of(services, name);
}


int
vmops_kind_find(vmops_span_t name)
{
    return number_of(kinds, name);
}


int
vmops_class_find(vmops_span_t name)
{
    return number_of(classes, name);
}


int
vmops_guest_find(vmops_span_t name)
{
    return number_of(guests, name);
}


vmops_family_t
vmops_kind_family(unsigned kind)
{
    switch (kind) {
#define VMOPS_X(number, id, name, family)                                     \
    case number:                                                              \
        return family;
    VMOPS_SECRET_KINDS(VMOPS_X)
#undef VMOPS_X
    default:
        return VMOPS_FAMILY_NONE;
    }
}
