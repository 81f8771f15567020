/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading one value of device-config.yaml: what the sections (config.c) and the
 * kinds of values (config_value.c) share.
 */
#ifndef HAMI_VENDOR_CONFIG_READ_H
#define HAMI_VENDOR_CONFIG_READ_H

#include <glib.h>
#include <yaml.h>

#include "model/family.h"

/* What the node's agents use of the same file: read to be checked. */
struct config_agent {
    uint32_t split, mem_scaling, core_scaling, log_level, n_allowed;
    uint64_t mem_bytes;
    bool numa, no_core_limit, soft_slicing, nothing;
};

/* A set with what it owns. */
struct config_set {
    struct family_set set; /* first: what callers hold */
    void *arena;
};

struct config_name {
    const char *name;
    char *path; /* where it was given */
};

struct config_reader {
    yaml_document_t doc;
    struct config_set *set;
    GPtrArray *families; /* struct family *: single ones first, then chips as they come */
    GPtrArray *names;    /* struct config_name *: resource names so far */
    GPtrArray *warnings;
    GString *path; /* "vnpus.configs[2].memory" */
    GError **error;
    struct config_agent agent;
};

struct config_key {
    unsigned section;
    const char *name;
    bool (*read)(struct config_reader *r, yaml_node_t *value, void *member);
    const char *family; /* NULL: the agent's; "": of the entry being read */
    size_t at;
};

/* Fails with place, path and the message; false. */
bool config_refuse(struct config_reader *r, const yaml_node_t *at, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
void config_warn(struct config_reader *r, const yaml_node_t *at, const char *format, ...) G_GNUC_PRINTF(3, 4);

yaml_node_t *config_node(struct config_reader *r, int index);
/* The text of a scalar; NULL of anything else. "" and ~ are null where they stand without quotes. */
const char *config_scalar(const yaml_node_t *node);
bool config_is_null(const yaml_node_t *node);
/* False with a refusal when the node is of another kind. */
bool config_need(struct config_reader *r, const yaml_node_t *node, yaml_node_type_t type);

/* The kinds of values. `member` is what the key's row points at. */
#define CONFIG_KIND(kind) bool config_read_##kind(struct config_reader *r, yaml_node_t *value, void *member)
CONFIG_KIND(name);      /* const char *: a resource name that nobody has yet */
CONFIG_KIND(text);      /* const char * */
CONFIG_KIND(label);     /* char[32] */
CONFIG_KIND(word);      /* checked only: the family was made with it */
CONFIG_KIND(flag);      /* bool */
CONFIG_KIND(count);     /* uint32_t, from 0 */
CONFIG_KIND(percent);   /* uint32_t, 0 to 100 */
CONFIG_KIND(split);     /* uint32_t, 1 to 65535 */
CONFIG_KIND(level);     /* uint32_t, 0 to 4 */
CONFIG_KIND(aux);       /* uint32_t, 0 to 65535 */
CONFIG_KIND(factor);    /* uint32_t, at least 1 */
CONFIG_KIND(mib);       /* uint64_t bytes */
CONFIG_KIND(ratio);     /* uint32_t thousandths */
CONFIG_KIND(policy);    /* const char * */
CONFIG_KIND(allowlist); /* uint32_t entries */
CONFIG_KIND(ignored);   /* nothing; warns */
CONFIG_KIND(chips);     /* nothing: makes families; config.c */
CONFIG_KIND(templates); /* struct card_shapes *; config.c */

#endif
