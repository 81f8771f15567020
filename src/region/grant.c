/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and writing the grant file: see grant.h for the format and
 * contract/grant.def for the keys. Pure functions over memory; any thread.
 *
 * The parser walks the text once with a cursor that never passes its end. The
 * text may be anything: it is refused with the line, the key and the reason at
 * the first byte that is not as it should be. Printed values are cut and their
 * control characters replaced, so that an error can go to a log as it is.
 */
#include "region/grant.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HEADER "hami-grant   1  "

/* A piece of the text; not terminated. */
struct span {
    const char *at;
    size_t n;
};

struct parser {
    struct span rest;
    unsigned line;
    const char *key; /* of contract/grant.def, for errors */
    struct grant *g;
    struct grant_error *err;
};

enum often { ONE, MAY, MANY };

__attribute__((format(printf, 2, 3))) static int refuse(struct parser *p, const char *format, ...)
{
    va_list args;
    p->err->line = p->line;
    snprintf(p->err->key, sizeof p->err->key, "%s", p->key ? p->key : "");
    va_start(args, format);
    vsnprintf(p->err->reason, sizeof p->err->reason, format, args);
    va_end(args);
    for (char *c = p->err->reason; *c; c++)
        if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f)
            *c = '?';
    return -1;
}

/* Length of a span for %.*s, cut so that a hostile value cannot push the
 * remedy out of the message. */
static int shown(struct span s)
{
    return s.n > 40 ? 40 : (int)s.n;
}

static bool is(struct span s, const char *word)
{
    return s.n == strlen(word) && memcmp(s.at, word, s.n) == 0;
}

static struct span next_line(struct span *rest)
{
    const char *newline = rest->n == 0 ? NULL : memchr(rest->at, '\n', rest->n);
    struct span line = {rest->at, newline ? (size_t)(newline - rest->at) : rest->n};
    size_t used = newline ? line.n + 1 : line.n;
    rest->at += used;
    rest->n -= used;
    return line;
}

static struct span next_token(struct span *s)
{
    while (s->n && *s->at == ' ')
        s->at++, s->n--;
    struct span token = {s->at, 0};
    while (s->n && *s->at != ' ')
        s->at++, s->n--, token.n++;
    while (s->n && *s->at == ' ')
        s->at++, s->n--;
    return token;
}

