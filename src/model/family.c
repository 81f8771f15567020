/* SPDX-License-Identifier: Apache-2.0 */
#include "model/family.h"

#include <string.h>

const struct family *family_of_word(const struct family_set *set, const char *word)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (strcmp(set->rows[i]->word, word) == 0)
            return set->rows[i];
    return NULL;
}

bool family_writes(const struct family *f, enum family_write_format format)
{
    for (const struct family_write *w = f->writes; w->key; w++)
        if (w->format == format)
            return true;
    return false;
}
