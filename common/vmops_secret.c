/*
 * The plaintext of a secret envelope: TLVs, their rules, padding
 * (docs/protocol.md, The secret envelope).
 */

#include <sodium.h>

#include "vmops_envelope.h"
#include "vmops_banned.h"


#define PLAINTEXT_VERSION  1

#define KIND(number)   (1u << (number))
#define PROXMOX        (KIND(1) | KIND(2))
#define SSH            (KIND(3) | KIND(4))
#define SYNCTHING      (KIND(5) | KIND(6))
#define ALL_KINDS      (PROXMOX | SSH | SYNCTHING | KIND(7))


typedef enum {
    T_USER = 0, T_SECRET, T_PASSPHRASE, T_HOST, T_PORT, T_PIN, T_PIN_NEXT,
    T_SSH_KEY, T_VIA, T_SCHEME, T_CLASSES, T_NOT_AFTER, T_VMIDS, T_MAX
} tlv_index_t;


/* ascending, as in the plaintext; size 0: any but none */

static const struct {
    uint16_t  tag;
    uint8_t   size;
    unsigned  required;     /* kinds */
    unsigned  allowed;
} tlvs[T_MAX] = {
    [T_USER]       = { 0x0001,  0, PROXMOX | SSH | KIND(6), ALL_KINDS },
    [T_SECRET]     = { 0x0002,  0, ALL_KINDS, ALL_KINDS },
    [T_PASSPHRASE] = { 0x0003,  0, 0, KIND(4) },
    [T_HOST]       = { 0x0010,  0, ALL_KINDS & ~KIND(7), ALL_KINDS },
    [T_PORT]       = { 0x0011,  2, ALL_KINDS & ~KIND(7), ALL_KINDS },
    [T_PIN]        = { 0x0012, 32, 0, ALL_KINDS },      /* see check_all() */
    [T_PIN_NEXT]   = { 0x0013, 32, 0, ALL_KINDS },
    [T_SSH_KEY]    = { 0x0014, 32, SSH, ALL_KINDS },
    [T_VIA]        = { 0x0015, 16, 0, SYNCTHING },
    [T_SCHEME]     = { 0x0016,  2, 0, SYNCTHING },
    [T_CLASSES]    = { 0x0020,  8, 0, ALL_KINDS },
    [T_NOT_AFTER]  = { 0x0021,  8, 0, ALL_KINDS },
    [T_VMIDS]      = { 0x0022,  0, 0, ALL_KINDS }
};


int
vmops_host_is_loopback(vmops_span_t host)
{
    size_t    i, part;
    uint64_t  v;

    if (vmops_span_is(host, "localhost") || vmops_span_is(host, "::1")
        || vmops_span_is(host, "[::1]"))
    {
        return 1;
    }

    if (host.n < 9 || memcmp(host.p, "127.", 4) != 0) {
        return 0;
    }

    host = vmops_span(host.p + 4, host.n - 4);

    for (part = 0; part < 3; part++) {
        for (i = 0; i < host.n && host.p[i] != '.'; i++) { /* void */ }

        if (vmops_dec_parse(vmops_span(host.p, i), 255, &v) != 0
            || (part < 2) != (i < host.n))
        {
            return 0;
        }

        if (part < 2) {
            host = vmops_span(host.p + i + 1, host.n - i - 1);
        }
    }

    return 1;
}


static int
is_zero_terminable(vmops_span_t s)
{
    return s.n == 0 || memchr(s.p, '\0', s.n) == NULL;
}


static int
check_vmids(vmops_span_t pairs)
{
    size_t  i;

    if (pairs.n % 8 != 0) {
        return -1;
    }

    for (i = 0; i < pairs.n; i += 8) {
        if (vmops_get_u32(pairs.p + i) > vmops_get_u32(pairs.p + i + 4)) {
            return -1;
        }
    }

    return 0;
}


/* the rules between fields, on what both directions have in common */