static bool parse_decimal(struct span s, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(s.at[i] - '0');
        if (s.at[i] < '0' || digit > 9 || digit > max || v > (max - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    return true;
}

static bool is_text(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.at[i] < ' ' || s.at[i] == 0x7f)
            return false;
    return s.n > 0;
}

static int take_text(struct parser *p, struct span v, char *ret, size_t size)
{
    if (!is_text(v))
        return refuse(p, "value \"%.*s\" is empty or has control characters", shown(v), v.at);
    if (v.at[v.n - 1] == ' ')
        return refuse(p, "value \"%.*s\" ends with a space", shown(v), v.at);
    if (v.n >= size)
        return refuse(p, "value \"%.*s...\" is longer than %zu bytes", shown(v), v.at, size - 1);
    memcpy(ret, v.at, v.n);
    ret[v.n] = '\0';
    return 0;
}

static int take_path(struct parser *p, struct span v, char ret[GRANT_TEXT_MAX])
{
    if (v.n == 0 || v.at[0] != '/')
        return refuse(p, "\"%.*s\" is not an absolute path", shown(v), v.at);
    return take_text(p, v, ret, GRANT_TEXT_MAX);
}

static int take_number(struct parser *p, struct span v, uint64_t max, uint64_t *ret)
{
    if (!parse_decimal(v, max, ret))
        return refuse(p, "\"%.*s\" is not a number from 0 to %" PRIu64, shown(v), v.at, max);
    return 0;
}

static int take_choice(struct parser *p, struct span v, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (is(v, words[i]))
            return i;
    return refuse(p, "\"%.*s\" is none of %s, %s%s%s", shown(v), v.at, words[0], words[1], n > 2 ? ", " : "",
                  n > 2 ? words[2] : "");
}

static int take_id(struct parser *p, struct span v)
{
    return take_text(p, v, p->g->id, sizeof p->g->id);
}

static int take_name(struct parser *p, struct span v)
{
    return take_text(p, v, p->g->name, sizeof p->g->name);
}

static int take_region(struct parser *p, struct span v)
{
    return take_path(p, v, p->g->region);
}

static const char *const policies[] = {"default", "force", "disable"};
static const char *const no_yes[] = {"no", "yes"};

static int take_policy(struct parser *p, struct span v)
{
    int i = take_choice(p, v, policies, 3);
    if (i >= 0)
        p->g->policy = (enum grant_policy)i;
    return i < 0 ? -1 : 0;
}

static int take_priority(struct parser *p, struct span v)
{
    uint64_t n = 0;
    if (take_number(p, v, 1, &n) < 0)
        return -1;
    p->g->priority = (int32_t)n;
    return 0;
}

static int take_oversubscribe(struct parser *p, struct span v)
{
    int i = take_choice(p, v, no_yes, 2);
    if (i >= 0)
        p->g->oversubscribe = i == 1;
    return i < 0 ? -1 : 0;
}

static int expect_word(struct parser *p, struct span *v, const char *word)
{
    struct span token = next_token(v);
    if (!is(token, word))
        return refuse(p, "\"%.*s\" where \"%s\" is expected", shown(token), token.at, word);
    return 0;
}

static int take_device(struct parser *p, struct span v)
{
    struct grant_device *d = &p->g->devices[p->g->n_devices];
    uint64_t index = 0, cores = 0;
    struct span token = next_token(&v);
    if (p->g->n_devices >= REGION_DEVICES)
        return refuse(p, "more than %d devices", REGION_DEVICES);
    if (take_number(p, token, REGION_DEVICES - 1, &index) < 0)
        return -1;
    if (index != p->g->n_devices)
        return refuse(p, "index %" PRIu64 " where %u is next", index, p->g->n_devices);
    if (take_text(p, next_token(&v), d->uuid, sizeof d->uuid) < 0 || expect_word(p, &v, "mem") < 0 ||
        take_number(p, next_token(&v), UINT64_MAX, &d->mem_bytes) < 0 || expect_word(p, &v, "cores") < 0 ||
        take_number(p, next_token(&v), 100, &cores) < 0)
        return -1;
    d->cores_pct = (uint32_t)cores;
    if (v.n && (expect_word(p, &v, "board") < 0 || take_path(p, v, d->board) < 0))
        return -1;
    p->g->n_devices++;
    return 0;
}

static const struct key {
    const char *name;
    enum often often;
    int (*take)(struct parser *, struct span);
} keys[] = {
#define GRANT(key, often, value, meaning) {#key, often, take_##key},
#include "grant.def"
#undef GRANT
};
#define N_KEYS (sizeof keys / sizeof *keys)

static int parse_line(struct parser *p, struct span line, unsigned seen[N_KEYS])
{
    struct span key = next_token(&line);
    for (size_t i = 0; i < N_KEYS; i++) {
        if (!is(key, keys[i].name))
            continue;
        p->key = keys[i].name;
        if (seen[i]++ && keys[i].often != MANY)
            return refuse(p, "given twice");
        return keys[i].take(p, line);
    }
    return refuse(p, "unknown key \"%.*s\"", shown(key), key.at);
}

static int parse_header(struct parser *p, uint64_t *ret_epoch)
{
    struct span line = next_line(&p->rest);
    struct span digits = {line.at + GRANT_EPOCH_OFFSET, 8};
    p->line = 1;
    p->key = "hami-grant";
    if (line.n != GRANT_EPOCH_OFFSET + 8 || memcmp(line.at, HEADER, GRANT_EPOCH_OFFSET) != 0)
        return refuse(p, "the first line \"%.*s\" is not \"" HEADER "EPOCH\" with 8 digits", shown(line),
                      line.at);
    if (!parse_decimal(digits, 99999999, ret_epoch))
        return refuse(p, "epoch \"%.8s\" is not 8 digits", digits.at);
    return 0;
}

static int parse_end(struct parser *p, struct span digits, uint64_t epoch)
{
    uint64_t end = 0;
    p->key = "end";
    if (digits.n != 8 || !parse_decimal(digits, 99999999, &end))
        return refuse(p, "epoch \"%.*s\" is not 8 digits", shown(digits), digits.at);
    if (end != epoch)
        return refuse(p,
                      "epoch %08" PRIu64 " is not the first line's %08" PRIu64 ": half written, read again",
                      end, epoch);
    for (size_t i = 0; i < p->rest.n; i++)
        if (p->rest.at[i] != '\n')
            return refuse(p, "text after the last line");
    return 0;
}

static int check_whole(struct parser *p, const unsigned seen[N_KEYS])
{
    p->line = 0;
    for (size_t i = 0; i < N_KEYS; i++) {
        p->key = keys[i].name;
        if (keys[i].often != MAY && !seen[i])
            return refuse(p, "missing");
    }
    return 0;
}

static int parse_body(struct parser *p)
{
    unsigned seen[N_KEYS] = {0};
    uint64_t epoch = 0;
    if (parse_header(p, &epoch) < 0)
        return -1;
    p->g->epoch = (uint32_t)epoch;
    while (p->rest.n) {
        struct span line = next_line(&p->rest);
        struct span value = line;
        p->line++;
        p->key = NULL;
        if (line.n == 0 || line.at[0] == '#')
            continue;
        if (is(next_token(&value), "end")) {
            if (parse_end(p, value, epoch) < 0)
                return -1;
            return check_whole(p, seen);
        }
        if (parse_line(p, line, seen) < 0)
            return -1;
    }
    p->line = 0;
    p->key = "end";
    return refuse(p, "missing: the file is cut short");
}

int grant_parse(const char *text, size_t n, struct grant *ret, struct grant_error *err)
{
    struct grant g = {0};
    struct parser p = {.rest = {text, n}, .g = &g, .err = err};
    if (n > GRANT_FILE_BYTES)
        return refuse(&p, "%zu bytes where at most %d are allowed", n, GRANT_FILE_BYTES);
    if (parse_body(&p) < 0)
        return -1;
    *ret = g;
    return 0;
}

/* ---- writing ---- */

struct writer {
    char *buf;
    size_t used;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...)
{
    va_list args;
    size_t room = GRANT_FILE_BYTES - w->used;
    va_start(args, format);
    int n = vsnprintf(w->buf + w->used, room, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room)
        w->failed = true;
    else
        w->used += (size_t)n;
}

/* The text of a fixed-size field when it can stand as a value, else NULL.
 * Leading and trailing spaces would not survive a reading. */
static const char *value_of(struct writer *w, const char *text, size_t size, bool spaces)
{
    struct span s = {text, strnlen(text, size)};
    bool fits = s.n < size && is_text(s) && text[0] != ' ' && text[s.n - 1] != ' ' &&
                (spaces || !memchr(text, ' ', s.n));
    w->failed |= !fits;
    return fits ? text : "";
}

static const char *path_of(struct writer *w, const char *text)
{
    w->failed |= text[0] != '/';
    return value_of(w, text, GRANT_TEXT_MAX, true);
}

static void put_device(struct writer *w, unsigned i, const struct grant_device *d)
{
    w->failed |= d->cores_pct > 100;
    put(w, "device %u %s mem %" PRIu64 " cores %u", i, value_of(w, d->uuid, sizeof d->uuid, false),
        d->mem_bytes, d->cores_pct);
    if (d->board[0])
        put(w, " board %s", path_of(w, d->board));
    put(w, "\n");
}

int grant_format(const struct grant *g, char buf[GRANT_FILE_BYTES])
{
    struct writer w = {.buf = buf};
    if (g->epoch > 99999999 || g->n_devices < 1 || g->n_devices > REGION_DEVICES || g->priority < 0 ||
        g->priority > 1 || (unsigned)g->policy > GRANT_POLICY_DISABLE)
        return -1;
    put(&w, HEADER "%08u\n", g->epoch);
    put(&w, "id %s\n", value_of(&w, g->id, sizeof g->id, true));
    if (g->name[0])
        put(&w, "name %s\n", value_of(&w, g->name, sizeof g->name, true));
    put(&w, "region %s\n", path_of(&w, g->region));
    put(&w, "policy %s\n", policies[g->policy]);
    put(&w, "priority %d\n", g->priority);
    put(&w, "oversubscribe %s\n", no_yes[g->oversubscribe]);
    for (unsigned i = 0; i < g->n_devices; i++)
        put_device(&w, i, &g->devices[i]);
    put(&w, "end %08u\n", g->epoch);
    if (w.failed)
        return -1;
    memset(buf + w.used, '\n', GRANT_FILE_BYTES - w.used);
    return 0;
}
