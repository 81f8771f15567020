/* SPDX-License-Identifier: Apache-2.0
 *
 * A pod's annotations to policies, weights, modes and selections (scheduler.md
 * sections 6.3 and 7.1, vendors.md 3.7). What is misspelt is a fault and gets
 * its default: admission refuses it, a pod that got past admission still runs.
 */
#include "base/arena.h"
#include "base/words.h"
#include "model/annotation.h"
#include "model/lists.h"
#include "vendor/families.h"
#include "vendor/request.h"

#define WORD_BYTES 64
#define TYPES_MAX 32  /* names in a selection */
#define UUIDS_MAX 128 /* as many as a node has cards */
#define LIST_BYTES 8192

const char *const settings_node_policies[] = {"binpack", "spread", NULL};
const char *const settings_card_policies[] = {"binpack", "spread", "numa", "mutex", "topology-aware", NULL};
const char *const settings_yes[] = {"1", "t", "T", "TRUE", "true", "True", NULL};
const char *const settings_no[] = {"0", "f", "F", "FALSE", "false", "False", NULL};
enum { CARD_MUTEX = CARD_POLICIES, CARD_TOPOLOGY }; /* of the list above; they filter, they do not sort */

struct settings {
    const struct family_set *set;
    const struct pod_object *pod;
    struct pod_request *r;
    GPtrArray *faults;
};

static bool is_blank(const char *text)
{
    return !text || !text[strspn(text, " \t")];
}

/* NULL when absent or blank. */
static const char *annotation(const struct settings *x, const char *key)
{
    const char *value = key ? pod_object_annotation(x->pod, key) : NULL;
    return is_blank(value) ? NULL : value;
}

static int index_of(const char *word, const char *const *list)
{
    for (int i = 0; list[i]; i++)
        if (strcmp(list[i], word) == 0)
            return i;
    return -1;
}

