/* SPDX-License-Identifier: Apache-2.0
 *
 * The kinds of values of device-config.yaml. Lenient where the field's YAML
 * reader is (1e3 for a whole number, yes for true), strict about what a value
 * means.
 */
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/json_fields.h"
#include "base/status.h"
#include "model/quantity.h"
#include "vendor/config_read.h"

#define TEXT_MAX 253
#define NAME_MAX_K8S 317 /* prefix, slash, name */
#define WORD_MAX 40      /* "hami.io/no-use-<word>-devices-to-allocate" stays a legal key */
#define ALLOWED_MAX 256

static bool refuse(struct config_reader *r, const yaml_node_t *at, const char *message)
{
    g_set_error(r->error, STATUS_ERROR, STATUS_CONFIG, "device-config.yaml:%zu:%zu: %s: %s",
                at->start_mark.line + 1, at->start_mark.column + 1, r->path->len ? r->path->str : "the file",
                message);
    return false;
}

bool config_refuse(struct config_reader *r, const yaml_node_t *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    return refuse(r, at, message);
}

void config_warn(struct config_reader *r, const yaml_node_t *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    if (r->warnings)
        g_ptr_array_add(r->warnings,
                        g_strdup_printf("device-config.yaml:%zu:%zu: %s: %s", at->start_mark.line + 1,
                                        at->start_mark.column + 1, r->path->str, message));
}

yaml_node_t *config_node(struct config_reader *r, int index)
{
    return yaml_document_get_node(&r->doc, index);
}

const char *config_scalar(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

bool config_is_null(const yaml_node_t *node)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    const char *text = config_scalar(node);
    for (size_t i = 0; text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && i < G_N_ELEMENTS(words);
         i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

bool config_need(struct config_reader *r, const yaml_node_t *node, yaml_node_type_t type)
{
    static const char *const names[] = {[YAML_SCALAR_NODE] = "a single value",
                                        [YAML_SEQUENCE_NODE] = "a list",
                                        [YAML_MAPPING_NODE] = "a mapping (key: value)"};
    if (node->type == type)
        return true;
    return config_refuse(r, node, "must be %s, not %s", names[type],
                         node->type == YAML_NO_NODE ? "nothing" : names[node->type]);
}

/* A scalar's text without NUL and of a sane length; NULL after a refusal. */
static const char *text_of(struct config_reader *r, const yaml_node_t *value, size_t max)
{
    if (!config_need(r, value, YAML_SCALAR_NODE))
        return NULL;
    const char *text = config_scalar(value);
    if (strlen(text) != value->data.scalar.length || strpbrk(text, "\n\r\t")) {
        config_refuse(r, value, "must not hold control characters");
        return NULL;
    }
    if (strlen(text) > max) {
        config_refuse(r, value, "must not be longer than %zu characters", max);
        return NULL;
    }
    return text;
}

static bool is_one_of(const char *text, const char *characters)
{
    return text[strspn(text, characters)] == '\0';
}

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._"

CONFIG_KIND(text)
{
    const char *text = text_of(r, value, TEXT_MAX);
    if (text)
        *(const char **)member = arena_text(&r->set->arena, text, strlen(text));
    return text != NULL;
}

CONFIG_KIND(label)
{
    const char *text = text_of(r, value, 31);
    if (text && (!*text || !is_one_of(text, LETTERS)))
        return config_refuse(r, value, "must be a name of letters, digits, '.', '-' and '_'");
    if (text)
        g_strlcpy(member, text, 32);
    return text != NULL;
}

CONFIG_KIND(word)
{
    const char *text = text_of(r, value, WORD_MAX);
    (void)member;
    if (text && (!*text || !is_one_of(text, LETTERS)))
        return config_refuse(r, value,
                             "must be a word of letters, digits, '.', '-' and '_', such as Ascend910B3");
    return text != NULL;
}

static bool is_resource_name(const char *text)
{
    const char *slash = strchr(text, '/');
    return is_one_of(text, LETTERS "/") && text[0] != '/' &&
           (!slash || (slash[1] && !strchr(slash + 1, '/')));
}

CONFIG_KIND(name)
{
    const char *text = text_of(r, value, NAME_MAX_K8S);
    if (!text || !*text) /* empty: the family has no such resource */
        return text != NULL;
    if (!is_resource_name(text))
        return config_refuse(r, value, "\"%s\" is no resource name: write one such as vendor.com/gpu", text);
    for (guint i = 0; i < r->names->len; i++) {
        const struct config_name *n = r->names->pdata[i];
        if (strcmp(n->name, text) == 0)
            return config_refuse(r, value, "%s is already %s: resource names must differ", text, n->path);
    }
    struct config_name *n = g_new(struct config_name, 1);
    *n = (struct config_name){arena_text(&r->set->arena, text, strlen(text)), g_strdup(r->path->str)};
    g_ptr_array_add(r->names, n);
    *(const char **)member = n->name;
    return true;
}

CONFIG_KIND(flag)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "n", "y"};
    const char *text = text_of(r, value, TEXT_MAX);
    for (size_t i = 0; text && i < G_N_ELEMENTS(words); i++)
        if (g_ascii_strcasecmp(text, words[i]) == 0) {
            *(bool *)member = i % 2 == 1;
            return true;
        }
    return text && config_refuse(r, value, "\"%s\" is neither true nor false", text);
}

