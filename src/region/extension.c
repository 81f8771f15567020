/* SPDX-License-Identifier: Apache-2.0
 *
 * Proves at compile time that the structs are what contract/region.def says.
 * No code.
 */
#include "region/extension.h"

#define PLACE(name, offset, stride, count) _Static_assert(sizeof(struct name) == (stride), #name);
#define FIELD(name, member, offset, bytes, meaning)                                                          \
    _Static_assert(offsetof(struct name, member) == (offset), #name "." #member " offset");                  \
    _Static_assert(sizeof(((struct name *)0)->member) == (bytes), #name "." #member " size");
#include "region.def"

_Static_assert(REGION_EXT_OFFSET + offsetof(struct region_ext, devices) == 2015232, "devices");
_Static_assert(REGION_EXT_OFFSET + offsetof(struct region_ext, boards) == 2023424, "boards");
_Static_assert(REGION_EXT_OFFSET + offsetof(struct region_ext, members) == 2088960, "members");
