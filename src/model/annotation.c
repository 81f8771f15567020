/* SPDX-License-Identifier: Apache-2.0 */
#include "model/annotation.h"

#define ANNOTATION(symbol, key, where, writers, readers, content) const char annotation_##symbol[] = key;
#include "annotations.def"
#undef ANNOTATION
