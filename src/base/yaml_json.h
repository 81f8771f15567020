/* SPDX-License-Identifier: Apache-2.0
 *
 * YAML text as JSON trees, by Kubernetes' reading of YAML (sigs.k8s.io/yaml:
 * the core schema, string keys), and back.
 */
#ifndef HAMI_BASE_YAML_JSON_H
#define HAMI_BASE_YAML_JSON_H

#include <glib.h>
#include <jansson.h>

/* All documents of a stream as an array; empty documents are left out. NULL and
 * error (STATUS_USAGE, "LINE:COLUMN: ...") when the text is no YAML, nests too
 * deeply, repeats a key, or is beyond 4 MiB. Aliases are refused beyond a
 * total of 100 000 nodes. Caller unrefs. */
json_t *yaml_json_parse(const char *text, size_t len, GError **error);

/* One document, block style, keys in the order of the tree. Caller frees. */
char *yaml_json_format(json_t *value);

#endif
