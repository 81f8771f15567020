/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a kernel runs. First match wins:
 *   1. hami_sim_next_kernel_ns(ns): the calling thread's next launch
 *   2. hami_sim_kernel_ns(function, ns)
 *   3. the profile's `costs:` table, by exact name or a prefix ending in '*'
 *   4. the name: sim_<n>ns, sim_<n>us, sim_<n>ms (anything may follow after
 *      another '_', so that two functions can have the same length);
 *      sim_<n>ns_per_block: times the number of blocks, over the SMs;
 *      sim_arg (or sim_arg_...): the first parameter is a 64-bit number of
 *      nanoseconds, in the parameter array or in the `extra` buffer
 *   5. kernel_ns + wave_ns for every started wave of sm_count blocks
 */
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "objects.h"

#define LAUNCH_PARAM_END ((void *)0)
#define LAUNCH_PARAM_BUFFER ((void *)1)
#define LAUNCH_PARAM_SIZE ((void *)2)

static bool from_table(struct sim_function *f)
{
    const struct sim_profile *p = &sim_state->profile;
    for (uint32_t i = 0; i < p->n_costs; i++) {
        const char *pattern = p->costs[i].function;
        size_t n = strlen(pattern);
        bool prefix = n > 0 && pattern[n - 1] == '*';
        if (prefix ? strncmp(pattern, f->name, n - 1) == 0 : strcmp(pattern, f->name) == 0) {
            f->duration_ns = p->costs[i].duration_ns > 0 ? p->costs[i].duration_ns : 1;
            return true;
        }
    }
    return false;
}

void sim_cost_of_name(struct sim_function *f)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000}};
    if (from_table(f) || strncmp(f->name, "sim_", 4) != 0)
        return;
    const char *word = f->name + 4;
    if (strncmp(word, "arg", 3) == 0 && (word[3] == '\0' || word[3] == '_')) {
        f->from_parameter = true;
        return;
    }
    char *end;
    uint64_t n = strtoull(word, &end, 10);
    for (size_t i = 0; end != word && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strncmp(end, units[i].unit, 2) != 0 || (end[2] != '\0' && end[2] != '_'))
            continue;
        if (strcmp(end + 2, "_per_block") == 0)
            f->block_ns = n * units[i].ns;
        else
            f->duration_ns = n * units[i].ns > 0 ? n * units[i].ns : 1;
    }
}

/* The first eight bytes of the parameters; 0 when there are not that many. */
static uint64_t first_parameter(void **parameters, void **extra)
{
    uint64_t value = 0;
    const void *buffer = NULL;
    size_t size = 0;
    if (parameters != NULL) {
        if (parameters[0] != NULL)
            memcpy(&value, parameters[0], sizeof(value));
        return value;
    }
    for (size_t i = 0; extra != NULL && i < 8 && extra[i] != LAUNCH_PARAM_END; i += 2) {
        if (extra[i] == LAUNCH_PARAM_BUFFER)
            buffer = extra[i + 1];
        else if (extra[i] == LAUNCH_PARAM_SIZE && extra[i + 1] != NULL)
            memcpy(&size, extra[i + 1], sizeof(size));
    }
    if (buffer != NULL && size >= sizeof(value))
        memcpy(&value, buffer, sizeof(value));
    return value;
}

uint64_t sim_kernel_ns(const struct sim_function *f, uint64_t blocks, void **parameters, void **extra,
                       uint32_t sm_count)
{
    struct sim_thread *t = sim_thread_self();
    if (t != NULL && t->next_kernel_ns != 0) {
        uint64_t ns = t->next_kernel_ns;
        t->next_kernel_ns = 0;
        return ns;
    }
    if (f->duration_ns != 0)
        return f->duration_ns;
    uint64_t sms = sm_count > 0 ? sm_count : 1;
    if (f->from_parameter) {
        uint64_t ns = first_parameter(parameters, extra);
        if (ns != 0)
            return ns;
    }
    if (f->block_ns != 0)
        return (f->block_ns * blocks + sms - 1) / sms;
    const struct sim_profile *p = &sim_state->profile;
    return p->kernel_ns + p->wave_ns * ((blocks + sms - 1) / sms);
}

/* ---- control by the program; exported, see sim/control.h ---- */

void hami_sim_next_kernel_ns(uint64_t ns)
{
    struct sim_thread *t = sim_thread_self();
    if (t != NULL)
        t->next_kernel_ns = ns;
}

CUresult hami_sim_kernel_ns(CUfunction function, uint64_t ns)
{
    struct sim_function *f = sim_function_of(function);
    if (f == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    f->duration_ns = ns;
    return CUDA_SUCCESS;
}
