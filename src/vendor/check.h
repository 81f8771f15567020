/* SPDX-License-Identifier: Apache-2.0
 *
 * What can be wrong with a pod that asks for cards, by the check of admission
 * that it belongs to (contract/admission.def).
 */
#ifndef HAMI_VENDOR_CHECK_H
#define HAMI_VENDOR_CHECK_H

/* Checks beyond the reference's, each of which can be lowered to a warning. */
enum admit_check {
#define ADMIT(symbol, name, text) ADMIT_##symbol,
#include "admission.def"
#undef ADMIT
    ADMIT_CHECKS,
    ADMIT_RULE = ADMIT_CHECKS /* a rule of the family: never lowered */
};

#endif
