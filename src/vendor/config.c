/* SPDX-License-Identifier: Apache-2.0
 *
 * device-config.yaml: its sections and lists, and the set of families that
 * they make. What a key is called, holds and sets is in
 * contract/device_config.def; the functions here are for what has a shape of
 * its own.
 */
#include "vendor/config.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/words.h"
#include "model/quantity.h"
#include "vendor/config_read.h"
#include "vendor/families.h"

#define FILE_BYTES_MAX (1u << 20)
#define TEMPLATES_MAX 64

/* The first ones are top-level keys of the file. */
enum section {
    SECTION_nvidia,
    SECTION_cambricon,
    SECTION_hygon,
    SECTION_metax,
    SECTION_enflame,
    SECTION_mthreads,
    SECTION_kunlun,
    SECTION_awsneuron,
    SECTION_amd,
    SECTION_vastai,
    SECTION_biren,
    SECTION_iluvatars,
    SECTION_vnpus,
    SECTIONS,
    SECTION_vnpus_configs = SECTIONS,
    SECTION_vnpus_templates
};
static const char *const section_names[SECTIONS + 1] = {
    "nvidia",    "cambricon", "hygon",  "metax", "enflame",   "mthreads", "kunlun",
    "awsneuron", "amd",       "vastai", "biren", "iluvatars", "vnpus",    NULL};

