/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings of a slice without a grant.
 *
 * Invariants:
 *   1. A value that makes no sense counts as not set and is logged once: the
 *      next place is asked. It never turns into a huge or a random limit.
 *   2. Nothing is written to the environment, no allocation from the heap.
 *   3. Called by slice_attach() only, by one thread at a time.
 */
#include "preload/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "preload/log.h"

/* ---- values ----------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

static void trim(const char **text, size_t *n)
{
    while (*n && is_blank((*text)[0]))
        (*text)++, (*n)--;
    while (*n && is_blank((*text)[*n - 1]))
        (*n)--;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

struct number {
    uint64_t whole;
    uint64_t fraction; /* over 10^digits */
    uint64_t scale;    /* 10^digits */
    bool overflow;
};

/* Consumes digits[.digits]. False when there is no number. */
static bool take_number(const char **text, size_t *n, struct number *ret)
{
    *ret = (struct number){.scale = 1};
    if (!*n || !is_digit((*text)[0]))
        return false;
    for (; *n && is_digit((*text)[0]); (*text)++, (*n)--) {
        uint64_t digit = (uint64_t)((*text)[0] - '0');
        if (__builtin_mul_overflow(ret->whole, 10, &ret->whole) ||
            __builtin_add_overflow(ret->whole, digit, &ret->whole))
            ret->overflow = true;
    }
    if (!*n || (*text)[0] != '.')
        return true;
    (*text)++, (*n)--;
    if (!*n || !is_digit((*text)[0]))
        return false;
    for (; *n && is_digit((*text)[0]); (*text)++, (*n)--) {
        if (ret->scale >= UINT64_C(1000000000000000))
            continue; /* beyond any difference a byte could make */
        ret->fraction = ret->fraction * 10 + (uint64_t)((*text)[0] - '0');
        ret->scale *= 10;
    }
    return true;
}

/* Consumes K, M or G with optional i and B, or B alone. */
static uint64_t take_unit(const char **text, size_t *n)
{
    static const struct {
        char letter;
        uint64_t bytes;
    } units[] = {{'k', UINT64_C(1) << 10}, {'m', UINT64_C(1) << 20}, {'g', UINT64_C(1) << 30}};
    uint64_t unit = 1;
    for (unsigned i = 0; *n && i < sizeof units / sizeof units[0]; i++)
        if (((*text)[0] | 0x20) == units[i].letter) {
            unit = units[i].bytes;
            (*text)++, (*n)--;
            if (*n && ((*text)[0] | 0x20) == 'i')
                (*text)++, (*n)--;
            break;
        }
    if (*n && ((*text)[0] | 0x20) == 'b')
        (*text)++, (*n)--;
    return unit;
}

static uint64_t parse_scaled(const char *text, size_t n, bool percent)
{
    struct number number;
    trim(&text, &n);
    if (!take_number(&text, &n, &number) || number.overflow)
        return 0;
    trim(&text, &n);
    uint64_t unit = 1;
    if (percent && n && text[0] == '%')
        text++, n--;
    else
        unit = take_unit(&text, &n);
    uint64_t value;
    if (n || __builtin_mul_overflow(number.whole, unit, &value))
        return 0;
    uint64_t part = 0;
    if (number.fraction) /* a rare division: its code lies in a page that most programs never touch */
        part = (uint64_t)((unsigned __int128)number.fraction * unit / number.scale);
    return __builtin_add_overflow(value, part, &value) ? 0 : value;
}

uint64_t config_parse_bytes(const char *text, size_t n)
{
    return parse_scaled(text, n, false);
}

uint64_t config_parse_percent(const char *text, size_t n)
{
    return parse_scaled(text, n, true);
}

static bool is_word(const char *text, size_t n, const char *word)
{
    trim(&text, &n);
    return n == strlen(word) && strncasecmp(text, word, n) == 0;
}

enum grant_policy config_parse_policy(const char *text, size_t n)
{
    if (is_word(text, n, "force"))
        return GRANT_POLICY_FORCE;
    if (is_word(text, n, "disable"))
        return GRANT_POLICY_DISABLE;
    return GRANT_POLICY_DEFAULT;
}

