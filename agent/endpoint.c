
/* Endpoints: their forms in an envelope, in JSON and on a command line. */

#include <stdio.h>
#include <string.h>

#include "endpoint.h"
#include "vmops_banned.h"


void
endpoint_to_secret(const endpoint_t *ep, vmops_secret_t *s)
{
    if (ep->user[0] != '\0') {
        s->user = vmops_span_str(ep->user);
    }

    if (ep->port != 0) {
        s->host = vmops_span_str(ep->host);
        s->port = ep->port;
    }

    if (ep->pins_n > 0) {
        s->tls_pin = vmops_span(ep->pins[0], 32);
    }
    if (ep->pins_n > 1) {
        s->tls_pin_next = vmops_span(ep->pins[1], 32);
    }

    s->has_classes = ep->has_classes;
    s->classes = ep->classes;

    if (ep->vmids_n > 0) {
        s->vmids = vmops_span(ep->vmids, ep->vmids_n * 8);
    }
}


int
endpoint_from_secret(endpoint_t *ep, const vmops_secret_t *s)
{
    memset(ep, 0, sizeof(*ep));

    if (text_copy(ep->user, sizeof(ep->user), s->user) != 0
        || text_copy(ep->host, sizeof(ep->host), s->host) != 0
        || s->vmids.n > sizeof(ep->vmids))
    {
        return -1;
    }

    ep->port = s->port;
    ep->has_classes = s->has_classes;
    ep->classes = s->classes;
    ep->vmids_n = s->vmids.n / 8;

    if (s->vmids.n > 0) {
        memcpy(ep->vmids, s->vmids.p, s->vmids.n);
    }
    if (s->tls_pin.p != NULL) {
        memcpy(ep->pins[ep->pins_n++], s->tls_pin.p, 32);
    }
    if (s->tls_pin_next.p != NULL) {
        memcpy(ep->pins[ep->pins_n++], s->tls_pin_next.p, 32);
    }

    return 0;
}


int
endpoint_write(vmops_jw_t *w, const endpoint_t *ep)
{
    size_t        i;
    char          pin[ENDPOINT_PIN_TEXT + 1];

    vmops_jw_obj(w);
    vmops_jw_kcstr(w, "user", ep->user[0] != '\0' ? ep->user : NULL);
    vmops_jw_kcstr(w, "host", ep->port != 0 ? ep->host : NULL);
    vmops_jw_kint(w, "port", ep->port);

    vmops_jw_key(w, "pins");
    vmops_jw_arr(w);
    for (i = 0; i < ep->pins_n; i++) {
        endpoint_pin_format(pin, ep->pins[i]);
        vmops_jw_cstr(w, pin);
    }
    vmops_jw_arr_end(w);

    if (ep->has_classes) {
        vmops_jw_kint(w, "classes", (int64_t) ep->classes);
    }

    vmops_jw_key(w, "vmids");
    vmops_jw_arr(w);
    for (i = 0; i < ep->vmids_n * 2; i++) {
        vmops_jw_uint(w, vmops_get_u32(ep->vmids + i * 4));
    }
    vmops_jw_arr_end(w);

    vmops_jw_obj_end(w);

    return w->bad || w->buf.overflow ? -1 : 0;
}


static const vmops_json_field_t  pin_field =
    { .type = VMOPS_FT_STRING, .min = ENDPOINT_PIN_TEXT,
      .max = ENDPOINT_PIN_TEXT };

static const vmops_json_field_t  vmid_field =
    { .type = VMOPS_FT_INT, .min = VMOPS_VMID_MIN, .max = VMOPS_VMID_MAX };

static const vmops_json_field_t  endpoint_fields[] = {
    { .name = "user", .type = VMOPS_FT_STRING, .flags = VMOPS_F_NULLABLE,
      .min = 1, .max = ENDPOINT_USER_MAX },
    { .name = "host", .type = VMOPS_FT_STRING, .flags = VMOPS_F_NULLABLE,
      .pattern = VMOPS_P_HOSTNAME },
    { .name = "port", .type = VMOPS_FT_INT, .min = 0, .max = 65535 },
    { .name = "pins", .type = VMOPS_FT_ARRAY, .of = &pin_field, .of_n = 1,
      .min = 0, .max = ENDPOINT_PINS_MAX },
    { .name = "classes", .type = VMOPS_FT_INT, .flags = VMOPS_F_OPTIONAL,
      .min = 0, .max = VMOPS_CLASSES_ALL },
    { .name = "vmids", .type = VMOPS_FT_ARRAY, .of = &vmid_field, .of_n = 1,
      .min = 0, .max = ENDPOINT_VMIDS_MAX * 2 },
};