/* A whole number; charts render large ones as 1.048576e+06. */
static bool number(struct config_reader *r, const yaml_node_t *value, int64_t min, int64_t max, int64_t *ret)
{
    const char *text = text_of(r, value, TEXT_MAX);
    char *end;
    gint64 n;
    if (!text)
        return false;
    if (!g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &n, NULL)) {
        double d = g_ascii_strtod(text, &end);
        if (end == text || *end || !is_one_of(text, "0123456789.eE+-") || !isfinite(d) || fabs(d) > 1e15 ||
            d != floor(d))
            return config_refuse(r, value, "\"%s\" is not a whole number", text);
        n = (gint64)d;
    }
    if (n < min || n > max)
        return config_refuse(r, value, "%s is not within %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT, text,
                             min, max);
    *ret = n;
    return true;
}

static bool number32(struct config_reader *r, const yaml_node_t *value, int64_t min, int64_t max,
                     void *member)
{
    int64_t n = 0;
    if (!number(r, value, min, max, &n))
        return false;
    *(uint32_t *)member = (uint32_t)n;
    return true;
}

CONFIG_KIND(count)
{
    return number32(r, value, 0, INT32_MAX, member);
}

CONFIG_KIND(percent)
{
    return number32(r, value, 0, 100, member);
}

CONFIG_KIND(split)
{
    return number32(r, value, 1, UINT16_MAX, member);
}

CONFIG_KIND(level)
{
    return number32(r, value, 0, 4, member);
}

CONFIG_KIND(aux)
{
    return number32(r, value, 0, UINT16_MAX, member);
}

CONFIG_KIND(factor) /* the field reads 0 as 1 */
{
    if (!number32(r, value, 0, 1 << 20, member))
        return false;
    *(uint32_t *)member = MAX(*(uint32_t *)member, 1);
    return true;
}

CONFIG_KIND(mib)
{
    int64_t n = 0;
    if (!number(r, value, 0, CARD_MIB_MAX, &n))
        return false;
    *(uint64_t *)member = (uint64_t)n * QUANTITY_MIB;
    return true;
}

CONFIG_KIND(ratio)
{
    const char *text = text_of(r, value, TEXT_MAX);
    const char *why = text ? quantity_parse_ratio(text, member) : NULL;
    if (why)
        return config_refuse(r, value, "\"%s\" %s", text, why);
    return text != NULL;
}

CONFIG_KIND(policy)
{
    static const char *const words[] = {"default", "force", "disable"};
    const char *text = text_of(r, value, TEXT_MAX);
    if (text && !*text)
        return true;
    for (size_t i = 0; text && i < G_N_ELEMENTS(words); i++)
        if (strcmp(text, words[i]) == 0) {
            *(const char **)member = words[i];
            return true;
        }
    return text && config_refuse(r, value, "\"%s\" is none of default, force and disable", text);
}

CONFIG_KIND(ignored)
{
    (void)member;
    config_warn(r, value, "has no effect");
    return true;
}

/* "1g.10gb": digits, g, a dot and more. */
static bool is_profile(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && text[digits] == 'g' && text[digits + 1] == '.' && text[digits + 2];
}

/* A list of words that is not empty. */
static bool read_words(struct config_reader *r, yaml_node_t *list, bool profiles)
{
    if (!config_need(r, list, YAML_SEQUENCE_NODE))
        return false;
    const yaml_node_item_t *item = list->data.sequence.items.start;
    if (item == list->data.sequence.items.top)
        return config_refuse(r, list, "must not be empty");
    for (; item < list->data.sequence.items.top; item++) {
        const yaml_node_t *node = config_node(r, *item);
        const char *text = text_of(r, node, TEXT_MAX);
        if (!text)
            return false;
        if (!*text || (profiles && !is_profile(text)))
            return config_refuse(r, node, "\"%s\" is no %s", text,
                                 profiles ? "MIG profile: write one such as 1g.10gb" : "name");
    }
    return true;
}

static bool read_allowed(struct config_reader *r, yaml_node_t *entry)
{
    bool models = false, profiles = false;
    if (!config_need(r, entry, YAML_MAPPING_NODE))
        return false;
    for (const yaml_node_pair_t *p = entry->data.mapping.pairs.start; p < entry->data.mapping.pairs.top;
         p++) {
        const yaml_node_t *key = config_node(r, p->key);
        const char *name = config_scalar(key);
        bool *seen = g_strcmp0(name, "models") == 0     ? &models
                     : g_strcmp0(name, "profiles") == 0 ? &profiles
                                                        : NULL;
        if (!seen)
            config_warn(r, key, "the key %.40s is unknown and ignored; an entry holds models and profiles",
                        name ? name : "that is not a word");
        else if (!read_words(r, config_node(r, p->value), seen == &profiles))
            return false;
        else
            *seen = true;
    }
    return (models && profiles) || config_refuse(r, entry, "an entry needs models and profiles");
}

CONFIG_KIND(allowlist)
{
    uint32_t *n = member;
    if (!config_need(r, value, YAML_SEQUENCE_NODE))
        return false;
    for (const yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top;
         i++)
        if (++*n > ALLOWED_MAX)
            return config_refuse(r, value, "more than %d entries", ALLOWED_MAX);
        else if (!read_allowed(r, config_node(r, *i)))
            return false;
    return true;
}
