/* SPDX-License-Identifier: Apache-2.0
 *
 * Profiles: YAML files that describe a simulated machine. The shipped ones are
 * compiled in (sim/profiles), so that a name always works; anything with a
 * slash or ending in .yaml is a file. Settings may follow the name, separated
 * by commas: `t4,time=virtual,null_model=true`. The names NAME-null and
 * NAME-virtual are short for the two most used settings.
 *
 * Invariants:
 *   1. A profile that is accepted is complete: every device has a name, a
 *      UUID, a PCI address, memory and multiprocessors.
 *   2. Unknown keys are errors: a misspelt knob must not be silently lost.
 *   3. Every error names file, line, key, value and what would be accepted.
 */
#include "profile.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define FILE_MAX_BYTES (1u << 20)

static const struct {
    const char *name, *text;
} shipped[] = {
#include "profiles.inc"
};

/* ---- errors ---- */

struct reader {
    yaml_document_t document;
    const char *file;
    struct sim_profile *profile;
    char *err;
    size_t err_size;
};

__attribute__((format(printf, 3, 4))) static int fail(struct reader *r, const yaml_node_t *at,
                                                      const char *format, ...)
{
    va_list args;
    int n = snprintf(r->err, r->err_size, "%s:%zu: ", r->file, at ? at->start_mark.line + 1 : 1);
    va_start(args, format);
    if (n >= 0 && (size_t)n < r->err_size)
        vsnprintf(r->err + n, r->err_size - (size_t)n, format, args);
    va_end(args);
    return -1;
}

/* ---- keys ---- */

enum kind { TEXT, COUNT, BYTES, DURATION, FLAG, SCHEDULE, CLOCK, VERSION, CAPABILITY };

struct key {
    const char *name;
    enum kind kind;
    size_t offset, size;
    uint64_t min, max;
};

#define FIELD(type, member) offsetof(struct type, member), sizeof(((struct type *)0)->member)

static const struct key machine_keys[] = {
    {"name", TEXT, FIELD(sim_profile, name), 1, 63},
    {"driver", TEXT, FIELD(sim_profile, driver_version), 1, 31},
    {"cuda", VERSION, FIELD(sim_profile, cuda_version), 8000, 99090},
    {"schedule", SCHEDULE, FIELD(sim_profile, schedule), 0, 0},
    {"engines", COUNT, FIELD(sim_profile, engines), 1, 64},
    {"quantum", DURATION, FIELD(sim_profile, quantum_ns), 1000, 1000000000},
    {"time", CLOCK, FIELD(sim_profile, virtual_time), 0, 0},
    {"null_model", FLAG, FIELD(sim_profile, null_model), 0, 0},
    {"real_bytes_max", BYTES, FIELD(sim_profile, real_bytes_max), 0, UINT64_MAX},
    {"memory_limits", FLAG, FIELD(sim_profile, memory_limits), 0, 0},
    {"interval_log", FLAG, FIELD(sim_profile, interval_log), 0, 0},
    {"kernel", DURATION, FIELD(sim_profile, kernel_ns), 0, 3600000000000},
    {"wave", DURATION, FIELD(sim_profile, wave_ns), 0, 3600000000000},
};

static const struct key device_keys[] = {
    {"name", TEXT, FIELD(sim_device_profile, name), 1, 95},
    {"uuid", TEXT, FIELD(sim_device_profile, uuid), 40, 40},
    {"pci", TEXT, FIELD(sim_device_profile, pci_bus_id), 12, 16},
    {"memory", BYTES, FIELD(sim_device_profile, mem_bytes), 1u << 20, UINT64_C(1) << 46},
    {"context", BYTES, FIELD(sim_device_profile, context_bytes), 0, UINT64_C(1) << 40},
    {"sms", COUNT, FIELD(sim_device_profile, sm_count), 1, 1024},
    {"compute", CAPABILITY, FIELD(sim_device_profile, cc_major), 0, 0},
    {"clock", COUNT, FIELD(sim_device_profile, clock_mhz), 1, 10000},
    {"memory_clock", COUNT, FIELD(sim_device_profile, mem_clock_mhz), 1, 20000},
    {"bus_width", COUNT, FIELD(sim_device_profile, bus_width_bits), 32, 16384},
    {"l2", BYTES, FIELD(sim_device_profile, l2_kib), 0, UINT64_C(1) << 40},
    {"power", COUNT, FIELD(sim_device_profile, power_limit_w), 1, 5000},
    {"numa", COUNT, FIELD(sim_device_profile, numa_node), 0, 255},
    {"unified_memory", FLAG, FIELD(sim_device_profile, unified_memory), 0, 0},
};

