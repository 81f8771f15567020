/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers that are packed as they go out. For src/net only.
 */
#ifndef HAMI_NET_HTTP_GZIP_H
#define HAMI_NET_HTTP_GZIP_H

#include <glib.h>
#include <stdbool.h>

/* Whether a request with this Accept-Encoding (NULL: none) asks for gzip, and not
 * rather for the text as it is. RFC 9110, 12.5.3 and 12.4.2. */
bool http_asks_for_gzip(const char *accept);

/* A quarter of a MiB. */
struct http_gzip;

struct http_gzip *http_gzip_new(void);
void http_gzip_free(struct http_gzip *g);

/* Puts what goes out in the text's place: with what went before it, all of the
 * text can be unpacked. False: it cannot be packed, and the answer has no end. */
bool http_gzip_pack(struct http_gzip *g, GString *text, bool is_last);

#endif
