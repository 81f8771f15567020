/* SPDX-License-Identifier: Apache-2.0
 *
 * Replays corpora without a fuzzer: gives every file in the folders named on
 * the command line to the target, and then what seeded mutations make of it,
 * so that the normal test run covers more than the corpus itself. Speaks TAP,
 * one line per file. HAMI_TEST_SEED repeats a run.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (1 << 20)
#define MUTATIONS 64

static uint8_t input[INPUT_MAX];
static uint64_t state;

static uint32_t next_random(void)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = (state ^ state >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

/* The target gets exactly n bytes from the heap, so that a sanitizer or
 * valgrind sees a read beyond them. */
static void feed(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy)
        exit(1);
    memcpy(copy, data, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

/* Changes, drops, doubles or cuts a few bytes. Returns the new length. */
static size_t mutate(uint8_t *data, size_t n)
{
    for (uint32_t i = 1 + next_random() % 4; i && n; i--) {
        size_t at = next_random() % n;
        switch (next_random() % 5) {
        case 0:
            data[at] = (uint8_t)next_random();
            break;
        case 1:
            data[at] ^= (uint8_t)(1u << next_random() % 8);
            break;
        case 2:
            memmove(data + at, data + at + 1, n - at - 1);
            n--;
            break;
        case 3:
            if (n < INPUT_MAX) {
                memmove(data + at + 1, data + at, n - at);
                n++;
            }
            break;
        default:
            n = at;
        }
    }
    return n;
}

static size_t read_file(const char *path, uint8_t *ret)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return 0;
    size_t n = fread(ret, 1, INPUT_MAX, f);
    fclose(f);
    return n;
}

static void replay_file(const char *path)
{
    static uint8_t changed[INPUT_MAX];
    size_t n = read_file(path, input);
    feed(input, n);
    for (int i = 0; i < MUTATIONS; i++) {
        memcpy(changed, input, n);
        feed(changed, mutate(changed, n));
    }
}

int main(int argc, char **argv)
{
    int tests = 0;
    const char *seed = getenv("HAMI_TEST_SEED");
    state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    printf("# seed %llu\n", (unsigned long long)state);
    for (int i = 1; i < argc; i++) {
        struct dirent **entries;
        int n = scandir(argv[i], &entries, NULL, alphasort);
        for (int e = 0; e < n; e++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], entries[e]->d_name);
            if (entries[e]->d_name[0] != '.') {
                replay_file(path);
                printf("ok %d %s\n", ++tests, entries[e]->d_name);
                fflush(stdout);
            }
            free(entries[e]);
        }
        if (n >= 0)
            free(entries);
    }
    printf("1..%d\n", tests);
    return tests ? 0 : 1;
}
