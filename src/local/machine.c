/* SPDX-License-Identifier: Apache-2.0
 *
 * See machine.h. Pure; any thread.
 */
#include "local/machine.h"

#include <string.h>

#include "model/lists.h"

void machine_bind(struct machine *m)
{
    for (uint32_t i = 0; i < m->n && i < MACHINE_CARDS; i++) {
        m->cards[i].uuid = m->text[i].uuid;
        m->cards[i].type = m->text[i].type;
        m->cards[i].shapes = NULL;
    }
}

int machine_find(const struct machine *m, const char *uuid)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (strcmp(m->cards[i].uuid, uuid) == 0)
            return (int)i;
    return -1;
}

struct machine_word machine_cut_uuid(const struct machine *m, const char *list, uint32_t *ret_card)
{
    struct machine_word w;
    while ((w.at = lists_next(&list, &w.len)))
        for (uint32_t i = 0; i < m->n; i++)
            if (strncmp(m->cards[i].uuid, w.at, w.len) == 0 && m->cards[i].uuid[w.len] != '\0') {
                *ret_card = i;
                return w;
            }
    return (struct machine_word){"", 0};
}

uint16_t machine_pair_score(unsigned nvml_level, unsigned links)
{
    /* NVML: internal 0, single 10, multiple 20, host bridge 30, node 40, system 50 */
    unsigned bridge = nvml_level > 50 ? 0 : 60 - nvml_level / 10 * 10;
    return (uint16_t)(bridge + 100 * (links > 18 ? 18 : links));
}