static void refuse_word(const struct settings *x, enum admit_check check, const char *key, const char *word,
                        const char *const *list)
{
    g_autofree char *known = words_join(list);
    const char *near = words_nearest(word, list);
    vendor_fault_add(x->faults, check, "annotation %s: \"" FAULT_VALUE "\" is not one of %s%s%s%s", key, word,
                     known, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* The next word of a list; false at its end. Longer words are cut: no known one is that long. */
static bool next_word(const char **list, const char *separators, char word[WORD_BYTES])
{
    *list += strspn(*list, separators);
    size_t len = strcspn(*list, separators), kept = MIN(len, WORD_BYTES - 1);
    memcpy(word, *list, kept);
    word[kept] = '\0';
    *list += len;
    return len > 0;
}

/* ---- policies ---- */

static void add_card_policy(struct pod_request *r, enum card_policy policy)
{
    for (unsigned i = 0; i < r->n_card_policy; i++)
        if (r->card_policy[i] == policy)
            return;
    r->card_policy[r->n_card_policy++] = policy;
}

static void read_card_policy(const struct settings *x, const char *list, const char *key)
{
    char word[WORD_BYTES];
    while (next_word(&list, ", \t", word)) {
        int i = index_of(word, settings_card_policies);
        if (i == CARD_MUTEX)
            x->r->mutex = true;
        else if (i == CARD_TOPOLOGY)
            x->r->topology_aware = true;
        else if (i >= 0)
            add_card_policy(x->r, (enum card_policy)i);
        else if (key)
            refuse_word(x, ADMIT_POLICY, key, word, settings_card_policies);
    }
}

/* Binding to one NUMA node sorts by it first. */
static void put_numa_first(struct pod_request *r)
{
    unsigned at = 0;
    while (at < r->n_card_policy && r->card_policy[at] != CARD_NUMA)
        at++;
    if (at == r->n_card_policy)
        r->n_card_policy++;
    memmove(&r->card_policy[1], &r->card_policy[0], at * sizeof *r->card_policy);
    r->card_policy[0] = CARD_NUMA;
}

static void read_policies(const struct settings *x, const struct pod_defaults *defaults)
{
    const char *cards = annotation(x, annotation_card_policy), *node = annotation(x, annotation_node_policy);
    char word[WORD_BYTES];
    int i = -1;
    if (node && next_word(&node, " \t", word)) {
        i = index_of(word, settings_node_policies);
        if (i < 0)
            refuse_word(x, ADMIT_POLICY, annotation_node_policy, word, settings_node_policies);
    }
    if (i < 0)
        i = defaults->node_policy ? index_of(defaults->node_policy, settings_node_policies) : -1;
    x->r->node_policy = i == NODE_SPREAD ? NODE_SPREAD : NODE_BINPACK;
    if (cards)
        read_card_policy(x, cards, annotation_card_policy);
    bool understood = x->r->n_card_policy || x->r->mutex || x->r->topology_aware;
    if (!understood && defaults->card_policy)
        read_card_policy(x, defaults->card_policy, NULL);
    if (x->r->n_card_policy == 0)
        add_card_policy(x->r, CARD_SPREAD);
}

/* ---- weights ---- */

static const char *const weight_names[] = {"slot", "core", "memory", NULL};

/* "name=number", blanks anywhere. -1, or the name's position. */
static int read_weight(const char *text, int64_t *ret)
{
    char name[WORD_BYTES];
    const char *equals = strchr(text, '=');
    if (!equals || equals - text >= WORD_BYTES)
        return -1;
    g_strlcpy(name, text, (gsize)(equals - text) + 1);
    int i = index_of(g_strstrip(name), weight_names);
    const char *digit = equals + 1 + strspn(equals + 1, " \t");
    if (i < 0 || !g_ascii_isdigit(*digit))
        return -1;
    for (*ret = 0; g_ascii_isdigit(*digit); digit++)
        if (__builtin_mul_overflow(*ret, 10, ret) || __builtin_add_overflow(*ret, *digit - '0', ret))
            return -1;
    return is_blank(digit) ? i : -1;
}

static bool weights_of(const char *text, int64_t weights[3])
{
    g_auto(GStrv) parts = g_strsplit(text, ",", 4);
    bool seen[3] = {0};
    for (int p = 0; parts[p]; p++) {
        int64_t value;
        int i = read_weight(parts[p], &value);
        if (i < 0 || seen[i])
            return false;
        seen[i] = true;
        weights[i] = value;
    }
    return seen[0] && seen[1] && seen[2] && (weights[0] || weights[1] || weights[2]);
}

/* Only their proportion matters: cut until they fit, none to nothing. */
static void read_weights(const struct settings *x)
{
    const char *text = annotation(x, annotation_scoring_weights);
    int64_t w[3] = {1, 1, 1};
    uint32_t cut[3];
    if (text && !weights_of(text, w)) {
        vendor_fault_add(x->faults, ADMIT_WEIGHTS,
                         "annotation %s: \"" FAULT_VALUE "\" is not three weights; write "
                         "slot=1,core=1,memory=1 with whole numbers that are not all 0",
                         annotation_scoring_weights, text);
        w[0] = w[1] = w[2] = 1;
    }
    int shift = 0;
    while (MAX(MAX(w[0], w[1]), w[2]) >> shift > INT32_MAX)
        shift++;
    for (int i = 0; i < 3; i++)
        cut[i] = (uint32_t)MAX(w[i] >> shift, w[i] != 0);
    x->r->weight_slot = cut[0];
    x->r->weight_core = cut[1];
    x->r->weight_mem = cut[2];
}

/* ---- switches and modes ---- */

/* As strconv.ParseBool. -1 when absent or neither. */
static int read_switch(const struct settings *x, const char *key)
{
    const char *value = annotation(x, key);
    if (!value)
        return -1;
    if (index_of(value, settings_yes) >= 0)
        return 1;
    if (index_of(value, settings_no) >= 0)
        return 0;
    vendor_fault_add(x->faults, ADMIT_SWITCH,
                     "annotation %s: \"" FAULT_VALUE "\" is neither yes nor no; write true or false", key,
                     value);
    return -1;
}

static void read_modes(const struct settings *x)
{
    const char *names[CARD_MODES] = {NULL}; /* without the empty first one, NULL at the end */
    memcpy(names, &card_mode_names[1], (CARD_MODES - 1) * sizeof *names);
    const char *list = annotation(x, annotation_vgpu_mode);
    char word[WORD_BYTES];
    while (list && next_word(&list, ", ;|/+\t", word)) {
        int i = index_of(word, names);
        if (i >= 0)
            x->r->modes |= (uint8_t)(1u << (i + 1));
        else
            refuse_word(x, ADMIT_MODE, annotation_vgpu_mode, word, names);
    }
}

/* Ascend: one word selects soft slicing; a misspelt one would get a hard slice. */
static void check_soft(const struct settings *x, const struct family *f)
{
    const char *const words[] = {f->soft_value, NULL}, *value = annotation(x, f->soft_key);
    if (value && f->soft_value && strcmp(value, f->soft_value) != 0)
        refuse_word(x, ADMIT_MODE, f->soft_key, value, words);
}

/* MetaX sGPU: the class of the application and the card's sharing policy. */
static void read_metax(const struct settings *x, const struct card_request *request)
{
    static const char *const classes[] = {"online", "offline", NULL};
    const char *kinds[CARD_QOS_KINDS] = {NULL};
    memcpy(kinds, &card_qos_names[1], (CARD_QOS_KINDS - 1) * sizeof *kinds);
    const char *class = annotation(x, annotation_metax_class), *kind = annotation(x, annotation_metax_qos);
    int c = class ? index_of(class, classes) : -1, k = kind ? index_of(kind, kinds) : 0;
    if (class && c < 0)
        refuse_word(x, ADMIT_RULE, annotation_metax_class, class, classes);
    x->r->app_class = (uint8_t)(c + 1); /* none, online, offline */
    if (class && request->n_cards != 1)
        vendor_fault_add(x->faults, ADMIT_RULE,
                         "annotation %s: \"" FAULT_VALUE "\" goes with one card, but container " FAULT_NAME
                         " asks for %u; ask for 1 or remove the annotation",
                         annotation_metax_class, class, x->r->slot_name[request->slot], request->n_cards);
    if (x->r->app_class != POD_CLASS_ONLINE) {
        if (k < 0)
            refuse_word(x, ADMIT_RULE, annotation_metax_qos, kind, kinds);
        x->r->qos = (uint8_t)(MAX(k, 0) + CARD_QOS_BEST_EFFORT);
    }
    x->r->topology_wanted = (int8_t)read_switch(x, annotation_metax_topology);
}

/* ---- selections ---- */

/* The list without blanks and empty members. Every card of the cluster is
 * compared with every member, so there may not be any number of them. */
static const char *keep(const struct settings *x, const char *key, unsigned most)
{
    const char *list = annotation(x, key), *member;
    g_autoptr(GString) text = g_string_new("");
    size_t len;
    unsigned n = 0;
    while ((member = lists_next(&list, &len))) {
        if (++n > most || text->len + len >= LIST_BYTES) {
            vendor_fault_add(
                x->faults, ADMIT_RULE,
                "annotation %s: \"" FAULT_VALUE
                "...\" names too many; write at most %u names in %d bytes, or use a node selector",
                key, annotation(x, key), most, LIST_BYTES);
            return NULL;
        }
        g_string_append_printf(text, "%s%.*s", text->len ? "," : "", (int)len, member);
    }
    return text->len ? arena_text(&x->r->arena, text->str, text->len) : NULL;
}

static bool is_selected(const struct pod_request *r, uint16_t family)
{
    for (unsigned i = 0; i < r->n_selections; i++)
        if (r->selections[i].family == family)
            return true;
    return false;
}

static void select_of(const struct settings *x, const struct family *f)
{
    struct pod_selection *s = &x->r->selections[x->r->n_selections++];
    *s = (struct pod_selection){.family = f->id,
                                .use_types = keep(x, f->use_type_key, TYPES_MAX),
                                .not_types = keep(x, f->not_type_key, TYPES_MAX)};
    for (int i = 0; i < 2; i++) {
        s->use_uuids[i] = keep(x, f->use_uuid_key[i], UUIDS_MAX);
        s->not_uuids[i] = keep(x, f->not_uuid_key[i], UUIDS_MAX);
    }
}

bool settings_soft(const struct family *f, const struct pod_object *pod)
{
    const char *value = f->soft_key ? pod_object_annotation(pod, f->soft_key) : NULL;
    return value && f->soft_value && strcmp(value, f->soft_value) == 0;
}

static void read_family(const struct settings *x, const struct family *f, const struct card_request *request)
{
    select_of(x, f);
    x->r->soft |= settings_soft(f, x->pod);
    check_soft(x, f);
    if (strcmp(f->word, WORD_NVIDIA) == 0)
        read_modes(x);
    if (f->inventory == FAMILY_INV_METAX)
        read_metax(x, request);
}

void settings_read(const struct family_set *set, const struct pod_object *pod,
                   const struct pod_defaults *defaults, struct pod_request *ret, GPtrArray *faults)
{
    struct settings x = {.set = set, .pod = pod, .r = ret, .faults = faults};
    ret->topology_wanted = -1;
    read_policies(&x, defaults);
    read_weights(&x);
    ret->numa_bind = read_switch(&x, annotation_numa_bind) == 1;
    if (ret->numa_bind)
        put_numa_first(ret);
    for (unsigned i = 0; i < ret->n_requests; i++)
        if (!is_selected(ret, ret->requests[i].family))
            read_family(&x, set->rows[ret->requests[i].family], &ret->requests[i]);
}
