/* SPDX-License-Identifier: Apache-2.0
 *
 * See terms.h.
 */
#include "bench/terms.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "region/grant.h"

#define PATH_BYTES 160

static const char *path_of(char path[PATH_BYTES], const char *folder, const char *name, unsigned n)
{
    snprintf(path, PATH_BYTES, "%s/%s%u", folder, name, n);
    return path;
}

static bool write_grant(const struct terms *terms, unsigned epoch)
{
    static char text[GRANT_FILE_BYTES];
    char path[PATH_BYTES];
    struct grant g = {.epoch = epoch,
                      .policy = terms->lends ? GRANT_POLICY_DEFAULT : GRANT_POLICY_FORCE,
                      .priority = 1,
                      .n_devices = 1};
    snprintf(g.id, sizeof g.id, "share-%u", terms->slice);
    path_of(path, terms->folder, "region", terms->slice);
    snprintf(g.region, sizeof g.region, "%s", path);
    snprintf(g.devices[0].uuid, sizeof g.devices[0].uuid, "%s", terms->uuid);
    g.devices[0].cores_pct = terms->percent;
    path_of(path, terms->folder, "board", 0);
    snprintf(g.devices[0].board, sizeof g.devices[0].board, "%s", path);
    if (grant_format(&g, text) != 0)
        return false;
    int fd = open(path_of(path, terms->folder, "grant", terms->slice), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    bool done = fd >= 0 && pwrite(fd, text, sizeof text, 0) == (ssize_t)sizeof text;
    if (fd >= 0)
        close(fd);
    return done;
}

static void tell_grant(const struct terms *terms)
{
    char path[PATH_BYTES];
    setenv("HAMI_GRANT", path_of(path, terms->folder, "grant", terms->slice), 1);
}

const struct terms_way terms_by_grant = {write_grant, tell_grant, true};

/* Limits are kept in the region, so that one of earlier processes would be theirs. */
static bool renew_region(const struct terms *terms, unsigned epoch)
{
    char path[PATH_BYTES];
    (void)epoch;
    unlink(path_of(path, terms->folder, "region", terms->slice));
    return true;
}

static void tell_environment(const struct terms *terms)
{
    char path[PATH_BYTES], percent[16];
    snprintf(percent, sizeof percent, "%u", terms->percent);
    setenv("CUDA_DEVICE_SM_LIMIT", percent, 1);
    setenv("CUDA_DEVICE_MEMORY_SHARED_CACHE", path_of(path, terms->folder, "region", terms->slice), 1);
    setenv("LIBCUDA_LOG_LEVEL", "0", 1);
    if (!terms->lends)
        setenv("GPU_CORE_UTILIZATION_POLICY", "force", 1);
}

const struct terms_way terms_by_environment = {renew_region, tell_environment, false};

void terms_forget(const char *folder, unsigned slice)
{
    static const char *const names[] = {"grant", "region"};
    char path[PATH_BYTES];
    for (unsigned n = 0; n < sizeof names / sizeof names[0]; n++)
        unlink(path_of(path, folder, names[n], slice));
}
