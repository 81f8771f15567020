/* SPDX-License-Identifier: Apache-2.0
 *
 * The checks "contradiction" and "quantity" as expressions over tables: a row
 * for each family that has such annotations or resources. What is no whole
 * number, or negative, the API server refuses of any extended resource.
 */
#include <inttypes.h>

#include "model/annotation.h"
#include "model/pod.h"
#include "scheduler/policy.h"
#include "vendor/families.h"

#define MIB_MAX_BYTES ((uint64_t)CARD_MIB_MAX * POD_MIB)
#define GIB (UINT64_C(1) << 30)

/* ---- tables: lists of lists of texts ---- */

static void row_add(GString *table, const char *const *cells, size_t n)
{
    g_string_append(table, table->len ? ",\n      [" : "[[");
    for (size_t i = 0; i < n; i++)
        g_string_append_printf(table, "%s'%s'", i ? ", " : "", cells[i]);
    g_string_append_c(table, ']');
}

static bool has_row(const GString *table, const char *a, const char *b)
{
    g_autofree char *begin = g_strdup_printf("['%s', '%s'", a, b);
    return strstr(table->str, begin) != NULL;
}

/* As a variable; false: it has no row. Frees the table. */
static bool table_end(GString *out, const char *name, GString *table)
{
    bool any = table->len > 0;
    if (any)
        policy_variable(out, name, "%s]", table->str);
    g_string_free(table, TRUE);
    return any;
}

/* Two annotations and the resources that make them count. Families may share both. */
static void keys_add(GString *table, const struct family_set *set, const struct family *f, const char *use,
                     const char * not )
{
    g_autoptr(GPtrArray) cells = g_ptr_array_new();
    if (!f->enabled || !use || !not || has_row(table, use, not ))
        return;
    policy_add_name(cells, use);
    policy_add_name(cells, not );
    for (uint32_t i = 0; i < set->n; i++)
        if (g_strcmp0(set->rows[i]->use_type_key, f->use_type_key) == 0 &&
            g_strcmp0(set->rows[i]->use_uuid_key[0], f->use_uuid_key[0]) == 0)
            policy_add_asking(cells, set->rows[i]);
    row_add(table, (const char *const *)cells->pdata, cells->len);
}

/* ---- contradictions ---- */

/* The trimmed members of a comma list, empty ones included. */
#define MEMBERS(text) text ".split(',').map(m, m.trim())"
#define GIVEN(key) POLICY_GIVEN(key)
#define BOTH_COUNT                                                                                           \
    "p[0] in variables.annotations && p[1] in variables.annotations\n"                                       \
    "        && " POLICY_ASKED("p")

static bool variable_uuids(struct policy_check *c)
{
    GString *table = g_string_new("");
    for (uint32_t i = 0; i < c->set->n; i++) {
        const struct family *f = c->set->rows[i];
        for (int use = 0; use < 2; use++)
            for (int not = 0; not < 2; not ++)
                keys_add(table, c->set, f, f->use_uuid_key[use], f->not_uuid_key[not ]);
    }
    if (!table_end(c->out, "uuidKeys", table))
        return false;
    policy_variable(c->out, "bothUuids",
                    "variables.uuidKeys.filter(p, " BOTH_COUNT "\n"
                    "        && [" MEMBERS(
                        GIVEN("p[1]")) "].exists(n,\n"
                                       "          " MEMBERS(GIVEN("p[0]")) ".exists(u, u != '' && u in n)))");
    return true;
}

static void validate_uuids(struct policy_check *c)
{
    policy_validation(
        c->out, "size(variables.bothUuids) == 0",
        "'annotations ' + variables.bothUuids[0][0] + ' and ' + variables.bothUuids[0][1] + ': \"'\n"
        "      + " MEMBERS(GIVEN(
            "variables.bothUuids[0][0]")) "\n"
                                          "        .filter(u, u != '' && u in " MEMBERS(GIVEN(
                                              "variables.bothUuids[0][1]")) ")\n"
                                                                            "        .map(u, " POLICY_CUT(
                                                                                "u") ")[0]\n"
                                                                                     "      + '\" is both "
                                                                                     "wanted and unwanted; "
                                                                                     "remove it from one of "
                                                                                     "them'",
        "a UUID is both wanted and unwanted; remove it from one of the annotations");
}

