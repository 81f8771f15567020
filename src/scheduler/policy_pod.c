/* SPDX-License-Identifier: Apache-2.0
 *
 * The webhook's checks of a new pod (vendor/admit_checks.c, settings.c,
 * container_request.c) as expressions. Not stricter than those: where an
 * expression cannot say it all, it lets more pass. What the cluster holds
 * ("impossible") and the rules of single families no expression knows.
 */
#include "base/words.h"
#include "model/annotation.h"
#include "model/pod.h"
#include "scheduler/policy.h"
#include "vendor/families.h"
#include "vendor/request.h"

#define PODS "    - {operations: [CREATE], apiGroups: [\"\"], apiVersions: [v1], resources: [pods]}\n"
#define VISIBLE "NVIDIA_VISIBLE_DEVICES"

/* ---- whom a check concerns ---- */

void policy_add_name(GPtrArray *names, const char *name)
{
    if (name && *name && !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
        g_ptr_array_add(names, (gpointer)(uintptr_t)name);
}

/* The resources by which a container asks for cards of the family (admit_nvidia.c, admit_vendors.c). */
void policy_add_asking(GPtrArray *names, const struct family *f)
{
    bool parts =
        f->default_count || f->cores_kind == FAMILY_CORES_MASK || f->mem_round == FAMILY_ROUND_CARD_SHAPE;
    if (!f->enabled)
        return;
    policy_add_name(names, f->resource[FAMILY_COUNT]);
    if (parts) {
        policy_add_name(names, f->resource[FAMILY_MEM]);
        policy_add_name(names, f->resource[FAMILY_CORES]);
    }
    if (f->default_count)
        policy_add_name(names, f->resource[FAMILY_MEM_PERCENT]);
}

bool policy_is_any(const struct family *f)
{
    (void)f;
    return true;
}

bool policy_is_nvidia(const struct family *f)
{
    return strcmp(f->word, WORD_NVIDIA) == 0;
}

static bool is_metax(const struct family *f)
{
    return f->inventory == FAMILY_INV_METAX;
}

/* Borrowed names, NULL at the end; empty when no such family is in force. */
GPtrArray *policy_asking(const struct family_set *set, bool (*fits)(const struct family *f))
{
    GPtrArray *names = g_ptr_array_new();
    for (uint32_t i = 0; i < set->n; i++)
        if (fits(set->rows[i]))
            policy_add_asking(names, set->rows[i]);
    g_ptr_array_add(names, NULL);
    return names;
}

static char *asking_list(const struct family_set *set, bool (*fits)(const struct family *f))
{
    g_autoptr(GPtrArray) names = policy_asking(set, fits);
    return policy_list((const char *const *)names->pdata);
}

/* ---- the frame of each ---- */

bool policy_check_begin(struct policy_check *c, const char *name, enum admit_check check,
                        bool (*fits)(const struct family *f))
{
    c->asked = policy_asking(c->set, fits);
    c->frame = (struct policy_frame){.name = name,
                                     .level = c->options->admission[check],
                                     .rules = PODS,
                                     .asked = (char **)c->asked->pdata,
                                     .options = c->options};
    if (c->frame.level == ADMIT_OFF || c->asked->len < 2) {
        g_ptr_array_unref(c->asked);
        return false;
    }
    policy_begin(c->out, &c->frame);
    policy_variable(
        c->out, "containers",
        "(has(object.spec.initContainers) ? object.spec.initContainers : []) + object.spec.containers");
    policy_variable(c->out, "annotations",
                    "has(object.metadata.annotations) ? object.metadata.annotations : {}");
    return true;
}

void policy_check_end(struct policy_check *c)
{
    policy_end(c->out, &c->frame);
    g_ptr_array_unref(c->asked);
}

/* ---- isolation ---- */

static void check_privileged(struct policy_check *c)
{
    if (!policy_check_begin(c, "hami-privileged", ADMIT_PRIVILEGED, policy_is_any))
        return;
    policy_variable(c->out, "wrong",
                    "variables.containers.filter(c, has(c.securityContext)\n"
                    "        && has(c.securityContext.privileged) && c.securityContext.privileged)");
    policy_validations(c->out);
    policy_validation(
        c->out, "size(variables.wrong) == 0",
        "'container ' + variables.wrong[0].name + ' is privileged: it would see every device of the "
        "node; remove '\n      + 'securityContext.privileged, or run it in a pod that asks for no "
        "cards'",
        "a privileged container would see every device of the node; remove "
        "securityContext.privileged");
    policy_check_end(c);
}

/* Containers of whose variable the last value, which counts, is `e`. */
#define SHOWN(condition)                                                                                     \
    "variables.containers.filter(c, has(c.env)\n"                                                            \
    "        && [c.env.filter(e, e.name == '" VISIBLE "')].exists(l, size(l) > 0\n"                          \
    "          && [l[size(l) - 1]].exists(e, " condition ")))"

static void check_visible_all(struct policy_check *c)
{
    if (!policy_check_begin(c, "hami-visible-all", ADMIT_VISIBLE_ALL, policy_is_nvidia))
        return;
    policy_variable(c->out, "wrong", SHOWN("!has(e.valueFrom) && has(e.value) && e.value == 'all'"));
    policy_validations(c->out);
    policy_validation(
        c->out, "size(variables.wrong) == 0",
        "'container ' + variables.wrong[0].name + ': env " VISIBLE " is \"all\", which shows it every "
        "card of the node; '\n      + 'remove the variable, the cards that are asked for appear by "
        "themselves'",
        "env " VISIBLE " is all, which shows every card of the node; remove the variable");
    policy_check_end(c);
}

static void check_visible_cards(struct policy_check *c)
{
    if (!policy_check_begin(c, "hami-visible-cards", ADMIT_VISIBLE_CARDS, policy_is_nvidia))
        return;
    policy_variable(c->out, "wrong",
                    SHOWN("has(e.valueFrom) || (has(e.value) && !(e.value in ['', 'none', 'void', 'all']))"));
    policy_variable(c->out, "value",
                    "size(variables.wrong) == 0 ? [] : [variables.wrong[0].env.filter(e, e.name == '" VISIBLE
                    "')]\n"
                    "      .map(l, l[size(l) - 1]).map(e, has(e.valueFrom) || !has(e.value) ? '' : e.value)");
    policy_validations(c->out);
    policy_validation(c->out, "size(variables.wrong) == 0",
                      "'container ' + variables.wrong[0].name + ': env " VISIBLE
                      " is ' + (variables.value[0] == ''\n"
                      "      ? 'taken from elsewhere (valueFrom), which may show it other cards than it is "
                      "given; remove the "
                      "variable, '\n"
                      "        + 'the cards that are asked for appear by themselves'\n"
                      "      : '\"' + " POLICY_CUT(
                          "variables.value[0]") "\n"
                                                "        + '\", which shows it other cards than it is given; "
                                                "remove the variable, the cards that are asked "
                                                "for appear '\n        + 'by themselves (annotation "
                                                "nvidia.com/use-gpuuuid asks for certain ones)')",
                      "env " VISIBLE " shows other cards than are given; remove the variable");
    policy_check_end(c);
}

/* ---- words ---- */

/* `annotation K: "W" is not one of ...` of the first word that is not in the list. */
static void validate_words(GString *out, const char *variable, const char *key, const char *const *words,
                           const char *unless)
{
    g_autofree char *list = policy_list(words), *known = words_join(words);
    g_autofree char *right = g_strdup_printf("%svariables.%s.all(w, w in %s)", unless, variable, list);
    g_autofree char *otherwise =
        g_strdup_printf("[variables.%s.filter(w, !(w in %s))[0]].map(w, 'annotation %s: \"'\n"
                        "        + " POLICY_CUT_TO(63, "w") " + '\" is not one of %s')[0]",
                        variable, list, key, known);
    g_autofree char *briefly = g_strdup_printf("annotation %s: a word is not one of %s", key, known);
    policy_validation(out, right, otherwise, briefly);
}

/* The words of an annotation, each separator replaced by a blank. */
static void variable_words(GString *out, const char *name, const char *key, const char *separators)
{
    GString *split = g_string_new("");
    for (const char *s = separators; *s; s++)
        g_string_append_printf(split, *s == '\t' ? ".replace('\\t', ' ')" : ".replace('%c', ' ')", *s);
    policy_variable(out, name,
                    "'%s' in variables.annotations\n"
                    "      ? " POLICY_GIVEN("'%s'") "%s\n"
                                                    "      .split(' ').filter(w, w != '') : []",
                    key, key, key, key, split->str);
    g_string_free(split, TRUE);
}

static void check_policy(struct policy_check *c)
{
    if (!policy_check_begin(c, "hami-policy", ADMIT_POLICY, policy_is_any))
        return;
    variable_words(c->out, "nodeWords", annotation_node_policy, "\t");
    policy_variable(c->out, "nodePolicy", /* the first counts */
                    "size(variables.nodeWords) == 0 ? [] : [variables.nodeWords[0]]");
    variable_words(c->out, "cardPolicies", annotation_card_policy, ",\t");
    policy_validations(c->out);
    validate_words(c->out, "nodePolicy", annotation_node_policy, settings_node_policies, "");
    validate_words(c->out, "cardPolicies", annotation_card_policy, settings_card_policies, "");
    policy_check_end(c);
}

static bool has_modes(const struct family *f)
{
    return policy_is_nvidia(f) || (f->soft_key && f->soft_value);
}

/* The families of one key for soft slicing. */
static char *soft_list(const struct family_set *set, const char *key)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (uint32_t i = 0; i < set->n; i++)
        if (g_strcmp0(set->rows[i]->soft_key, key) == 0)
            policy_add_asking(names, set->rows[i]);
    g_ptr_array_add(names, NULL);
    return policy_list((const char *const *)names->pdata);
}