static const struct key mig_keys[] = {
    {"profile", TEXT, offsetof(struct sim_device_profile, mig[0].profile), 24, 1, 23},
    {"uuid", TEXT, offsetof(struct sim_device_profile, mig[0].uuid), 48, 40, 40},
    {"memory", BYTES, offsetof(struct sim_device_profile, mig[0].mem_bytes), 8, 1u << 20, UINT64_C(1) << 46},
    {"sms", COUNT, offsetof(struct sim_device_profile, mig[0].sm_count), 4, 1, 1024},
};

#define N_KEYS(table) (sizeof(table) / sizeof(table)[0])

/* ---- values ---- */

struct unit {
    const char *name;
    uint64_t factor;
};
static const struct unit byte_units[] = {{"", 1},           {"B", 1},          {"KiB", 1u << 10},
                                         {"MiB", 1u << 20}, {"GiB", 1u << 30}, {"TiB", UINT64_C(1) << 40},
                                         {NULL, 0}};
static const struct unit time_units[] = {
    {"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {NULL, 0}};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static bool read_number(const char *text, const struct unit *units, uint64_t *ret)
{
    char *end;
    errno = 0;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long long n = strtoull(text, &end, 10);
    for (const struct unit *u = units; u->name && errno == 0; u++)
        if (strcmp(end, u->name) == 0)
            return !__builtin_mul_overflow((uint64_t)n, u->factor, ret);
    return false;
}

/* "13.0" as 1000 * major + 10 * minor. */
static bool read_version(const char *text, uint64_t *ret)
{
    unsigned major, minor;
    char rest;
    if (sscanf(text, "%4u.%2u%c", &major, &minor, &rest) != 2 || minor > 9)
        return false;
    *ret = 1000u * major + 10u * minor;
    return true;
}

static int read_word(const char *text, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(text, words[i]) == 0)
            return i;
    return -1;
}

static const char *const flag_words[] = {"false", "true", NULL};
static const char *const clock_words[] = {"real", "virtual", NULL};
static const char *const schedule_words[] = {"fifo", "time-sliced", "spatial", NULL};

static const char *accepted(enum kind kind)
{
    switch (kind) {
    case TEXT:
        return "a text";
    case COUNT:
        return "a whole number";
    case BYTES:
        return "a size such as 512KiB, 15360MiB or 40GiB";
    case DURATION:
        return "a duration such as 500ns, 20us, 2ms or 1s";
    case FLAG:
        return "true or false";
    case SCHEDULE:
        return "fifo, time-sliced or spatial";
    case CLOCK:
        return "real or virtual";
    case VERSION:
        return "a CUDA version such as 13.0";
    case CAPABILITY:
        return "a compute capability such as 9.0";
    }
    return "";
}

/* Reads text as the key's kind; false when it is not one, or out of range. */
static bool read_value(const struct key *key, const char *text, uint64_t *n)
{
    bool ranged = key->kind == COUNT || key->kind == BYTES || key->kind == DURATION || key->kind == VERSION;
    int word = 0;
    *n = 0;
    switch (key->kind) {
    case TEXT:
        return strlen(text) >= key->min && strlen(text) <= key->max;
    case COUNT:
    case BYTES:
    case DURATION:
        if (!read_number(text,
                         key->kind == COUNT   ? no_units
                         : key->kind == BYTES ? byte_units
                                              : time_units,
                         n))
            return false;
        break;
    case VERSION:
    case CAPABILITY:
        if (!read_version(text, n))
            return false;
        break;
    case FLAG:
    case CLOCK:
    case SCHEDULE:
        word = read_word(text, key->kind == FLAG    ? flag_words
                               : key->kind == CLOCK ? clock_words
                                                    : schedule_words);
        *n = (uint64_t)word;
        break;
    }
    return word >= 0 && (!ranged || (*n >= key->min && *n <= key->max));
}

static void store(const struct key *key, char *base, const char *text, uint64_t n)
{
    char *at = base + key->offset;
    uint32_t small = (uint32_t)n;
    if (key->kind == TEXT) {
        snprintf(at, key->size, "%s", text);
    } else if (key->kind == CAPABILITY) {
        struct sim_device_profile *d = (void *)base;
        d->cc_major = small / 1000;
        d->cc_minor = small % 1000 / 10;
    } else if (key->kind == BYTES && key->size == 4) {
        small = (uint32_t)(n >> 10);
        memcpy(at, &small, 4);
    } else if (key->size == 1) {
        *at = (char)n;
    } else {
        memcpy(at, key->size == 4 ? (void *)&small : (void *)&n, key->size);
    }
}

static const struct key *find_key(const struct key *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static const char *scalar(const yaml_node_t *node)
{
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static int set_key(struct reader *r, const struct key *key, char *base, const yaml_node_t *value)
{
    const char *text = scalar(value);
    uint64_t n;
    if (!text || !read_value(key, text, &n))
        return fail(r, value, "%s: '%.40s' is not %s%s", key->name, text ? text : "a list or map",
                    accepted(key->kind),
                    key->kind == TEXT ? " of the right length" : " in the accepted range");
    store(key, base, text, n);
    return 0;
}

/* ---- sections ---- */

typedef int section_reader(struct reader *r, const yaml_node_t *node, void *where);
struct section {
    const char *name;
    section_reader *read;
};

static int read_map(struct reader *r, const yaml_node_t *node, const struct key *keys, size_t n_keys,
                    const struct section *sections, void *base)
{
    if (!node || node->type != YAML_MAPPING_NODE)
        return fail(r, node, "a map of 'key: value' is expected here");
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        yaml_node_t *name_node = yaml_document_get_node(&r->document, p->key);
        yaml_node_t *value = yaml_document_get_node(&r->document, p->value);
        const char *name = scalar(name_node);
        const struct key *key = name ? find_key(keys, n_keys, name) : NULL;
        const struct section *s = sections;
        while (s && s->name && (!name || strcmp(s->name, name) != 0))
            s++;
        if (!key && (!s || !s->name))
            return fail(r, name_node, "unknown key '%.40s'; docs/simulator.md lists the known ones",
                        name ? name : "(not a text)");
        if (key ? set_key(r, key, base, value) : s->read(r, value, base))
            return -1;
    }
    return 0;
}

static int each_item(struct reader *r, const yaml_node_t *node, size_t max, section_reader *read, void *where)
{
    if (!node || node->type != YAML_SEQUENCE_NODE)
        return fail(r, node, "a list is expected here");
    if ((size_t)(node->data.sequence.items.top - node->data.sequence.items.start) > max)
        return fail(r, node, "too many items: at most %zu", max);
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++)
        if (read(r, yaml_document_get_node(&r->document, *i), where))
            return -1;
    return 0;
}

static int read_mig_slice(struct reader *r, const yaml_node_t *node, void *where)
{
    struct sim_device_profile *d = where;
    size_t step = sizeof(d->mig[0]) * d->n_mig;
    if (read_map(r, node, mig_keys, N_KEYS(mig_keys), NULL, (char *)d + step))
        return -1;
    if (!d->mig[d->n_mig].profile[0] || !d->mig[d->n_mig].mem_bytes || !d->mig[d->n_mig].sm_count)
        return fail(r, node, "a MIG slice needs profile, memory and sms");
    d->mig[d->n_mig].gi_id = d->n_mig + 1;
    d->mig_enabled = true;
    d->n_mig++;
    return 0;
}

static int read_mig(struct reader *r, const yaml_node_t *node, void *where)
{
    return each_item(r, node, SIM_MIG_SLICES, read_mig_slice, where);
}

/* Taken apart from the other keys because it is not of the device itself. */
static int ignore_count(struct reader *r, const yaml_node_t *node, void *where)
{
    (void)r, (void)node, (void)where;
    return 0;
}

static const struct section device_sections[] = {{"mig", read_mig}, {"count", ignore_count}, {NULL, NULL}};

static uint64_t count_of(struct reader *r, const yaml_node_t *node)
{
    uint64_t n = 1;
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const char *name = scalar(yaml_document_get_node(&r->document, p->key));
        const char *text = scalar(yaml_document_get_node(&r->document, p->value));
        if (name && strcmp(name, "count") == 0 && (!text || !read_number(text, no_units, &n)))
            return 0;
    }
    return n;
}

