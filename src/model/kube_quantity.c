/* SPDX-License-Identifier: Apache-2.0
 *
 * See kube_quantity.h. Pure; any thread. Kubernetes keeps a quantity as a
 * 64-bit integer with a decimal scale where it can and as a big decimal where
 * it cannot; only the former has an AsInt64, so where that border lies is part
 * of the meaning.
 */
#include "model/kube_quantity.h"

#include <string.h>

#define DIGITS_DECIMAL 18 /* maxInt64Factors */
#define DIGITS_BINARY 15
#define SCALE_MIN (-9)

struct digits {
    const char *at;
    size_t n;
};

struct spelling {
    bool negative;
    struct digits whole, fraction; /* leading zeros of whole are stripped */
    const char *suffix, *end;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct digits take_digits(const char **p, const char *end)
{
    struct digits d = {.at = *p};
    while (*p < end && is_digit(**p))
        (*p)++;
    d.n = (size_t)(*p - d.at);
    return d;
}

/* A number may lack its whole part or its fraction, but not both. */
static bool spell(const char *text, size_t len, struct spelling *ret)
{
    const char *p = text, *end = text + len;
    size_t zeros;
    if (p < end && (*p == '-' || *p == '+'))
        ret->negative = *p++ == '-';
    for (zeros = 0; p < end && *p == '0'; zeros++)
        p++;
    ret->whole = take_digits(&p, end);
    if (p < end && *p == '.') {
        p++;
        ret->fraction = take_digits(&p, end);
    }
    ret->suffix = p;
    ret->end = end;
    return zeros + ret->whole.n + ret->fraction.n > 0;
}

/* The exponent behind e or E. Far values are cut: nothing survives them. */
static bool parse_exponent(const char *p, const char *end, int *ret)
{
    bool negative = false;
    int value = 0;
    if (p < end && (*p == '-' || *p == '+'))
        negative = *p++ == '-';
    if (p == end)
        return false;
    for (; p < end; p++) {
        if (!is_digit(*p))
            return false;
        if (value < 100000)
            value = value * 10 + (*p - '0');
    }
    *ret = negative ? -value : value;
    return true;
}

/* Either a power of two or a power of ten. */
static bool parse_suffix(const char *suffix, const char *end, int *ret_two, int *ret_ten)
{
    static const struct {
        char text[3];
        int two, ten;
    } rows[] = {{"", 0, 0},    {"n", 0, -9},  {"u", 0, -6},  {"m", 0, -3}, {"k", 0, 3},   {"M", 0, 6},
                {"G", 0, 9},   {"T", 0, 12},  {"P", 0, 15},  {"E", 0, 18}, {"Ki", 10, 0}, {"Mi", 20, 0},
                {"Gi", 30, 0}, {"Ti", 40, 0}, {"Pi", 50, 0}, {"Ei", 60, 0}};
    size_t len = (size_t)(end - suffix);
    *ret_two = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (len == strlen(rows[i].text) && memcmp(suffix, rows[i].text, len) == 0) {
            *ret_two = rows[i].two;
            *ret_ten = rows[i].ten;
            return true;
        }
    return len > 1 && (*suffix == 'e' || *suffix == 'E') && parse_exponent(suffix + 1, end, ret_ten);
}

static bool append_digits(struct digits d, int64_t *value)
{
    for (size_t i = 0; i < d.n; i++)
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, d.at[i] - '0', value))
            return false;
    return true;
}

static bool scale_up(int64_t *value, int ten)
{
    for (int i = 0; i < ten && *value; i++)
        if (__builtin_mul_overflow(*value, 10, value))
            return false;
    return true;
}

static enum kube_quantity binary(const struct spelling *s, int two, int64_t *ret)
{
    int64_t value = 0;
    if (s->fraction.n)
        return KUBE_QUANTITY_FRACTION;
    if (DIGITS_BINARY - (int)s->whole.n - two * 3 / 10 - 1 < 0)
        return KUBE_QUANTITY_LARGE;
    if (!append_digits(s->whole, &value) || __builtin_mul_overflow(value, INT64_C(1) << two, &value))
        return KUBE_QUANTITY_LARGE;
    *ret = value;
    return KUBE_QUANTITY_INTEGER;
}

static enum kube_quantity decimal(const struct spelling *s, int ten, int64_t *ret)
{
    int64_t value = 0;
    int scale = ten - (int)s->fraction.n;
    if (scale < 0)
        return KUBE_QUANTITY_FRACTION;
    if (s->whole.n + s->fraction.n > DIGITS_DECIMAL)
        return KUBE_QUANTITY_LARGE;
    if (!append_digits(s->whole, &value) || !append_digits(s->fraction, &value) || !scale_up(&value, scale))
        return KUBE_QUANTITY_LARGE;
    *ret = value;
    return KUBE_QUANTITY_INTEGER;
}

static void trim(const char **text, size_t *len)
{
    static const char blanks[] = " \t\n\r";
    while (*len && memchr(blanks, **text, sizeof blanks - 1))
        (*text)++, (*len)--;
    while (*len && memchr(blanks, (*text)[*len - 1], sizeof blanks - 1))
        (*len)--;
}

enum kube_quantity kube_quantity_parse(const char *text, size_t len, int64_t *ret)
{
    struct spelling s = {0};
    int two, ten = 0;
    int64_t value = 0;
    trim(&text, &len);
    /* a document may hold a number of any length, no honest one is longer */
    if (len == 0 || len > 4096 || !spell(text, len, &s) || !parse_suffix(s.suffix, s.end, &two, &ten))
        return KUBE_QUANTITY_MALFORMED;
    enum kube_quantity kind = two ? binary(&s, two, &value) : decimal(&s, ten, &value);
    if (kind == KUBE_QUANTITY_INTEGER)
        *ret = s.negative ? -value : value;
    return kind;
}

bool kube_quantity_has_suffix(const char *text, size_t len)
{
    int64_t value;
    trim(&text, &len);
    for (size_t i = 0; i < len; i++)
        if ((text[i] | 0x20) >= 'a' && (text[i] | 0x20) <= 'z')
            return true;
    return kube_quantity_parse(text, len, &value) == KUBE_QUANTITY_INTEGER && value && value % 1000 == 0;
}