static bool variable_types(struct policy_check *c)
{
    GString *table = g_string_new("");
    for (uint32_t i = 0; i < c->set->n; i++)
        keys_add(table, c->set, c->set->rows[i], c->set->rows[i]->use_type_key,
                 c->set->rows[i]->not_type_key);
    if (!table_end(c->out, "typeKeys", table))
        return false;
    policy_variable(
        c->out, "bothTypes",
        "variables.typeKeys.filter(p, " BOTH_COUNT "\n"
        "        && [" MEMBERS(
            GIVEN("p[1]") ".lowerAscii()") ".filter(n, n != '')].exists(n,\n"
                                           "          [" MEMBERS(GIVEN(
                                               "p[0]") ".lowerAscii()") ".filter(u, u != '')].exists(u,\n"
                                                                        "            size(u) > 0 && "
                                                                        "u.all(wanted, n.exists(part, "
                                                                        "wanted.contains(part))))))");
    return true;
}

static void validate_types(struct policy_check *c)
{
    policy_validation(c->out, "size(variables.bothTypes) == 0",
                      "'annotations ' + variables.bothTypes[0][0] + ' and ' + variables.bothTypes[0][1]\n"
                      "      + ': every wanted type (\"' + [" GIVEN(
                          "variables.bothTypes[0][0]") "]\n"
                                                       "        .map(t, " POLICY_CUT(
                                                           "t") ")[0]\n"
                                                                "      + '\") is unwanted as well; remove "
                                                                "one of the annotations'",
                      "every wanted type is unwanted as well; remove one of the annotations");
}

/* How many cards the annotation of row `p` names; whether the container `c` asks for more than `n`. */
#define NAMED "size(" MEMBERS(GIVEN("p[0]")) ".filter(u, u != ''))"
#define ASKS_FOR_MORE                                                                                        \
    POLICY_HAS_LIMITS " && p[1] in c.resources.limits\n"                                                     \
                      "            && quantity(c.resources.limits[p[1]]).isInteger()\n"                      \
                      "            && quantity(c.resources.limits[p[1]]).asInteger() > n"

/* Several cards of one container are different ones, but for MIG instances, which NVIDIA's are as long as
 * no mode is named. */
static bool variable_few(struct policy_check *c)
{
    GString *table = g_string_new("");
    for (uint32_t i = 0; i < c->set->n; i++) {
        const struct family *f = c->set->rows[i];
        const char *cells[] = {"", f->resource[FAMILY_COUNT], policy_is_nvidia(f) ? "not mig" : "any"};
        if (!f->enabled || f->cores_kind == FAMILY_CORES_MASK || f->mem_round == FAMILY_ROUND_CARD_SHAPE)
            continue;
        for (int pair = 0; pair < 2; pair++)
            if ((cells[0] = f->use_uuid_key[pair]) && cells[1] && *cells[1] &&
                !has_row(table, cells[0], cells[1]))
                row_add(table, cells, G_N_ELEMENTS(cells));
    }
    if (!table_end(c->out, "namedCards", table))
        return false;
    policy_variable(c->out, "isNotMig",
                    "'%s' in variables.annotations && ['hami-core', 'mps'].exists(w, "
                    "variables.annotations['%s'].contains(w))\n"
                    "      && !variables.annotations['%s'].contains('mig')",
                    annotation_vgpu_mode, annotation_vgpu_mode, annotation_vgpu_mode);
    policy_variable(c->out, "fewNamed",
                    "variables.namedCards.filter(p, p[0] in variables.annotations && (p[2] == 'any' || "
                    "variables.isNotMig)\n"
                    "        && [" NAMED "].exists(n, n > 0\n"
                    "          && variables.containers.exists(c, " ASKS_FOR_MORE ")))");
    return true;
}

static void validate_few(struct policy_check *c)
{
    policy_validation(
        c->out, "size(variables.fewNamed) == 0",
        "[variables.fewNamed[0]].map(p, [" NAMED "].map(n,\n"
        "        [variables.containers.filter(c, " ASKS_FOR_MORE ")[0]]\n"
        "          .map(c, 'container ' + c.name + ': it asks for ' + c.resources.limits[p[1]]\n"
        "            + ' cards, but annotation ' + p[0] + ' names only ' + string(n)\n"
        "            + '; name more, or ask for fewer')[0])[0])[0]",
        "a container asks for more cards than an annotation names; name more, or ask for fewer");
}

