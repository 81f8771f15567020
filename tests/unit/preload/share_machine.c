/* SPDX-License-Identifier: Apache-2.0
 *
 * See share_machine.h. The world lies in memory shared by all tenants; whoever
 * holds the baton runs, until its clock has passed another's, or it waits.
 */
#include "share_machine.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "share_world.h"

#include "preload/board.h"
#include "preload/compute.h"
#include "preload/helper.h"
#include "preload/lane.h"
#include "preload/port.h"
#include "preload/slice.h"
#include "preload/throttle.h"
#include "region/extension.h"

/* What calls cost the host, and how late sleepers wake. */
#define COST_NOW 30
#define COST_WAKE 400
#define LATE_MAX (60 * US)
static const struct machine_costs usual = {.record = 400, .query = 400, .between = 400, .launch = 2000};

struct machine *world;
static int me = NOBODY;
static const struct machine_tenant *what;
static const struct machine_costs *costs = &usual;

/* ---- time passes ---- */

/* All devices up to a moment: ranks on several of them meet on the way. */
static void devices_run(uint64_t until)
{
    if (what->program != RANKS) {
        device_run(what->device, until);
        return;
    }
    for (uint64_t at = world->devices[what->device].at; at < until;) {
        at = at + SPIN < until ? at + SPIN : until;
        for (unsigned d = 0; d < MACHINE_DEVICES; d++)
            device_run(d, at);
    }
}

/* ---- whose turn it is to run ------------------------------------------- */

static void futex_word(_Atomic int *word, int operation, int value)
{
    syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

static int earliest(void)
{
    int best = NOBODY;
    for (int i = 0; i < MACHINE_TENANTS; i++)
        if (world->tenants[i].alive &&
            (best == NOBODY || world->tenants[i].clock < world->tenants[best].clock))
            best = i;
    return best;
}

static void pass_baton(void)
{
    int next = earliest();
    if (next == me)
        return;
    atomic_store(&world->baton, next);
    futex_word(&world->baton, FUTEX_WAKE, INT32_MAX);
    if (me == NOBODY || !world->tenants[me].alive)
        return;
    for (int holder; (holder = atomic_load(&world->baton)) != me;)
        futex_word(&world->baton, FUTEX_WAIT, holder);
}

static struct tenant *self(void)
{
    return &world->tenants[me];
}

static _Noreturn void end_of(void)
{
    self()->alive = false;
    self()->queue.first = self()->queue.next; /* what a dead process had queued is dropped */
    pass_baton();
    _exit(0);
}

/* Time passes for this tenant; others whose time comes earlier run first. */
static void spend(uint64_t ns)
{
    struct tenant *t = self();
    t->clock += ns;
    t->calls++;
    if (what->stalls_at_call && t->calls == what->stalls_at_call)
        t->clock += what->stalls_for;
    uint64_t end = what->ends ? what->ends : world->setup.lasts;
    if (what->dies && t->clock >= what->dies)
        end_of();
    if (what->dies_at_call && t->calls >= what->dies_at_call)
        end_of();
    pass_baton();
    if (t->clock >= end)
        end_of();
    if (what->changes && t->clock >= what->changes)
        t->percent = what->changes_to;
    devices_run(t->clock);
}

static uint64_t dice(uint64_t below)
{
    struct tenant *t = self();
    t->random = t->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return below ? (t->random >> 24) % below : 0;
}

static void block(uint64_t due, const void *word)
{
    struct tenant *t = self();
    uint64_t now = t->clock;
    t->word = word;
    t->waits++;
    uint64_t late = (due > now ? due : now) + 5 * US + dice(LATE_MAX);
    uint64_t end = what->ends ? what->ends : world->setup.lasts;
    t->clock = late < end ? late : end;
    pass_baton();
    t->word = NULL;
    spend(0);
}

/* ---- the port ---------------------------------------------------------- */

static uint64_t port_now(void)
{
    spend(COST_NOW);
    return self()->clock;
}

static uint64_t port_random(void)
{
    return me == NOBODY ? 1 : dice(UINT64_MAX); /* or lanes alone are looked at */
}

static void port_sleep_until(uint64_t due)
{
    block(due, NULL);
}

static void port_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t due, bool shared)
{
    (void)shared;
    spend(COST_WAKE);
    if (*word == seen)
        block(due, word);
}