static int read_device(struct reader *r, const yaml_node_t *node, void *where)
{
    struct sim_profile *profile = where;
    struct sim_device_profile d = {.cc_major = 8,
                                   .clock_mhz = 1000,
                                   .mem_clock_mhz = 1000,
                                   .bus_width_bits = 256,
                                   .l2_kib = 4096,
                                   .power_limit_w = 300,
                                   .context_bytes = 256u << 20};
    if (read_map(r, node, device_keys, N_KEYS(device_keys), device_sections, &d))
        return -1;
    if (!d.name[0] || !d.mem_bytes || !d.sm_count)
        return fail(r, node, "a device needs name, memory and sms");
    uint64_t count = count_of(r, node);
    if (count < 1 || count > SIM_DEVICES - profile->n_devices)
        return fail(r, node, "count: there can be 1 to %d devices in all", SIM_DEVICES);
    if (count > 1 && (d.uuid[0] || d.pci_bus_id[0]))
        return fail(r, node, "count: devices with a uuid or pci of their own are listed one by one");
    for (uint64_t i = 0; i < count; i++)
        profile->devices[profile->n_devices++] = d;
    return 0;
}

static int read_devices(struct reader *r, const yaml_node_t *node, void *where)
{
    return each_item(r, node, SIM_DEVICES, read_device, where);
}

