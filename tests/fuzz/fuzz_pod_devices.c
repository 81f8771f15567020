/* SPDX-License-Identifier: Apache-2.0
 *
 * Device strings of pods: what is taken is within the text and within bounds,
 * and restoring it onto a node charges nothing but what it says.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "model/pod_codec.h"
#include "tests/fuzz/fuzz.h"
#include "vendor/config.h"

static const struct family_set *families(void)
{
    static struct family_set *set;
    static const struct vendor_options all = {true, true};
    if (!set)
        set = vendor_config_parse(NULL, 0, &all, NULL, NULL);
    return set;
}

static const char *get(const char *key, void *data)
{
    return strcmp(key, "hami.io/vgpu-devices-allocated") == 0 ? data : NULL;
}

static void restore(char *text)
{
    const struct family *f = family_of_word(families(), "NVIDIA");
    struct card cards[] = {{.uuid = "GPU-a", .family = f->id},
                           {.uuid = "GPU-b", .family = f->id, .mode = CARD_MIG}};
    const struct node_spec node = {.name = "n", .n_cards = 2, .cards = cards};
    static struct pod_grant grant;
    static const uint8_t kinds[POD_SLOTS_MAX];
    struct card_use use[2];
    unsigned unknown;
    g_autofree char *why = NULL;
    if (!pod_codec_restore(families(), &node, get, text, &grant, &unknown, &why))
        return;
    for (unsigned i = 0; i < grant.n; i++)
        if (grant.grants[i].card > 1 || grant.grants[i].slot >= POD_SLOTS_MAX)
            abort();
    pod_charge(grant.grants, grant.n, kinds, false, use, 2);
    g_autofree char *again = pod_codec_format(f, &node, &grant, POD_SLOTS_MAX);
    struct pod_codec_device devices[POD_GRANTS_MAX];
    if (pod_codec_parse(again, strlen(again), devices, POD_GRANTS_MAX, &why) != grant.n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pod_codec_device devices[16];
    const char *text = (const char *)data;
    g_autofree char *why = NULL, *copy = g_strndup(text, size);
    int n = pod_codec_parse(text, size, devices, G_N_ELEMENTS(devices), &why);
    if (n > (int)G_N_ELEMENTS(devices) || (n < 0) != (why != NULL))
        abort();
    for (int i = 0; i < n; i++) {
        const struct pod_codec_device *d = &devices[i];
        if (d->uuid < text || d->uuid + d->uuid_len > text + size || d->type < text ||
            d->type + d->type_len > text + size || d->uuid_len == 0 || d->mem_mib < 0 || d->cores < 0 ||
            d->slot >= POD_SLOTS_MAX)
            abort();
    }
    restore(copy);
    return 0;
}
