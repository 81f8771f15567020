/* SPDX-License-Identifier: Apache-2.0
 *
 * What a process of an older library leaves in the region when it is killed in
 * the middle: a semaphore that nobody will post, a slot whose seqlock stays
 * odd. Whoever comes after goes on, and so does everybody who is there.
 */
#include "scene.h"

#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* No wait in the region is longer than a second; the rest is for a busy machine. */
#define GOES_ON_US (3 * G_USEC_PER_SEC)
#define HALF_WRITTEN 4000

/* The older program's view: the base alone, without any lock of ours. */
static struct region_base *map_base(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 ||
        (st.st_size < REGION_BASE_BYTES && ftruncate(fd, REGION_BASE_BYTES) < 0))
        return NULL;
    void *p = mmap(NULL, REGION_BASE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

static void write_base(struct region_base *b)
{
    b->major_version = REGION_MAJOR;
    b->minor_version = REGION_MINOR;
    b->device_num = 1;
    b->limit[0] = SCENE_LIMIT;
    sem_init(&b->sem, 1, 1);
    sem_init(&b->sem_postinit, 1, 1);
    b->initialized_flag = REGION_MAGIC;
}

struct holding {
    const char *what;
    bool file_is_older; /* the older program made it, without our extension */
    bool sem, postinit;
};

static const struct holding holdings[] = {
    {"the_region", false, true, false},
    {"the_hostpid_search", false, false, true},
    {"both", false, true, true},
    {"the_region_it_made", true, true, false},
    {"the_hostpid_search_of_its", true, false, true},
};

struct older {
    const struct scene *s;
    const struct holding *holding;
};

static int die_holding(void *arg)
{
    const struct older *o = arg;
    struct region_base *b = map_base(o->s->path);
    if (!b)
        return 1;
    if (o->holding->file_is_older)
        write_base(b);
    if ((o->holding->sem && sem_trywait(&b->sem) < 0) ||
        (o->holding->postinit && sem_trywait(&b->sem_postinit) < 0))
        return 2;
    b->owner_pid = o->holding->sem ? (uint64_t)getpid() : 0;
    raise(SIGKILL);
    return 3;
}

/* Join, take to the limit, be refused, look, turn the host's knobs, clean up, leave. */
static void goes_on(const struct scene *s)
{
    g_autofree struct region_view *v = g_new(struct region_view, 1);
    struct region r;
    gint64 start = g_get_monotonic_time();
    scene_join(s, &r);
    g_assert_true(ledger_reserve(&r, r.slot, 0, SCENE_LIMIT, r.base->limit[0]));
    g_assert_false(ledger_reserve_or_reclaim(&r, r.slot, 0, 1, r.base->limit[0]));
    g_assert_cmpint(region_read(s->path, v), ==, 0);
    g_assert_cmpuint(v->used[0], ==, SCENE_LIMIT);
    g_assert_cmpint(region_set_suspended(s->path, true), ==, 0);
    g_assert_cmpint(region_set_suspended(s->path, false), ==, 0);
    g_assert_cmpint(region_set_limits(s->path, &s->limits), ==, 0);
    region_reclaim(&r);
    region_slot_release(&r, r.slot);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    region_close(&r);
    g_assert_cmpint(g_get_monotonic_time() - start, <, GOES_ON_US);
}

static void dead_holder_of(struct scene *s, gconstpointer data)
{
    const struct holding *h = data;
    struct region r;
    if (!h->file_is_older) {
        scene_join(s, &r);
        region_slot_release(&r, r.slot);
        region_close(&r);
    }
    g_assert_cmpint(scene_wait(scene_fork(die_holding, &(struct older){s, h})), ==, -SIGKILL);
    goes_on(s); /* nobody is attached */
    scene_join(s, &r);
    goes_on(s); /* somebody is */
    region_slot_release(&r, r.slot);
    region_close(&r);
}

/* ---- seqlocks ---- */

static int die_writing_a_slot_of_its_own(void *arg)
{
    const struct older *o = arg;
    struct region_base *b = map_base(o->s->path);
    if (!b)
        return 1;
    struct region_slot *slot = &b->procs[1];
    slot->pid = getpid();
    slot->status = REGION_SLOT_RUNNING;
    b->proc_num = 2;
    slot->seqlock++;
    slot->used[0].total = HALF_WRITTEN;
    raise(SIGKILL);
    return 2;
}

static int die_writing_a_slot_of_ours(void *arg)
{
    const struct older *o = arg;
    struct region r;
    scene_join(o->s, &r);
    if (!ledger_reserve(&r, r.slot, 0, HALF_WRITTEN, SCENE_LIMIT))
        return 1;
    r.base->procs[r.slot].seqlock++;
    raise(SIGKILL);
    return 2;
}

static void odd_seqlock_makes_no_reader_wait(struct scene *s, gconstpointer unused)
{
    static int (*const ways[])(void *) = {die_writing_a_slot_of_its_own, die_writing_a_slot_of_ours};
    g_autofree struct region_view *v = g_new(struct region_view, 1);
    (void)unused;
    for (gsize i = 0; i < G_N_ELEMENTS(ways); i++) {
        struct region r;
        unlink(s->path);
        scene_join(s, &r);
        g_assert_cmpint(scene_wait(scene_fork(ways[i], &(struct older){.s = s})), ==, -SIGKILL);
        g_assert_cmpuint(r.base->procs[1].seqlock, ==, 1);
        gint64 start = g_get_monotonic_time();
        g_assert_cmpint(region_read(s->path, v), ==, 0);
        g_assert_cmpuint(v->held[0], ==, HALF_WRITTEN);
        g_assert_cmpuint(v->n_processes, ==, 2);
        g_assert_true(ledger_reserve(&r, r.slot, 0, 500, SCENE_LIMIT));
        region_reclaim(&r);
        g_assert_cmpuint(ledger_used(&r, 0), ==, 500);
        g_assert_cmpint(g_get_monotonic_time() - start, <, GOES_ON_US);
        region_slot_release(&r, r.slot);
        region_close(&r);
    }
}

/* Older readers wait for as long as it is odd, also in a slot that nobody has. */
static void odd_seqlock_of_the_dead_is_made_even(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r, next;
    scene_join(s, &r);
    g_assert_cmpint(scene_wait(scene_fork(die_writing_a_slot_of_ours, &(struct older){.s = s})), ==,
                    -SIGKILL);
    g_assert_cmpint(region_reclaim(&r), ==, 1);
    g_assert_cmpuint(r.base->procs[1].seqlock % 2, ==, 0);
    r.base->procs[1].seqlock = 1; /* and in a slot that was left so */
    scene_join(s, &next);
    g_assert_cmpint(next.slot, ==, 1);
    g_assert_cmpuint(next.base->procs[1].seqlock % 2, ==, 0);
    region_slot_release(&next, next.slot);
    region_close(&next);
    region_slot_release(&r, r.slot);
    region_close(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(holdings); i++) {
        g_autofree char *name = g_strdup_printf("/legacy/dead_holder_of_%s_stops_nobody", holdings[i].what);
        g_test_add(name, struct scene, &holdings[i], scene_setup, dead_holder_of, scene_teardown);
    }
#define TEST(name) g_test_add("/legacy/" #name, struct scene, NULL, scene_setup, name, scene_teardown)
    TEST(odd_seqlock_makes_no_reader_wait);
    TEST(odd_seqlock_of_the_dead_is_made_even);
#undef TEST
    return g_test_run();
}
