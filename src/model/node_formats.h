/* SPDX-License-Identifier: Apache-2.0
 *
 * The readers behind node_codec_parse(), one per inventory format.
 */
#ifndef HAMI_MODEL_NODE_FORMATS_H
#define HAMI_MODEL_NODE_FORMATS_H

#include "model/node_codec.h"

#define NODE_SHAPES_MAX 64 /* of one card */

struct card_list *node_json_parse(const struct family *f, const char *text, size_t len, char **ret_why);
struct card_list *node_colon_parse(const struct family *f, const char *text, size_t len, char **ret_why);
struct card_list *node_metax_parse(const struct family *f, const char *text, size_t len, char **ret_why);
struct card_list *node_enflame_parse(const struct family *f, const char *node_name, const char *text,
                                     size_t len, char **ret_why);

/* "%s" is the node, "%u" the number. Caller frees. */
char *node_capacity_id(const char *format, const char *node_name, uint32_t number);

#endif
