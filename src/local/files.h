/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of a slice below the runtime folder:
 *
 *   slices/ID/etc/     what the workload sees as /etc/hami: grant, sim, the
 *                      preload list, the loader's cache; written by us only
 *   slices/ID/region/  vgpu.cache; the workload may write here
 *   board/UUID         turn board of a card, shared by its tenants
 */
#ifndef HAMI_LOCAL_FILES_H
#define HAMI_LOCAL_FILES_H

#include <glib.h>
#include <stdbool.h>

#include "local/ledger.h"
#include "local/paths.h"

struct files {
    char *folder; /* slices/ID */
    char *etc;    /* slices/ID/etc */
    char *grant;  /* slices/ID/etc/grant */
    char *region; /* slices/ID/region/vgpu.cache */
    char *reg_folder;
};
struct files *files_of(const struct paths *p, const char *id);
void files_free(struct files *f);
typedef struct files Files;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Files, files_free)

char *files_board(const struct paths *p, const char *uuid);

/* Creates everything of a new slice. */
bool files_create(const struct paths *p, const struct ledger_slice *s, GError **error);

/* Rewrites grant (in place, with the slice's epoch) and the region's limits. */
bool files_write_limits(const struct paths *p, const struct ledger_slice *s, GError **error);

void files_remove(const struct paths *p, const char *id);

/* Writes a whole file. */
bool files_put(const char *path, int mode, const char *text, gssize n, GError **error);

/* Rings the bell that waiting commands listen to. */
void files_ring(const struct paths *p);
char *files_bell(const struct paths *p);

#endif