typedef struct family type_family;
typedef struct config_agent type_agent;
typedef struct card_shape type_shape;
static const struct config_key keys[] = {
#define DEVICE_CONFIG(section, key, kind, family, owner, member, meaning)                                    \
    {SECTION_##section, #key, config_read_##kind, family, offsetof(type_##owner, member)},
#include "device_config.def"
#undef DEVICE_CONFIG
};

static const char default_text[] =
#include "device-config.inc"
    ;

static const struct config_key *find_key(unsigned section, const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        if (keys[i].section == section && strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

static void warn_unknown(struct config_reader *r, const yaml_node_t *at, const char *name,
                         const char *const *known)
{
    const char *near = words_nearest(name, known);
    config_warn(r, at, "there is no such key, it is ignored%s%s%s", near ? "; did you mean " : "",
                near ? near : "", near ? "?" : "");
}

static void warn_unknown_key(struct config_reader *r, const yaml_node_t *at, unsigned section,
                             const char *name)
{
    const char *known[G_N_ELEMENTS(keys) + 1] = {0};
    size_t n = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        if (keys[i].section == section)
            known[n++] = keys[i].name;
    warn_unknown(r, at, name, known);
}

static struct family *family_of(struct config_reader *r, const char *word)
{
    for (guint i = 0; i < r->families->len; i++) {
        struct family *f = r->families->pdata[i];
        if (strcmp(f->word, word) == 0)
            return f;
    }
    return NULL;
}

static bool set_key(struct config_reader *r, const struct config_key *key, yaml_node_t *value, void *current)
{
    void *owner = !key->family ? &r->agent : *key->family ? family_of(r, key->family) : current;
    return config_is_null(value) || key->read(r, value, (char *)owner + key->at);
}

static bool is_repeated(struct config_reader *r, const yaml_node_t *map, const yaml_node_pair_t *pair)
{
    const char *name = config_scalar(config_node(r, pair->key));
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++)
        if (g_strcmp0(config_scalar(config_node(r, p->key)), name) == 0)
            return true;
    return false;
}

/* Calls `read` for each key of a mapping, with the path grown by it. */
static bool each_key(struct config_reader *r, yaml_node_t *map, void *data,
                     bool (*read)(struct config_reader *, const yaml_node_t *, const char *, yaml_node_t *,
                                  void *))
{
    gsize len = r->path->len;
    if (!config_need(r, map, YAML_MAPPING_NODE))
        return false;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = config_node(r, p->key);
        if (!config_scalar(key) || key->data.scalar.length > 100 ||
            strlen(config_scalar(key)) != key->data.scalar.length)
            return config_refuse(r, key, "a key must be a short word");
        g_string_append_printf(r->path, "%s%s", len ? "." : "", config_scalar(key));
        if (is_repeated(r, map, p))
            return config_refuse(r, key, "the key is given twice");
        if (!read(r, key, config_scalar(key), config_node(r, p->value), data))
            return false;
        g_string_truncate(r->path, len);
    }
    return true;
}

struct entry {
    unsigned section;
    void *current;
};

static bool read_key(struct config_reader *r, const yaml_node_t *at, const char *name, yaml_node_t *value,
                     void *data)
{
    const struct entry *entry = data;
    const struct config_key *key = find_key(entry->section, name);
    if (key)
        return set_key(r, key, value, entry->current);
    warn_unknown_key(r, at, entry->section, name);
    return true;
}

static bool read_mapping(struct config_reader *r, yaml_node_t *map, unsigned section, void *current)
{
    struct entry entry = {section, current};
    return each_key(r, map, &entry, read_key);
}

static bool each_item(struct config_reader *r, yaml_node_t *list, unsigned max, void *data,
                      bool (*read)(struct config_reader *, yaml_node_t *, void *))
{
    gsize len = r->path->len;
    unsigned n = 0;
    if (!config_need(r, list, YAML_SEQUENCE_NODE))
        return false;
    for (const yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top;
         i++, n++) {
        if (n == max)
            return config_refuse(r, list, "more than %u entries", max);
        g_string_append_printf(r->path, "[%u]", n);
        if (!read(r, config_node(r, *i), data))
            return false;
        g_string_truncate(r->path, len);
    }
    return true;
}

/* ---- templates of an Ascend chip ---- */

static bool read_template(struct config_reader *r, yaml_node_t *map, void *data)
{
    struct card_shapes *shapes = data;
    struct card_shape *shape = &shapes->shapes[shapes->n++];
    if (!read_mapping(r, map, SECTION_vnpus_templates, shape))
        return false;
    return (shape->name[0] && shape->mem_bytes) || config_refuse(r, map, "a template needs name and memory");
}

static int by_memory(const void *a, const void *b, gpointer data)
{
    const struct card_shape *x = a, *y = b;
    (void)data;
    return (x->mem_bytes > y->mem_bytes) - (x->mem_bytes < y->mem_bytes);
}

CONFIG_KIND(templates)
{
    struct card_shapes *shapes =
        arena_take(&r->set->arena, sizeof *shapes + TEMPLATES_MAX * sizeof shapes->shapes[0]);
    if (!each_item(r, value, TEMPLATES_MAX, shapes, read_template))
        return false;
    g_qsort_with_data(shapes->shapes, (gint)shapes->n, sizeof shapes->shapes[0], by_memory,
                      NULL); /* stable */
    *(struct card_shapes **)member = shapes->n ? shapes : NULL;
    return true;
}

/* ---- chips: families that the file lists ---- */

static const struct family *pattern(const char *config_key)
{
    size_t i = 0;
    while (family_rows[i].word || strcmp(family_rows[i].config_key, config_key) != 0)
        i++;
    return &family_rows[i];
}

static const char *word_of(struct config_reader *r, const yaml_node_t *map)
{
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++)
        if (g_strcmp0(config_scalar(config_node(r, p->key)), "commonWord") == 0)
            return config_scalar(config_node(r, p->value));
    return NULL;
}

/* What follows from an Ascend chip's figures and name. */
static bool finish_ascend(struct config_reader *r, const yaml_node_t *at, struct family *f)
{
    if (f->mem_allocatable_bytes == 0)
        return config_refuse(r, at, "memoryAllocatable is missing: write a card's memory in MiB");
    if (f->mem_capacity_bytes == 0)
        f->mem_capacity_bytes = f->mem_allocatable_bytes;
    if (f->mem_capacity_bytes < f->mem_allocatable_bytes)
        return config_refuse(r, at, "memoryCapacity is below memoryAllocatable");
    for (uint32_t i = 0; f->shapes && i < f->shapes->n; i++)
        if (f->shapes->shapes[i].mem_bytes > f->mem_capacity_bytes)
            return config_refuse(r, at, "template %s has more memory than the card",
                                 f->shapes->shapes[i].name);
    f->mem_default_bytes = f->mem_allocatable_bytes;
    if (f->super_pod) {
        f->count_rule = FAMILY_COUNT_EVEN;
        f->grouping = FAMILY_GROUP_FULL_PAIRS;
    } else if (g_str_has_prefix(f->word, "Ascend910")) {
        f->info_group = "NetworkID";
        f->grouping = FAMILY_GROUP_LARGEST_FIRST;
        f->score = FAMILY_SCORE_MAXFRAC;
        f->score_weight = 10;
    }
    return true;
}

