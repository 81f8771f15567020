/* SPDX-License-Identifier: Apache-2.0
 *
 * One pass over a pod object. Members may come in any order (status before
 * spec, containers before initContainers), and of a member that comes twice
 * the last counts, as for the API server.
 */
#include "base/arena.h"
#include "base/json_members.h"
#include "model/annotation.h"
#include "vendor/pod_scan.h"

#define CONTAINERS_FIRST 8
#define ASSIGNED_MAX 16
#define MEMBERS(s, rows, data) json_members_read(s, rows, G_N_ELEMENTS(rows), data)

/* Init containers that ended well, by name. */
struct ended {
    const struct ended *next;
    const char *name;
};

struct containers {
    struct pod_container *rows;
    unsigned n, room;
};

struct keys {
    const struct pod_key **first;
    struct pod_key *last;
    unsigned n;
};

struct pass {
    struct pod_scan scan;
    struct json_scan *s; /* scan.s */
    struct pod_object *pod;
    struct containers init, app;
    struct keys assigned_annotations, assigned_labels;
    unsigned annotation_room;

    const struct ended *ended;
    unsigned n_ended;
    const char *status_name; /* of the init container's status at hand */
    int64_t exit_code;
};

static void read_string(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    (void)s;
    pod_scan_string(&p->scan, (const char **)(void *)((char *)p->pod + at));
}

#define POD_STRING(key, field) JSON_MEMBER(key, read_string, offsetof(struct pod_object, field))

/* ---- containers ---- */

static struct pod_container *container_new(struct pass *p, struct containers *list)
{
    if (list->n == list->room) {
        unsigned room = list->room ? 2 * list->room : CONTAINERS_FIRST;
        struct pod_container *rows = arena_take(&p->pod->arena, room * sizeof *rows);
        if (list->n)
            memcpy(rows, list->rows, list->n * sizeof *rows);
        list->rows = rows;
        list->room = room;
    }
    struct pod_container *c = &list->rows[list->n++];
    *c = (struct pod_container){.init = list == &p->init};
    return c;
}

static void read_containers(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    struct containers *list = (void *)((char *)p + at);
    list->n = 0;
    if (!json_scan_array(s))
        return;
    while (json_scan_element(s)) {
        if (p->scan.fresh || p->init.n + p->app.n < POD_CONTAINERS_MAX)
            pod_scan_container(&p->scan, container_new(p, list));
        else if (p->scan.lenient)
            json_scan_skip(s);
        else
            json_scan_fail(s, "more containers than a pod can have");
    }
}

/* ---- metadata ---- */

static void keep_annotation(struct pass *p, const char *key, const char *value)
{
    struct pod_object *pod = p->pod;
    for (unsigned i = 0; i < pod->n_annotations; i++)
        if (pod->annotations[i].key == key) {
            if (p->scan.fresh)
                json_scan_fail(p->s, "it has an annotation of ours twice; write it once");
            pod->annotations[i].value = value;
            return;
        }
    if (pod->n_annotations == p->annotation_room) { /* bounded by the reader's keys */
        unsigned room = p->annotation_room ? 2 * p->annotation_room : 8;
        struct pod_annotation *rows = arena_take(&pod->arena, room * sizeof *rows);
        if (pod->n_annotations)
            memcpy(rows, pod->annotations, pod->n_annotations * sizeof *rows);
        pod->annotations = rows;
        p->annotation_room = room;
    }
    pod->annotations[pod->n_annotations++] = (struct pod_annotation){.key = key, .value = value};
}

static bool is_wanted(const struct pass *p, struct json_text value)
{
    g_autofree char *text = p->scan.lenient ? json_text_dup(value) : NULL;
    return !p->scan.lenient || text;
}

static void note_assigned(struct pass *p, struct keys *keys, const struct pod_name *known,
                          struct json_text text)
{
    if (!p->scan.fresh || keys->n == ASSIGNED_MAX || !pod_reader_is_assigned(known, text))
        return;
    struct pod_key *key = arena_take(&p->pod->arena, sizeof *key);
    key->text = pod_scan_copy(&p->scan, text);
    *(keys->last ? &keys->last->next : keys->first) = key;
    keys->last = key;
    keys->n++;
}

static void read_annotations(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    struct json_text key, value;
    (void)at;
    p->pod->annotations_kind = (uint8_t)json_scan_peek(s);
    if (!json_scan_object(s))
        return;
    while (json_scan_key(s, &key)) {
        const struct pod_name *known = pod_reader_annotation(p->scan.reader, key);
        note_assigned(p, &p->assigned_annotations, known, key);
        if (!known || !known->kept) {
            json_scan_skip(s);
            continue;
        }
        bool is_text = json_scan_text(s, &value);
        if (is_text && is_wanted(p, value))
            keep_annotation(p, known->text, pod_scan_copy(&p->scan, value));
        else if (p->scan.fresh)
            keep_annotation(p, known->text, NULL);
    }
}

