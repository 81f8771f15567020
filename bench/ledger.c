/* SPDX-License-Identifier: Apache-2.0
 *
 * What the region costs: a reservation and its release alone, in company, in
 * two threads and two processes; a refusal; opening and joining; reclaiming.
 * Prints nanoseconds beside the target.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "region/ledger.h"

#define ROUNDS 25
#define BEST (ROUNDS / 10) /* of sorted rounds: neighbours on the machine only add time */
#define MEDIAN (ROUNDS / 2)
#define PAIRS 400000
#define LIMIT 1000000

static char path[64];
static const struct region_limits limits = {
    .n_devices = 1, .mem_bytes = {LIMIT}, .source = REGION_SOURCE_ENV};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void join(struct region *r)
{
    if (region_open(r, path, &limits) < 0 || region_slot_claim(r) < 0) {
        fputs("cannot join the region in /dev/shm\n", stderr);
        exit(1);
    }
}

static void pairs(struct region *r)
{
    int slot = r->slot;
    for (int i = 0; i < PAIRS; i++) {
        ledger_reserve(r, slot, 0, 512, LIMIT);
        ledger_release(r, slot, 0, 512);
    }
}

static double pair_ns(struct region *r, int rank)
{
    double ns[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_ns();
        pairs(r);
        ns[i] = (now_ns() - start) / PAIRS;
    }
    qsort(ns, ROUNDS, sizeof *ns, compare);
    return ns[rank];
}

static double join_ns(int rank)
{
    double ns[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        struct region newcomer;
        double start = now_ns();
        join(&newcomer);
        ns[i] = now_ns() - start;
        region_slot_release(&newcomer, newcomer.slot);
        region_close(&newcomer);
    }
    qsort(ns, ROUNDS, sizeof *ns, compare);
    return ns[rank];
}

static double refusal(struct region *r)
{
    ledger_charge(r, r->slot, 0, LIMIT);
    double start = now_ns();
    for (int i = 0; i < PAIRS; i++)
        ledger_reserve(r, r->slot, 0, 512, LIMIT);
    double ns = (now_ns() - start) / PAIRS;
    ledger_release(r, r->slot, 0, LIMIT);
    return ns;
}

static pid_t spawn(void (*body)(struct region *))
{
    int ready[2];
    char byte;
    if (pipe(ready) < 0)
        exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        struct region r;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        join(&r);
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        body(&r);
        _exit(0);
    }
    if (read(ready[0], &byte, 1) != 1)
        exit(1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void sit(struct region *r)
{
    (void)r;
    for (;;)
        pause();
}

static void run_forever(struct region *r)
{
    for (;;)
        pairs(r);
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void *pairs_in_thread(void *r)
{
    pairs(r);
    return NULL;
}

static void in_company(struct region *r)
{
    pid_t pids[256];
    unsigned n = 0;
    double low = 1e9, high = 0;
    for (unsigned company = 1; company <= 256; company *= 4) {
        while (n + 1 < company)
            pids[n++] = spawn(sit);
        double ns = pair_ns(r, BEST);
        low = ns < low ? ns : low;
        high = ns > high ? ns : high;
        printf("reserve+release, %3u attached      %8.1f ns\n", company, ns);
    }
    printf("  highest / lowest                 %8.2f     (target <= 2)\n", high / low);
    printf("open and join, 256 attached        %8.0f ns  (target <= 100000)\n", join_ns(BEST));
    while (n)
        end(pids[--n]);
    double start = now_ns();
    int freed = region_reclaim(r);
    printf("reclaim of %3d killed processes    %8.0f ns  (target <= 10000000)\n", freed, now_ns() - start);
}

static void contended(struct region *r)
{
    pthread_t other;
    double start = now_ns();
    pthread_create(&other, NULL, pairs_in_thread, r);
    pairs(r);
    pthread_join(other, NULL);
    printf("reserve+release, 2 threads         %8.1f ns  per pair of each\n", (now_ns() - start) / PAIRS);
    pid_t pid = spawn(run_forever);
    printf("reserve+release, 2 processes       %8.1f ns  per pair of each\n", pair_ns(r, MEDIAN));
    end(pid);
    region_reclaim(r);
}

int main(void)
{
    struct region r;
    struct stat st;
    snprintf(path, sizeof path, "/dev/shm/hami-bench-ledger-%d", getpid());
    double start = now_ns();
    join(&r);
    printf("create and join                    %8.0f ns\n", now_ns() - start);
    printf("open and join, one attached        %8.0f ns\n", join_ns(BEST));
    printf("reserve+release, alone             %8.1f ns  (target <= 25)\n", pair_ns(&r, BEST));
    printf("refusal                            %8.1f ns  (target <= 100 with the driver's part)\n",
           refusal(&r));
    if (fstat(r.fd, &st) == 0)
        printf("touched pages of the file          %8ld KiB (target <= 64)\n", (long)st.st_blocks / 2);
    contended(&r);
    in_company(&r);
    unlink(path);
    return 0;
}
