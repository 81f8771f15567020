/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_fields.h"

#define EXCERPT 40

char *json_fields_excerpt(const char *at, size_t len)
{
    char *text = g_strndup(at, MIN(len, EXCERPT));
    for (char *p = text; *p; p++)
        if (!g_ascii_isprint(*p))
            *p = '?';
    if (len <= EXCERPT)
        return text;
    char *cut = g_strconcat(text, "...", NULL);
    g_free(text);
    return cut;
}

static const struct json_field *find(const struct json_field *fields, size_t n, struct json_text key)
{
    for (size_t i = 0; i < n; i++)
        if (!key.escaped && strlen(fields[i].name) == key.len &&
            g_ascii_strncasecmp(fields[i].name, key.at, key.len) == 0)
            return &fields[i];
    return NULL;
}

static bool refuse(const struct json_field *f, const char *at, size_t len, const char *what, char **ret_why)
{
    g_autofree char *value = json_fields_excerpt(at, len);
    *ret_why = g_strdup_printf("%s %s %s", f->name, value, what);
    return false;
}

static bool set_int(const struct json_field *f, int64_t n, const char *at, size_t len, int64_t *ret,
                    char **ret_why)
{
    g_autofree char *what = NULL;
    if (n < 0 && f->min == 0)
        return refuse(f, at, len, "is negative", ret_why);
    if (n < f->min || n > f->max) {
        what = g_strdup_printf("is not within %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT, f->min, f->max);
        return refuse(f, at, len, what, ret_why);
    }
    *ret = n;
    return true;
}

/* The member's value, already known to be well-formed text. */
static bool set(const struct json_field *f, const char *at, size_t len, void *object, char **ret_why)
{
    void *member = (char *)object + f->at;
    struct json_scan s;
    int64_t n;
    json_scan_init(&s, at, len);
    if (json_scan_peek(&s) == JSON_IS_NULL)
        return true;
    switch (f->kind) {
    case JSON_FIELD_INT:
        return json_scan_int(&s, &n) ? set_int(f, n, at, len, member, ret_why)
                                     : refuse(f, at, len, "is not an integer", ret_why);
    case JSON_FIELD_BOOL:
        return json_scan_bool(&s, member) || refuse(f, at, len, "is neither true nor false", ret_why);
    case JSON_FIELD_TEXT:
        return json_scan_text(&s, member) || refuse(f, at, len, "is not a string", ret_why);
    case JSON_FIELD_RAW:
        *(struct json_text *)member = (struct json_text){.at = at, .len = len};
        return true;
    }
    return true;
}

bool json_fields_read(struct json_scan *s, const struct json_field *fields, size_t n, void *ret,
                      char **ret_why)
{
    struct json_text key;
    const char *at;
    size_t len;
    if (json_scan_peek(s) != JSON_IS_OBJECT) {
        *ret_why = g_strdup(s->fault ? s->fault : "it is not an object");
        return false;
    }
    json_scan_object(s);
    while (json_scan_key(s, &key)) {
        const struct json_field *f = find(fields, n, key);
        if (json_scan_raw(s, &at, &len) && f && !set(f, at, len, ret, ret_why))
            return false;
    }
    if (s->fault)
        *ret_why = g_strdup(s->fault);
    return !s->fault;
}

void json_quote(GString *out, const char *text)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    g_string_append_c(out, '"');
    for (const char *p = text; *p; p++) {
        const char *known = strchr(from, *p);
        if (known)
            g_string_append_printf(out, "\\%c", to[known - from]);
        else if ((unsigned char)*p < 0x20 || strchr("<>&", *p))
            g_string_append_printf(out, "\\u%04x", (unsigned)*p);
        else if (strncmp(p, "\xe2\x80\xa8", 3) == 0 || strncmp(p, "\xe2\x80\xa9", 3) == 0) {
            g_string_append_printf(out, "\\u202%c", p[2] == '\xa8' ? '8' : '9');
            p += 2;
        } else
            g_string_append_c(out, *p);
    }
    g_string_append_c(out, '"');
}