static void read_labels(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    struct json_text key;
    (void)at;
    if (!json_scan_object(s))
        return;
    while (json_scan_key(s, &key)) {
        if (p->scan.fresh)
            note_assigned(p, &p->assigned_labels, pod_reader_annotation(p->scan.reader, key), key);
        if (json_text_reads(key, annotation_pod_group_label))
            pod_scan_string(&p->scan, &p->pod->pod_group);
        else
            json_scan_skip(s);
    }
}

static void read_deletion(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    (void)at;
    p->pod->deleting = json_scan_peek(s) != JSON_IS_NULL;
    json_scan_skip(s);
}

static void read_metadata(struct json_scan *s, void *data, size_t at)
{
    static const struct json_member members[] = {
        POD_STRING("name", name),
        POD_STRING("namespace", namespace_),
        POD_STRING("uid", uid),
        POD_STRING("resourceVersion", resource_version),
        POD_STRING("generateName", generate_name),
        JSON_MEMBER("annotations", read_annotations, 0),
        JSON_MEMBER("labels", read_labels, 0),
        JSON_MEMBER("deletionTimestamp", read_deletion, 0),
    };
    struct pass *p = data;
    (void)at;
    p->pod->metadata_kind = (uint8_t)json_scan_peek(s);
    MEMBERS(s, members, p);
}

/* ---- spec ---- */

static void read_gates(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    (void)at;
    p->pod->gated = false;
    if (json_scan_array(s))
        while (json_scan_element(s)) {
            p->pod->gated = true;
            json_scan_skip(s);
        }
}

static void read_priority(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    int64_t priority;
    (void)at;
    if (json_scan_int(s, &priority))
        p->pod->priority = (int32_t)CLAMP(priority, INT32_MIN, INT32_MAX);
}

static void read_scheduler(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    p->pod->scheduler_kind = (uint8_t)json_scan_peek(s);
    read_string(s, data, at);
}

static void read_runtime_class(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    p->pod->runtime_class_kind = (uint8_t)json_scan_peek(s);
    read_string(s, data, at);
}

static void read_spec(struct json_scan *s, void *data, size_t at)
{
    static const struct json_member members[] = {
        JSON_MEMBER("containers", read_containers, offsetof(struct pass, app)),
        JSON_MEMBER("initContainers", read_containers, offsetof(struct pass, init)),
        POD_STRING("nodeName", node),
        JSON_MEMBER("schedulerName", read_scheduler, offsetof(struct pod_object, scheduler)),
        JSON_MEMBER("runtimeClassName", read_runtime_class, offsetof(struct pod_object, runtime_class)),
        JSON_MEMBER("schedulingGates", read_gates, 0),
        JSON_MEMBER("priority", read_priority, 0),
    };
    (void)at;
    MEMBERS(s, members, data);
}

/* ---- status ---- */

static void read_exit_code(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    (void)at;
    json_scan_int(s, &p->exit_code);
}

static void read_terminated(struct json_scan *s, void *data, size_t at)
{
    static const struct json_member members[] = {JSON_MEMBER("exitCode", read_exit_code, 0)};
    (void)at;
    MEMBERS(s, members, data);
}

/* state: {terminated: {exitCode: 0}} */
static void read_state(struct json_scan *s, void *data, size_t at)
{
    static const struct json_member members[] = {JSON_MEMBER("terminated", read_terminated, 0)};
    struct pass *p = data;
    (void)at;
    p->exit_code = -1;
    MEMBERS(s, members, p);
}

static void read_status_name(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    (void)s, (void)at;
    pod_scan_string(&p->scan, &p->status_name);
}

static void read_init_status(struct pass *p)
{
    static const struct json_member members[] = {
        JSON_MEMBER("name", read_status_name, 0),
        JSON_MEMBER("state", read_state, 0),
    };
    p->status_name = NULL;
    p->exit_code = -1;
    MEMBERS(p->s, members, p);
    if (p->exit_code == 0 && p->status_name && p->n_ended < POD_CONTAINERS_MAX) {
        struct ended *e = arena_take(&p->pod->arena, sizeof *e);
        *e = (struct ended){.next = p->ended, .name = p->status_name};
        p->ended = e;
        p->n_ended++;
    }
}

static void read_init_statuses(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    (void)at;
    if (!json_scan_array(s))
        return;
    p->ended = NULL;
    p->n_ended = 0;
    while (json_scan_element(s))
        read_init_status(p);
}

