/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the YAML file that describes a simulated machine. Which key fills
 * which member, and what it may hold, is in the two tables; the functions
 * below are for the few keys that hold lists or mappings.
 *
 * A profile may stand on a shipped one (`base: t4`) and change what it names.
 * Everything is checked while it is read; what is not given follows from the
 * rest (complete()). Called at creation of a state file and by tools: any
 * thread, no state of its own.
 */
#include "profile_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)
#define MIB (1ULL << 20)

const struct sim_profile_shipped sim_profiles_shipped[] = {
#include "profiles.inc"
    {NULL, NULL}};

static const char *const clocks[] = {"real", "virtual", NULL};
static const char *const schedules[] = {"fifo", "time-sliced", "spatial", NULL};

#define P(m) sizeof(((struct sim_profile *)0)->m), offsetof(struct sim_profile, m)
static const struct sim_field machine_fields[] = {
    {"name", SIM_FIELD_TEXT, P(name), 0, 0, NULL},
    {"driver", SIM_FIELD_TEXT, P(driver_version), 0, 0, NULL},
    {"nvml", SIM_FIELD_TEXT, P(nvml_version), 0, 0, NULL},
    {"cuda", SIM_FIELD_VERSION, P(cuda_version), 10000, 19990, NULL},
    {"schedule", SIM_FIELD_WORD, P(schedule), 0, 0, schedules},
    {"engines", SIM_FIELD_NUMBER, P(engines), 1, 16, NULL},
    {"quantum", SIM_FIELD_TIME, P(quantum_ns), 1000, 1000000000, NULL},
    {"time", SIM_FIELD_WORD, P(virtual_time), 0, 0, clocks},
    {"null_model", SIM_FIELD_BOOLEAN, P(null_model), 0, 0, NULL},
    {"real_bytes_max", SIM_FIELD_SIZE, P(real_bytes_max), 0, 1ULL << 46, NULL},
    {"memory_limits", SIM_FIELD_BOOLEAN, P(memory_limits), 0, 0, NULL},
    {"interval_log", SIM_FIELD_BOOLEAN, P(interval_log), 0, 0, NULL},
    {"utilization_window", SIM_FIELD_TIME, P(utilization_window_ns), 1000000, 10000000000, NULL},
    {"kernel", SIM_FIELD_TIME, P(kernel_ns), 0, 3600000000000, NULL},
    {"wave", SIM_FIELD_TIME, P(wave_ns), 0, 3600000000000, NULL},
    {NULL, 0, 0, 0, 0, 0, NULL},
};
#undef P

/* ---- the machine ---- */

static bool set_cost(struct sim_profile_reader *r, const yaml_node_t *key, yaml_node_t *value, void *arg)
{
    static const struct sim_field time = {"costs", SIM_FIELD_TIME, sizeof(uint64_t), 0, 0, 3600000000000,
                                          NULL};
    struct sim_profile *p = r->p;
    char reason[256];
    (void)arg;
    if (p->n_costs == sizeof(p->costs) / sizeof(p->costs[0]))
        return sim_profile_refuse(r, key, "costs: more than %u: use prefixes ending in *", p->n_costs);
    if (strlen(sim_profile_text(key)) >= sizeof(p->costs[0].function))
        return sim_profile_refuse(r, key, "costs: the name is too long: give a prefix ending in *");
    if (!sim_field_set(&time, &p->costs[p->n_costs].duration_ns, sim_profile_text(value), reason,
                       sizeof(reason)))
        return sim_profile_refuse(r, value, "costs: %.60s: '%.60s' does not do: %s", sim_profile_text(key),
                                  sim_profile_text(value), reason);
    snprintf(p->costs[p->n_costs++].function, sizeof(p->costs[0].function), "%s", sim_profile_text(key));
    return true;
}

static bool set_costs(struct sim_profile_reader *r, yaml_node_t *value)
{
    r->p->n_costs = 0;
    return sim_profile_need(r, value, YAML_MAPPING_NODE, "costs") &&
           sim_profile_each_pair(r, value, set_cost, NULL);
}

