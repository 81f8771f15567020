/* SPDX-License-Identifier: Apache-2.0
 *
 * One pass over a pod object. Members may come in any order (status before
 * spec, containers before initContainers), and of a member that comes twice
 * the last counts, as for the API server.
 */
#include "base/arena.h"
#include "model/annotation.h"
#include "vendor/pod_scan.h"

#define CONTAINERS_FIRST 8

/* Init containers that ended well, by name. */
struct ended {
    const struct ended *next;
    const char *name;
};

struct containers {
    struct pod_container *rows;
    unsigned n, room;
};

struct pass {
    struct pod_scan scan;
    struct json_scan *s; /* scan.s */
    struct pod_object *pod;
    struct containers init, app;
    const struct ended *ended;
    struct pod_annotation *annotations;
    unsigned n_annotations, annotation_room;
};

static void scan_string(struct pass *p, const char **ret)
{
    pod_scan_string(&p->scan, ret);
}

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

static void scan_containers(struct pass *p, struct containers *list)
{
    list->n = 0;
    if (!json_scan_array(p->s))
        return;
    while (json_scan_element(p->s)) {
        if (p->init.n + p->app.n < POD_CONTAINERS_MAX)
            pod_scan_container(&p->scan, container_new(p, list));
        else if (p->scan.lenient)
            json_scan_skip(p->s);
        else
            json_scan_fail(p->s, "more containers than a pod can have");
    }
}

/* ---- the pod's parts ---- */

static void keep_annotation(struct pass *p, const char *key, const char *value)
{
    for (unsigned i = 0; i < p->n_annotations; i++)
        if (p->annotations[i].key == key) {
            p->annotations[i].value = value;
            return;
        }
    if (p->n_annotations == p->annotation_room) { /* bounded by the reader's keys */
        unsigned room = p->annotation_room ? 2 * p->annotation_room : 8;
        struct pod_annotation *rows = arena_take(&p->pod->arena, room * sizeof *rows);
        if (p->n_annotations)
            memcpy(rows, p->annotations, p->n_annotations * sizeof *rows);
        p->annotations = rows;
        p->annotation_room = room;
    }
    p->annotations[p->n_annotations++] = (struct pod_annotation){.key = key, .value = value};
}

static bool is_wanted(const struct pass *p, struct json_text value)
{
    g_autofree char *text = p->scan.lenient ? json_text_dup(value) : NULL;
    return !p->scan.lenient || text;
}

static void scan_annotations(struct pass *p)
{
    struct json_text key, value;
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key)) {
        const char *known = pod_reader_annotation(p->scan.reader, key);
        if (!known)
            json_scan_skip(p->s);
        else if (json_scan_text(p->s, &value) && is_wanted(p, value))
            keep_annotation(p, known, pod_scan_copy(&p->scan, value));
    }
}

static void scan_labels(struct pass *p)
{
    struct json_text key;
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key))
        if (json_text_equal(key, annotation_pod_group_label))
            scan_string(p, &p->pod->pod_group);
        else
            json_scan_skip(p->s);
}

static void scan_metadata(struct pass *p)
{
    struct pod_object *pod = p->pod;
    struct json_text key;
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key)) {
        if (json_text_is(key, "name")) {
            scan_string(p, &pod->name);
        } else if (json_text_is(key, "namespace")) {
            scan_string(p, &pod->namespace_);
        } else if (json_text_is(key, "uid")) {
            scan_string(p, &pod->uid);
        } else if (json_text_is(key, "resourceVersion")) {
            scan_string(p, &pod->resource_version);
        } else if (json_text_is(key, "annotations")) {
            scan_annotations(p);
        } else if (json_text_is(key, "labels")) {
            scan_labels(p);
        } else if (json_text_is(key, "deletionTimestamp")) {
            pod->deleting = json_scan_peek(p->s) != JSON_IS_NULL;
            json_scan_skip(p->s);
        } else {
            json_scan_skip(p->s);
        }
    }
}

static void scan_gates(struct pass *p)
{
    p->pod->gated = false;
    if (json_scan_array(p->s))
        while (json_scan_element(p->s)) {
            p->pod->gated = true;
            json_scan_skip(p->s);
        }
}

