/* SPDX-License-Identifier: Apache-2.0
 *
 * See seccomp.h. The filter is assembled from a table, one list per system
 * call ABI that the kernel offers a program: a filter that knew only the
 * native one could be walked around with `int 0x80`.
 */
#include "local/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum action { DENY_NEWUSER, DENY, UNKNOWN };

/* clone3 passes its flags in memory, out of a filter's sight: it is answered
 * as on a kernel without it, and the C library falls back to clone. */
static const struct rule {
    uint32_t arch;
    uint32_t number;
    enum action action;
} rules[] = {
#if defined(__x86_64__)
    {AUDIT_ARCH_X86_64, SYS_clone, DENY_NEWUSER},
    {AUDIT_ARCH_X86_64, SYS_unshare, DENY_NEWUSER},
    {AUDIT_ARCH_X86_64, SYS_setns, DENY},
    {AUDIT_ARCH_X86_64, SYS_clone3, UNKNOWN},
    {AUDIT_ARCH_X86_64, 0x40000000u | SYS_clone, DENY},
    {AUDIT_ARCH_X86_64, 0x40000000u | SYS_unshare, DENY},
    {AUDIT_ARCH_X86_64, 0x40000000u | SYS_setns, DENY},
    {AUDIT_ARCH_X86_64, 0x40000000u | SYS_clone3, UNKNOWN},
    {AUDIT_ARCH_I386, 120, DENY_NEWUSER},
    {AUDIT_ARCH_I386, 310, DENY_NEWUSER},
    {AUDIT_ARCH_I386, 346, DENY},
    {AUDIT_ARCH_I386, 435, UNKNOWN},
#elif defined(__aarch64__)
    {AUDIT_ARCH_AARCH64, SYS_clone, DENY_NEWUSER},
    {AUDIT_ARCH_AARCH64, SYS_unshare, DENY_NEWUSER},
    {AUDIT_ARCH_AARCH64, SYS_setns, DENY},
    {AUDIT_ARCH_AARCH64, SYS_clone3, UNKNOWN},
    {AUDIT_ARCH_ARM, 120, DENY_NEWUSER},
    {AUDIT_ARCH_ARM, 337, DENY_NEWUSER},
    {AUDIT_ARCH_ARM, 375, DENY},
    {AUDIT_ARCH_ARM, 435, UNKNOWN},
#endif
};

enum { N_RULES = sizeof rules / sizeof *rules, RULE_STEPS = 7 };

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))

/* if (arch == a && nr == n [&& args[0] & CLONE_NEWUSER]) return error */
static void emit_rule(struct sock_filter *at, const struct rule *r)
{
    uint32_t error = SECCOMP_RET_ERRNO | (r->action == UNKNOWN ? ENOSYS : EPERM);
    uint8_t flagged = r->action == DENY_NEWUSER;
    const struct sock_filter steps[RULE_STEPS] = {
        LOAD(arch),    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, r->arch, 0, 5),
        LOAD(nr),      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, r->number, 0, 3),
        LOAD(args[0]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flagged ? CLONE_NEWUSER : 0, 0, flagged ? 1 : 0),
        RETURN(error),
    };
    for (int i = 0; i < RULE_STEPS; i++)
        at[i] = steps[i];
}

bool seccomp_forbid_namespaces(void)
{
    struct sock_filter filter[N_RULES * RULE_STEPS + 1];
    struct sock_fprog program = {.len = N_RULES * RULE_STEPS + 1, .filter = filter};
    for (int i = 0; i < N_RULES; i++)
        emit_rule(&filter[i * RULE_STEPS], &rules[i]);
    filter[N_RULES * RULE_STEPS] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}
