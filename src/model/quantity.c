/* SPDX-License-Identifier: Apache-2.0
 *
 * See quantity.h. Pure; any thread.
 */
#include "model/quantity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

/* digits[.digits], as an integer over a power of ten. */
struct decimal {
    uint64_t value;
    uint64_t scale;
    const char *rest;
};

#define DURATION_MAX_MS (UINT64_C(366) * 86400000)

static const char not_a_number[] = "is not a number";
static const char too_large[] = "is too large";

static const char *parse_decimal(const char *text, struct decimal *ret)
{
    bool dot = false, any = false;
    *ret = (struct decimal){.scale = 1};
    while (*text == ' ')
        text++;
    for (; (*text >= '0' && *text <= '9') || (*text == '.' && !dot && any); text++) {
        if (*text == '.') {
            dot = true;
            any = false;
            continue;
        }
        any = true;
        if (dot && ret->scale >= UINT64_C(1000000000))
            continue;
        if (__builtin_mul_overflow(ret->value, 10, &ret->value) ||
            __builtin_add_overflow(ret->value, (uint64_t)(*text - '0'), &ret->value))
            return too_large;
        if (dot)
            ret->scale *= 10;
    }
    ret->rest = text;
    return any ? NULL : not_a_number;
}

static bool is_end(const char *text)
{
    return text[strspn(text, " ")] == '\0';
}

static const char *scaled(const struct decimal *d, uint64_t unit, uint64_t *ret)
{
    wide v = (wide)d->value * unit / d->scale;
    if (v > UINT64_MAX)
        return too_large;
    *ret = (uint64_t)v;
    return NULL;
}

/* Consumes K, M, G, T with optional i and B, or B alone. */
static uint64_t take_unit(const char **text)
{
    static const char letters[] = "kmgt";
    uint64_t unit = 1;
    const char *s = *text;
    const char *found = *s ? strchr(letters, *s | 0x20) : NULL;
    if (found) {
        unit <<= 10 * (found - letters + 1);
        s++;
        if ((*s | 0x20) == 'i')
            s++;
    }
    if ((*s | 0x20) == 'b')
        s++;
    *text = s;
    return unit;
}

const char *quantity_parse_bytes(const char *text, uint64_t *ret)
{
    struct decimal d;
    uint64_t bytes;
    const char *why = parse_decimal(text, &d);
    if (why)
        return why;
    uint64_t unit = take_unit(&d.rest);
    if (!is_end(d.rest))
        return "has an unknown unit; use K, M, G or T (binary)";
    why = scaled(&d, unit, &bytes);
    if (why)
        return why;
    if (bytes == 0)
        return "is zero";
    *ret = bytes;
    return NULL;
}

const char *quantity_parse_mem(const char *text, struct quantity_mem *ret)
{
    if (strchr(text, '%')) {
        uint32_t percent;
        const char *why = quantity_parse_percent(text, &percent);
        if (!why)
            *ret = (struct quantity_mem){.percent = percent};
        return why;
    }
    uint64_t bytes;
    const char *why = quantity_parse_bytes(text, &bytes);
    if (!why && bytes < QUANTITY_MIB)
        why = "is less than 1 MiB (a number without a unit is bytes)";
    if (!why)
        *ret = (struct quantity_mem){.bytes = bytes};
    return why;
}

const char *quantity_parse_percent(const char *text, uint32_t *ret)
{
    struct decimal d;
    const char *why = parse_decimal(text, &d);
    if (why)
        return why;
    if (*d.rest == '%')
        d.rest++;
    if (!is_end(d.rest))
        return not_a_number;
    if (d.scale != 1)
        return "is not a whole number of percent";
    if (d.value < 1 || d.value > 100)
        return "is not between 1 and 100";
    *ret = (uint32_t)d.value;
    return NULL;
}

const char *quantity_parse_ratio(const char *text, uint32_t *ret_milli)
{
    struct decimal d;
    uint64_t milli;
    const char *why = parse_decimal(text, &d);
    if (!why && !is_end(d.rest))
        why = not_a_number;
    if (!why)
        why = scaled(&d, 1000, &milli);
    if (!why && (milli < 1 || milli > 100000))
        why = "is not between 0.001 and 100";
    if (!why)
        *ret_milli = (uint32_t)milli;
    return why;
}

/* The unit at *text, which is moved behind it; 0 = none of them. */
static uint64_t take_time_unit(const char **text)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t len = strspn(*text, "abcdefghijklmnopqrstuvwxyz");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].name) == len && strncmp(*text, units[i].name, len) == 0) {
            *text += len;
            return units[i].ms;
        }
    return 0;
}

const char *quantity_parse_duration(const char *text, uint64_t *ret_ms)
{
    const char *first = text;
    uint64_t sum = 0;
    do {
        struct decimal d;
        uint64_t ms, unit = 1000;
        const char *why = parse_decimal(text, &d);
        if (why)
            return why;
        bool is_alone = text == first && *d.rest == '\0';
        if (!is_alone && (unit = take_time_unit(&d.rest)) == 0)
            return "has an unknown unit; use ms, s, m, h or d";
        why = scaled(&d, unit, &ms);
        if (why || ms > DURATION_MAX_MS || (sum += ms) > DURATION_MAX_MS)
            return "is longer than a year";
        text = d.rest;
    } while (*text);
    *ret_ms = sum;
    return NULL;
}

uint64_t quantity_percent_of(uint64_t total, uint32_t percent)
{
    wide v = (wide)total * percent / 100;
    return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

uint64_t quantity_scale(uint64_t total, uint32_t milli)
{
    wide v = (wide)total * milli / 1000;
    return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

bool quantity_bytes_of_mib(uint64_t mib, uint64_t *ret)
{
    return !__builtin_mul_overflow(mib, QUANTITY_MIB, ret);
}

uint64_t quantity_mib_of_bytes(uint64_t bytes)
{
    return bytes / QUANTITY_MIB;
}

static const char letters[] = "BKMGT";

const char *quantity_format_bytes(uint64_t bytes, char buf[QUANTITY_TEXT])
{
    unsigned unit = 0;
    uint64_t tenths;
    if (bytes < 1024) {
        snprintf(buf, QUANTITY_TEXT, "%" PRIu64 " B", bytes);
        return buf;
    }
    while (unit < 4 && bytes >> (10 * unit) >= 1024)
        unit++;
    tenths = (uint64_t)((wide)bytes * 10 >> (10 * unit));
    if (unit < 3 && tenths % 10 == 0)
        snprintf(buf, QUANTITY_TEXT, "%" PRIu64 " %ciB", tenths / 10, letters[unit]);
    else
        snprintf(buf, QUANTITY_TEXT, "%" PRIu64 ".%" PRIu64 " %ciB", tenths / 10, tenths % 10, letters[unit]);
    return buf;
}

const char *quantity_format_flag(uint64_t bytes, char buf[QUANTITY_TEXT])
{
    unsigned unit = 0;
    while (unit < 4 && bytes && (bytes >> (10 * unit)) % 1024 == 0)
        unit++;
    if (unit == 0 || bytes == 0)
        snprintf(buf, QUANTITY_TEXT, "%" PRIu64, bytes);
    else
        snprintf(buf, QUANTITY_TEXT, "%" PRIu64 "%c", bytes >> (10 * unit), letters[unit]);
    return buf;
}

const char *quantity_format_share(uint32_t cores_pct, char buf[QUANTITY_TEXT])
{
    buf[0] = '\0';
    if (cores_pct)
        snprintf(buf, QUANTITY_TEXT, " and %u %%", cores_pct);
    return buf;
}