static void validate_soft(struct policy_check *c, const struct family *f)
{
    const char *const words[] = {f->soft_value, NULL};
    g_autofree char *list = soft_list(c->set, f->soft_key);
    g_autofree char *unless = g_strdup_printf("!" POLICY_ASKED("%s") " || ", list);
    validate_words(c->out, "softWords", f->soft_key, words, unless);
}

static const struct family *first_soft(const struct family_set *set)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (set->rows[i]->enabled && set->rows[i]->soft_key && set->rows[i]->soft_value)
            return set->rows[i];
    return NULL;
}

static void check_mode(struct policy_check *c)
{
    const char *modes[CARD_MODES] = {NULL};
    memcpy(modes, &card_mode_names[1], (CARD_MODES - 1) * sizeof *modes);
    const struct family *soft = first_soft(c->set);
    if (!policy_check_begin(c, "hami-mode", ADMIT_MODE, has_modes))
        return;
    g_autofree char *nvidia = asking_list(c->set, policy_is_nvidia);
    g_autofree char *unless = g_strdup_printf("!" POLICY_ASKED("%s") " || ", nvidia);
    variable_words(c->out, "modes", annotation_vgpu_mode, ",;|/+\t");
    if (soft) /* the whole value is one word, unless it is blank */
        policy_variable(c->out, "softWords",
                        "'%s' in variables.annotations && !variables.annotations['%s'].matches('^[ \\t]*$')\n"
                        "      ? [variables.annotations['%s']] : []",
                        soft->soft_key, soft->soft_key, soft->soft_key);
    policy_validations(c->out);
    validate_words(c->out, "modes", annotation_vgpu_mode, modes, unless);
    if (soft)
        validate_soft(c, soft);
    policy_check_end(c);
}