int32_t config_parse_priority(const char *text, size_t n)
{
    return is_word(text, n, "0") ? 0 : 1;
}

bool config_parse_bool(const char *text, size_t n)
{
    return is_word(text, n, "true") || is_word(text, n, "1") || is_word(text, n, "yes") ||
           is_word(text, n, "on");
}

/* ---- places ----------------------------------------------------------- */

struct value {
    const char *text; /* NULL = not set */
    size_t n;
};

/* KEY=VALUE entries that end with `end`; the last one wins. An override file
 * ends at its first line that is neither empty, a comment nor an entry. */
static struct value find_in_block(const char *block, size_t n, char end, const char *key)
{
    struct value found = {0};
    size_t key_length = strlen(key);
    while (n) {
        const char *stop = memchr(block, end, n);
        size_t length = stop ? (size_t)(stop - block) : n;
        const char *equals = memchr(block, '=', length);
        if (end == '\n' && !equals && length && block[0] != '#' && !(length == 1 && block[0] == '\r'))
            break;
        if (equals && (size_t)(equals - block) == key_length && memcmp(block, key, key_length) == 0)
            found = (struct value){equals + 1, length - key_length - 1};
        n -= length + (stop ? 1 : 0);
        block += length + (stop ? 1 : 0);
    }
    return found;
}

static struct value find_in_environment(char *const *environment, const char *key)
{
    size_t key_length = strlen(key);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, key, key_length) == 0 && (*environment)[key_length] == '=')
            return (struct value){*environment + key_length + 1, strlen(*environment + key_length + 1)};
    return (struct value){0};
}

enum place { PLACE_OVERRIDE, PLACE_ENVIRONMENT, PLACE_PID1, N_PLACES };

static struct value find(const struct config_texts *t, enum place place, const char *key)
{
    switch (place) {
    case PLACE_OVERRIDE:
        return find_in_block(t->override, t->override_bytes, '\n', key);
    case PLACE_ENVIRONMENT:
        return find_in_environment(t->environment, key);
    case PLACE_PID1:
        return find_in_block(t->pid1, t->pid1_bytes, '\0', key);
    default:
        return (struct value){0};
    }
}

static struct value find_anywhere(const struct config_texts *t, const char *key)
{
    for (enum place p = 0; p < N_PLACES; p++) {
        struct value v = find(t, p, key);
        if (v.text)
            return v;
    }
    return (struct value){0};
}

static const char *const place_names[] = {CONFIG_OVERRIDE_PATH, "the environment", CONFIG_PID1_PATH};
static const enum region_source place_sources[] = {REGION_SOURCE_OVERRIDE, REGION_SOURCE_ENV,
                                                   REGION_SOURCE_PID1_ENV};

struct limit_key {
    const char *name;
    uint64_t (*parse)(const char *, size_t);
    const char *example;
};

/* `loud`: say so when the value is set and no use; each key says it once. */
static uint64_t usable(const struct limit_key *key, const char *name, struct value v, enum place place,
                       bool loud)
{
    if (!v.text)
        return 0;
    uint64_t value = key->parse(v.text, v.n);
    struct value t = v;
    trim(&t.text, &t.n);
    if (!value && loud && t.n && !is_word(t.text, t.n, "0"))
        log_error("%s=%.*s in %s is no limit and is ignored; write it like %s", name,
                  (int)(v.n < 80 ? v.n : 80), v.text, place_names[place], key->example);
    return value;
}

/* The limit of device d: each place is asked for the device's own key, then
 * for the general one; the first value that can be used wins. */
static uint64_t limit_of(const struct config_texts *t, const struct limit_key *key, unsigned d,
                         enum region_source *source)
{
    char own[64];
    snprintf(own, sizeof own, "%s_%u", key->name, d);
    for (enum place p = 0; p < N_PLACES; p++) {
        uint64_t value = usable(key, own, find(t, p, own), p, true);
        if (!value)
            value = usable(key, key->name, find(t, p, key->name), p, d == 0);
        if (!value)
            continue;
        if (place_sources[p] > *source)
            *source = place_sources[p];
        return value;
    }
    return 0;
}

