/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the pods of an object: the object itself, and every pod template in
 * it, whatever kind holds it (a Volcano Job has one for each task, a JobSet
 * one inside another). A template is known by spec.containers; where the
 * kinds of Kubernetes keep theirs it is one even without.
 */
#include <string.h>

#include "vendor/manifest.h"

#define DEPTH_MAX 16 /* of a template in its object */

struct search {
    void (*f)(json_t *pod, const char *where, const char *namespace_, void *data);
    void *data;
    const char *namespace_, *title; /* "Deployment default/web" */
    GString *path;                  /* of the value at hand: "spec.tasks[1].template" */
    unsigned n;
};

static const char *text(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

/* Where PodTemplate, the workloads, and CronJob keep the only one they have. */
static bool is_usual(const char *path)
{
    static const char *const paths[] = {"template", "spec.template", "spec.jobTemplate.spec.template", NULL};
    return g_strv_contains(paths, path);
}

static bool is_template(json_t *value, const char *path)
{
    return json_object_get(json_object_get(value, "spec"), "containers") || is_usual(path);
}

static void look(struct search *s, json_t *value, unsigned depth)
{
    gsize len = s->path->len;
    const char *key;
    json_t *member;
    size_t i;
    if (depth > DEPTH_MAX)
        return;
    if (json_is_object(value) && is_template(value, s->path->str)) {
        g_autofree char *where =
            is_usual(s->path->str) ? g_strdup(s->title) : g_strdup_printf("%s %s", s->title, s->path->str);
        s->f(value, where, s->namespace_, s->data);
        s->n++;
        return;
    }
    json_array_foreach(value, i, member)
    {
        g_string_append_printf(s->path, "[%zu]", i);
        look(s, member, depth + 1);
        g_string_truncate(s->path, len);
    }
    json_object_foreach(value, key, member)
    {
        g_string_append_printf(s->path, "%s%.64s", len ? "." : "", key);
        look(s, member, depth + 1);
        g_string_truncate(s->path, len);
    }
}

unsigned manifest_pods(json_t *object,
                       void (*f)(json_t *pod, const char *where, const char *namespace_, void *data),
                       void *data)
{
    json_t *items = json_object_get(object, "items"), *item, *metadata = json_object_get(object, "metadata");
    const char *namespace_ = text(metadata, "namespace"), *name = text(metadata, "name");
    unsigned n = 0;
    size_t i;
    if (json_is_array(items)) {
        json_array_foreach(items, i, item) n += manifest_pods(item, f, data);
        return n;
    }
    namespace_ = *namespace_ ? namespace_ : "default";
    g_autofree char *title = g_strdup_printf("%s %s/%s", text(object, "kind"), namespace_,
                                             *name ? name : text(metadata, "generateName"));
    g_autoptr(GString) path = g_string_new("");
    struct search s = {f, data, namespace_, title, path, 0};
    if (strcmp(text(object, "kind"), "Pod") != 0) {
        look(&s, object, 0);
        return s.n;
    }
    f(object, title, namespace_, data);
    return 1;
}
