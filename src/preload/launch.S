/* SPDX-License-Identifier: Apache-2.0
 *
 * The launches that programs make by the thousand, on x86-64: from C, a wrapper
 * of them saves the registers it needs and copies the five arguments that lie
 * on the stack, which costs more than all it decides. Here neither is touched:
 * a launch that need not ask is one look at the host's two words, one at the
 * thread's credit (lane_pass() of lane.h, line by line) and a jump to the
 * driver; one that must is a jump to asking_X() of launch.c.
 *
 * Register use: rax, r10 and r11, which carry no argument.
 */
#include "preload/lane_layout.h"

#if defined(__x86_64__)

    .macro DRIVER symbol
    .set driver_\symbol, driver_entries * 8
    .set driver_entries, driver_entries + 1
    .endm

/* Where each pointer lies in `real`. */
    .set driver_entries, 0
#define CUDA(symbol, ...) DRIVER symbol
#include "cuda.def"
#undef CUDA

/* What follows leaves the tag of the launch in r11; r10 is free. A product of 0
 * (no grid that a driver takes, or an overflow) leaves bsr's register as it was
 * or as it likes: the tag is then another one, and the launch one that asks. */
    .macro SIZE
    bsrl %r10d, %r10d
    imulq $LANE_BY_SIZE, %r10, %r10
    .endm
    .macro TAG function stream
    SIZE
    imulq $LANE_BY_STREAM, \stream, %r11
    addq \function, %r11
    addq %r10, %r11
    .endm

/* Per-thread entries mean the thread's own stream by 0; its name is 2. */
    .macro TAG_OF_THREAD function stream
    SIZE
    cmpq $0, \stream
    je 4f
    imulq $LANE_BY_STREAM, \stream, %r11
    addq \function, %r11
    addq %r10, %r11
5:
    .endm
    .macro TAG_OF_OWN_STREAM function
4:
    leaq 2*LANE_BY_STREAM(\function, %r10), %r11
    jmp 5b
    .endm

/* f in rdi; the grid in esi, edx, ecx; the ninth argument is the stream. */
    .macro BLOCKS_OF_GRID
    movl %esi, %r10d
    imull %edx, %r10d
    imull %ecx, %r10d
    .endm
    .macro GRID
    BLOCKS_OF_GRID
    TAG %rdi 24(%rsp)
    .endm
    .macro GRID_OF_THREAD
    BLOCKS_OF_GRID
    TAG_OF_THREAD %rdi 24(%rsp)
    .endm

/* A configuration in rdi, which may be NULL; f in rsi. */
    .macro BLOCKS_OF_CONFIG
    testq %rdi, %rdi
    jz 3f
    movl CONFIG_GRID_AT(%rdi), %r10d
    imull CONFIG_GRID_AT+4(%rdi), %r10d
    imull CONFIG_GRID_AT+8(%rdi), %r10d
    .endm
    .macro CONFIG
    BLOCKS_OF_CONFIG
    TAG %rsi CONFIG_STREAM_AT(%rdi)
    .endm
    .macro CONFIG_OF_THREAD
    BLOCKS_OF_CONFIG
    TAG_OF_THREAD %rsi CONFIG_STREAM_AT(%rdi)
    .endm

/* The function of a per-thread entry is named once more, for its own stream. */
    .macro LAUNCH symbol kind of_thread
    .p2align 5
    .globl \symbol
    .type \symbol, @function
\symbol:
    .cfi_startproc
    movq slice_gate_words(%rip), %rax
    cmpl $0, (%rax)
    js asking_\symbol
    cmpl $0, GATE_SUSPENDED_AT(%rax)
    jne asking_\symbol
    movq lane_tls@gottpoff(%rip), %rax
    subq $1, %fs:(%rax)
    js 1f
    jmp *real+driver_\symbol(%rip)
1:
    movq %fs:LANE_TLS_LANE_AT(%rax), %rax
    \kind
    imulq $LANE_MIX, %r11, %r10
    shrq $LANE_SHIFT, %r10
    andl $LANE_MASK, %r10d
    cmpq %r11, LANE_ENTRIES_AT+LANE_ENTRY_TAG_AT(%rax, %r10)
    jne asking_\symbol
    movl LANE_STAMP_AT(%rax), %r11d
    cmpl lane_stamp(%rip), %r11d
    jne asking_\symbol
    movq LANE_ENTRIES_AT+LANE_ENTRY_PRICE_AT(%rax, %r10), %r11
    subq %r11, LANE_CREDIT_AT(%rax)
    jl 2f
    addl $1, LANE_ENTRIES_AT+LANE_ENTRY_COUNT_AT(%rax, %r10)
    jmp *real+driver_\symbol(%rip)
2:
    addq %r11, LANE_CREDIT_AT(%rax)
3:
    jmp asking_\symbol
    .ifnb \of_thread
    TAG_OF_OWN_STREAM \of_thread
    .endif
    .cfi_endproc
    .size \symbol, . - \symbol
    .endm

    .text
    LAUNCH cuLaunchKernel, GRID
    LAUNCH cuLaunchKernel_ptsz, GRID_OF_THREAD, %rdi
    LAUNCH cuLaunchCooperativeKernel, GRID
    LAUNCH cuLaunchCooperativeKernel_ptsz, GRID_OF_THREAD, %rdi
    LAUNCH cuLaunchKernelEx, CONFIG
    LAUNCH cuLaunchKernelEx_ptsz, CONFIG_OF_THREAD, %rsi

#endif

    .section .note.GNU-stack, "", %progbits