static int
check_all(unsigned kind, const vmops_span_t v[T_MAX])
{
    size_t    i;
    unsigned  bit, scheme;

    bit = KIND(kind);

    for (i = 0; i < T_MAX; i++) {
        if (v[i].p == NULL) {
            if (tlvs[i].required & bit) {
                return -1;
            }
            continue;
        }

        if (!(tlvs[i].allowed & bit) || v[i].n == 0
            || (tlvs[i].size != 0 && v[i].n != tlvs[i].size))
        {
            return -1;
        }
    }

    scheme = v[T_SCHEME].p != NULL ? vmops_get_u16(v[T_SCHEME].p)
                                   : VMOPS_SCHEME_HTTPS;

    if (scheme != VMOPS_SCHEME_HTTPS && scheme != VMOPS_SCHEME_HTTP) {
        return -1;
    }

    if ((bit & (PROXMOX | SYNCTHING)) && scheme == VMOPS_SCHEME_HTTPS
        && v[T_PIN].p == NULL)
    {
        return -1;
    }

    if (scheme == VMOPS_SCHEME_HTTP && v[T_VIA].p == NULL
        && !vmops_host_is_loopback(v[T_HOST]))
    {
        return -1;
    }

    if ((v[T_PORT].p != NULL && vmops_get_u16(v[T_PORT].p) == 0)
        || (v[T_CLASSES].p != NULL
            && (vmops_get_u64(v[T_CLASSES].p)
                & ~(uint64_t) VMOPS_CLASSES_ALL) != 0)
        || (v[T_VMIDS].p != NULL && check_vmids(v[T_VMIDS]) != 0))
    {
        return -1;
    }

    /* both end up in C strings of other libraries */
    return is_zero_terminable(v[T_USER]) && is_zero_terminable(v[T_HOST])
           ? 0 : -1;
}


static size_t
block_of(size_t unpadded)
{
    return unpadded <= VMOPS_SECRET_PAD_SMALL_MAX ? VMOPS_SECRET_PAD
                                                  : VMOPS_SECRET_PAD_LARGE;
}


vmops_envelope_rc_t
vmops_secret_encode(uint8_t *buf, size_t cap, size_t *n, unsigned kind,
    const vmops_secret_t *s)
{
    size_t        i;
    uint8_t       port[2], scheme[2], classes[8], not_after[8];
    vmops_buf_t   b;
    vmops_span_t  v[T_MAX] = {
        [T_USER] = s->user, [T_SECRET] = s->secret,
        [T_PASSPHRASE] = s->passphrase, [T_HOST] = s->host,
        [T_PIN] = s->tls_pin, [T_PIN_NEXT] = s->tls_pin_next,
        [T_SSH_KEY] = s->ssh_host_key, [T_VIA] = s->via, [T_VMIDS] = s->vmids
    };

    vmops_put_u16(port, s->port);
    vmops_put_u16(scheme, s->scheme);
    vmops_put_u64(classes, s->classes);
    vmops_put_u64(not_after, s->not_after_ms);

    v[T_PORT] = vmops_span(s->port ? port : NULL, 2);
    v[T_SCHEME] = vmops_span(s->scheme ? scheme : NULL, 2);
    v[T_CLASSES] = vmops_span(s->has_classes ? classes : NULL, 8);
    v[T_NOT_AFTER] = vmops_span(s->has_not_after ? not_after : NULL, 8);

    if (vmops_kind_name(kind) == NULL || check_all(kind, v) != 0) {
        return VMOPS_ENV_MALFORMED;
    }

    if (cap > VMOPS_SECRET_PLAINTEXT_MAX) {
        cap = VMOPS_SECRET_PLAINTEXT_MAX;
    }

    vmops_buf_init(&b, buf, cap);
    vmops_buf_u16(&b, PLAINTEXT_VERSION);

    for (i = 0; i < T_MAX; i++) {
        if (v[i].p != NULL) {
            vmops_buf_u16(&b, tlvs[i].tag);
            vmops_buf_u32(&b, (uint32_t) v[i].n);
            vmops_buf_span(&b, v[i]);
        }
    }

    if (b.overflow || sodium_pad(n, buf, b.n, block_of(b.n), cap) != 0) {
        sodium_memzero(buf, cap);
        return VMOPS_ENV_SIZE;
    }

    return VMOPS_ENV_OK;
}


/* TLVs into v: known tags, strictly ascending, lengths within the text */