/* Where a part stands in the place of the count. */
static bool variable_parts(struct policy_check *c)
{
    static const enum family_resource parts[] = {FAMILY_MEM, FAMILY_CORES};
    GString *table = g_string_new("");
    for (uint32_t i = 0; i < c->set->n; i++) {
        const struct family *f = c->set->rows[i];
        for (size_t k = 0; k < G_N_ELEMENTS(parts); k++) {
            const char *const cells[] = {f->resource[FAMILY_COUNT], f->resource[parts[k]]};
            if (f->enabled && f->parts_alone && cells[0] && *cells[0] && cells[1] && *cells[1])
                row_add(table, cells, G_N_ELEMENTS(cells));
        }
    }
    if (!table_end(c->out, "exclusive", table))
        return false;
    policy_variable(c->out, "bothParts",
                    "variables.exclusive.filter(p,\n"
                    "        variables.containers.exists(c, " POLICY_HAS_LIMITS
                    " && p.all(k, k in c.resources.limits)))");
    return true;
}

static void validate_parts(struct policy_check *c)
{
    policy_validation(
        c->out, "size(variables.bothParts) == 0",
        "[variables.containers.filter(c, " POLICY_HAS_LIMITS "\n"
        "        && variables.bothParts[0].all(k, k in c.resources.limits))[0]]\n"
        "      .map(c, 'container ' + c.name + ': resources.limits[' + variables.bothParts[0][0] + '] and [' "
        "+ "
        "variables.bothParts[0][1]\n"
        "        + '] exclude each other: each says by itself how much is asked for; remove one of them')[0]",
        "two resources exclude each other; remove one of them");
}

static void check_contradiction(struct policy_check *c)
{
    static const struct {
        bool (*variable)(struct policy_check *c);
        void (*validate)(struct policy_check *c);
    } rows[] = {{variable_uuids, validate_uuids},
                {variable_types, validate_types},
                {variable_few, validate_few},
                {variable_parts, validate_parts}};
    bool any[G_N_ELEMENTS(rows)];
    if (!policy_check_begin(c, "hami-contradiction", ADMIT_CONTRADICTION, policy_is_any))
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        any[i] = rows[i].variable(c);
    policy_validations(c->out);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (any[i])
            rows[i].validate(c);
    policy_check_end(c);
}

/* ---- quantities ---- */

/* A resource, how much of it is too much, and what is said then. A number with a unit is bytes where
 * `unit_is_bytes`. Memory in other units counts `unit_bytes` each. */
struct bound {
    const char *resource;
    uint64_t most, unit_bytes;
    bool unit_is_bytes;
    const char *what;
    char *remedy;
};

static void bound_add(GString *table, const struct bound *b)
{
    char most[24], unit[24], mib[24];
    g_snprintf(most, sizeof most, "%" PRIu64, b->most);
    g_snprintf(unit, sizeof unit, "%" PRIu64, MAX(b->unit_bytes, 1));
    g_snprintf(mib, sizeof mib, "%" PRIu64, b->unit_bytes / POD_MIB);
    const char *const cells[] = {b->resource, most,     unit, mib, b->unit_is_bytes ? "bytes" : "",
                                 b->what,     b->remedy};
    if (b->resource && *b->resource && !has_row(table, b->resource, most))
        row_add(table, cells, G_N_ELEMENTS(cells));
}

static void add_count(GString *table, const struct family *f)
{
    g_autofree char *remedy =
        f->count_rule == FAMILY_COUNT_IS_SIZE
            ? g_strdup("write the size of the slice, such as 1")
            : g_strdup_printf("write a whole number of cards from 1 to %d", CARD_PER_NODE);
    bound_add(table, &(struct bound){.resource = f->resource[FAMILY_COUNT],
                                     .most = CARD_PER_NODE,
                                     .what = "which is more than any node has",
                                     .remedy = remedy});
}