static enum pod_phase phase_of(struct json_text text)
{
    return json_text_is(text, "Pending")     ? POD_PENDING
           : json_text_is(text, "Running")   ? POD_RUNNING
           : json_text_is(text, "Succeeded") ? POD_SUCCEEDED
           : json_text_is(text, "Failed")    ? POD_FAILED
                                             : POD_UNKNOWN;
}

static void read_phase(struct json_scan *s, void *data, size_t at)
{
    struct pass *p = data;
    struct json_text text;
    (void)at;
    if (json_scan_text(s, &text) && text.len)
        p->pod->phase = phase_of(text);
}

static void read_status(struct json_scan *s, void *data, size_t at)
{
    static const struct json_member members[] = {
        JSON_MEMBER("phase", read_phase, 0),
        JSON_MEMBER("initContainerStatuses", read_init_statuses, 0),
    };
    struct pass *p = data;
    (void)at;
    if (p->scan.fresh)
        json_scan_skip(s);
    else
        MEMBERS(s, members, p);
}

/* ---- the whole ---- */

static bool has_ended(const struct ended *list, const char *name)
{
    for (; list; list = list->next)
        if (strcmp(list->name, name) == 0)
            return true;
    return false;
}

static void join_containers(struct pass *p)
{
    struct pod_object *pod = p->pod;
    pod->n_init = p->init.n;
    pod->n_containers = p->init.n + p->app.n;
    pod->containers = p->init.n ? p->init.rows : p->app.rows;
    if (p->init.n && p->app.n) {
        struct pod_container *rows = arena_take(&pod->arena, pod->n_containers * sizeof *rows);
        memcpy(rows, p->init.rows, p->init.n * sizeof *rows);
        memcpy(rows + p->init.n, p->app.rows, p->app.n * sizeof *rows);
        pod->containers = rows;
    }
    pod->inits_done = true;
    for (unsigned i = 0; i < p->init.n; i++)
        if (!p->init.rows[i].sidecar && !has_ended(p->ended, p->init.rows[i].name))
            pod->inits_done = false;
}

static bool scan_whole(const struct pod_scan *scan, struct pod_object *ret)
{
    static const struct json_member members[] = {
        JSON_MEMBER("metadata", read_metadata, 0),
        JSON_MEMBER("spec", read_spec, 0),
        JSON_MEMBER("status", read_status, 0),
    };
    struct json_scan *s = scan->s;
    struct pass p = {.scan = *scan,
                     .s = s,
                     .pod = ret,
                     .assigned_annotations.first = &ret->assigned_annotations,
                     .assigned_labels.first = &ret->assigned_labels};
    p.scan.arena = &ret->arena;
    *ret = (struct pod_object){.uid = "",
                               .name = "",
                               .generate_name = "",
                               .namespace_ = "",
                               .node = "",
                               .scheduler = "",
                               .resource_version = "",
                               .pod_group = "",
                               .runtime_class = ""};
    if (json_scan_peek(s) != JSON_IS_OBJECT)
        json_scan_fail(s, "a pod is an object");
    else
        MEMBERS(s, members, &p);
    if (s->fault) {
        pod_object_clear(ret);
        return false;
    }
    join_containers(&p);
    return true;
}

bool pod_object_scan(const struct pod_reader *r, struct json_scan *s, struct pod_object *ret)
{
    return scan_whole(&(struct pod_scan){.reader = r, .s = s}, ret);
}

bool pod_object_scan_new(const struct pod_reader *r, struct json_scan *s, struct pod_object *ret)
{
    s->once = true;
    return scan_whole(&(struct pod_scan){.reader = r, .s = s, .fresh = true}, ret);
}

static bool parse(const struct pod_reader *r, const char *text, size_t len, bool lenient,
                  struct pod_object *ret, const char **ret_why)
{
    struct json_scan s;
    json_scan_init(&s, text, len);
    if (scan_whole(&(struct pod_scan){.reader = r, .s = &s, .lenient = lenient}, ret) && json_scan_end(&s))
        return true;
    pod_object_clear(ret);
    *ret_why = s.fault;
    return false;
}

bool pod_object_parse(const struct pod_reader *r, const char *text, size_t len, struct pod_object *ret,
                      const char **ret_why)
{
    return parse(r, text, len, false, ret, ret_why);
}

bool pod_object_parse_leniently(const struct pod_reader *r, const char *text, size_t len,
                                struct pod_object *ret, const char **ret_why)
{
    return parse(r, text, len, true, ret, ret_why);
}

void pod_object_clear(struct pod_object *p)
{
    arena_free(p->arena);
    *p = (struct pod_object){0};
}

const char *pod_object_annotation(const struct pod_object *p, const char *key)
{
    for (unsigned i = 0; i < p->n_annotations; i++)
        if (p->annotations[i].key == key || strcmp(p->annotations[i].key, key) == 0)
            return p->annotations[i].value;
    return NULL;
}