static void port_wake(_Atomic uint32_t *word, bool shared)
{
    (void)shared;
    spend(COST_WAKE);
    for (int i = 0; i < MACHINE_TENANTS; i++) {
        struct tenant *t = &world->tenants[i];
        uint64_t soon = self()->clock + 10 * US + dice(40 * US);
        if (t->alive && t->word == word && t->clock > soon)
            t->clock = soon;
    }
}

static bool port_is_alive(uint32_t pid)
{
    for (int i = 0; i < MACHINE_TENANTS; i++)
        if (world->tenants[i].pid == (int)pid)
            return world->tenants[i].alive;
    return true;
}

static int port_device(CUstream stream)
{
    (void)stream;
    return (int)what->device;
}

static CUcontext port_context(void)
{
    return (CUcontext)(uintptr_t)0x1000;
}

/* A call of the gate's own. */
static void call_driver(uint64_t cost)
{
    self()->event_calls++;
    spend(cost);
}

static bool port_event_create(CUevent *ret)
{
    call_driver(costs->record);
    if (what->no_events)
        return false;
    g_assert_cmpuint(self()->n_events, <, EVENTS);
    *ret = (CUevent)(uintptr_t)(++self()->n_events);
    return true;
}

static struct event *event_of(CUevent event)
{
    return &self()->events[(uintptr_t)event - 1];
}

static void enqueue(struct job job)
{
    struct tenant *t = self();
    while (t->queue.next - t->queue.first >= QUEUE_DEPTH)
        block(t->clock + 50 * US, NULL);
    job.arrived = t->clock;
    t->queue.jobs[t->queue.next++ % JOBS] = job;
}

static bool port_event_record(CUevent event, CUstream stream)
{
    call_driver(costs->record);
    *event_of(event) = (struct event){.recorded = true};
    enqueue((struct job){
        .left = costs->mark, .stream = (uint32_t)(uintptr_t)stream, .event = (int)(uintptr_t)event - 1});
    devices_run(self()->clock);
    pass_marks(self(), self()->clock);
    return true;
}