static int read_missing_name(struct reader *r, const yaml_node_t *node, void *where)
{
    struct sim_profile *p = where;
    const char *name = scalar(node);
    if (!name || !*name || strlen(name) >= sizeof(p->missing[0]))
        return fail(r, node, "missing: the name of an entry is expected");
    snprintf(p->missing[p->n_missing++], sizeof(p->missing[0]), "%s", name);
    return 0;
}

static int read_missing(struct reader *r, const yaml_node_t *node, void *where)
{
    return each_item(r, node, sizeof(r->profile->missing) / sizeof(r->profile->missing[0]), read_missing_name,
                     where);
}

static int read_costs(struct reader *r, const yaml_node_t *node, void *where)
{
    struct sim_profile *profile = where;
    if (!node || node->type != YAML_MAPPING_NODE)
        return fail(r, node, "costs: a map of 'kernel name: duration' is expected");
    for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top; p++) {
        const yaml_node_t *value = yaml_document_get_node(&r->document, p->value);
        const char *name = scalar(yaml_document_get_node(&r->document, p->key)), *text = scalar(value);
        uint64_t ns;
        if (!name || strlen(name) >= sizeof(profile->costs[0].function) || !text ||
            !read_number(text, time_units, &ns))
            return fail(r, value, "costs: '%.40s' is not %s", text ? text : "a list or map",
                        accepted(DURATION));
        if (profile->n_costs == sizeof(profile->costs) / sizeof(profile->costs[0]))
            return fail(r, value, "costs: too many, at most %zu",
                        sizeof(profile->costs) / sizeof(profile->costs[0]));
        snprintf(profile->costs[profile->n_costs].function, sizeof(profile->costs[0].function), "%s", name);
        profile->costs[profile->n_costs++].duration_ns = ns;
    }
    return 0;
}

/* nvlinks: links between every two cards. pcie: how close cards of one NUMA
 * node are (internal, single, multiple, hostbridge or node). */
static int read_topology(struct reader *r, const yaml_node_t *node, void *where)
{
    static const char *const levels[] = {"internal", "single", "multiple", "hostbridge",
                                         "node",     "system", NULL};
    struct topology {
        uint32_t nvlinks;
        char pcie[16];
    } t = {0, "node"};
    static const struct key keys[] = {{"nvlinks", COUNT, FIELD(topology, nvlinks), 0, 36},
                                      {"pcie", TEXT, FIELD(topology, pcie), 4, 15}};
    struct sim_profile *p = where;
    if (read_map(r, node, keys, N_KEYS(keys), NULL, &t))
        return -1;
    int level = read_word(t.pcie, levels);
    if (level < 0)
        return fail(r, node, "pcie: '%s' is not internal, single, multiple, hostbridge, node or system",
                    t.pcie);
    p->nvlinks[0][0] = (uint8_t)t.nvlinks; /* spread to all pairs by complete() */
    p->pcie[0][0] = (uint8_t)(level * 10);
    return 0;
}