static bool set_missing(struct sim_profile_reader *r, yaml_node_t *list)
{
    struct sim_profile *p = r->p;
    if (!sim_profile_need(r, list, YAML_SEQUENCE_NODE, "missing"))
        return false;
    p->n_missing = 0;
    for (const yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top;
         i++) {
        const yaml_node_t *item = sim_profile_node(r, *i);
        size_t n = strlen(sim_profile_text(item));
        if (p->n_missing == sizeof(p->missing) / sizeof(p->missing[0]))
            return sim_profile_refuse(r, item, "missing: more than %u symbols: remove some", p->n_missing);
        if (n == 0 || n >= sizeof(p->missing[0]))
            return sim_profile_refuse(r, item,
                                      "missing: '%.60s' does not do: give a symbol such as cuMemAllocAsync",
                                      sim_profile_text(item));
        snprintf(p->missing[p->n_missing++], sizeof(p->missing[0]), "%s", sim_profile_text(item));
    }
    return true;
}

/* Keys whose values sim_profile_need the others read first; in the order they are taken. */
struct later {
    yaml_node_t *device, *devices, *topology, *links;
};

static bool set_machine_key(struct sim_profile_reader *r, const yaml_node_t *key, yaml_node_t *value,
                            void *arg)
{
    struct later *l = arg;
    const char *k = sim_profile_text(key);
    yaml_node_t **slot = strcmp(k, "device") == 0     ? &l->device
                         : strcmp(k, "devices") == 0  ? &l->devices
                         : strcmp(k, "topology") == 0 ? &l->topology
                         : strcmp(k, "links") == 0    ? &l->links
                                                      : NULL;
    if (slot != NULL) {
        *slot = value;
        return true;
    }
    if (strcmp(k, "base") == 0)
        return true; /* set_base() has read it */
    if (strcmp(k, "costs") == 0)
        return set_costs(r, value);
    if (strcmp(k, "missing") == 0)
        return set_missing(r, value);
    int set = sim_profile_set_field(r, machine_fields, key, value, r->p);
    return set == 0 ? sim_profile_unknown_key(r, key, machine_fields,
                                              "base, costs, missing, device, devices, topology, links")
                    : set > 0;
}

static const struct sim_profile_shipped *shipped(const char *name)
{
    const struct sim_profile_shipped *s = sim_profiles_shipped;
    while (s->name != NULL && strcmp(s->name, name) != 0)
        s++;
    return s->name != NULL ? s : NULL;
}

static void list_shipped(char *list, size_t size)
{
    size_t n = 0;
    list[0] = '\0';
    for (const struct sim_profile_shipped *s = sim_profiles_shipped; s->name != NULL && n < size; s++)
        n += (size_t)snprintf(list + n, size - n, "%s%s", n > 0 ? ", " : "", s->name);
}

static int parse(const char *file, const char *text, size_t n, unsigned depth, struct sim_profile *ret,
                 char *err, size_t err_size);

static bool set_base(struct sim_profile_reader *r, const yaml_node_t *map, unsigned depth)
{
    for (const yaml_node_pair_t *q = map->data.mapping.pairs.start; q < map->data.mapping.pairs.top; q++) {
        if (strcmp(sim_profile_text(sim_profile_node(r, q->key)), "base") != 0)
            continue;
        const yaml_node_t *value = sim_profile_node(r, q->value);
        const struct sim_profile_shipped *s = shipped(sim_profile_text(value));
        char list[256];
        list_shipped(list, sizeof(list));
        if (s == NULL || depth > 4)
            return sim_profile_refuse(r, value, "base: '%.60s' is not a shipped profile: give one of %s",
                                      sim_profile_text(value), list);
        if (parse(s->name, s->text, strlen(s->text), depth + 1, r->p, r->err, r->err_size) != 0)
            return false;
        r->p->name[0] = '\0';
        return true;
    }
    return true;
}

