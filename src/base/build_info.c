/* SPDX-License-Identifier: Apache-2.0
 *
 * See build_info.h.
 */
#include "base/build_info.h"

#include "build_revision.h" /* made at each build */

#if defined(__clang__)
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

#if defined(__x86_64__)
#define MACHINE "amd64"
#elif defined(__aarch64__)
#define MACHINE "arm64"
#else
#define MACHINE "unknown"
#endif

const struct build_info *build_info(void)
{
    static const struct build_info info = {BUILD_REVISION, HAMI_VERSION, COMPILER, "linux/" MACHINE};
    return &info;
}
