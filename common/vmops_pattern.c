/*
 * The named patterns of the documents.
 */

#include "vmops_bytes.h"
#include "vmops_utf8.h"
#include "vmops_banned.h"


#define C_LOWER   1
#define C_UPPER   2
#define C_DIGIT   4
#define C_DASH    8
#define C_DOT     16
#define C_UNDER   32
#define C_PLUS    64
#define C_COLON   128
#define C_ALNUM   (C_LOWER|C_UPPER|C_DIGIT)


typedef struct {
    size_t        min;
    size_t        max;
    unsigned      first;        /* character classes of the first byte, */
    unsigned      rest;         /* of those in between, */
    unsigned      last;         /* and of the last */
    int         (*check)(vmops_span_t s);
    const char   *regex;
} pattern_t;


static int check_uuid(vmops_span_t s);
static int check_uuid7(vmops_span_t s);
static int check_tenant(vmops_span_t s);
static int check_secret_ref(vmops_span_t s);
static int check_b64u(vmops_span_t s);
static int check_hostname(vmops_span_t s);
static int check_dotted(vmops_span_t s);
static int check_key_id(vmops_span_t s);
static int check_command_key_id(vmops_span_t s);
static int check_subject(vmops_span_t s);
static int check_time(vmops_span_t s);
static int check_text(vmops_span_t s);
static int check_hex64(vmops_span_t s);


/* without character classes the check alone decides */

static const pattern_t  patterns[VMOPS_P_MAX_] = {

    [VMOPS_P_NONE] = { 0, SIZE_MAX, 0, 0, 0, NULL, NULL },

    [VMOPS_P_UUID] = { VMOPS_UUID_TEXT, VMOPS_UUID_TEXT, 0, 0, 0, check_uuid,
        "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" },

    [VMOPS_P_UUID7] = { VMOPS_UUID_TEXT, VMOPS_UUID_TEXT, 0, 0, 0, check_uuid7,
        "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-"
        "[0-9a-f]{12}$" },

    [VMOPS_P_TENANT] = { 1, VMOPS_TENANT_MAX,
        C_LOWER|C_DIGIT, C_LOWER|C_DIGIT|C_DASH, C_LOWER|C_DIGIT,
        check_tenant, "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$" },

    [VMOPS_P_SECRET_REF] = { VMOPS_SECRET_REF_TEXT, VMOPS_SECRET_REF_TEXT,
        0, 0, 0, check_secret_ref, "^sec_[0-9a-f]{32}$" },

    [VMOPS_P_B64U] = { 0, SIZE_MAX, 0, 0, 0, check_b64u,
        "^[A-Za-z0-9_-]*$" },

    [VMOPS_P_BOT_ID] = { 1, VMOPS_BOT_ID_MAX,
        C_ALNUM|C_DOT|C_UNDER|C_DASH, C_ALNUM|C_DOT|C_UNDER|C_DASH,
        C_ALNUM|C_DOT|C_UNDER|C_DASH, NULL, "^[A-Za-z0-9._-]{1,64}$" },

    [VMOPS_P_NODE] = { 1, VMOPS_NODE_MAX,
        C_LOWER|C_DIGIT|C_DASH, C_LOWER|C_DIGIT|C_DASH,
        C_LOWER|C_DIGIT|C_DASH, NULL, "^[a-z0-9-]{1,63}$" },

    [VMOPS_P_HOSTNAME] = { 1, VMOPS_HOSTNAME_MAX, 0, 0, 0, check_hostname,
        "^[A-Za-z0-9.:_-]{1,253}$" },

    [VMOPS_P_VM_NAME] = { 1, VMOPS_NAME_MAX,
        C_ALNUM, C_ALNUM|C_DASH|C_DOT, C_ALNUM, check_dotted,
        "^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$" },

    [VMOPS_P_KEY_ID] = { VMOPS_KEY_ID_TEXT, VMOPS_KEY_ID_TEXT, 0, 0, 0,
        check_key_id, "^k1[0-9a-f]{32}$" },

    [VMOPS_P_COMMAND_KEY_ID] = { VMOPS_KEY_ID_TEXT, VMOPS_KEY_ID_TEXT, 0, 0, 0,
        check_command_key_id, "^c1[0-9a-f]{32}$" },

    [VMOPS_P_ACTION] = { 1, VMOPS_ACTION_NAME_MAX,
        C_LOWER, C_LOWER|C_DIGIT|C_DASH, C_LOWER|C_DIGIT, NULL,
        "^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$" },

    [VMOPS_P_CODE] = { 1, VMOPS_CODE_MAX,
        C_LOWER, C_LOWER|C_DIGIT|C_UNDER, C_LOWER|C_DIGIT|C_UNDER, NULL,
        "^[a-z][a-z0-9_]{0,63}$" },

    [VMOPS_P_SUBJECT] = { 1, VMOPS_SUBJECT_MAX, 0, 0, 0, check_subject,
        "^[!-~]{1,128}$" },

    [VMOPS_P_VERSION] = { 1, VMOPS_VERSION_MAX,
        C_ALNUM, C_ALNUM|C_DOT|C_DASH|C_PLUS, C_ALNUM, NULL,
        "^[A-Za-z0-9]([A-Za-z0-9.+-]{0,30}[A-Za-z0-9])?$" },

    [VMOPS_P_TIME] = { 20, 35, 0, 0, 0, check_time, NULL },

    [VMOPS_P_TEXT] = { 0, SIZE_MAX, 0, 0, 0, check_text, NULL },

    [VMOPS_P_HEX64] = { 64, 64, 0, 0, 0, check_hex64, "^[0-9a-f]{64}$" },
};


