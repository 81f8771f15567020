/* SPDX-License-Identifier: Apache-2.0 */
#include "model/card.h"

#include "model/pod.h"

_Static_assert(sizeof(struct card) <= 96, "a cluster holds a hundred thousand cards");
_Static_assert(sizeof(struct card_grant) <= 32, "and as many grants");

const char *const card_mode_names[CARD_MODES] = {"", "hami-core", "mig", "mps"};
const char *const card_qos_names[CARD_QOS_KINDS] = {"", "best-effort", "fixed-share", "burst-share"};