static CUresult port_event_query(CUevent event)
{
    call_driver(costs->query);
    return event_of(event)->done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

static bool port_event_between(CUevent from, CUevent to, double *ret_ns)
{
    call_driver(costs->between);
    *ret_ns = (double)event_of(to)->at - (double)event_of(from)->at;
    return event_of(from)->done && event_of(to)->done;
}

static CUresult port_stream_query(CUstream stream)
{
    (void)stream;
    call_driver(costs->query);
    return self()->queue.first < self()->queue.next ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

static void port_event_destroy(CUevent event)
{
    (void)event;
}

static bool port_is_capturing(CUstream stream)
{
    (void)stream;
    return false;
}

static CUstreamCaptureMode port_capture_mode(CUstreamCaptureMode mode)
{
    return mode;
}

struct port port = {
    .now = port_now,
    .random = port_random,
    .sleep_until = port_sleep_until,
    .wait = port_wait,
    .wake = port_wake,
    .is_alive = port_is_alive,
    .device = port_device,
    .context = port_context,
    .event_create = port_event_create,
    .event_record = port_event_record,
    .event_query = port_event_query,
    .stream_query = port_stream_query,
    .event_between_ns = port_event_between,
    .event_destroy = port_event_destroy,
    .is_capturing = port_is_capturing,
    .capture_mode = port_capture_mode,
};

/* ---- what the gate sees of the slice ----------------------------------- */

uint32_t slice_cores_limit(unsigned d)
{
    (void)d;
    return self()->percent;
}

bool compute_capturing(void)
{
    return false;
}

/* ---- programs ---------------------------------------------------------- */

static uint64_t duration(unsigned us)
{
    uint64_t mean = us * US, span = mean * what->jitter / 100;
    uint64_t ns = span ? mean - span + dice(2 * span + 1) : mean;
    return what->slows && self()->clock >= what->slows ? 2 * ns : ns;
}

static void launch(uintptr_t function, uint32_t size, unsigned stream, unsigned us, bool barrier)
{
    const void *f = (const void *)(function << 12);
    CUstream s = (CUstream)(uintptr_t)(0x100 * (stream + 1));
    self()->launches++;
    bool free = lane_pass(f, size, s);
    struct throttle_ticket ticket = {0};
    if (!free)
        ticket = throttle_begin(f, size, s);
    spend(costs->launch);
    enqueue((struct job){.left = duration(us), .stream = stream, .event = NOBODY, .barrier = barrier});
    if (!free)
        throttle_end(&ticket);
}

static void drain(void)
{
    throttle_before_sync();
    while (self()->queue.first < self()->queue.next)
        block(self()->clock + 5 * US, NULL);
    throttle_after_sync();
}

static void note_request(uint64_t begun)
{
    g_assert_cmpuint(self()->n_requests, <, REQUESTS_MAX);
    self()->requests[self()->n_requests++] = self()->clock - begun;
}

static void request(void)
{
    uint64_t begun = self()->clock;
    for (int i = 0; i < 50; i++)
        launch(1, 7, 0, what->us, false);
    drain();
    note_request(begun);
}

/* Waits as the driver does by default: it spins. */
static void spin_until_drained(void)
{
    throttle_before_sync();
    while (self()->queue.first < self()->queue.next)
        spend(US);
    throttle_after_sync();
}

/* Eight layers of 16 launches, as a transformer decodes one token: four products
 * of matrices, the longest of `us`, between little things. */
static unsigned of_layer(unsigned launch)
{
    static const unsigned part[16] = {[1] = 3, [5] = 1, [8] = 4, [9] = 4};
    unsigned quarters = part[launch % 16];
    return quarters ? what->us * quarters / 4 : what->us / 10;
}

static void decode(void)
{
    uint64_t begun = self()->clock;
    bool layers = what->program == LAYERS;
    for (unsigned i = 0; i < (layers ? 8 * 16 : 130); i++) {
        spend(what->us2 * US);
        launch(1 + i % 16, 7, 0, layers ? of_layer(i) : what->us, false);
    }
    spin_until_drained();
    note_request(begun);
}

/* What it does until then looks the same, so that whoever looks finds nothing in it. */
static void hide(void)
{
    launch(1, 7, 0, self()->clock < HIDES_FROM ? 5 : what->us, false);
    spend(what->us * US);
    for (int i = 0; i < 100; i++) {
        launch(1, 7, 0, 5, false);
        spend(10 * US);
    }
}

/* Another function that the lane keeps where the first one is. */
static uintptr_t twin(void)
{
    static uintptr_t found;
    static struct lane lane;
    CUstream s = (CUstream)(uintptr_t)0x100;
    const struct lane_entry *first = lane_entry_of(&lane, lane_tag((const void *)(uintptr_t)(1 << 12), 7, s));
    for (uintptr_t f = 2; !found; f++)
        if (lane_entry_of(&lane, lane_tag((const void *)(f << 12), 7, s)) == first)
            found = f;
    return found;
}

static struct board *board_of(void)
{
    static struct board *board;
    if (!board) {
        int fd = g_open(world->board[what->device], O_RDWR | O_CLOEXEC);
        board = mmap(NULL, BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        g_assert_true(board != MAP_FAILED);
    }
    return board;
}

/* Takes the turn the moment it can and never gives it back. */
static void greedy(struct board *board)
{
    struct board_seat seat = {.board = board, .member = -1, .owner = 77, .group = 78, .weight = 1};
    for (;;) {
        uint64_t now = port.now(), due;
        if (board_sit(&seat, now) && board_try(&seat, now, false, &due))
            board_renew(&seat, now, UINT64_MAX);
        atomic_store(&board->lease_ns, UINT64_MAX);
        block(now + 2 * MS, NULL);
    }
}

/* Takes the turn again and again under a new number: each time it looks as if
 * somebody else had just begun. */
static void thief(struct board *board)
{
    for (;;) {
        atomic_store(&board->turn, ((atomic_load(&board->turn) >> 8) + 1) << 8 | BOARD_MEMBERS);
        atomic_store(&board->lease_ns, UINT64_MAX);
        atomic_store(&board->idle_ns, 0);
        block(port.now() + MS, NULL);
    }
}

static void scribble(struct board *board)
{
    _Atomic uint64_t *words = (_Atomic uint64_t *)(void *)board;
    for (int i = 0; i < 16; i++)
        atomic_store(&words[dice(BOARD_BYTES / 8)], dice(4) ? self()->random * 2654435761u : self()->clock);
}

static void step(unsigned n)
{
    switch (what->program) {
    case FLOOD:
        launch(1, 7, 0, what->us, false);
        break;
    case SYNCING:
        launch(1, 7, 0, what->us, false);
        drain();
        break;
    case BURSTY:
        launch(1, 7, 0, what->us, false);
        if (n % 20 == 19) {
            drain();
            block(self()->clock + (what->us2 ? what->us2 * US : 30 * MS), NULL);
        }
        break;
    case BURSTS:
        launch(1, 7, 0, what->us, false);
        if (n % 20 == 19)
            block(self()->clock + what->us2 * US, NULL);
        break;
    case PAIR:
        launch(n % 2 ? 1 : 2, 7, 0, n % 2 ? what->us : what->us2, false);
        break;
    case SIZES:
        launch(1, n % 2 ? 7 : 9, 0, n % 2 ? what->us : what->us2, false);
        break;
    case STREAMS:
        launch(1, 7, n % (what->us2 ? what->us2 : 4), what->us, false);
        break;
    case HOSTBOUND:
        launch(1, 7, 0, what->us, false);
        spend(2 * what->us * US);
        break;
    case VANDAL:
        launch(1, 7, 0, what->us, false);
        scribble(board_of());
        break;
    case REQUESTS:
        request();
        break;
    case TWINS:
        launch(n % 2 ? 1 : twin(), 7, 0, n % 2 ? what->us : what->us2, false);
        break;
    case HIDING:
        hide();
        break;
    case DECODING:
    case LAYERS:
        decode();
        break;
    case RANKS:
        launch(1, 7, 0, what->us, false);
        launch(2, 7, 0, what->us / 4 + 1, true);
        break;
    case GREEDY:
        greedy(board_of());
        break;
    case THIEF:
        thief(board_of());
    }
}

static void run_tenant(int i)
{
    me = i;
    what = &world->setup.tenants[i];
    costs = world->setup.costs.launch ? &world->setup.costs : &usual;
    for (int holder; (holder = atomic_load(&world->baton)) != me;)
        futex_word(&world->baton, FUTEX_WAIT, holder);
    unsigned owner = what->slice ? what->slice - 1 : (unsigned)i;
    slice.region.base = &world->base[owner];
    slice.region.base->utilization_switch = 1;
    slice.region.ext = world->ext[owner];
    slice.region.fd = world->slice_fd[owner];
    slice.slot = i;
    slice.n_devices = what->program == RANKS ? MACHINE_DEVICES : 1;
    slice.policy = what->lends ? GRANT_POLICY_DEFAULT : GRANT_POLICY_FORCE;
    slice.priority = what->priority ? 0 : 1;
    if (!world->setup.no_board)
        memcpy(slice.board[what->device], world->board[what->device], sizeof slice.board[0]);
    spend(1);
    for (unsigned n = 0;; n++)
        step(n);
}

/* ---- runs -------------------------------------------------------------- */

static void *shared(size_t bytes)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert_true(memory != MAP_FAILED);
    return memory;
}

static void make_board(struct machine *m, unsigned d)
{
    g_autofree char *zero = g_malloc0(BOARD_BYTES);
    g_autofree char *path = g_strdup_printf("%s/hami-share-%d-%u", g_get_tmp_dir(), (int)getpid(), d);
    g_strlcpy(m->board[d], path, sizeof m->board[d]);
    g_assert_true(g_file_set_contents(path, zero, BOARD_BYTES, NULL));
}

struct machine *machine_run(const struct machine_setup *setup, uint64_t seed)
{
    struct machine *m = shared(sizeof *m);
    m->setup = *setup;
    world = m;
    for (unsigned d = 0; d < MACHINE_DEVICES; d++) {
        make_board(m, d);
        m->devices[d].running = NOBODY;
    }
    atomic_store(&m->baton, NOBODY);
    for (int i = 0; i < MACHINE_TENANTS; i++) {
        const struct machine_tenant *t = &setup->tenants[i];
        m->ext[i] = shared(sizeof *m->ext[i]);
        m->slice_fd[i] = memfd_create("slice", MFD_CLOEXEC);
        if (!t->us)
            continue;
        m->tenants[i].clock = S + t->starts + (uint64_t)i * 7 * US; /* time 0 means "never" in many places */
        m->tenants[i].percent = t->percent;
        m->tenants[i].random = seed * 1000003 + (uint64_t)i * 7919 + 1;
        m->tenants[i].alive = true;
    }
    fflush(NULL);
    for (int i = 0; i < MACHINE_TENANTS; i++) {
        if (!m->tenants[i].alive)
            continue;
        pid_t pid = fork();
        if (pid == 0)
            run_tenant(i);
        m->tenants[i].pid = pid;
    }
    pass_baton();
    for (int i = 0; i < MACHINE_TENANTS; i++) {
        int status;
        if (m->tenants[i].pid == 0)
            continue;
        g_assert_cmpint(waitpid(m->tenants[i].pid, &status, 0), ==, m->tenants[i].pid);
        g_assert_cmpint(status, ==, 0);
    }
    for (unsigned d = 0; d < MACHINE_DEVICES; d++)
        g_unlink(m->board[d]);
    return m;
}

void machine_free(struct machine *machine)
{
    for (int i = 0; i < MACHINE_TENANTS; i++) {
        close(machine->slice_fd[i]);
        munmap(machine->ext[i], sizeof *machine->ext[i]);
    }
    munmap(machine, sizeof *machine);
}

static uint64_t used(const struct machine *m, unsigned tenant, uint64_t from, uint64_t to)
{
    const struct device *d = &m->devices[m->setup.tenants[tenant].device];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < d->n_log; i++) {
        const struct interval *v = &d->log[i];
        uint64_t a = v->from > from ? v->from : from, b = v->to < to ? v->to : to;
        if (v->tenant == (int)tenant && a < b)
            sum += b - a;
    }
    return sum;
}

double machine_share(const struct machine *machine, unsigned tenant, uint64_t from, uint64_t to)
{
    return 100.0 * (double)used(machine, tenant, from, to) / (double)(to - from);
}

double machine_mae(const struct machine *machine, unsigned tenant, double percent, uint64_t from, uint64_t to,
                   uint64_t window)
{
    double sum = 0;
    unsigned n = 0;
    for (uint64_t t = from; t + window <= to; t += window, n++) {
        double off = machine_share(machine, tenant, t, t + window) - percent;
        sum += off < 0 ? -off : off;
    }
    return n ? sum / n : 0;
}

uint64_t machine_longest_pause(const struct machine *machine, unsigned tenant, uint64_t from, uint64_t to)
{
    const struct device *d = &machine->devices[machine->setup.tenants[tenant].device];
    uint64_t longest = 0, last = from;
    for (uint32_t i = 0; i < d->n_log; i++) {
        const struct interval *v = &d->log[i];
        if (v->tenant != (int)tenant || v->to < from || v->from > to)
            continue;
        if (v->from > last && v->from - last > longest)
            longest = v->from - last;
        last = v->to;
    }
    return to > last && to - last > longest ? to - last : longest;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

uint64_t machine_p99(const struct machine *machine, unsigned tenant)
{
    const struct tenant *t = &machine->tenants[tenant];
    g_autofree uint64_t *sorted = g_memdup2(t->requests, t->n_requests * sizeof *sorted);
    g_assert_cmpuint(t->n_requests, >, 0);
    qsort(sorted, t->n_requests, sizeof *sorted, by_value);
    return sorted[t->n_requests * 99 / 100];
}

uint64_t machine_launches(const struct machine *machine, unsigned tenant)
{
    return machine->tenants[tenant].launches;
}

uint64_t machine_waits(const struct machine *machine, unsigned tenant)
{
    return machine->tenants[tenant].waits;
}

uint64_t machine_event_calls(const struct machine *machine, unsigned tenant)
{
    return machine->tenants[tenant].event_calls;
}

double machine_request_ns(const struct machine *machine, unsigned tenant, uint32_t skip)
{
    const struct tenant *t = &machine->tenants[tenant];
    double sum = 0;
    g_assert_cmpuint(t->n_requests, >, skip);
    for (uint32_t i = skip; i < t->n_requests; i++)
        sum += (double)t->requests[i];
    return sum / (t->n_requests - skip);
}
