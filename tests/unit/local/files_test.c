/* SPDX-License-Identifier: Apache-2.0
 *
 * Removing what a slice left, while those who may write there do their worst.
 */
#include "local/files.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ID "0badcafe"

struct world {
    char *dir;
    struct paths paths;
    struct files *files;
};

static void begin(struct world *w)
{
    w->dir = g_dir_make_tmp("hami-files-XXXXXX", NULL);
    w->paths = (struct paths){.runtime = w->dir};
    w->files = files_of(&w->paths, ID);
    g_assert_cmpint(g_mkdir_with_parents(w->files->reg_folder, 0700), ==, 0);
    g_assert_cmpint(g_mkdir_with_parents(w->files->etc, 0700), ==, 0);
}

/* The test's own way, for what should be left. */
static void end(struct world *w)
{
    const char *argv[] = {"rm", "-rf", w->dir, NULL};
    g_assert_true(g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
    files_free(w->files);
    g_free(w->dir);
}

static void put(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents(path, "x", 1, NULL));
}

static void what_a_slice_left_goes_whatever_it_is(void)
{
    struct world w;
    g_autofree char *fifo = NULL, *link = NULL, *below = NULL;
    begin(&w);
    fifo = g_build_filename(w.files->reg_folder, "fifo", NULL);
    link = g_build_filename(w.files->reg_folder, "link", NULL);
    below = g_build_filename(w.files->reg_folder, "hami.0", "hami.1", NULL);
    put(w.files->etc, "grant");
    put(w.dir, "kept");
    g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
    g_assert_cmpint(symlink(w.dir, link), ==, 0);
    g_assert_cmpint(g_mkdir_with_parents(below, 0700), ==, 0);
    put(below, "hami.2");
    files_remove(&w.paths, ID);
    g_assert_false(g_file_test(w.files->folder, G_FILE_TEST_EXISTS));
    files_remove(&w.paths, ID); /* nothing there */
    g_autofree char *kept = g_build_filename(w.dir, "kept", NULL);
    g_assert_true(g_file_test(kept, G_FILE_TEST_EXISTS));
    end(&w);
}

/* Deeper than a path can say, and than there are descriptors. */
static void folders_deeper_than_a_path_go(void)
{
    enum { DEEP = 2500 };
    struct world w;
    begin(&w);
    int at = open(w.files->reg_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < DEEP; i++) {
        g_assert_cmpint(mkdirat(at, "d", 0700), ==, 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        g_assert_cmpint(next, >=, 0);
        close(at);
        at = next;
    }
    close(at);
    files_remove(&w.paths, ID);
    g_assert_false(g_file_test(w.files->folder, G_FILE_TEST_EXISTS));
    end(&w);
}

/* ---- somebody swaps a folder for a link -------------------------------- */

enum { FILES = 200 };

struct swapper {
    int at;
    _Atomic bool started, stop;
};

static void *swap(void *data)
{
    struct swapper *s = data;
    while (!atomic_load(&s->stop)) {
        syscall(SYS_renameat2, s->at, "folder", s->at, "link", 2 /* RENAME_EXCHANGE */);
        atomic_store(&s->started, true);
    }
    return NULL;
}

static void fill(const char *folder)
{
    g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
    for (int i = 0; i < FILES; i++) {
        g_autofree char *path = g_strdup_printf("%s/%d", folder, i);
        int fd = creat(path, 0600);
        g_assert_cmpint(fd, >=, 0);
        close(fd);
    }
}

static int count(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    int n = 0;
    while (g_dir_read_name(dir))
        n++;
    return n;
}

static void a_link_in_a_folders_place_is_not_followed(void)
{
    struct world w;
    g_autofree char *victim = NULL, *folder = NULL, *link = NULL;
    begin(&w);
    victim = g_build_filename(w.dir, "victim", NULL);
    folder = g_build_filename(w.files->reg_folder, "folder", NULL);
    link = g_build_filename(w.files->reg_folder, "link", NULL);
    fill(victim);
    for (int round = 0; round < 20; round++) {
        fill(folder);
        g_assert_cmpint(symlink(victim, link), ==, 0);
        struct swapper s = {.at = open(w.files->reg_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        GThread *thread = g_thread_new("swap", swap, &s);
        while (!atomic_load(&s.started))
            g_thread_yield();
        files_remove(&w.paths, ID);
        atomic_store(&s.stop, true);
        g_thread_join(thread);
        close(s.at);
        g_assert_cmpint(count(victim), ==, FILES);
        files_remove(&w.paths, ID);
        g_assert_false(g_file_test(w.files->folder, G_FILE_TEST_EXISTS));
    }
    end(&w);
}

#define TEST(name) g_test_add_func("/local_files/" #name, name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(what_a_slice_left_goes_whatever_it_is);
    TEST(folders_deeper_than_a_path_go);
    TEST(a_link_in_a_folders_place_is_not_followed);
    return g_test_run();
}