static const struct section machine_sections[] = {{"devices", read_devices},
                                                  {"missing", read_missing},
                                                  {"costs", read_costs},
                                                  {"topology", read_topology},
                                                  {NULL, NULL}};

/* ---- completion ---- */

/* A UUID that stays the same as long as machine, device and slice do. */
static void stable_uuid(char ret[48], const char *prefix, const char *machine, unsigned device,
                        unsigned slice)
{
    uint64_t h[2] = {0xcbf29ce484222325u, 0x9e3779b97f4a7c15u};
    char seed[128];
    snprintf(seed, sizeof(seed), "%s/%u/%u", machine, device, slice);
    for (unsigned k = 0; k < 2; k++)
        for (const char *c = seed; *c; c++)
            h[k] = (h[k] ^ (unsigned char)*c) * 0x100000001b3u + k * 0x9e37u;
    snprintf(ret, 48, "%s-%08x-%04x-5%03x-%04x-%012llx", prefix, (unsigned)(h[0] >> 32),
             (unsigned)(h[0] >> 16) & 0xffff, (unsigned)h[0] & 0xfff,
             0x8000u | ((unsigned)(h[1] >> 48) & 0x3fff), (unsigned long long)h[1] & 0xffffffffffffu);
}

static void complete(struct sim_profile *p)
{
    uint8_t links = p->nvlinks[0][0], level = p->pcie[0][0];
    for (unsigned i = 0; i < p->n_devices; i++) {
        struct sim_device_profile *d = &p->devices[i];
        if (!d->uuid[0])
            stable_uuid(d->uuid, "GPU", p->name, i, 0);
        if (!d->pci_bus_id[0])
            snprintf(d->pci_bus_id, sizeof(d->pci_bus_id), "00000000:%02X:00.0", 1 + i * 0x10);
        for (unsigned m = 0; m < d->n_mig; m++)
            if (!d->mig[m].uuid[0])
                stable_uuid(d->mig[m].uuid, "MIG", p->name, i, m + 1);
        for (unsigned j = 0; j < p->n_devices; j++) {
            bool same_node = d->numa_node == p->devices[j].numa_node;
            p->nvlinks[i][j] = i == j ? 0 : links;
            p->pcie[i][j] = i == j ? 0 : same_node ? level : 50;
        }
    }
    snprintf(p->nvml_version, sizeof(p->nvml_version), "%u.%.20s", p->cuda_version / 1000, p->driver_version);
}

static void set_defaults(struct sim_profile *p)
{
    memset(p, 0, sizeof(*p));
    snprintf(p->driver_version, sizeof(p->driver_version), "580.65.06");
    p->cuda_version = 13000;
    p->engines = 2;
    p->quantum_ns = 2000000;
    p->real_bytes_max = 256u << 20;
    p->interval_log = true;
    p->kernel_ns = 5000;
    p->wave_ns = 1000;
}