static bool read_chip(struct config_reader *r, yaml_node_t *map, void *data)
{
    const struct family *row = data;
    bool ascend = row->mem_round == FAMILY_ROUND_SHAPES;
    if (!config_need(r, map, YAML_MAPPING_NODE))
        return false;
    const char *word = word_of(r, map);
    if (!word || !*word)
        return config_refuse(r, map, "commonWord is missing: write the family's word, such as %s",
                             ascend ? "Ascend910B3" : "MR-V100");
    if (family_of(r, word))
        return config_refuse(r, map, "there is a family %.40s already: each commonWord must differ", word);
    struct family *f = family_from_row(row, word, &r->set->arena);
    if (!read_mapping(r, map, ascend ? SECTION_vnpus_configs : SECTION_iluvatars, f))
        return false;
    g_ptr_array_add(r->families, f);
    return !ascend || finish_ascend(r, map, f);
}

#define CHIPS_MAX 24

CONFIG_KIND(chips)
{
    struct family row = *pattern("vnpus");
    (void)member;
    return each_item(r, value, CHIPS_MAX, &row, read_chip);
}

/* ---- the file ---- */

static bool read_section(struct config_reader *r, const yaml_node_t *at, const char *name, yaml_node_t *value,
                         void *data)
{
    unsigned *n = data, section = 0;
    while (section < SECTIONS && strcmp(section_names[section], name) != 0)
        section++;
    if (section == SECTIONS) {
        warn_unknown(r, at, name, section_names);
        return true;
    }
    if (config_is_null(value))
        return true;
    ++*n;
    if (section == SECTION_iluvatars) {
        struct family row = *pattern("iluvatars");
        return each_item(r, value, CHIPS_MAX, &row, read_chip);
    }
    if (section == SECTION_vnpus && value->type == YAML_SEQUENCE_NODE)
        return config_refuse(r, value, "must be a mapping: write the list under its key configs");
    return read_mapping(r, value, section, NULL);
}

/* A ConfigMap with the file in it, as deploy/ has one. */
static bool is_manifest(struct config_reader *r, const yaml_node_t *root)
{
    if (root->type != YAML_MAPPING_NODE)
        return false;
    for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top; p++)
        if (g_strcmp0(config_scalar(config_node(r, p->key)), "apiVersion") == 0)
            return true;
    return false;
}

static bool read_document(struct config_reader *r)
{
    static const yaml_node_t nowhere;
    yaml_node_t *root = yaml_document_get_root_node(&r->doc);
    unsigned sections = 0;
    if (!root || config_is_null(root))
        return config_refuse(r, root ? root : &nowhere,
                             "is empty: write at least one section, such as nvidia");
    if (is_manifest(r, root))
        return config_refuse(r, root,
                             "is a manifest of Kubernetes, not what it holds: write the text under its data "
                             "into a file (kubectl get configmap NAME -o jsonpath=...)");
    if (!each_key(r, root, &sections, read_section))
        return false;
    return sections || config_refuse(r, root, "has no section: write at least one, such as nvidia");
}

static bool is_enabled(const struct family *f, const struct vendor_options *options)
{
    if (strcmp(f->config_key, "vnpus") == 0 && !options->enable_ascend)
        return false;
    if (strcmp(f->config_key, "iluvatars") == 0 && !options->enable_iluvatar)
        return false;
    for (int i = 0; i < FAMILY_RESOURCES; i++)
        if (i != FAMILY_PRIORITY && f->resource[i] && *f->resource[i])
            return true;
    return false;
}

static void add(struct config_reader *r, struct family *f)
{
    struct family_set *set = &r->set->set;
    f->id = (uint16_t)set->n;
    f->enabled = true;
    f->mem_unit_bytes =
        f->mem_unit_bytes == QUANTITY_MIB ? f->quota_mem_factor * QUANTITY_MIB : f->mem_unit_bytes;
    if (f->node_feature_key)
        f->node_feature_default = r->agent.soft_slicing;
    set->rows[set->n++] = f;
}

