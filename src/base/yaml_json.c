/* SPDX-License-Identifier: Apache-2.0 */
#include "base/yaml_json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/json_write.h"
#include "base/status.h"

#define TEXT_MAX (4u << 20)
#define NODES_MAX 100000
#define DEPTH_MAX 64

struct reader {
    yaml_document_t document;
    unsigned nodes;
    GError **error;
};

static json_t *fail(struct reader *r, yaml_mark_t at, const char *what, const char *word)
{
    if (r->error && !*r->error)
        g_set_error(r->error, STATUS_ERROR, STATUS_USAGE, "%zu:%zu: %s%s%s", at.line + 1, at.column + 1, what,
                    word ? " " : "", word ? word : "");
    return NULL;
}

static bool is_word(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* A plain scalar by YAML's core schema (1.2; yes and no are words). */
static json_t *plain(const char *text)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL},
                             *const yes[] = {"true", "True", "TRUE", NULL},
                             *const no[] = {"false", "False", "FALSE", NULL};
    char *end;
    gint64 n;
    if (is_word(text, nulls))
        return json_null();
    if (is_word(text, yes))
        return json_true();
    if (is_word(text, no))
        return json_false();
    if (g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &n, NULL))
        return json_integer(n);
    if (strchr("-+.0123456789", *text) && strpbrk(text, "0123456789") && !strpbrk(text, "xXnNpP")) {
        double d = g_ascii_strtod(text, &end);
        if (*end == '\0' && d - d == 0)
            return json_real(d);
    }
    return json_string(text);
}

static json_t *scalar(struct reader *r, const yaml_node_t *n)
{
    const char *text = (const char *)n->data.scalar.value;
    if (strlen(text) != n->data.scalar.length)
        return fail(r, n->start_mark, "a text with a NUL character", NULL);
    bool is_plain =
        n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp((const char *)n->tag, YAML_STR_TAG) == 0;
    json_t *value = is_plain ? plain(text) : json_string(text);
    return value ? value : fail(r, n->start_mark, "a text that is not UTF-8", NULL);
}

static json_t *tree(struct reader *r, const yaml_node_t *n, unsigned depth);

static json_t *mapping(struct reader *r, const yaml_node_t *n, unsigned depth)
{
    json_t *object = json_object();
    for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = yaml_document_get_node(&r->document, p->key);
        const char *name = key && key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : NULL;
        json_t *value = NULL;
        if (!name)
            fail(r, n->start_mark, "a key that is no text", NULL);
        else if (json_object_get(object, name))
            fail(r, key->start_mark, "the key appears twice:", name);
        else
            value = tree(r, yaml_document_get_node(&r->document, p->value), depth + 1);
        if (!value || json_object_set_new(object, name, value)) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *sequence(struct reader *r, const yaml_node_t *n, unsigned depth)
{
    json_t *array = json_array();
    for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++) {
        json_t *value = tree(r, yaml_document_get_node(&r->document, *i), depth + 1);
        if (!value || json_array_append_new(array, value)) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *tree(struct reader *r, const yaml_node_t *n, unsigned depth)
{
    if (!n)
        return json_null();
    if (depth > DEPTH_MAX)
        return fail(r, n->start_mark, "nested too deeply", NULL);
    if (++r->nodes > NODES_MAX)
        return fail(r, n->start_mark, "too many values (aliases multiply them)", NULL);
    if (n->type == YAML_SCALAR_NODE)
        return scalar(r, n);
    return n->type == YAML_MAPPING_NODE ? mapping(r, n, depth) : sequence(r, n, depth);
}

/* The next document of the stream: true when there was one (or a fault). */
static bool next_document(yaml_parser_t *parser, struct reader *r, json_t *all, bool *ret_good)
{
    if (!yaml_parser_load(parser, &r->document)) {
        fail(r, parser->problem_mark, parser->problem ? parser->problem : "no YAML", NULL);
        *ret_good = false;
        return false;
    }
    const yaml_node_t *root = yaml_document_get_root_node(&r->document);
    if (root) {
        json_t *value = tree(r, root, 0);
        *ret_good = value != NULL;
        if (value && !json_is_null(value))
            json_array_append(all, value);
        json_decref(value);
    }
    yaml_document_delete(&r->document);
    return root && *ret_good;
}

json_t *yaml_json_parse(const char *text, size_t len, GError **error)
{
    struct reader r = {.error = error};
    yaml_parser_t parser;
    bool good = true;
    json_t *all = json_array();
    if (len > TEXT_MAX) {
        g_set_error(error, STATUS_ERROR, STATUS_USAGE, "more than %u bytes", TEXT_MAX);
        json_decref(all);
        return NULL;
    }
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    while (next_document(&parser, &r, all, &good))
        ;
    yaml_parser_delete(&parser);
    if (good)
        return all;
    json_decref(all);
    return NULL;
}

/* ---- writing ----------------------------------------------------------- */

/* A text that would be read as something else, or break the line, is quoted. */
static void write_text(GString *out, const char *text)
{
    json_t *read = plain(text);
    bool is_text = json_is_string(read);
    json_decref(read);
    if (is_text && *text && !strpbrk(text, "\n\t\"'\\#&*!|>%@`{}[],:") && *text != ' ' && *text != '-' &&
        *text != '?' && text[strlen(text) - 1] != ' ' && g_str_is_ascii(text))
        g_string_append(out, text);
    else
        json_write_string(out, text);
}

/* Keys may hold "/" and "." but a colon needs quotes as well. */
static void write_value(GString *out, json_t *value, unsigned indent, bool in_list);

static void write_pad(GString *out, unsigned indent)
{
    g_string_append_printf(out, "%*s", (int)indent, "");
}

static void write_object(GString *out, json_t *object, unsigned indent, bool in_list)
{
    const char *key;
    json_t *value;
    bool first = true;
    json_object_foreach(object, key, value)
    {
        if (!first || !in_list)
            write_pad(out, indent);
        first = false;
        write_text(out, key);
        g_string_append_c(out, ':');
        write_value(out, value, indent, false);
    }
}

static void write_array(GString *out, json_t *array, unsigned indent)
{
    size_t i;
    json_t *value;
    json_array_foreach(array, i, value)
    {
        write_pad(out, indent);
        g_string_append_c(out, '-');
        write_value(out, value, indent, true);
    }
}

/* Behind "key:" or "-". */
static void write_value(GString *out, json_t *value, unsigned indent, bool in_list)
{
    if (json_object_size(value)) {
        g_string_append_c(out, in_list ? ' ' : '\n');
        write_object(out, value, indent + 2, in_list);
        return;
    }
    if (json_array_size(value)) {
        g_string_append_c(out, '\n');
        write_array(out, value, in_list ? indent + 2 : indent);
        return;
    }
    g_string_append_c(out, ' ');
    if (json_is_string(value)) {
        write_text(out, json_string_value(value));
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        g_string_append(out, text);
        free(text);
    }
    g_string_append_c(out, '\n');
}

char *yaml_json_format(json_t *value)
{
    GString *out = g_string_new("");
    if (json_is_object(value))
        write_object(out, value, 0, false);
    else
        write_array(out, value, 0);
    return g_string_free(out, FALSE);
}
