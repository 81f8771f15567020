/* SPDX-License-Identifier: Apache-2.0
 *
 * Walking the YAML document of a profile; see profile_read.h.
 */
#include "profile_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) bool sim_profile_refuse(struct sim_profile_reader *r,
                                                              const yaml_node_t *at, const char *format, ...)
{
    va_list ap;
    int n = snprintf(r->err, r->err_size, "%s:%zu: ", r->file, at != NULL ? at->start_mark.line + 1 : 1);
    va_start(ap, format);
    if (n >= 0 && (size_t)n < r->err_size)
        vsnprintf(r->err + n, r->err_size - (size_t)n, format, ap);
    va_end(ap);
    return false;
}

yaml_node_t *sim_profile_node(struct sim_profile_reader *r, int index)
{
    return yaml_document_get_node(&r->doc, index);
}

const char *sim_profile_text(const yaml_node_t *n)
{
    static char empty[] = "";
    return n != NULL && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : empty;
}

bool sim_profile_need(struct sim_profile_reader *r, const yaml_node_t *n, yaml_node_type_t type,
                      const char *key)
{
    static const char *const names[] = {"", "a value", "a list", "a mapping"};
    if (n != NULL && n->type == type)
        return true;
    return sim_profile_refuse(r, n, "%s: is not %s", key, names[type]);
}

bool sim_profile_each_pair(struct sim_profile_reader *r, const yaml_node_t *map, sim_profile_pair_fn set,
                           void *arg)
{
    const yaml_node_pair_t *first = map->data.mapping.pairs.start, *top = map->data.mapping.pairs.top;
    if (top - first > 128)
        return sim_profile_refuse(r, map, "has %td keys: give at most 128", top - first);
    for (const yaml_node_pair_t *pair = first; pair < top; pair++) {
        const yaml_node_t *key = sim_profile_node(r, pair->key);
        if (!sim_profile_need(r, key, YAML_SCALAR_NODE, "a key"))
            return false;
        for (const yaml_node_pair_t *q = first; q < pair; q++)
            if (strcmp(sim_profile_text(sim_profile_node(r, q->key)), sim_profile_text(key)) == 0)
                return sim_profile_refuse(r, key, "%s: is given twice: remove one", sim_profile_text(key));
        if (!set(r, key, sim_profile_node(r, pair->value), arg))
            return false;
    }
    return true;
}

bool sim_profile_unknown_key(struct sim_profile_reader *r, const yaml_node_t *key,
                             const struct sim_field *fields, const char *others)
{
    char list[1024];
    size_t n = 0;
    list[0] = '\0';
    for (; fields->key != NULL && n + 40 < sizeof(list); fields++)
        n += (size_t)snprintf(list + n, sizeof(list) - n, "%s, ", fields->key);
    return sim_profile_refuse(r, key, "%.60s: no such key: there are %s%s", sim_profile_text(key), list,
                              others);
}

/* 1 set, 0 no such key, -1 refused */
int sim_profile_set_field(struct sim_profile_reader *r, const struct sim_field *fields,
                          const yaml_node_t *key, const yaml_node_t *value, void *structure)
{
    char reason[256];
    for (; fields->key != NULL; fields++) {
        if (strcmp(fields->key, sim_profile_text(key)) != 0)
            continue;
        if (!sim_profile_need(r, value, YAML_SCALAR_NODE, fields->key))
            return -1;
        if (sim_field_set(fields, structure, sim_profile_text(value), reason, sizeof(reason)))
            return 1;
        sim_profile_refuse(r, value, "%s: '%.60s' does not do: %s", fields->key, sim_profile_text(value),
                           reason);
        return -1;
    }
    return 0;
}