static void set_defaults(struct sim_profile *p)
{
    memset(p, 0, sizeof(*p));
    snprintf(p->driver_version, sizeof(p->driver_version), "580.65.06");
    p->cuda_version = 13000;
    p->schedule = SIM_FIFO;
    p->engines = 2;
    p->quantum_ns = 2000000;
    p->real_bytes_max = 64 * MIB;
    p->interval_log = true;
    p->utilization_window_ns = 1000000000 / 6;
    p->kernel_ns = 5000;
    p->wave_ns = 1000;
    memset(p->pcie, 0xff, sizeof(p->pcie));
}

static bool read_document(struct sim_profile_reader *r, unsigned depth)
{
    yaml_node_t *root = yaml_document_get_root_node(&r->doc);
    struct later later = {NULL, NULL, NULL, NULL};
    struct sim_device_profile common = sim_profile_device_defaults;
    if (!sim_profile_need(r, root, YAML_MAPPING_NODE, "the profile") || !set_base(r, root, depth) ||
        !sim_profile_each_pair(r, root, set_machine_key, &later))
        return false;
    if (later.device != NULL) {
        if (!sim_profile_need(r, later.device, YAML_MAPPING_NODE, "device") ||
            !sim_profile_each_pair(r, later.device, sim_profile_set_device_key, &common))
            return false;
        for (uint32_t i = 0; later.devices == NULL && i < r->p->n_devices; i++)
            if (!sim_profile_each_pair(r, later.device, sim_profile_set_device_key, &r->p->devices[i]))
                return false;
    }
    if (later.devices != NULL) { /* the base's links joined other devices */
        memset(r->p->nvlinks, 0, sizeof(r->p->nvlinks));
        memset(r->p->pcie, 0xff, sizeof(r->p->pcie));
    }
    if (later.devices != NULL && !sim_profile_set_devices(r, later.devices, &common))
        return false;
    if (later.topology != NULL && !sim_profile_set_topology(r, later.topology))
        return false;
    if (later.links != NULL && !sim_profile_set_links(r, later.links))
        return false;
    return sim_profile_complete(r, root);
}

static int parse(const char *file, const char *text, size_t n, unsigned depth, struct sim_profile *ret,
                 char *err, size_t err_size)
{
    struct sim_profile_reader r = {.file = file, .err = err, .err_size = err_size};
    yaml_parser_t parser;
    int result = -1;
    r.p = malloc(sizeof(*r.p));
    if (r.p == NULL || yaml_parser_initialize(&parser) == 0) {
        snprintf(err, err_size, "%s: out of memory", file);
        free(r.p);
        return -1;
    }
    set_defaults(r.p);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    if (yaml_parser_load(&parser, &r.doc) == 0) {
        snprintf(err, err_size, "%s:%zu: is not YAML: %s", file, parser.problem_mark.line + 1,
                 parser.problem != NULL ? parser.problem : "it cannot be read");
    } else {
        if (read_document(&r, depth)) {
            *ret = *r.p;
            result = 0;
        }
        yaml_document_delete(&r.doc);
    }
    yaml_parser_delete(&parser);
    free(r.p);
    return result;
}

int sim_profile_parse(const char *file, const char *text, size_t n, struct sim_profile *ret, char *err,
                      size_t err_size)
{
    return parse(file, text, n, 0, ret, err, err_size);
}

static char *read_file(const char *path, size_t *n, char *err, size_t err_size)
{
    FILE *f = fopen(path, "re");
    char *text = malloc(FILE_BYTES_MAX + 1);
    if (f == NULL || text == NULL) {
        snprintf(err, err_size, "%s: cannot read the profile: %s", path, strerror(errno));
        free(text);
        text = NULL;
    } else {
        *n = fread(text, 1, FILE_BYTES_MAX + 1, f);
        if (*n > FILE_BYTES_MAX || ferror(f) != 0) {
            snprintf(err, err_size, "%s: %s", path,
                     *n > FILE_BYTES_MAX ? "larger than 1 MiB: this is no profile" : "cannot be read");
            free(text);
            text = NULL;
        }
    }
    if (f != NULL)
        fclose(f);
    return text;
}

