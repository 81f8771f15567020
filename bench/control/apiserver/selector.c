/* SPDX-License-Identifier: Apache-2.0 */
#include "selector.h"

#include <stdint.h>
#include <string.h>

enum relation { REL_EXISTS, REL_MISSING, REL_IN, REL_NOT_IN };

struct term {
    bool field;
    enum relation relation;
    char *name;
    GStrv values;
};

static void term_free(void *data)
{
    struct term *t = data;
    g_free(t->name);
    g_strfreev(t->values);
    g_free(t);
}

/* "key in (a,b)" and its negation: the text behind the word, NULL when it is something else. */
static char *set_values(const char *text, const char *word, char **ret_name)
{
    const char *at = strstr(text, word), *end = strrchr(text, ')');
    if (!at || !end || end < at)
        return NULL;
    *ret_name = g_strndup(text, (gsize)(at - text));
    return g_strndup(at + strlen(word), (gsize)(end - at) - strlen(word));
}

static bool term_parse(struct term *t, const char *text)
{
    g_autofree char *values = NULL;
    const char *equals = strchr(text, '='), *differs = strstr(text, "!=");
    if ((values = set_values(text, " notin (", &t->name)) || (values = set_values(text, " in (", &t->name))) {
        t->relation = strstr(text, " notin (") ? REL_NOT_IN : REL_IN;
        t->values = g_strsplit(values, ",", -1);
        for (char **v = t->values; *v; v++)
            g_strstrip(*v);
    } else if (equals) {
        t->relation = differs ? REL_NOT_IN : REL_IN;
        t->name = g_strndup(text, (gsize)((differs ? differs : equals) - text));
        const char *value = equals + (equals[1] == '=' ? 2 : 1);
        t->values = g_strdupv((char *[]){(char *)(uintptr_t)value, NULL});
    } else {
        t->relation = *text == '!' ? REL_MISSING : REL_EXISTS;
        t->name = g_strdup(text + (*text == '!'));
    }
    g_strstrip(t->name);
    return *t->name && !(t->field && !equals);
}

/* Cuts at the commas that are not inside parentheses. */
static bool parse_all(GPtrArray *terms, const char *text, bool field)
{
    unsigned depth = 0;
    for (const char *from = text, *at = text;; at++) {
        depth += *at == '(';
        depth -= *at == ')' && depth;
        if (*at && (*at != ',' || depth))
            continue;
        g_autofree char *one = g_strndup(from, (gsize)(at - from));
        struct term *t = g_new0(struct term, 1);
        t->field = field;
        g_ptr_array_add(terms, t);
        if (!term_parse(t, g_strstrip(one)))
            return false;
        if (!*at)
            return true;
        from = at + 1;
    }
}

bool selector_parse(struct selector *s, const char *labels, const char *fields)
{
    s->terms = NULL;
    if ((!labels || !*labels) && (!fields || !*fields))
        return true;
    s->terms = g_ptr_array_new_with_free_func(term_free);
    if ((!labels || !*labels || parse_all(s->terms, labels, false)) &&
        (!fields || !*fields || parse_all(s->terms, fields, true)))
        return true;
    selector_clear(s);
    return false;
}

void selector_clear(struct selector *s)
{
    g_clear_pointer(&s->terms, g_ptr_array_unref);
}

static const char *value_of(const struct term *t, json_t *object)
{
    if (!t->field)
        return json_string_value(
            json_object_get(json_object_get(json_object_get(object, "metadata"), "labels"), t->name));
    g_auto(GStrv) names = g_strsplit(t->name, ".", 8);
    for (char **n = names; *n; n++)
        object = json_object_get(object, *n);
    return json_is_string(object) ? json_string_value(object) : "";
}

bool selector_matches(const struct selector *s, json_t *object)
{
    for (guint i = 0; s->terms && i < s->terms->len; i++) {
        const struct term *t = s->terms->pdata[i];
        const char *value = value_of(t, object);
        bool in = value && t->values && g_strv_contains((const char *const *)t->values, value);
        bool holds = t->relation == REL_EXISTS    ? value != NULL
                     : t->relation == REL_MISSING ? value == NULL
                     : t->relation == REL_IN      ? in
                                                  : !in;
        if (!holds)
            return false;
    }
    return true;
}
