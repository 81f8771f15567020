/* SPDX-License-Identifier: Apache-2.0
 *
 * See turn.h.
 *
 * Invariants:
 *   1. The board is looked at again before each use: one that shrank (a
 *      tenant may truncate the file) is replaced by the slice's own.
 *   2. The turn is given back when tokens are short, when others wait and it
 *      lasted TURN_NS (TURN_SHORT_NS beside somebody in a hurry), and when nothing is in flight at a
 * synchronisation or for IDLE_NS.
 *   3. A process without a seat, or without a board, runs on tokens alone.
 *   4. The seat changes under the card's turn_lock; a thread may come to it with a time that another one's
 *      has passed.
 */
#include "preload/turn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/compute.h"
#include "preload/helper.h"
#include "preload/log.h"
#include "preload/measure.h"
#include "preload/slice.h"
#include "preload/throttle.h"
#include "region/extension.h"
#include "region/lock.h"

#define MS UINT64_C(1000000)
#define TURN_NS (8 * MS)
#define TURN_SHORT_NS (1 * MS)   /* ... beside somebody in a hurry */
#define LEAD_NS UINT64_C(250000) /* a turn is given back this long before its work has drained */
#define START_NS UINT64_C(60000) /* ... and used this long before */
#define LEASE_MIN_NS (3 * MS)
#define PROBE_LEASE_NS (100 * MS)
#define IDLE_NS (20 * MS)
#define LENT_NS (20 * MS) /* a neighbour quiet for so long lends its time */
#define NEIGHBOUR_NS (1000 * MS)
#define LOOK_NS (10 * MS)
#define PRIORITY_WEIGHT 4

struct card cards[REGION_DEVICES];
static struct port_lock setup_lock;

/* ---- setting up -------------------------------------------------------- */

static struct board *map_file(struct card *card, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    void *page = MAP_FAILED;
    if (region_stat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= BOARD_BYTES)
        page = mmap(NULL, BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        close(fd);
        return NULL;
    }
    card->board_fd = fd;
    card->board_dev = st.st_dev;
    card->board_ino = st.st_ino;
    return page;
}

static struct board *own_board(unsigned d)
{
    return slice.region.ext ? (struct board *)(void *)slice.region.ext->boards[d].bytes : NULL;
}

static uint64_t slice_group(void)
{
    struct stat st;
    if (slice.region.fd >= 0 && region_stat(slice.region.fd, &st) == 0)
        return ((uint64_t)st.st_dev << 40 ^ (uint64_t)st.st_ino) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    return (uint64_t)getpid() << 32 | 1;
}

static uint64_t pid_namespace(void)
{
    return slice.region.self.pid_ns;
}

static void seat_init(struct card *card, struct board *board)
{
    card->seat =
        (struct board_seat){.board = board,
                            .member = -1,
                            .owner = (uint64_t)(uint32_t)getpid() << 32 | (uint32_t)(port.now() >> 4) | 1,
                            .group = slice_group(),
                            .pid_ns = pid_namespace(),
                            .weight = 100};
}

static void setup(struct card *card, unsigned d)
{
    int saved = errno;
    struct board *board = NULL;
    card->board_fd = -1;
    card->account = &slice.region.ext->devices[d].compute;
    card->own = slice.slot >= 0 && slice.slot < REGION_SLOTS - 1
                    ? &slice.region.ext->members[slice.slot].compute[d]
                    : NULL;
    if (slice.board[d][0]) {
        board = map_file(card, slice.board[d]);
        card->board_is_shared = board != NULL;
        if (!board)
            log_error("turn board %s cannot be used: %s; shares beside other tenants are less exact",
                      slice.board[d], strerror(errno));
    }
    seat_init(card, board ? board : own_board(d));
    errno = saved;
}

struct card *turn_card(CUstream stream)
{
    if (slice_attach() != SLICE_ON || !slice.region.ext)
        return NULL;
    int d = port.device(stream);
    if (d < 0 || d >= REGION_DEVICES)
        return NULL;
    struct card *card = &cards[d];
    if (unlikely(!card_is_ready(card))) {
        port_lock(&setup_lock);
        if (!card->ready)
            setup(card, (unsigned)d);
        __atomic_store_n(&card->ready, true, __ATOMIC_RELEASE);
        port_unlock(&setup_lock);
    }
    return card;
}