static unsigned
char_class(uint8_t c)
{
    if (c >= 'a' && c <= 'z') {
        return C_LOWER;
    }

    if (c >= 'A' && c <= 'Z') {
        return C_UPPER;
    }

    if (c >= '0' && c <= '9') {
        return C_DIGIT;
    }

    switch (c) {
    case '-':
        return C_DASH;
    case '.':
        return C_DOT;
    case '_':
        return C_UNDER;
    case '+':
        return C_PLUS;
    case ':':
        return C_COLON;
    default:
        return 0;
    }
}


static int
all_of(vmops_span_t s, unsigned classes)
{
    size_t  i;

    for (i = 0; i < s.n; i++) {
        if ((char_class(s.p[i]) & classes) == 0) {
            return 0;
        }
    }

    return 1;
}


int
vmops_pattern_match(vmops_pattern_t pattern, vmops_span_t s)
{
    const pattern_t  *p;

    p = &patterns[pattern];

    if (s.n < p->min || s.n > p->max) {
        return 0;
    }

    if (p->first != 0
        && ((char_class(s.p[0]) & p->first) == 0
            || !all_of(s, p->first|p->rest|p->last)
            || (s.n > 1 && (char_class(s.p[s.n - 1]) & p->last) == 0)
            || (s.n > 2 && !all_of(vmops_span(s.p + 1, s.n - 2), p->rest))))
    {
        return 0;
    }

    return p->check == NULL || p->check(s);
}


const char *
vmops_pattern_regex(vmops_pattern_t pattern)
{
    return patterns[pattern].regex;
}


static int
check_uuid(vmops_span_t s)
{
    vmops_uuid_t  u;

    return vmops_uuid_parse(&u, s) == 0;
}


/* version 7 and the variant of RFC 9562 */

static int
check_uuid7(vmops_span_t s)
{
    vmops_uuid_t  u;

    return vmops_uuid_parse(&u, s) == 0
           && u.b[6] >> 4 == 7 && u.b[8] >> 6 == 2;
}


static int
check_tenant(vmops_span_t s)
{
    return !vmops_span_is(s, "platform");
}


static int
check_secret_ref(vmops_span_t s)
{
    vmops_uuid_t  u;

    return vmops_secret_ref_parse(&u, s) == 0;
}


static int
check_b64u(vmops_span_t s)
{
    size_t   i, len;
    uint8_t  tail[3];

    for (i = 0; i < s.n; i++) {
        if ((char_class(s.p[i]) & (C_ALNUM|C_DASH|C_UNDER)) == 0) {
            return 0;
        }
    }

    i = s.n - s.n % 4;      /* only the last group can be non-canonical */

    return vmops_b64u_decode(tail, sizeof(tail), &len,
                             vmops_span(s.p + i, s.n - i))
           == 0;
}


/* a name of RFC 1123 labels (underscores tolerated), or an IPv6 literal */

static int
check_hostname(vmops_span_t s)
{
    if (memchr(s.p, ':', s.n) != NULL) {
        return all_of(s, C_LOWER|C_UPPER|C_DIGIT|C_COLON|C_DOT);
    }

    return all_of(s, C_ALNUM|C_DASH|C_DOT|C_UNDER) && check_dotted(s);
}


/* labels between dots are not empty and do not begin or end with `-` */

static int
check_dotted(vmops_span_t s)
{
    size_t  i, start;

    start = 0;

    for (i = 0; i <= s.n; i++) {
        if (i < s.n && s.p[i] != '.') {
            continue;
        }

        if (i == start || i - start > 63
            || s.p[start] == '-' || s.p[i - 1] == '-')
        {
            return 0;
        }

        start = i + 1;
    }

    return 1;
}


static int
prefixed_hex(vmops_span_t s, const char *prefix)
{
    uint8_t  bytes[16];

    return memcmp(s.p, prefix, 2) == 0
           && vmops_hex_decode(bytes, 16, vmops_span(s.p + 2, 32)) == 0;
}


static int
check_key_id(vmops_span_t s)
{
    return prefixed_hex(s, "k1");
}


static int
check_command_key_id(vmops_span_t s)
{
    return prefixed_hex(s, "c1");
}


static int
check_subject(vmops_span_t s)
{
    size_t  i;

    for (i = 0; i < s.n; i++) {
        if (s.p[i] < 0x21 || s.p[i] > 0x7e) {
            return 0;
        }
    }

    return 1;
}


static int
check_time(vmops_span_t s)
{
    int64_t  ms;

    return vmops_time_parse(&ms, s) == 0;
}


static int
check_text(vmops_span_t s)
{
    size_t  i;

    for (i = 0; i < s.n; i++) {
        if (s.p[i] < 0x20 || s.p[i] == 0x7f
            || (s.p[i] == 0xc2 && i + 1 < s.n && s.p[i + 1] < 0xa0))
        {
            return 0;
        }
    }

    return vmops_utf8_valid(s);
}


static int
check_hex64(vmops_span_t s)
{
    uint8_t  bytes[32];

    return vmops_hex_decode(bytes, 32, s) == 0;
}