void config_parse(const struct config_texts *t, struct config *ret)
{
    static const struct limit_key mem = {"CUDA_DEVICE_MEMORY_LIMIT", config_parse_bytes, "8G or 8192m"};
    static const struct limit_key cores = {"CUDA_DEVICE_SM_LIMIT", config_parse_percent, "30"};
    *ret = (struct config){.priority = 1, .source = REGION_SOURCE_NONE};
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        ret->mem_bytes[d] = limit_of(t, &mem, d, &ret->source);
        uint64_t percent = limit_of(t, &cores, d, &ret->source);
        ret->cores_pct[d] = percent < 100 ? (uint32_t)percent : 0;
    }
    struct value v = find_anywhere(t, "CUDA_DEVICE_MEMORY_SHARED_CACHE");
    ret->cache_named = v.text && v.n && v.n < sizeof ret->cache_path;
    if (v.text && v.n >= sizeof ret->cache_path)
        log_error("CUDA_DEVICE_MEMORY_SHARED_CACHE is longer than %zu bytes; using " CONFIG_CACHE_PATH,
                  sizeof ret->cache_path - 1);
    if (ret->cache_named)
        memcpy(ret->cache_path, v.text, v.n);
    else
        memcpy(ret->cache_path, CONFIG_CACHE_PATH, sizeof CONFIG_CACHE_PATH);
    v = find_anywhere(t, "GPU_CORE_UTILIZATION_POLICY");
    if (v.text)
        ret->policy = config_parse_policy(v.text, v.n);
    v = find_anywhere(t, "CUDA_TASK_PRIORITY");
    if (v.text)
        ret->priority = config_parse_priority(v.text, v.n);
    v = find_anywhere(t, "CUDA_OVERSUBSCRIBE");
    if (v.text)
        ret->oversubscribe = config_parse_bool(v.text, v.n);
}

/* ---- files ------------------------------------------------------------ */

enum { SCRATCH_BYTES = 1 << 20, OVERRIDE_BYTES = 64 << 10 };

static size_t read_file(const char *path, char *buffer, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return 0;
    size_t n = 0;
    while (n < room) {
        ssize_t got = read(fd, buffer + n, room - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    close(fd);
    return n;
}

enum { OURS_MAX = 128 };

/* The entries that can concern us at all: every limit is looked up for every
 * device, and environments can be long, that of a pod has a dozen for each
 * service of its namespace. */
static bool is_ours(const char *entry, size_t n)
{
    return (n > 5 && memcmp(entry, "CUDA_", 5) == 0) || (n > 9 && memcmp(entry, "GPU_CORE_", 9) == 0);
}

static void pick_ours(char **ret, char *const *environment)
{
    unsigned n = 0;
    for (; environment && *environment && n < OURS_MAX; environment++)
        if (is_ours(*environment, strnlen(*environment, 10)))
            ret[n++] = *environment;
    ret[n] = NULL;
}

/* The same of a block, in place. Returns its new length. */
static size_t keep_ours(char *block, size_t n)
{
    size_t kept = 0;
    for (size_t at = 0, length; at < n; at += length) {
        const char *stop = memchr(block + at, '\0', n - at);
        length = stop ? (size_t)(stop - (block + at)) + 1 : n - at;
        if (is_ours(block + at, length)) {
            memmove(block + kept, block + at, length);
            kept += length;
        }
    }
    return kept;
}

void config_read(struct config *ret)
{
    int saved = errno;
    char *ours[OURS_MAX + 1];
    struct config_texts t = {.environment = ours};
    static char scratch[SCRATCH_BYTES]; /* never written beyond what the files hold: costs no memory */
    pick_ours(ours, environ);
    t.override = scratch;
    t.override_bytes = read_file(CONFIG_OVERRIDE_PATH, scratch, OVERRIDE_BYTES);
    t.pid1 = scratch + OVERRIDE_BYTES;
    if (getpid() != 1)
        t.pid1_bytes =
            keep_ours(scratch + OVERRIDE_BYTES,
                      read_file(CONFIG_PID1_PATH, scratch + OVERRIDE_BYTES, SCRATCH_BYTES - OVERRIDE_BYTES));
    config_parse(&t, ret);
    errno = saved;
}