static void scan_spec(struct pass *p)
{
    struct pod_object *pod = p->pod;
    struct json_text key;
    int64_t priority;
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key)) {
        if (json_text_is(key, "containers"))
            scan_containers(p, &p->app);
        else if (json_text_is(key, "initContainers"))
            scan_containers(p, &p->init);
        else if (json_text_is(key, "nodeName"))
            scan_string(p, &pod->node);
        else if (json_text_is(key, "schedulerName"))
            scan_string(p, &pod->scheduler);
        else if (json_text_is(key, "runtimeClassName"))
            scan_string(p, &pod->runtime_class);
        else if (json_text_is(key, "schedulingGates"))
            scan_gates(p);
        else if (!json_text_is(key, "priority"))
            json_scan_skip(p->s);
        else if (json_scan_int(p->s, &priority))
            pod->priority = (int32_t)CLAMP(priority, INT32_MIN, INT32_MAX);
    }
}

static void scan_exit_code(struct pass *p, int64_t *ret)
{
    struct json_text key;
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key))
        if (json_text_is(key, "exitCode"))
            json_scan_int(p->s, ret);
        else
            json_scan_skip(p->s);
}

/* state: {terminated: {exitCode: 0}} */
static bool scan_ended_well(struct pass *p)
{
    struct json_text key;
    int64_t code = -1;
    if (!json_scan_object(p->s))
        return false;
    while (json_scan_key(p->s, &key))
        if (json_text_is(key, "terminated"))
            scan_exit_code(p, &code);
        else
            json_scan_skip(p->s);
    return code == 0;
}

static void scan_init_status(struct pass *p)
{
    struct json_text key;
    const char *name = NULL;
    bool well = false;
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key)) {
        if (json_text_is(key, "name"))
            scan_string(p, &name);
        else if (json_text_is(key, "state"))
            well = scan_ended_well(p);
        else
            json_scan_skip(p->s);
    }
    if (well && name) {
        struct ended *e = arena_take(&p->pod->arena, sizeof *e);
        *e = (struct ended){.next = p->ended, .name = name};
        p->ended = e;
    }
}

static enum pod_phase phase_of(struct json_text text)
{
    return json_text_is(text, "Pending")     ? POD_PENDING
           : json_text_is(text, "Running")   ? POD_RUNNING
           : json_text_is(text, "Succeeded") ? POD_SUCCEEDED
           : json_text_is(text, "Failed")    ? POD_FAILED
                                             : POD_UNKNOWN;
}

static void scan_status(struct pass *p)
{
    struct json_text key, text;
    if (!json_scan_object(p->s))
        return;
    while (json_scan_key(p->s, &key)) {
        if (json_text_is(key, "phase")) {
            if (json_scan_text(p->s, &text) && text.len)
                p->pod->phase = phase_of(text);
        } else if (json_text_is(key, "initContainerStatuses") && json_scan_peek(p->s) == JSON_IS_ARRAY) {
            json_scan_array(p->s);
            p->ended = NULL;
            while (json_scan_element(p->s))
                scan_init_status(p);
        } else {
            json_scan_skip(p->s);
        }
    }
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
    pod->n_init = (uint16_t)p->init.n;
    pod->n_containers = (uint16_t)(p->init.n + p->app.n);
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

static void scan_pod(struct pass *p)
{
    struct json_text key;
    while (json_scan_key(p->s, &key)) {
        if (json_text_is(key, "metadata"))
            scan_metadata(p);
        else if (json_text_is(key, "spec"))
            scan_spec(p);
        else if (json_text_is(key, "status"))
            scan_status(p);
        else
            json_scan_skip(p->s);
    }
}

static bool scan_whole(const struct pod_reader *r, struct json_scan *s, bool lenient, struct pod_object *ret)
{
    struct pass p = {
        .scan = {.reader = r, .s = s, .arena = &ret->arena, .lenient = lenient}, .s = s, .pod = ret};
    *ret = (struct pod_object){.uid = "",
                               .name = "",
                               .namespace_ = "",
                               .node = "",
                               .scheduler = "",
                               .resource_version = "",
                               .pod_group = "",
                               .runtime_class = ""};
    if (json_scan_peek(s) != JSON_IS_OBJECT)
        json_scan_fail(s, "a pod is an object");
    else if (json_scan_object(s))
        scan_pod(&p);
    if (s->fault) {
        pod_object_clear(ret);
        return false;
    }
    join_containers(&p);
    ret->annotations = p.annotations;
    ret->n_annotations = (uint16_t)p.n_annotations;
    return true;
}

bool pod_object_scan(const struct pod_reader *r, struct json_scan *s, struct pod_object *ret)
{
    return scan_whole(r, s, false, ret);
}

static bool parse(const struct pod_reader *r, const char *text, size_t len, bool lenient,
                  struct pod_object *ret, const char **ret_why)
{
    struct json_scan s;
    json_scan_init(&s, text, len);
    if (scan_whole(r, &s, lenient, ret) && json_scan_end(&s))
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
