/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of contract/annotations.def: annotation_vgpu_node and so on.
 */
#ifndef HAMI_MODEL_ANNOTATION_H
#define HAMI_MODEL_ANNOTATION_H

#define ANNOTATION(symbol, key, where, writers, readers, content) extern const char annotation_##symbol[];
#include "annotations.def"
#undef ANNOTATION

#endif
