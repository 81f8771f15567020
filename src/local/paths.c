/* SPDX-License-Identifier: Apache-2.0
 *
 * See paths.h.
 */
#include "local/paths.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"
#include "region/grant.h"

static char *first_existing(char *const *candidates)
{
    for (; *candidates; candidates++) {
        char *real = g_canonicalize_filename(*candidates, NULL);
        if (g_file_test(real, G_FILE_TEST_EXISTS))
            return real;
        g_free(real);
    }
    return NULL;
}

/* Beside the executable in a build folder, else where `make install` puts it. */
static char *find_beside(const char *executable, const char *in_build, const char *installed)
{
    g_autofree char *folder = g_path_get_dirname(executable);
    g_autofree char *a = g_build_filename(folder, in_build, NULL);
    g_autofree char *b = g_build_filename(folder, HAMI_LIBDIR_FROM_BIN, installed, NULL);
    return first_existing((char *const[]){a, b, NULL});
}

static char *place(const char *variable, const char *of_root, const char *of_user, bool root)
{
    const char *moved = g_getenv(variable);
    if (moved && g_path_is_absolute(moved))
        return g_strdup(moved);
    if (moved && *moved)
        return g_canonicalize_filename(moved, NULL);
    return root ? g_strdup(of_root) : g_build_filename(of_user, "hami", NULL);
}

struct paths *paths_new(void)
{
    struct paths *p = g_new0(struct paths, 1);
    g_autofree char *user_state = g_strdup(g_getenv("XDG_STATE_HOME"));
    g_autofree char *user_config = g_build_filename(g_get_user_config_dir(), "hami", "hami.toml", NULL);
    const char *config = g_getenv("HAMI_CONFIG");
    if (!user_state || !*user_state) {
        g_free(user_state);
        user_state = g_build_filename(g_get_home_dir(), ".local", "state", NULL);
    }
    p->root = geteuid() == 0;
    p->executable = g_file_read_link("/proc/self/exe", NULL);
    p->state = place("HAMI_STATE_DIR", "/var/lib/hami", user_state, p->root);
    p->runtime = place("HAMI_RUNTIME_DIR", "/run/hami", g_get_user_runtime_dir(), p->root);
    p->own_state = g_getenv("HAMI_STATE_DIR") != NULL;
    p->config = g_strdup(config && *config ? config : p->root ? "/etc/hami/hami.toml" : user_config);
    if (!p->executable)
        p->executable = g_strdup("/proc/self/exe");
    p->library = find_beside(p->executable, "libvgpu.so", "libvgpu.so");
    p->simulator = find_beside(p->executable, "sim", "hami/sim");
    return p;
}

void paths_free(struct paths *p)
{
    if (!p)
        return;
    g_free(p->executable);
    g_free(p->state);
    g_free(p->runtime);
    g_free(p->config);
    g_free(p->library);
    g_free(p->simulator);
    g_free(p);
}

/* Within a slice of a broker whose folders were moved, the usual ones are
 * another broker's, and not covered. */
static bool is_in_slice(const struct paths *p, GError **error)
{
    const char *slice = g_getenv("HAMI_SLICE");
    if (!p->root || p->own_state || !slice || !*slice || access(GRANT_PATH, F_OK) != 0)
        return false;
    g_set_error(error, STATUS_ERROR, STATUS_DENIED,
                "this is the inside of slice %s, where the ledger is covered; ask from outside", slice);
    return true;
}

static bool create(const char *path, int mode, const char *variable, GError **error)
{
    if (g_mkdir_with_parents(path, mode) == 0 && access(path, W_OK) == 0)
        return true;
    int why = errno;
    g_set_error(error, STATUS_ERROR, why == EACCES || why == EROFS ? STATUS_DENIED : STATUS_FAILED,
                "folder %s cannot be used: %s; choose another one with %s", path, g_strerror(why), variable);
    return false;
}

static bool is_inside(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

bool paths_create(const struct paths *p, GError **error)
{
    static const char *const below[] = {"slices", "board", NULL};
    if (is_in_slice(p, error))
        return false;
    /* Slices get a cover over each: one must not hide the other. */
    if (is_inside(p->state, p->runtime) || is_inside(p->runtime, p->state)) {
        g_set_error(
            error, STATUS_ERROR, STATUS_CONFIG,
            "HAMI_STATE_DIR %s and HAMI_RUNTIME_DIR %s lie in one another; choose folders side by side",
            p->state, p->runtime);
        return false;
    }
    if (!create(p->state, 0700, "HAMI_STATE_DIR", error))
        return false;
    for (int i = 0; below[i]; i++) {
        g_autofree char *folder = g_build_filename(p->runtime, below[i], NULL);
        if (!create(folder, p->root ? 0755 : 0700, "HAMI_RUNTIME_DIR", error))
            return false;
    }
    return true;
}
