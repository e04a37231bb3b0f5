/*
 * UUIDs, secret references and times, as text.
 */

#include "vmops_bytes.h"
#include "vmops_banned.h"


/* where the groups of 8-4-4-4-12 begin: in hex digits, and their lengths */

static const struct {
    uint8_t  at;
    uint8_t  byte;
    uint8_t  bytes;
} uuid_groups[] = {
    { 0, 0, 4 }, { 9, 4, 2 }, { 14, 6, 2 }, { 19, 8, 2 }, { 24, 10, 6 }
};


int
vmops_uuid_parse(vmops_uuid_t *u, vmops_span_t text)
{
    size_t  i;

    if (text.n != VMOPS_UUID_TEXT) {
        return -1;
    }

    for (i = 0; i < 5; i++) {
        if (i > 0 && text.p[uuid_groups[i].at - 1] != '-') {
            return -1;
        }

        if (vmops_hex_decode(u->b + uuid_groups[i].byte, uuid_groups[i].bytes,
                             vmops_span(text.p + uuid_groups[i].at,
                                        2u * uuid_groups[i].bytes))
            != 0)
        {
            return -1;
        }
    }

    return 0;
}


void
vmops_uuid_format(char out[VMOPS_UUID_TEXT + 1], const vmops_uuid_t *u)
{
    size_t  i;

    for (i = 0; i < 5; i++) {
        if (i > 0) {
            out[uuid_groups[i].at - 1] = '-';
        }

        vmops_hex_encode(out + uuid_groups[i].at, u->b + uuid_groups[i].byte,
                         uuid_groups[i].bytes);
    }

    out[VMOPS_UUID_TEXT] = '\0';
}


void
vmops_uuid_v7(vmops_uuid_t *u, uint64_t ms, const uint8_t random[10])
{
    uint8_t  be[8];

    vmops_put_u64(be, ms);
    memcpy(u->b, be + 2, 6);
    memcpy(u->b + 6, random, 10);

    u->b[6] = (uint8_t) ((u->b[6] & 0x0f) | 0x70);
    u->b[8] = (uint8_t) ((u->b[8] & 0x3f) | 0x80);
}


int
vmops_secret_ref_parse(vmops_uuid_t *u, vmops_span_t text)
{
    if (text.n != VMOPS_SECRET_REF_TEXT || memcmp(text.p, "sec_", 4) != 0) {
        return -1;
    }

    return vmops_hex_decode(u->b, 16, vmops_span(text.p + 4, 32));
}


void
vmops_secret_ref_format(char out[VMOPS_SECRET_REF_TEXT + 1],
    const vmops_uuid_t *u)
{
    memcpy(out, "sec_", 4);
    vmops_hex_encode(out + 4, u->b, 16);
    out[VMOPS_SECRET_REF_TEXT] = '\0';
}


/*
 * Days from civil date and back in the proleptic Gregorian calendar, with
 * years that begin in March so that the leap day comes last.
 */

static int64_t
days_from_date(int64_t year, int64_t month, int64_t day)
{
    int64_t  era, yoe, doy;

    year -= month <= 2;
    era = year / 400;
    yoe = year - era * 400;
    doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}


static void
date_from_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    int64_t  era, doe, yoe, doy, mp;

    days += 719468;
    era = days / 146097;
    doe = days - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (5 * doy + 2) / 153;

    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = yoe + era * 400 + (*month <= 2);
}


static void
digits_put(char *p, int64_t v, size_t n)
{
    while (n > 0) {
        p[--n] = (char) ('0' + v % 10);
        v /= 10;
    }
}


#define TIME_MS_MAX  INT64_C(253402300799999)   /* 9999-12-31T23:59:59.999Z */


void
vmops_time_format(char out[VMOPS_TIME_TEXT + 1], int64_t ms)
{
    int64_t  year, month, day, rest;

    ms = ms < 0 ? 0 : ms > TIME_MS_MAX ? TIME_MS_MAX : ms;
    rest = ms % 86400000;
    date_from_days(ms / 86400000, &year, &month, &day);

    memcpy(out, "0000-00-00T00:00:00.000Z", VMOPS_TIME_TEXT + 1);
    digits_put(out, year, 4);
    digits_put(out + 5, month, 2);
    digits_put(out + 8, day, 2);
    digits_put(out + 11, rest / 3600000, 2);
    digits_put(out + 14, rest / 60000 % 60, 2);
    digits_put(out + 17, rest / 1000 % 60, 2);
    digits_put(out + 20, rest % 1000, 3);
}


/* n digits at the front of s as a number within min ... max */

static int
digits_get(vmops_span_t *s, size_t n, int64_t min, int64_t max, int64_t *v)
{
    size_t  i;

    if (s->n < n) {
        return -1;
    }

    *v = 0;

    for (i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9') {
            return -1;
        }
        *v = *v * 10 + (s->p[i] - '0');
    }

    s->p += n;
    s->n -= n;

    return *v >= min && *v <= max ? 0 : -1;
}


static int
char_get(vmops_span_t *s, char c)
{
    if (s->n == 0 || s->p[0] != (uint8_t) c) {
        return -1;
    }

    s->p++;
    s->n--;
    return 0;
}


static int
fraction_get(vmops_span_t *s, int64_t *ms)
{
    size_t   n;
    int64_t  scale;

    *ms = 0;
    scale = 100;

    for (n = 0; s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9'; n++) {
        *ms += (s->p[0] - '0') * scale;
        scale /= 10;
        s->p++;
        s->n--;
    }

    return n >= 1 && n <= 9 ? 0 : -1;
}


static int
offset_get(vmops_span_t *s, int64_t *minutes)
{
    int64_t  sign, hours, rest;

    *minutes = 0;

    if (char_get(s, 'Z') == 0) {
        return 0;
    }

    sign = char_get(s, '+') == 0 ? 1 : char_get(s, '-') == 0 ? -1 : 0;

    if (sign == 0
        || digits_get(s, 2, 0, 23, &hours) != 0
        || char_get(s, ':') != 0
        || digits_get(s, 2, 0, 59, &rest) != 0)
    {
        return -1;
    }

    *minutes = sign * (hours * 60 + rest);
    return 0;
}


static int64_t
month_days(int64_t year, int64_t month)
{
    int                   leap;
    static const uint8_t  days[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}


int
vmops_time_parse(int64_t *ms, vmops_span_t s)
{
    int64_t  year, month, day, hour, minute, second, fraction, offset;

    fraction = 0;

    if (digits_get(&s, 4, 1970, 9999, &year) != 0
        || char_get(&s, '-') != 0
        || digits_get(&s, 2, 1, 12, &month) != 0
        || char_get(&s, '-') != 0
        || digits_get(&s, 2, 1, month_days(year, month), &day) != 0
        || char_get(&s, 'T') != 0
        || digits_get(&s, 2, 0, 23, &hour) != 0
        || char_get(&s, ':') != 0
        || digits_get(&s, 2, 0, 59, &minute) != 0
        || char_get(&s, ':') != 0
        || digits_get(&s, 2, 0, 59, &second) != 0
        || (char_get(&s, '.') == 0 && fraction_get(&s, &fraction) != 0)
        || offset_get(&s, &offset) != 0
        || s.n != 0)
    {
        return -1;
    }

    *ms = ((days_from_date(year, month, day) * 24 + hour) * 60 + minute
           - offset) * 60000
          + second * 1000 + fraction;

    return *ms >= 0 && *ms <= TIME_MS_MAX ? 0 : -1;
}
