/* SPDX-License-Identifier: Apache-2.0
 *
 * The built-in families, for tests of what their rows decide.
 */
#ifndef HAMI_TESTS_FAMILIES_H
#define HAMI_TESTS_FAMILIES_H

#include "vendor/config.h"

static inline const struct family_set *families(void)
{
    static struct family_set *set;
    static const struct vendor_options all = {true, true};
    if (!set)
        set = vendor_config_parse(NULL, 0, &all, NULL, NULL);
    g_assert_nonnull(set);
    return set;
}

static inline const struct family *family(const char *word)
{
    const struct family *f = family_of_word(families(), word);
    if (!f)
        g_error("there is no family %s", word);
    return f;
}

#endif
