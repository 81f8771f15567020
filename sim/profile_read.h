/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files that read a profile share: the YAML document, refusals with
 * file and line, and the keys of devices and links. Internal to sim/profile*.c.
 */
#ifndef HAMI_SIM_PROFILE_READ_H
#define HAMI_SIM_PROFILE_READ_H

#include <yaml.h>

#include "profile_value.h"

struct sim_profile_reader {
    const char *file;
    yaml_document_t doc;
    struct sim_profile *p;
    char *err;
    size_t err_size;
};

/* Writes file:line and the message; always false. */
__attribute__((format(printf, 3, 4))) bool sim_profile_refuse(struct sim_profile_reader *r,
                                                              const yaml_node_t *at, const char *format, ...);

yaml_node_t *sim_profile_node(struct sim_profile_reader *r, int index);
const char *sim_profile_text(const yaml_node_t *n); /* "" for what is no scalar */
bool sim_profile_need(struct sim_profile_reader *r, const yaml_node_t *n, yaml_node_type_t type,
                      const char *key);

/* Calls set for every pair of a mapping; refuses keys given twice. */
typedef bool (*sim_profile_pair_fn)(struct sim_profile_reader *r, const yaml_node_t *key, yaml_node_t *value,
                                    void *arg);
bool sim_profile_each_pair(struct sim_profile_reader *r, const yaml_node_t *map, sim_profile_pair_fn set,
                           void *arg);

/* 1 set, 0 no such key, -1 refused */
int sim_profile_set_field(struct sim_profile_reader *r, const struct sim_field *fields,
                          const yaml_node_t *key, const yaml_node_t *value, void *structure);
bool sim_profile_unknown_key(struct sim_profile_reader *r, const yaml_node_t *key,
                             const struct sim_field *fields, const char *others);

/* ---- profile_device.c ---- */

extern const struct sim_device_profile sim_profile_device_defaults;
bool sim_profile_set_device_key(struct sim_profile_reader *r, const yaml_node_t *key, yaml_node_t *value,
                                void *device);
bool sim_profile_set_devices(struct sim_profile_reader *r, const yaml_node_t *list,
                             const struct sim_device_profile *common);
bool sim_profile_set_links(struct sim_profile_reader *r, const yaml_node_t *list);
bool sim_profile_set_topology(struct sim_profile_reader *r, const yaml_node_t *map);

/* ---- profile_complete.c ---- */

/* Fills in what follows from the rest and checks what must hold. */
bool sim_profile_complete(struct sim_profile_reader *r, const yaml_node_t *at);

#endif
