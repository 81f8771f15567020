/* SPDX-License-Identifier: Apache-2.0
 *
 * A kit for tests that look at libvgpu.so from outside: each kit is a host of
 * its own with a simulated driver, a region file and maybe a grant, in a
 * temporary folder. A test starts processes in it; what such a process does is
 * a C function of the same test program, run after exec with the library
 * preloaded:
 *
 *   static int allocate(int argc, char **argv) { ... kit_cuda()->cuMemAlloc_v2 ... }
 *   static const struct kit_body bodies[] = {{"allocate", allocate}, {0}};
 *   int main(int argc, char **argv)
 *   {
 *       if (kit_is_child(argc, argv))
 *           return kit_child(argc, argv, bodies);
 *       g_test_init(&argc, &argv, NULL);
 *       ...
 *   }
 */
#ifndef HAMI_TESTS_PRELOAD_SUPPORT_H
#define HAMI_TESTS_PRELOAD_SUPPORT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "preload/real.h"
#include "region/grant.h"

struct kit;
struct kit_process;

/* `profile`: a shipped profile's name, or the YAML text of one (with a
 * newline). NULL = t4. */
struct kit *kit_new(const char *profile);

/* Text of a profile: a card each behind KIT_CARDS. `context`: what a context takes, "0" or "128MiB". */
#define KIT_CARDS "name: cards\ndriver: 580.65.06\ncuda: 13.0\ndevices:\n"
#define KIT_CARD(memory, context) "  - {name: Test Card, memory: " memory ", sms: 16, context: " context "}\n"

void kit_free(struct kit *kit); /* kills what still runs, removes all files */

/* Whether this process may make these namespaces, in unshare's words; skips the test with the reason if not.
 */
bool kit_may_unshare(const char *flags);

/* Environment of processes started later; NULL value = unset. */
G_GNUC_PRINTF(3, 4) void kit_env(struct kit *kit, const char *name, const char *format, ...);
const char *kit_get_env(struct kit *kit, const char *name);
void kit_no_preload(struct kit *kit); /* the bare driver, to compare with */

const char *kit_dir(const struct kit *kit);
const char *kit_region(const struct kit *kit);           /* path of the region file */
char *kit_path(const struct kit *kit, const char *name); /* in the kit's folder; caller frees */

/* Writes (and on later calls rewrites in place, with the next epoch) a grant
 * and points HAMI_GRANT at it. Region and epoch are filled in. */
void kit_grant(struct kit *kit, struct grant *grant);

/* The UUID of a simulated card, by NVML index. */
const char *kit_uuid(struct kit *kit, unsigned index);

/* Starts a body with NULL-terminated string arguments. */
struct kit_process *kit_start(struct kit *kit, const char *body, ...) G_GNUC_NULL_TERMINATED;
/* ... or any other program. */
struct kit_process *kit_start_program(struct kit *kit, const char *const argv[]);
int kit_pid(const struct kit_process *p);
char *kit_line(struct kit_process *p); /* next line of its stdout, NULL at its end; caller frees */
void kit_say(struct kit_process *p, const char *line);
void kit_kill(struct kit_process *p); /* SIGKILL */

/* Waits for the end: exit status, or -signal. *ret_out and *ret_err (either
 * may be NULL) are what was not read yet; caller frees. Frees p. */
int kit_finish(struct kit_process *p, char **ret_out, char **ret_err);

/* Start, wait, assert exit status 0 and nothing on stderr, return stdout. */
char *kit_run(struct kit *kit, const char *body, ...) G_GNUC_NULL_TERMINATED;

/* ---- in the process that was started ---- */

struct kit_body {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the first argument */
};
bool kit_is_child(int argc, char **argv);
int kit_child(int argc, char **argv, const struct kit_body *bodies);

/* Every driver entry as a program gets it: dlopen and dlsym. A missing entry
 * is NULL. */
const struct real_cuda *kit_cuda(void);
const struct real_nvml *kit_nvml(void);

/* cuInit, and a context on an ordinal made current. Ends the process with
 * status 99 when that fails. */
CUcontext kit_context(int ordinal);

/* Prints a line and flushes; reads a line from the parent (NULL at its end). */
G_GNUC_PRINTF(1, 2) void kit_tell(const char *format, ...);
char *kit_hear(void);

#endif
