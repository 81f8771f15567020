/* SPDX-License-Identifier: Apache-2.0
 *
 * Handshakes: a time only where something is requested, and within the years
 * that four digits can say.
 */
#include <glib.h>
#include <stdlib.h>

#include "model/node_codec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    int64_t seconds = -1;
    enum handshake kind = node_codec_parse_handshake(text, &seconds);
    if (seconds == HANDSHAKE_NO_TIME)
        return 0;
    if (kind != HANDSHAKE_REQUESTING || seconds < 0 || seconds > INT64_C(253402300800))
        abort();
    return 0;
}
