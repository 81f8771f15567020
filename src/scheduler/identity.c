/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/identity.h"

#include <glib.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* What is the same after a restart in place, and nowhere else; NULL: not to be had. */
static char *place(const char *host, const char *lease_namespace, const char *lease_name)
{
    g_autofree char *boot = NULL;
    struct stat net;

    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL) ||
        stat("/proc/self/ns/net", &net) < 0)
        return NULL;
    return g_strdup_printf("%s\n%s\n%s\n%s\n%" PRIu64 ":%" PRIu64, host, lease_namespace, lease_name,
                           g_strstrip(boot), (uint64_t)net.st_dev, (uint64_t)net.st_ino);
}

static int hold(const char *key)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *name = address.sun_path + 1; /* the first byte 0: abstract */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len;

    if (fd < 0)
        return -1;
    g_snprintf(name, sizeof address.sun_path - 1, "hami-scheduler/%s", key);
    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    if (bind(fd, (const struct sockaddr *)&address, len) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

char *identity_of(const char *host, const char *lease_namespace, const char *lease_name, int *ret_socket)
{
    g_autofree char *here = place(host, lease_namespace, lease_name);
    g_autofree char *key = here ? g_compute_checksum_for_string(G_CHECKSUM_SHA256, here, -1) : NULL;
    g_autofree char *random = g_uuid_string_random();

    if (key)
        key[32] = '\0';
    *ret_socket = key ? hold(key) : -1;
    return g_strdup_printf("%s_%s", host, *ret_socket >= 0 ? key : random);
}