static void add_memory(GString *table, const struct family *f)
{
    struct bound b = {.resource = f->resource[FAMILY_MEM], .what = "which is larger than any card"};
    uint64_t unit = MAX(f->mem_unit_bytes, 1);
    if (f->mem_syntax == FAMILY_MEM_GIB_OR_SUFFIX) {
        b.most = MIB_MAX_BYTES / GIB;
        b.unit_is_bytes = true;
        b.remedy = g_strdup("write GiB as a whole number, such as 4, or with a unit, such as 4096Mi");
    } else if (f->mem_syntax == FAMILY_MEM_GB_OR_MIB) {
        b.most = CARD_MIB_MAX;
        b.remedy = g_strdup("write a whole number of GB, such as 12, or of MiB, such as 12288");
    } else {
        b.most = MIB_MAX_BYTES / unit;
        b.unit_bytes = unit; /* perhaps bytes were meant */
        b.remedy =
            unit == POD_MIB
                ? g_strdup("write a whole number of MiB without a unit, such as 16384 for 16 GiB")
                : g_strdup_printf("write a whole number of units of %" PRIu64 " MiB each, at most %" PRIu64,
                                  unit / POD_MIB, b.most);
    }
    bound_add(table, &b);
    g_free(b.remedy);
}

static void add_cores(GString *table, const struct family *f)
{
    g_autofree char *remedy =
        g_strdup_printf("write a whole number from 0 to %u per card", f->cores_unit ? f->cores_unit : 100);
    if (f->cores_kind != FAMILY_CORES_MASK && f->cores_kind != FAMILY_CORES_OF_MEM)
        bound_add(table, &(struct bound){.resource = f->resource[FAMILY_CORES],
                                         .most = INT32_MAX,
                                         .what = "which is larger than any card",
                                         .remedy = remedy});
}

/* `q` of the container `c` is beyond the row `b`. */
#define BEYOND                                                                                               \
    POLICY_HAS_LIMITS " && b[0] in c.resources.limits\n"                                                     \
                      "          && [quantity(c.resources.limits[b[0]])].exists(q, !q.isInteger()\n"         \
                      "            || q.asInteger() > (b[4] == 'bytes'\n"                                    \
                      "              && c.resources.limits[b[0]].matches('[A-Za-z]$') ? "                    \
                      "variables.mostBytes : int(b[1])))"

static void check_quantity(struct policy_check *c)
{
    GString *table = g_string_new("");
    for (uint32_t i = 0; i < c->set->n; i++) {
        const struct family *f = c->set->rows[i];
        if (!f->enabled)
            continue;
        add_count(table, f);
        add_memory(table, f);
        add_cores(table, f);
    }
    if (table->len == 0 || !policy_check_begin(c, "hami-quantity", ADMIT_QUANTITY, policy_is_any)) {
        g_string_free(table, TRUE);
        return;
    }
    table_end(c->out, "bounds", table);
    policy_variable(c->out, "mostBytes", "%" PRIu64, MIB_MAX_BYTES);
    policy_variable(c->out, "beyond",
                    "variables.bounds.filter(b, variables.containers.exists(c,\n        " BEYOND "))");
    policy_validations(c->out);
    policy_validation(
        c->out, "size(variables.beyond) == 0",
        "[variables.beyond[0]].map(b, [variables.containers.filter(c, " BEYOND ")[0]].map(c,\n"
        "        'container ' + c.name + ': resources.limits[' + b[0] + '] is \"' + c.resources.limits[b[0]] "
        "+ '\", ' "
        "+ b[5] + '; '\n"
        "        + (b[3] != '0' && quantity(c.resources.limits[b[0]]).isInteger()\n"
        "            && quantity(c.resources.limits[b[0]]).asInteger() % int(b[2]) == 0\n"
        "            && quantity(c.resources.limits[b[0]]).asInteger() / int(b[2]) <= int(b[1])\n"
        "          ? 'the number counts units of ' + b[3] + ' MiB: write '\n"
        "            + string(quantity(c.resources.limits[b[0]]).asInteger() / int(b[2])) : b[6]))[0])[0]",
        "a number is larger than any card or node has; resources of memory count MiB without a unit");
    policy_check_end(c);
}

void policies_amounts(struct policy_check *c)
{
    check_contradiction(c);
    check_quantity(c);
}