int sim_profile_parse(const char *text, size_t n, const char *file, struct sim_profile *ret, char *err,
                      size_t err_size)
{
    struct reader r = {.file = file, .profile = ret, .err = err, .err_size = err_size};
    yaml_parser_t parser;
    int status = -1;
    set_defaults(ret);
    if (!yaml_parser_initialize(&parser)) {
        snprintf(err, err_size, "%s: out of memory", file);
        return -1;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    if (!yaml_parser_load(&parser, &r.document)) {
        snprintf(err, err_size, "%s:%zu: not YAML: %s", file, parser.problem_mark.line + 1,
                 parser.problem ? parser.problem : "unreadable");
    } else {
        status = read_map(&r, yaml_document_get_root_node(&r.document), machine_keys, N_KEYS(machine_keys),
                          machine_sections, ret);
        if (status == 0 && (ret->n_devices == 0 || !ret->name[0]))
            status = fail(&r, NULL, "a profile needs a name and at least one device");
        if (status == 0)
            complete(ret);
        yaml_document_delete(&r.document);
    }
    yaml_parser_delete(&parser);
    return status;
}

/* ---- names, files and settings ---- */

static int apply_settings(char *settings, struct sim_profile *ret, char *err, size_t err_size)
{
    char *rest = NULL;
    for (char *one = strtok_r(settings, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(one, '=');
        if (value)
            *value++ = '\0';
        const struct key *key = find_key(machine_keys, N_KEYS(machine_keys), one);
        uint64_t n;
        if (!value || !key) {
            snprintf(err, err_size,
                     "HAMI_SIM: '%.40s' is not a setting of the form key=value with a key such as "
                     "time, schedule, quantum, kernel, null_model or memory_limits",
                     one);
            return -1;
        }
        if (!read_value(key, value, &n)) {
            snprintf(err, err_size, "HAMI_SIM: %s=%.40s: not %s in the accepted range", one, value,
                     accepted(key->kind));
            return -1;
        }
        store(key, (char *)ret, value, n);
    }
    return 0;
}

static int parse_shipped(char *name, struct sim_profile *ret, char *err, size_t err_size)
{
    size_t length = strlen(name);
    bool null_model = length > 5 && strcmp(name + length - 5, "-null") == 0;
    bool virtual_time = length > 8 && strcmp(name + length - 8, "-virtual") == 0;
    name[length - (null_model ? 5 : virtual_time ? 8 : 0)] = '\0';
    for (size_t i = 0; i < sizeof(shipped) / sizeof(shipped[0]); i++)
        if (strcmp(shipped[i].name, name) == 0) {
            int status =
                sim_profile_parse(shipped[i].text, strlen(shipped[i].text), name, ret, err, err_size);
            ret->null_model |= null_model;
            ret->virtual_time |= virtual_time;
            return status;
        }
    int n = snprintf(err, err_size, "%s: no such profile; shipped are", name);
    for (size_t i = 0; i < sizeof(shipped) / sizeof(shipped[0]) && n > 0 && (size_t)n < err_size; i++)
        n += snprintf(err + n, err_size - (size_t)n, " %s", shipped[i].name);
    if (n > 0 && (size_t)n < err_size)
        snprintf(err + n, err_size - (size_t)n, "; a file is named with a slash or ends in .yaml");
    return -1;
}

static int parse_file(const char *path, struct sim_profile *ret, char *err, size_t err_size)
{
    FILE *f = fopen(path, "re");
    char *text = f ? malloc(FILE_MAX_BYTES) : NULL;
    if (!text) {
        snprintf(err, err_size, "%s: cannot read the profile: %s", path, strerror(errno));
        if (f)
            fclose(f);
        return -1;
    }
    size_t n = fread(text, 1, FILE_MAX_BYTES, f);
    fclose(f);
    int status = sim_profile_parse(text, n, path, ret, err, err_size);
    free(text);
    return status;
}

int sim_profile_load(const char *name_or_path, struct sim_profile *ret, char *err, size_t err_size)
{
    char name[1024];
    if ((size_t)snprintf(name, sizeof(name), "%s", name_or_path) >= sizeof(name)) {
        snprintf(err, err_size, "HAMI_SIM: longer than %zu characters", sizeof(name) - 1);
        return -1;
    }
    char *settings = strchr(name, ',');
    if (settings)
        *settings++ = '\0';
    size_t n = strlen(name);
    bool is_file = strchr(name, '/') || (n > 5 && strcmp(name + n - 5, ".yaml") == 0);
    int status = is_file ? parse_file(name, ret, err, err_size) : parse_shipped(name, ret, err, err_size);
    return status == 0 && settings ? apply_settings(settings, ret, err, err_size) : status;
}

const char *sim_profile_shipped(unsigned i)
{
    return i < sizeof(shipped) / sizeof(shipped[0]) ? shipped[i].name : NULL;
}

const char *sim_profile_shipped_text(unsigned i)
{
    return i < sizeof(shipped) / sizeof(shipped[0]) ? shipped[i].text : NULL;
}