/* ---- weights and switches ---- */

static void check_weights(struct policy_check *c)
{
    if (!policy_check_begin(c, "hami-weights", ADMIT_WEIGHTS, policy_is_any))
        return;
    policy_variable(c->out, "text", "'%s' in variables.annotations ? variables.annotations['%s'] : ''",
                    annotation_scoring_weights, annotation_scoring_weights);
    policy_variable(c->out, "parts", "variables.text.split(',')");
    policy_validations(c->out);
    g_autofree char *otherwise =
        g_strdup_printf("'annotation %s: \"' + " POLICY_CUT(
                            "variables.text") "\n"
                                              "      + '\" is not three weights; write "
                                              "slot=1,core=1,memory=1 with whole numbers that are not all 0'",
                        annotation_scoring_weights);
    policy_validation(
        c->out,
        "variables.text.matches('^[ \\t]*$') || (size(variables.parts) == 3\n"
        "      && variables.parts.all(p, p.matches('^[ \\t]*(slot|core|memory)[ \\t]*=[ "
        "\\t]*0*[0-9]{1,19}[ \\t]*$'))\n"
        "      && ['slot', 'core', 'memory'].all(n, variables.parts.exists_one(p, p.contains(n)))\n"
        "      && variables.parts.exists(p, p.matches('[1-9]')))",
        otherwise, "three weights are needed; write slot=1,core=1,memory=1");
    policy_check_end(c);
}

static void check_switch(struct policy_check *c)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    for (const char *const *w = settings_yes; *w; w++)
        policy_add_name(words, *w);
    for (const char *const *w = settings_no; *w; w++)
        policy_add_name(words, *w);
    g_ptr_array_add(words, NULL);
    g_autofree char *list = policy_list((const char *const *)words->pdata);
    g_autofree char *metax = asking_list(c->set, is_metax);
    if (!policy_check_begin(c, "hami-switch", ADMIT_SWITCH, policy_is_any))
        return;
    policy_variable(c->out, "switches", "['%s'] + (" POLICY_ASKED("%s") " ? ['%s'] : [])",
                    annotation_numa_bind, metax, annotation_metax_topology);
    policy_variable(
        c->out, "wrong",
        "variables.switches.filter(k, k in variables.annotations && "
        "!variables.annotations[k].matches('^[ \\t]*$')\n        && !(variables.annotations[k] in %s))",
        list);
    policy_validations(c->out);
    policy_validation(
        c->out, "size(variables.wrong) == 0",
        "'annotation ' + variables.wrong[0] + ': \"' + variables.wrong.map(k, "
        "variables.annotations[k])\n        .map(v, " POLICY_CUT("v") ")[0] + '\" is neither yes nor "
                                                                      "no; write true or false'",
        "an annotation is neither yes nor no; write true or false");
    policy_check_end(c);
}

void policies_pod(GString *out, const struct scheduler_options *o, const struct family_set *set)
{
    static void (*const checks[])(struct policy_check * c) = {
        check_privileged, check_visible_all, check_visible_cards, check_policy,
        check_mode,       check_weights,     check_switch,
    };
    struct policy_check c = {.out = out, .options = o, .set = set};
    for (size_t i = 0; i < G_N_ELEMENTS(checks); i++)
        checks[i](&c);
    policies_amounts(&c);
}