static int
split(vmops_span_t v[T_MAX], vmops_span_t s)
{
    size_t    i, next;
    uint16_t  tag;
    uint32_t  len;

    next = 0;

    while (s.n > 0) {
        if (s.n < 6) {
            return -1;
        }

        tag = vmops_get_u16(s.p);
        len = vmops_get_u32(s.p + 2);

        for (i = next; i < T_MAX && tlvs[i].tag != tag; i++) { /* void */ }

        if (i == T_MAX || len > s.n - 6) {
            return -1;
        }

        v[i] = vmops_span(s.p + 6, len);
        next = i + 1;
        s = vmops_span(s.p + 6 + len, s.n - 6 - len);
    }

    return 0;
}


/*
 * Above 4352 bytes the block is 1024, and then what was padded was above
 * 4096, too: each plaintext has one padded form.
 */

static int
unpad(size_t *n, vmops_span_t padded)
{
    size_t  block;

    block = padded.n <= VMOPS_SECRET_PAD_SMALL_MAX + VMOPS_SECRET_PAD
            ? VMOPS_SECRET_PAD : VMOPS_SECRET_PAD_LARGE;

    if (padded.n == 0 || padded.n > VMOPS_SECRET_PLAINTEXT_MAX
        || padded.n % block != 0
        || sodium_unpad(n, padded.p, padded.n, block) != 0)
    {
        return -1;
    }

    return block_of(*n) == block ? 0 : -1;
}


vmops_envelope_rc_t
vmops_secret_decode(vmops_secret_t *s, unsigned kind, vmops_span_t padded)
{
    size_t        n;
    vmops_span_t  v[T_MAX];

    memset(v, 0, sizeof(v));
    memset(s, 0, sizeof(*s));

    if (vmops_kind_name(kind) == NULL
        || unpad(&n, padded) != 0
        || n < 2 || vmops_get_u16(padded.p) != PLAINTEXT_VERSION
        || split(v, vmops_span(padded.p + 2, n - 2)) != 0
        || check_all(kind, v) != 0)
    {
        return VMOPS_ENV_MALFORMED;
    }

    s->user = v[T_USER];
    s->secret = v[T_SECRET];
    s->passphrase = v[T_PASSPHRASE];
    s->host = v[T_HOST];
    s->port = v[T_PORT].p ? vmops_get_u16(v[T_PORT].p) : 0;
    s->tls_pin = v[T_PIN];
    s->tls_pin_next = v[T_PIN_NEXT];
    s->ssh_host_key = v[T_SSH_KEY];
    s->via = v[T_VIA];
    s->scheme = v[T_SCHEME].p ? vmops_get_u16(v[T_SCHEME].p) : 0;
    s->has_classes = v[T_CLASSES].p != NULL;
    s->classes = s->has_classes ? vmops_get_u64(v[T_CLASSES].p) : 0;
    s->has_not_after = v[T_NOT_AFTER].p != NULL;
    s->not_after_ms = s->has_not_after ? vmops_get_u64(v[T_NOT_AFTER].p) : 0;
    s->vmids = v[T_VMIDS];

    return VMOPS_ENV_OK;
}


int
vmops_secret_allows_class(const vmops_secret_t *s, uint64_t class_bit)
{
    return !s->has_classes || (s->classes & class_bit) != 0;
}


int
vmops_secret_allows_vmid(const vmops_secret_t *s, uint32_t vmid)
{
    size_t  i;

    if (s->vmids.p == NULL) {
        return 1;
    }

    for (i = 0; i + 8 <= s->vmids.n; i += 8) {
        if (vmid >= vmops_get_u32(s->vmids.p + i)
            && vmid <= vmops_get_u32(s->vmids.p + i + 4))
        {
            return 1;
        }
    }

    return 0;
}


int
vmops_secret_allows_time(const vmops_secret_t *s, uint64_t now_ms)
{
    return !s->has_not_after || now_ms <= s->not_after_ms;
}


int
vmops_secret_via_is(const vmops_secret_t *s, const vmops_uuid_t *via)
{
    if (s->via.p == NULL || via == NULL) {
        return s->via.p == NULL && via == NULL;
    }

    return memcmp(s->via.p, via->b, 16) == 0;
}
