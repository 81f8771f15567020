/* SPDX-License-Identifier: Apache-2.0
 *
 * What this program was built of. The same sources, compiler and
 * SOURCE_DATE_EPOCH make the same texts (tools/build-info).
 */
#ifndef HAMI_BASE_BUILD_INFO_H
#define HAMI_BASE_BUILD_INFO_H

struct build_info {
    const char *revision; /* commit, "-dirty" behind it where files differed; "unknown" */
    const char *date;     /* "2026-01-31T12:00:00Z", the commit's unless one was given; "unknown" */
    const char *version, *compiler;
    const char *platform; /* "linux/amd64", as Go spells it */
};

const struct build_info *build_info(void);

#endif
