/* SPDX-License-Identifier: Apache-2.0
 *
 * See profile_value.h.
 */
#include "profile_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *text;
    uint64_t factor;
};

static const struct unit size_units[] = {{"", 1},           {"B", 1},
                                         {"K", 1ULL << 10}, {"KiB", 1ULL << 10},
                                         {"M", 1ULL << 20}, {"MiB", 1ULL << 20},
                                         {"G", 1ULL << 30}, {"GiB", 1ULL << 30},
                                         {"T", 1ULL << 40}, {"TiB", 1ULL << 40},
                                         {NULL, 0}};
static const struct unit time_units[] = {
    {"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {NULL, 0}};
static const struct unit rate_units[] = {
    {"MB/s", 1000000}, {"GB/s", 1000000000}, {"TB/s", 1000000000000}, {NULL, 0}};

/* Whole digits, at most nine digits behind a point, a unit. */
static bool number_with_unit(const char *text, const struct unit *units, uint64_t *ret)
{
    uint64_t whole = 0, part = 0, scale = 1;
    const char *p = text;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(*p - '0'), &whole))
            return false;
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9' && scale < 1000000000; p++, scale *= 10)
            part = part * 10 + (uint64_t)(*p - '0');
    while (*p == ' ')
        p++;
    if (*p == '\0' && whole == 0 && part == 0) {
        *ret = 0;
        return true;
    }
    for (; units->text != NULL; units++) {
        if (strcmp(p, units->text) != 0)
            continue;
        if (__builtin_mul_overflow(whole, units->factor, &whole))
            return false;
        *ret = whole + (uint64_t)((unsigned __int128)part * units->factor / scale);
        return *ret >= whole;
    }
    return false;
}

static bool plain_number(const char *text, uint64_t *ret)
{
    static const struct unit none[] = {{"", 1}, {NULL, 0}};
    if (text[0] != '0' || text[1] != 'x')
        return strchr(text, '.') == NULL && number_with_unit(text, none, ret);
    size_t n = strlen(text + 2);
    if (n == 0 || n > 16 || strspn(text + 2, "0123456789abcdefABCDEF") != n)
        return false;
    *ret = strtoull(text + 2, NULL, 16);
    return true;
}

/* 13.0 to 13000, 12.4 to 12040: the two numbers that CUDA knows. */
static bool cuda_version(const char *text, uint64_t *ret)
{
    unsigned major, minor;
    char rest;
    if (sscanf(text, "%3u.%2u%c", &major, &minor, &rest) != 2)
        return false;
    *ret = major * 1000 + minor * 10;
    return minor < 10;
}

static bool word_index(const char *text, const char *const *words, uint64_t *ret)
{
    for (uint64_t i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

static bool boolean(const char *text, uint64_t *ret)
{
    *ret = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
    return *ret == 1 || strcmp(text, "no") == 0 || strcmp(text, "false") == 0;
}

static bool parse(const struct sim_field *f, const char *value, uint64_t *ret)
{
    switch (f->kind) {
    case SIM_FIELD_NUMBER:
        return plain_number(value, ret);
    case SIM_FIELD_SIZE:
        return number_with_unit(value, size_units, ret);
    case SIM_FIELD_KIB:
        if (!number_with_unit(value, size_units, ret))
            return false;
        *ret >>= 10;
        return true;
    case SIM_FIELD_TIME:
        return number_with_unit(value, time_units, ret);
    case SIM_FIELD_RATE:
        return number_with_unit(value, rate_units, ret);
    case SIM_FIELD_BOOLEAN:
        return boolean(value, ret);
    case SIM_FIELD_WORD:
        return word_index(value, f->words, ret);
    case SIM_FIELD_VERSION:
        return cuda_version(value, ret);
    case SIM_FIELD_TEXT:
        break;
    }
    return false;
}

static void explain(const struct sim_field *f, char *reason, size_t size)
{
    static const char *const expected[] = {
        [SIM_FIELD_TEXT] = "a text",
        [SIM_FIELD_NUMBER] = "a whole number",
        [SIM_FIELD_SIZE] = "a size such as 512KiB, 15360MiB or 40GiB",
        [SIM_FIELD_KIB] = "a size such as 512KiB or 60MiB",
        [SIM_FIELD_TIME] = "a time such as 5us, 2ms or 1s",
        [SIM_FIELD_RATE] = "a rate such as 12.5GB/s",
        [SIM_FIELD_BOOLEAN] = "true or false",
        [SIM_FIELD_WORD] = "one of",
        [SIM_FIELD_VERSION] = "a CUDA version such as 13.0",
    };
    int n = snprintf(reason, size, "give %s", expected[f->kind]);
    for (size_t i = 0; f->kind == SIM_FIELD_WORD && f->words[i] != NULL && n > 0 && (size_t)n < size; i++)
        n += snprintf(reason + n, size - (size_t)n, "%s %s", i > 0 ? "," : "", f->words[i]);
}

static bool set_text(const struct sim_field *f, char *member, const char *value, char *reason, size_t size)
{
    size_t n = strlen(value);
    for (size_t i = 0; i < n; i++)
        if (value[i] < ' ' || value[i] > '~') {
            snprintf(reason, size, "give printable ASCII");
            return false;
        }
    if (n == 0 || n >= f->size) {
        snprintf(reason, size, "give 1 to %u characters", f->size - 1);
        return false;
    }
    memset(member, 0, f->size);
    snprintf(member, f->size, "%s", value);
    return true;
}

bool sim_field_set(const struct sim_field *f, void *structure, const char *value, char *reason,
                   size_t reason_size)
{
    char *member = (char *)structure + f->offset;
    uint64_t n = 0;
    if (f->kind == SIM_FIELD_TEXT)
        return set_text(f, member, value, reason, reason_size);
    if (!parse(f, value, &n)) {
        explain(f, reason, reason_size);
        return false;
    }
    if (n < f->min || (f->max > 0 && n > f->max)) {
        snprintf(reason, reason_size, "give at least %llu and at most %llu", (unsigned long long)f->min,
                 (unsigned long long)f->max);
        return false;
    }
    if (f->size == sizeof(uint64_t))
        memcpy(member, &n, sizeof(n));
    else if (f->size == sizeof(uint32_t))
        memcpy(member, &(uint32_t){(uint32_t)n}, sizeof(uint32_t));
    else
        *member = (char)n;
    return true;
}

static uint64_t mix(uint64_t h, const char *text)
{
    for (; *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3ULL;
    h ^= h >> 30;
    h *= 0xbf58476d1ce4e5b9ULL;
    h ^= h >> 27;
    h *= 0x94d049bb133111ebULL;
    return h ^ h >> 31;
}

void sim_uuid_derive(const char *prefix, const char *text, char ret[48])
{
    uint64_t a = mix(0xcbf29ce484222325ULL, text), b = mix(a, text);
    snprintf(ret, 48, "%s%08x-%04x-5%03x-%04x-%012llx", prefix, (unsigned)(a >> 32),
             (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff), (unsigned)(b >> 48 & 0x3fff) | 0x8000,
             (unsigned long long)(b & 0xffffffffffffULL));
}

bool sim_uuid_valid(const char *prefix, const char *uuid)
{
    static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    size_t n = strlen(prefix);
    if (strncmp(uuid, prefix, n) != 0 || strlen(uuid) != n + sizeof(shape) - 1)
        return false;
    for (size_t i = 0; i < sizeof(shape) - 1; i++)
        if (shape[i] == 'x' ? strchr("0123456789abcdef", uuid[n + i]) == NULL : uuid[n + i] != '-')
            return false;
    return true;
}
