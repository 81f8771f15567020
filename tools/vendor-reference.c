/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes docs/reference/vendors.md from the rows of the family table.
 *
 *     vendor-reference            prints it
 *     vendor-reference --check F  status 1 when F says something else
 */
#include <stdio.h>
#include <string.h>

#include "vendor/config.h"

static const char *const resources[FAMILY_RESOURCES] = {[FAMILY_COUNT] = "cards",
                                                        [FAMILY_MEM] = "memory",
                                                        [FAMILY_MEM_PERCENT] = "memory in percent",
                                                        [FAMILY_CORES] = "compute",
                                                        [FAMILY_PRIORITY] = "priority"};
static const char *const count_rules[] = {[FAMILY_COUNT_ANY] = "any number",
                                          [FAMILY_COUNT_POWER_8] = "1, 2, 4 or 8",
                                          [FAMILY_COUNT_EVEN] = "even; 1 becomes 2",
                                          [FAMILY_COUNT_IS_SIZE] = "the size of one slice of one card"};
static const char *const mem_rounds[] = {
    [FAMILY_ROUND_NONE] = NULL,
    [FAMILY_ROUND_SHAPES] = "rounded up to a template, else the whole card",
    [FAMILY_ROUND_LADDER] = "rounded up to the next size, at most the last",
    [FAMILY_ROUND_SET] = "one of the sizes, nothing else",
    [FAMILY_ROUND_CARD_SHAPE] = "rounded up to a profile of the card"};
static const char *const cores_kinds[] = {[FAMILY_CORES_NONE] = "not counted",
                                          [FAMILY_CORES_PERCENT] = "percent of a card",
                                          [FAMILY_CORES_UNITS] = "units",
                                          [FAMILY_CORES_OF_TOTAL] =
                                              "percent of a card's compute units, at least one unit",
                                          [FAMILY_CORES_OF_MEM] = "follows from memory",
                                          [FAMILY_CORES_MASK] = "cores of a device"};
static const char *const inventories[] = {[FAMILY_INV_JSON] = "JSON register",
                                          [FAMILY_INV_COLON] = "colon register",
                                          [FAMILY_INV_CAPACITY] = "the node's capacity",
                                          [FAMILY_INV_METAX] = "the MetaX operator's JSON",
                                          [FAMILY_INV_ENFLAME] = "Enflame's JSON"};
static const char *const healths[] = {[FAMILY_HEALTH_HANDSHAKE] = "handshake",
                                      [FAMILY_HEALTH_ALWAYS] = "always",
                                      [FAMILY_HEALTH_CAPACITY] = "while the capacity is not 0",
                                      [FAMILY_HEALTH_INVENTORY] = "while the inventory names cards"};
static const char *const groupings[] = {[FAMILY_GROUP_NONE] = NULL,
                                        [FAMILY_GROUP_LARGEST_FIRST] = "from the groups with most free cards",
                                        [FAMILY_GROUP_FULL_PAIRS] = "both dies of a module",
                                        [FAMILY_GROUP_WINDOW] = "neighbours"};
static const char *const locks[] = {[FAMILY_LOCK_NONE] = "none",
                                    [FAMILY_LOCK_NODE] = "`hami.io/mutex.lock`",
                                    [FAMILY_LOCK_CAMBRICON] = "`cambricon.com/dsmlu.lock`"};
static const char *const formats[] = {
    [FAMILY_WRITE_DEVICES] = "`UUID,TYPE,MiB,cores:` per card, `;` per container",
    [FAMILY_WRITE_INDICES] = "card numbers, comma list",
    [FAMILY_WRITE_CORE_INDICES] = "core numbers, or device numbers where devices were asked for; comma list",
    [FAMILY_WRITE_SECONDS] = "seconds since 1970",
    [FAMILY_WRITE_NANOSECONDS] = "nanoseconds since 1970",
    [FAMILY_WRITE_NODE] = "name of the node",
    [FAMILY_WRITE_CONST] = "",
    [FAMILY_WRITE_PROFILE_MLU] = "`card_cores_memory/256 MiB` of the first card",
    [FAMILY_WRITE_JSON_ASCEND] = "JSON `[{UUID, temp}]`, or `[{UUID, memory, core}]` of soft slices",
    [FAMILY_WRITE_JSON_METAX] = "JSON `[[{uuid, compute, vRam}]]` by container",
    [FAMILY_WRITE_JSON_ENFLAME] = "JSON `{container: {allocated, request, profileID, profileName}}`",
    [FAMILY_WRITE_ENFLAME_INDEX] = "number of the first card",
    [FAMILY_WRITE_ENFLAME_ID] = "number of the first card",
    [FAMILY_WRITE_ENFLAME_MINOR] = "minor number of the first card",
    [FAMILY_WRITE_ENFLAME_SIZE] = "size of the first slice",
    [FAMILY_WRITE_MIG] = "JSON, see [annotations](annotations.md); only with MIG instances",
    [FAMILY_WRITE_NEURON_TYPE] = "name of the core resource; only where cores were asked for",
};

static void line(GString *out, const char *name, const char *value)
{
    if (value && *value)
        g_string_append_printf(out, "| %s | %s |\n", name, value);
}

static void key(GString *out, const char *name, const char *value)
{
    g_autofree char *quoted = value && *value ? g_strdup_printf("`%s`", value) : NULL;
    line(out, name, quoted);
}

static void sizes(GString *out, const struct family *f)
{
    g_autoptr(GString) list = g_string_new(NULL);
    for (const uint32_t *step = f->ladder; step && *step; step++)
        g_string_append_printf(list, "%s%u", list->len ? ", " : "", *step);
    line(out, "sizes", list->str);
}