/* Families in the order of the rows, chips where their pattern stands. */
static bool assemble(struct config_reader *r, const struct vendor_options *options)
{
    for (size_t row = 0; row < family_rows_n; row++)
        for (guint i = 0; i < r->families->len; i++) {
            struct family *f = r->families->pdata[i];
            bool of_row = family_rows[row].word ? strcmp(family_rows[row].word, f->word) == 0
                                                : strcmp(family_rows[row].config_key, f->config_key) == 0;
            if (of_row && is_enabled(f, options)) {
                if (r->set->set.n == FAMILIES_MAX) {
                    g_set_error(r->error, STATUS_ERROR, STATUS_CONFIG,
                                "device-config.yaml: more than %d families: remove some", FAMILIES_MAX);
                    return false;
                }
                add(r, f);
            }
        }
    return true;
}

static bool load(struct config_reader *r, const char *text, size_t len)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        g_set_error(r->error, STATUS_ERROR, STATUS_FAILED, "device-config.yaml: out of memory");
        return false;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    bool loaded = yaml_parser_load(&parser, &r->doc);
    if (!loaded)
        g_set_error(r->error, STATUS_ERROR, STATUS_CONFIG, "device-config.yaml:%zu:%zu: is not YAML: %s",
                    parser.problem_mark.line + 1, parser.problem_mark.column + 1,
                    parser.problem ? parser.problem : "it cannot be read");
    yaml_parser_delete(&parser);
    return loaded;
}

static void free_name(gpointer data)
{
    struct config_name *n = data;
    g_free(n->path);
    g_free(n);
}

struct family_set *vendor_config_parse(const char *text, size_t len, const struct vendor_options *options,
                                       GPtrArray *warnings, GError **error)
{
    struct config_reader r = {.set = g_new0(struct config_set, 1), .warnings = warnings, .error = error};
    bool ok = text == NULL || len <= FILE_BYTES_MAX;
    if (!ok)
        g_set_error(error, STATUS_ERROR, STATUS_CONFIG, "device-config.yaml: has more than %u bytes",
                    FILE_BYTES_MAX);
    r.families = g_ptr_array_new();
    r.names = g_ptr_array_new_with_free_func(free_name);
    r.path = g_string_new(NULL);
    for (size_t i = 0; i < family_rows_n; i++)
        if (family_rows[i].word)
            g_ptr_array_add(r.families, family_from_row(&family_rows[i], NULL, &r.set->arena));
    if (ok && (ok = load(&r, text ? text : default_text, text ? len : sizeof default_text - 1))) {
        ok = read_document(&r) && assemble(&r, options);
        yaml_document_delete(&r.doc);
    }
    g_string_free(r.path, TRUE);
    g_ptr_array_unref(r.names);
    g_ptr_array_unref(r.families);
    if (ok)
        return &r.set->set;
    vendor_config_free(&r.set->set);
    return NULL;
}

void vendor_config_free(struct family_set *set)
{
    struct config_set *owned = (struct config_set *)set;
    if (!set)
        return;
    arena_free(owned->arena);
    g_free(owned);
}

/* Families whose cards follow from the capacity of their cores: memory and
 * cores are real resources there, which the kube-scheduler must count itself. */
static bool only_count_is_managed(const struct family *f)
{
    return f->inventory == FAMILY_INV_CAPACITY && f->capacity_divisor > 1;
}

char **vendor_config_resources(const struct family_set *set)
{
    static const enum family_resource order[] = {FAMILY_COUNT, FAMILY_MEM, FAMILY_CORES, FAMILY_MEM_PERCENT,
                                                 FAMILY_PRIORITY};
    GPtrArray *names = g_ptr_array_new();
    for (uint32_t i = 0; i < set->n; i++)
        for (size_t j = 0; j < G_N_ELEMENTS(order); j++) {
            const char *name = set->rows[i]->resource[order[j]];
            if (name && *name && (order[j] == FAMILY_COUNT || !only_count_is_managed(set->rows[i])))
                g_ptr_array_add(names, g_strdup(name));
        }
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_free(names, FALSE);
}