/* t4-null and t4-virtual: the shipped profile and one setting. */
static const struct {
    const char *suffix;
    bool null_model, virtual_time;
} short_names[] = {{"", false, false}, {"-null", true, false}, {"-virtual", false, true}};

static int load_shipped(const char *name, struct sim_profile *ret, char *err, size_t err_size)
{
    for (size_t i = 0; i < sizeof(short_names) / sizeof(short_names[0]); i++) {
        char stem[64];
        size_t n = strlen(name), cut = strlen(short_names[i].suffix);
        if (n <= cut || n >= sizeof(stem) || strcmp(name + n - cut, short_names[i].suffix) != 0)
            continue;
        snprintf(stem, sizeof(stem), "%.*s", (int)(n - cut), name);
        const struct sim_profile_shipped *s = shipped(stem);
        if (s == NULL)
            continue;
        int r = parse(s->name, s->text, strlen(s->text), 0, ret, err, err_size);
        if (r == 0 && short_names[i].null_model)
            ret->null_model = true;
        if (r == 0 && short_names[i].virtual_time)
            ret->virtual_time = true;
        return r;
    }
    char list[256];
    list_shipped(list, sizeof(list));
    snprintf(err, err_size,
             "HAMI_SIM: '%.80s' is no shipped profile: give one of %s, or a path with a / or .yaml", name,
             list);
    return -1;
}

static int load_file(const char *path, struct sim_profile *ret, char *err, size_t err_size)
{
    size_t n;
    char *text = read_file(path, &n, err, err_size);
    if (text == NULL)
        return -1;
    int r = parse(path, text, n, 0, ret, err, err_size);
    free(text);
    return r;
}

static int apply_settings(char *settings, struct sim_profile *p, char *err, size_t err_size)
{
    char reason[256], *rest = NULL;
    for (char *one = strtok_r(settings, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(one, '=');
        const struct sim_field *f = machine_fields;
        if (value != NULL)
            *value++ = '\0';
        while (f->key != NULL && strcmp(f->key, one) != 0)
            f++;
        if (value == NULL || f->key == NULL) {
            snprintf(err, err_size,
                     "HAMI_SIM: '%.40s' is no setting: give key=value with a key such as time, schedule, "
                     "quantum, kernel, null_model or memory_limits",
                     one);
            return -1;
        }
        if (!sim_field_set(f, p, value, reason, sizeof(reason))) {
            snprintf(err, err_size, "HAMI_SIM: %s: '%.60s' does not do: %s", one, value, reason);
            return -1;
        }
    }
    return 0;
}

int sim_profile_load(const char *name_or_path, struct sim_profile *ret, char *err, size_t err_size)
{
    char name[1024];
    if ((size_t)snprintf(name, sizeof(name), "%s", name_or_path) >= sizeof(name)) {
        snprintf(err, err_size, "HAMI_SIM: longer than %zu characters: give a shorter path",
                 sizeof(name) - 1);
        return -1;
    }
    char *settings = strchr(name, ',');
    if (settings != NULL)
        *settings++ = '\0';
    struct sim_profile *p = malloc(sizeof(*p));
    if (p == NULL) {
        snprintf(err, err_size, "HAMI_SIM: out of memory");
        return -1;
    }
    size_t n = strlen(name);
    bool file = strchr(name, '/') != NULL || (n > 5 && strcmp(name + n - 5, ".yaml") == 0);
    int r = file ? load_file(name, p, err, err_size) : load_shipped(name, p, err, err_size);
    if (r == 0 && settings != NULL)
        r = apply_settings(settings, p, err, err_size);
    if (r == 0)
        *ret = *p;
    free(p);
    return r;
}