static int
fill(endpoint_t *ep, const vmops_json_t *root)
{
    int64_t              n;
    vmops_span_t         s;
    const vmops_json_t  *e;

    if (vmops_json_str(vmops_json_get(root, "user"), &s) == 0
        && text_copy(ep->user, sizeof(ep->user), s) != 0)
    {
        return -1;
    }
    if (vmops_json_str(vmops_json_get(root, "host"), &s) == 0
        && text_copy(ep->host, sizeof(ep->host), s) != 0)
    {
        return -1;
    }
    if (vmops_json_int(vmops_json_get(root, "port"), &n) == 0) {
        ep->port = (uint16_t) n;
    }
    if (vmops_json_int(vmops_json_get(root, "classes"), &n) == 0) {
        ep->has_classes = 1;
        ep->classes = (uint64_t) n;
    }

    for (e = vmops_json_get(root, "pins")->child; e != NULL; e = e->next) {
        if (endpoint_pin_parse(ep->pins[ep->pins_n++], e->str) != 0) {
            return -1;
        }
    }

    n = 0;
    for (e = vmops_json_get(root, "vmids")->child; e != NULL; e = e->next) {
        vmops_put_u32(ep->vmids + n++ * 4, (uint32_t) e->i);
    }
    ep->vmids_n = (size_t) n / 2;

    return n % 2 == 0 ? 0 : -1;
}


int
endpoint_parse(endpoint_t *ep, vmops_span_t json)
{
    uint8_t              memory[16 * ENDPOINT_JSON_MAX];
    vmops_arena_t        arena;
    vmops_json_error_t   err;
    const vmops_json_t  *root;

    memset(ep, 0, sizeof(*ep));
    vmops_arena_init(&arena, memory, sizeof(memory));
    vmops_json_error_init(&err, "");

    if (vmops_json_parse(&root, &arena, json) != VMOPS_JSON_OK
        || vmops_json_check(root, endpoint_fields,
                            sizeof(endpoint_fields)
                            / sizeof(endpoint_fields[0]), 0, &err) != 0)
    {
        return -1;
    }

    return fill(ep, root);
}


int
endpoint_set_host(endpoint_t *ep, const char *text)
{
    vmops_span_t  s = vmops_span_str(text);

    if (!vmops_pattern_match(VMOPS_P_HOSTNAME, s)) {
        return -1;
    }

    return text_copy(ep->host, sizeof(ep->host), s);
}


int
endpoint_set_port(endpoint_t *ep, const char *text)
{
    uint64_t  n;

    if (vmops_dec_parse(vmops_span_str(text), 65535, &n) != 0 || n == 0) {
        return -1;
    }

    ep->port = (uint16_t) n;

    return 0;
}


/* The next item of a list with commas; 0 at its end. */

static int
next_item(const char **p, vmops_span_t *item)
{
    size_t  n;

    if (*p == NULL) {
        return 0;
    }

    n = strcspn(*p, ",");
    *item = vmops_span(*p, n);
    *p = (*p)[n] == ',' ? *p + n + 1 : NULL;

    return 1;
}


int
endpoint_set_classes(endpoint_t *ep, const char *text)
{
    int           bit;
    vmops_span_t  item;

    ep->has_classes = 1;
    ep->classes = 0;

    while (next_item(&text, &item)) {
        bit = vmops_class_find(item);
        if (bit < 0) {
            return -1;
        }
        ep->classes |= (uint64_t) bit;
    }

    return 0;
}


int
endpoint_set_vmids(endpoint_t *ep, const char *text)
{
    uint64_t        from, to;
    vmops_span_t    item, last;
    const uint8_t  *dash;

    ep->vmids_n = 0;

    while (next_item(&text, &item)) {
        dash = memchr(item.p, '-', item.n);
        last = item;

        if (dash != NULL) {
            last = vmops_span(dash + 1, item.n - (size_t) (dash - item.p) - 1);
            item.n = (size_t) (dash - item.p);
        }

        if (ep->vmids_n == ENDPOINT_VMIDS_MAX
            || vmops_dec_parse(item, VMOPS_VMID_MAX, &from) != 0
            || vmops_dec_parse(last, VMOPS_VMID_MAX, &to) != 0
            || from < VMOPS_VMID_MIN || from > to)
        {
            return -1;
        }

        vmops_put_u32(ep->vmids + ep->vmids_n * 8, (uint32_t) from);
        vmops_put_u32(ep->vmids + ep->vmids_n * 8 + 4, (uint32_t) to);
        ep->vmids_n++;
    }

    return 0;
}


int
endpoint_pin_parse(uint8_t pin[32], vmops_span_t text)
{
    size_t   len;
    uint8_t  bytes[33];

    if (text.n != ENDPOINT_PIN_TEXT || memcmp(text.p, "sha256//", 8) != 0
        || vmops_b64_decode(bytes, sizeof(bytes), &len,
                            vmops_span(text.p + 8, text.n - 8)) != 0
        || len != 32)
    {
        return -1;
    }

    memcpy(pin, bytes, 32);

    return 0;
}


void
endpoint_pin_format(char out[ENDPOINT_PIN_TEXT + 1], const uint8_t pin[32])
{
    memcpy(out, "sha256//", 8);
    vmops_b64_encode(out + 8, pin, 32);
    out[ENDPOINT_PIN_TEXT] = '\0';
}