static void templates(GString *out, const struct family *f)
{
    if (!f->shapes)
        return;
    g_string_append(out, "\n| template | MiB | AI cores | AI CPUs |\n|---|---|---|---|\n");
    for (uint32_t i = 0; i < f->shapes->n; i++) {
        const struct card_shape *s = &f->shapes->shapes[i];
        g_string_append_printf(out, "| `%s` | %u | %u | %u |\n", s->name, (unsigned)(s->mem_bytes >> 20),
                               s->aux[0], s->aux[1]);
    }
    g_string_append_printf(out, "| whole card | %u | %u | %u |\n", (unsigned)(f->mem_allocatable_bytes >> 20),
                           f->aux_total[0], f->aux_total[1]);
}

static void request(GString *out, const struct family *f)
{
    g_autofree char *unit = g_strdup_printf("%u MiB", (unsigned)(f->mem_unit_bytes >> 20));
    g_autofree char *cores = f->cores_kind == FAMILY_CORES_UNITS
                                 ? g_strdup_printf("1/%u of a card", f->cores_unit)
                                 : g_strdup(cores_kinds[f->cores_kind]);
    g_autofree char *cores_default = g_strdup_printf("%u", f->cores_default);
    bool counts_memory = f->mem_default != FAMILY_MEM_NOTHING,
         has_memory = f->resource[FAMILY_MEM] && *f->resource[FAMILY_MEM];
    for (int i = 0; i < FAMILY_RESOURCES; i++)
        key(out, resources[i], f->resource[i]);
    line(out, "number of cards", count_rules[f->count_rule]);
    line(out, "a unit of memory", has_memory ? unit : NULL);
    line(out, "memory is", mem_rounds[f->mem_round]);
    sizes(out, f);
    line(out, "memory where none is asked for", counts_memory ? "the whole card" : "not counted");
    line(out, "memory and cores are", f->mem_div_by_count ? "for all cards together" : "of each card");
    line(out, "a unit of compute", cores);
    line(out, "compute where none is asked for",
         f->cores_kind == FAMILY_CORES_PERCENT || f->cores_kind == FAMILY_CORES_OF_TOTAL ? cores_default
                                                                                         : NULL);
    line(out, "read from", f->source_parse == FAMILY_LIMITS ? "limits" : "limits, else requests");
}

static void cards(GString *out, const struct family *f)
{
    line(out, "cards are found in", inventories[f->inventory]);
    key(out, "register (node)", f->register_key);
    key(out, "handshake (node)", f->handshake_key);
    key(out, "pair scores (node)", f->score_key);
    line(out, "healthy", healths[f->health]);
    line(out, "several cards are", groupings[f->grouping]);
    line(out, "cards must be",
         f->idle_only      ? "unused"
         : f->equal_slices ? "unused, or cut into slices of this size"
                           : NULL);
    line(out, "all containers of a pod", f->same_card_per_pod ? "use one card" : NULL);
    line(out, "lock of the node", locks[f->lock]);
}

static void selection(GString *out, const struct family *f)
{
    key(out, "wanted types (pod)", f->use_type_key);
    key(out, "unwanted types (pod)", f->not_type_key);
    for (int i = 0; i < 2; i++) {
        key(out, "wanted cards (pod)", f->use_uuid_key[i]);
        key(out, "unwanted cards (pod)", f->not_uuid_key[i]);
    }
    g_autofree char *soft = f->soft_key ? g_strdup_printf("`%s: %s`", f->soft_key, f->soft_value) : NULL;
    line(out, "soft slices (pod)", soft);
}

static void written(GString *out, const struct family *f)
{
    g_string_append(out, "\n| annotation written to the pod | content |\n|---|---|\n");
    for (const struct family_write *w = f->writes; w->key; w++)
        g_string_append_printf(out, "| `%s` | %s%s |\n", w->key, formats[w->format], w->arg ? w->arg : "");
}

static GString *document(const struct family_set *set)
{
    GString *out = g_string_new(
        "# Families of accelerators\n\n"
        "Written by `make docs` from the rows of src/vendor/families.c and the built-in\n"
        "device-config.yaml; edit those. Resource names, units and chips are configuration: see\n"
        "[device-config.yaml](device-config.md). Keys that belong to no single family are in\n"
        "[annotations](annotations.md).\n");
    for (uint32_t i = 0; i < set->n; i++) {
        const struct family *f = set->rows[i];
        g_string_append_printf(out, "\n## %s\n\n| | |\n|---|---|\n", f->title);
        key(out, "word", f->word);
        key(out, "section of device-config.yaml", f->config_key);
        request(out, f);
        cards(out, f);
        selection(out, f);
        templates(out, f);
        written(out, f);
    }
    return out;
}

int main(int argc, char **argv)
{
    static const struct vendor_options all = {true, true};
    g_autoptr(GError) error = NULL;
    g_autoptr(FamilySet) set = vendor_config_parse(NULL, 0, &all, NULL, &error);
    if (!set) {
        fprintf(stderr, "vendor-reference: %s\n", error->message);
        return 1;
    }
    GString *text = document(set);
    int status = 0;
    if (argc == 3 && strcmp(argv[1], "--check") == 0) {
        g_autofree char *old = NULL;
        if (!g_file_get_contents(argv[2], &old, NULL, NULL) || strcmp(old, text->str) != 0) {
            fprintf(stderr, "%s is stale: run `make docs`\n", argv[2]);
            status = 1;
        }
    } else {
        fputs(text->str, stdout);
    }
    g_string_free(text, TRUE);
    return status;
}