static bool is_whole(const struct card *card, const struct stat *st)
{
    return st->st_dev == card->board_dev && st->st_ino == card->board_ino && st->st_size >= BOARD_BYTES;
}

/* Our descriptor may be somebody else's by now: daemons close them all. */
static bool board_is_whole(struct card *card)
{
    struct stat st;
    if (region_stat(card->board_fd, &st) == 0 && st.st_ino == card->board_ino && st.st_dev == card->board_dev)
        return st.st_size >= BOARD_BYTES;
    int fd = open(slice.board[card - cards], O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    if (region_stat(fd, &st) == 0 && is_whole(card, &st)) {
        card->board_fd = fd;
        return true;
    }
    close(fd);
    return false;
}

void turn_check_board(struct card *card)
{
    if (!card->board_is_shared)
        return;
    int saved = errno;
    bool whole = board_is_whole(card);
    errno = saved;
    if (whole)
        return;
    port_lock(&setup_lock);
    if (card->board_is_shared) {
        struct board *old = card->seat.board;
        card->board_is_shared = false;
        seat_init(card, own_board((unsigned)(card - cards)));
        if (mmap(old, BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
            MAP_FAILED)
            log_error("no memory to stand in for the turn board of device %u", (unsigned)(card - cards));
        log_error("turn board of device %u was truncated or replaced by a tenant; going on without it",
                  (unsigned)(card - cards));
    }
    port_unlock(&setup_lock);
}

/* ---- what applies ------------------------------------------------------ */

static uint32_t limit_of(unsigned d)
{
    if (slice.policy == GRANT_POLICY_DISABLE)
        return 0;
    if (slice.policy == GRANT_POLICY_DEFAULT &&
        __atomic_load_n(&slice.region.base->utilization_switch, __ATOMIC_RELAXED) == 0)
        return 0;
    return slice_cores_limit(d);
}

bool turn_has_neighbours(struct card *card, uint64_t now)
{
    uint64_t looked = atomic_load_explicit(&card->looked_ns, memory_order_relaxed);
    if (now - (looked & ~UINT64_C(1)) < LOOK_NS)
        return looked & 1;
    bool alone = board_alone(&card->seat, now, NEIGHBOUR_NS);
    atomic_store_explicit(&card->left_over, alone ? 100 : board_left_over(&card->seat, now, NEIGHBOUR_NS),
                          memory_order_relaxed);
    atomic_store_explicit(&card->looked_ns, (now & ~UINT64_C(1)) | (alone ? 0 : 1), memory_order_relaxed);
    return !alone;
}

static bool is_lent(struct card *card, uint64_t now)
{
    return slice.policy == GRANT_POLICY_DEFAULT && card->board_is_shared &&
           board_alone(&card->seat, now, LENT_NS);
}

struct turn_limit turn_limit_of(struct card *card, uint64_t now)
{
    struct turn_limit limit = {.percent = limit_of((unsigned)(card - cards))};
    turn_check_board(card);
    limit.tokens = limit.percent != 0;
    atomic_store_explicit(&card->seat.percent, limit.percent, memory_order_relaxed);
    atomic_store_explicit(&card->seat.hurries,
                          atomic_load_explicit(&card->usual_ns, memory_order_relaxed) != 0,
                          memory_order_relaxed);
    if (!limit.tokens) {
        limit.percent = 100;
        /* High priority takes turns even so: without one on the board those of low priority would not know.
         */
        limit.turns = card->board_is_shared && (turn_has_neighbours(card, now) || slice.priority == 0);
    } else {
        limit.turns = card->seat.board != NULL;
        if (is_lent(card, now)) {
            bucket_forgive(card->account);
            limit.tokens = false;
        }
    }
    atomic_store_explicit(&card->account->cores_pct, limit.percent, memory_order_relaxed);
    uint32_t percent =
        card->seat.percent ? limit.percent : atomic_load_explicit(&card->left_over, memory_order_relaxed);
    uint32_t weight = percent * (slice.priority == 0 ? PRIORITY_WEIGHT : 1);
    atomic_store_explicit(&card->seat.weight, weight ? weight : 1, memory_order_relaxed);
    atomic_store_explicit(&card->seat.fair, percent, memory_order_relaxed);
    return limit;
}

/* ---- the turn ---------------------------------------------------------- */

static void ring(struct card *card)
{
    port.wake(&card->seat.board->bell, true);
}

static void give_back(struct card *card, uint64_t now, uint64_t drained)
{
    turn_check_board(card);
    port_lock(&card->lock);
    card->last_sequence = card->seat.sequence;
    port_unlock(&card->lock);
    board_release(&card->seat, now, drained > now ? drained : now);
    ring(card);
}

/* Gives the turn back if its work has drained or is about to; otherwise
 * *ret_due is when that will be. */
static bool end_turn(struct card *card, uint64_t now, uint64_t *ret_due)
{
    uint64_t until = measure_busy_until(card);
    if (until == 0) {
        uint64_t drained = card->last_end_ns > now - MS && card->last_end_ns < now ? card->last_end_ns : now;
        give_back(card, now, drained);
        return true;
    }
    bool sure = measure_is_sure(card, now);
    if (sure && until <= now + LEAD_NS) {
        give_back(card, now, until);
        return true;
    }
    *ret_due = sure ? until - LEAD_NS : measure_next(card, now);
    return false;
}

static void renew(struct card *card)
{
    uint64_t now = port.now(), until = measure_busy_until(card);
    turn_check_board(card);
    if (!card->seat.board || !board_holds(&card->seat))
        return;
    uint64_t ahead = until > now ? 2 * (until - now) : 0;
    board_renew(&card->seat, now, now + ahead + (card->probes ? PROBE_LEASE_NS : LEASE_MIN_NS));
}

void turn_renew(struct card *card)
{
    port_lock(&card->turn_lock);
    renew(card);
    port_unlock(&card->turn_lock);
}

static bool may_use(struct card *card, uint64_t now, uint64_t *ret_due)
{
    if (card->seat.foreign_ns > now + START_NS) {
        *ret_due = card->seat.foreign_ns - START_NS;
        return false;
    }
    board_busy(&card->seat);
    renew(card);
    uint64_t before = atomic_exchange_explicit(&card->active_ns, now, memory_order_relaxed);
    if (now - before > TURN_AWAY_NS)
        atomic_store_explicit(&card->returned_ns, now, memory_order_relaxed);
    return true;
}

static bool have(struct card *card, uint64_t now, uint64_t *ret_due, uint32_t *ret_bell)
{
    turn_check_board(card); /* what was considered before may have asked the driver */
    now = now < card->seat.held_ns ? card->seat.held_ns : now;
    *ret_bell = atomic_load(&card->seat.board->bell);
    if (board_is_shunned(&card->seat, now) || !board_sit(&card->seat, now))
        return true;
    if (board_holds(&card->seat)) {
        uint64_t until = measure_busy_until(card);
        uint64_t length = (until > now ? until : now) - card->seat.held_ns;
        bool over = length >= TURN_SHORT_NS && board_wanted(&card->seat, now) &&
                    (length >= TURN_NS || board_hurries(&card->seat, now));
        if (over && length >= TURN_NS && board_extend(&card->seat, now))
            over = false;
        if (over && !end_turn(card, now, ret_due))
            return false;
        if (!over)
            return may_use(card, now, ret_due);
    } else if (card->seat.sequence) {
        board_release(&card->seat, now, now); /* taken from us: account for it */
    }
    uint32_t pid = board_holder_pid(&card->seat);
    bool dead = pid && pid != (uint32_t)getpid() && !port.is_alive(pid);
    if (board_try(&card->seat, now, dead, ret_due))
        return may_use(card, now, ret_due);
    if (!board_is_shunned(&card->seat, now))
        return false;
    log_error(
        "turn board of device %u: the turn does not come, a tenant may write to it; going on without it",
        (unsigned)(card - cards));
    return true;
}

bool turn_have(struct card *card, const struct turn_limit *limit, uint64_t now, uint64_t *ret_due,
               uint32_t *ret_bell)
{
    if (!limit->turns || !card->seat.board)
        return true;
    port_lock(&card->turn_lock);
    bool ours = have(card, now, ret_due, ret_bell);
    port_unlock(&card->turn_lock);
    return ours;
}

void turn_wait(struct card *card, uint64_t due, uint32_t bell)
{
    port.wait(&card->seat.board->bell, bell, due, true);
}

static void offer(struct card *card, uint64_t now, uint64_t *due)
{
    turn_check_board(card);
    board_unwant(&card->seat);
    if (!board_holds(&card->seat))
        return;
    uint64_t at = *due;
    if (atomic_load(&card->closed) && !board_wanted(&card->seat, now))
        return;
    if (!end_turn(card, now, &at) && at < *due)
        *due = at;
}

void turn_offer(struct card *card, bool tokens_short, uint64_t now, uint64_t *due)
{
    if (!card->seat.board || !tokens_short)
        return;
    port_lock(&card->turn_lock);
    if (card->seat.member >= 0)
        offer(card, now, due);
    port_unlock(&card->turn_lock);
}

bool turn_is_wanted(struct card *card, uint64_t now)
{
    turn_check_board(card);
    return card->seat.board && card->seat.member >= 0 && board_wanted(&card->seat, now);
}

bool turn_is_short(struct card *card, uint64_t now)
{
    turn_check_board(card);
    return card->seat.board && card->seat.member >= 0 && board_hurries(&card->seat, now);
}

static void idle(struct card *card)
{
    uint64_t now = port.now(), due;
    turn_check_board(card);
    if (!board_holds(&card->seat))
        return;
    bool wanted = board_wanted(&card->seat, now);
    if (wanted &&
        (atomic_load_explicit(&card->usual_ns, memory_order_relaxed) || bucket_balance(card->account) <= 0)) {
        end_turn(card, now, &due);
        return;
    }
    board_idle(&card->seat, now);
    if (wanted) {
        atomic_fetch_add(&card->seat.board->bell, 1);
        ring(card);
    }
}

void turn_idle(struct card *card)
{
    if (!card->seat.board || !card->seat.sequence || atomic_load(&card->closed))
        return;
    port_lock(&card->turn_lock);
    idle(card);
    port_unlock(&card->turn_lock);
}

void turn_mark(struct card *card, struct batch *batch)
{
    port_lock(&card->turn_lock);
    batch->sequence = card->seat.sequence;
    batch->held_ns = card->seat.held_ns;
    port_unlock(&card->turn_lock);
}

/* ---- for others -------------------------------------------------------- */

void turn_note_wait(struct card *card, uint64_t since_ns)
{
    atomic_fetch_add_explicit(&card->account->waits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&card->account->throttled_ns, port.now() - since_ns, memory_order_relaxed);
}

void turn_note_launches(struct card *card, int32_t launches, uint64_t now)
{
    helper_note();
    atomic_store_explicit(&card->account->last_launch_ns, now, memory_order_relaxed);
    if (launches > 0)
        atomic_fetch_add_explicit(&card->account->launches, (uint64_t)launches, memory_order_relaxed);
}

void compute_tick(uint64_t now)
{
    if (!atomic_load_explicit(&cards_gated, memory_order_relaxed))
        return;
    CUstreamCaptureMode mode = port.capture_mode(CU_STREAM_CAPTURE_MODE_RELAXED);
    for (int d = 0; d < REGION_DEVICES; d++) {
        struct card *card = &cards[d];
        if (!card_is_ready(card))
            continue;
        measure_finished(card);
        uint64_t active = atomic_load_explicit(&card->active_ns, memory_order_relaxed);
        if (!card->seat.board || !card->seat.sequence || now - active < IDLE_NS || atomic_load(&card->closed))
            continue;
        port_lock(&card->turn_lock);
        turn_check_board(card);
        if (board_holds(&card->seat)) {
            atomic_fetch_add(&lane_stamp, 1);
            give_back(card, now, now);
        }
        port_unlock(&card->turn_lock);
    }
    port.capture_mode(mode);
}

void compute_context_switched(void)
{
    if (!lane_here())
        return;
    lane_tls.lane->stamp |= LANE_SWITCHED;
    lane_tls.left = lane_tls.left > 0 ? 0 : lane_tls.left; /* there may be a limit where it is now */
}

void compute_context_ending(CUcontext ctx)
{
    throttle_before_sync();
    batch_context_gone(ctx);
}

void compute_stream_ending(CUstream stream)
{
    throttle_before_sync();
    batch_stream_ends(stream);
}

void compute_after_fork(void)
{
    for (int d = 0; d < REGION_DEVICES; d++) {
        struct stat st;
        if (cards[d].ready && cards[d].board_is_shared) {
            munmap(cards[d].seat.board, BOARD_BYTES);
            if (region_stat(cards[d].board_fd, &st) == 0 && is_whole(&cards[d], &st))
                close(cards[d].board_fd);
        }
        memset(&cards[d], 0, sizeof cards[d]);
    }
    atomic_store(&cards_gated, false);
    memset(&prices, 0, sizeof prices);
    prices_lock = setup_lock = (struct port_lock){0};
    lane_after_fork();
}
