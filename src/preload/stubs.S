/* SPDX-License-Identifier: Apache-2.0
 *
 * What cannot be said in C because a caller's registers or return address
 * must survive:
 *
 *   real_stub_X    one per driver entry: asks real_resolve() for the genuine X
 *                  and jumps to it with the caller's arguments untouched.
 *   dlsym, dlvsym  look at the first bytes of the name and jump to the genuine
 *                  function for everything that cannot be a driver entry. The
 *                  C library looks at the return address to tell which object
 *                  asks (RTLD_NEXT, RTLD_DEFAULT, dlmopen): a jump keeps it.
 *   dlopen         likewise, but for RTLD_DEEPBIND; see deepbind.c.
 *
 * Register use: only those the calling convention lets a callee destroy before
 * its first instruction (r11, eax; x16, x17, x9).
 */
#if defined(__x86_64__)

    .text

    .macro STUB symbol
    .p2align 4
    .globl real_stub_\symbol
    .hidden real_stub_\symbol
    .type real_stub_\symbol, @function
real_stub_\symbol:
    endbr64
    movl $stub_number, %r11d
    jmp resolve_and_jump
    .size real_stub_\symbol, . - real_stub_\symbol
    .set stub_number, stub_number + 1
    .endm

    .set stub_number, 0
#define CUDA(symbol, ...) STUB symbol
#include "cuda.def"
#undef CUDA
#define NVML(symbol, ...) STUB symbol
#define NVML_TEXT(symbol, ...) STUB symbol
#include "nvml.def"
#undef NVML
#undef NVML_TEXT

/* rsp is 8 above a multiple of 16 here, as at every function's entry. */
    .p2align 4
    .type resolve_and_jump, @function
resolve_and_jump:
    .cfi_startproc
    subq $184, %rsp
    .cfi_adjust_cfa_offset 184
    movq %rdi, 0(%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %rcx, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    movaps %xmm0, 48(%rsp)
    movaps %xmm1, 64(%rsp)
    movaps %xmm2, 80(%rsp)
    movaps %xmm3, 96(%rsp)
    movaps %xmm4, 112(%rsp)
    movaps %xmm5, 128(%rsp)
    movaps %xmm6, 144(%rsp)
    movaps %xmm7, 160(%rsp)
    movl %r11d, %edi
    call real_resolve
    movq %rax, %r11
    movq 0(%rsp), %rdi
    movq 8(%rsp), %rsi
    movq 16(%rsp), %rdx
    movq 24(%rsp), %rcx
    movq 32(%rsp), %r8
    movq 40(%rsp), %r9
    movaps 48(%rsp), %xmm0
    movaps 64(%rsp), %xmm1
    movaps 80(%rsp), %xmm2
    movaps 96(%rsp), %xmm3
    movaps 112(%rsp), %xmm4
    movaps 128(%rsp), %xmm5
    movaps 144(%rsp), %xmm6
    movaps 160(%rsp), %xmm7
    addq $184, %rsp
    .cfi_adjust_cfa_offset -184
    jmp *%r11
    .cfi_endproc
    .size resolve_and_jump, . - resolve_and_jump

/* name in rsi: jumps to label when it starts with neither cu[A-Z] nor nvml */
    .macro UNLESS_DRIVER_NAME label
    testq %rsi, %rsi
    jz \label
    cmpb $'c', (%rsi)
    jne 1f
    cmpb $'u', 1(%rsi)
    jne \label
    movzbl 2(%rsi), %eax
    subl $'A', %eax
    cmpl $('Z' - 'A'), %eax
    ja \label
    jmp 2f
1:
    cmpb $'n', (%rsi)
    jne \label
    cmpb $'v', 1(%rsi)
    jne \label
    cmpb $'m', 2(%rsi)
    jne \label
    cmpb $'l', 3(%rsi)
    jne \label
2:
    .endm

/* symbol, C function that decides, where the genuine address is kept. The
 * decider gets the caller's return address as its last argument; it answers
 * in rax the value to return, or 0 in rdx to say "the genuine one decides". */
    .macro INTERPOSER symbol decide genuine caller
    .p2align 4
    .globl \symbol
    .type \symbol, @function
\symbol:
    .cfi_startproc
    endbr64
    UNLESS_DRIVER_NAME 9f
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    pushq %rsi
    .cfi_adjust_cfa_offset 8
    pushq %rdx
    .cfi_adjust_cfa_offset 8
    movq 24(%rsp), \caller
    call \decide
    movq %rdx, %r11
    popq %rdx
    .cfi_adjust_cfa_offset -8
    popq %rsi
    .cfi_adjust_cfa_offset -8
    popq %rdi
    .cfi_adjust_cfa_offset -8
    testq %r11, %r11
    jz 9f
    ret
9:
    movq \genuine(%rip), %r11
    testq %r11, %r11
    jz 8f
    jmp *%r11
8:
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    pushq %rsi
    .cfi_adjust_cfa_offset 8
    pushq %rdx
    .cfi_adjust_cfa_offset 8
    call genuine_find
    popq %rdx
    .cfi_adjust_cfa_offset -8
    popq %rsi
    .cfi_adjust_cfa_offset -8
    popq %rdi
    .cfi_adjust_cfa_offset -8
    movq \genuine(%rip), %r11
    jmp *%r11
    .cfi_endproc
    .size \symbol, . - \symbol
    .endm

    INTERPOSER dlsym, loader_dlsym, genuine_dlsym, %rdx
    INTERPOSER dlvsym, loader_dlvsym, genuine_dlvsym, %rcx

/* RTLD_DEEPBIND (8) would hide this library from what is loaded. */
    .p2align 4
    .globl dlopen
    .type dlopen, @function
dlopen:
    .cfi_startproc
    endbr64
    testl $8, %esi
    jnz loader_dlopen_deep
    movq genuine_dlopen(%rip), %r11
    testq %r11, %r11
    jz 8f
    jmp *%r11
8:
    pushq %rdi
    .cfi_adjust_cfa_offset 8
    pushq %rsi
    .cfi_adjust_cfa_offset 8
    subq $8, %rsp
    .cfi_adjust_cfa_offset 8
    call genuine_find
    addq $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq %rsi
    .cfi_adjust_cfa_offset -8
    popq %rdi
    .cfi_adjust_cfa_offset -8
    jmp *genuine_dlopen(%rip)
    .cfi_endproc
    .size dlopen, . - dlopen

#elif defined(__aarch64__)

    .text

    .macro STUB symbol
    .p2align 2
    .globl real_stub_\symbol
    .hidden real_stub_\symbol
    .type real_stub_\symbol, %function
real_stub_\symbol:
    hint #34
    mov w16, #stub_number
    b resolve_and_jump
    .size real_stub_\symbol, . - real_stub_\symbol
    .set stub_number, stub_number + 1
    .endm

    .set stub_number, 0
#define CUDA(symbol, ...) STUB symbol
#include "cuda.def"
#undef CUDA
#define NVML(symbol, ...) STUB symbol
#define NVML_TEXT(symbol, ...) STUB symbol
#include "nvml.def"
#undef NVML
#undef NVML_TEXT

    .p2align 2
    .type resolve_and_jump, %function
resolve_and_jump:
    .cfi_startproc
    stp x29, x30, [sp, #-224]!
    .cfi_def_cfa_offset 224
    .cfi_offset 29, -224
    .cfi_offset 30, -216
    mov x29, sp
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    stp x6, x7, [sp, #64]
    stp x8, x9, [sp, #80]
    stp q0, q1, [sp, #96]
    stp q2, q3, [sp, #128]
    stp q4, q5, [sp, #160]
    stp q6, q7, [sp, #192]
    mov w0, w16
    bl real_resolve
    mov x16, x0
    ldp x0, x1, [sp, #16]
    ldp x2, x3, [sp, #32]
    ldp x4, x5, [sp, #48]
    ldp x6, x7, [sp, #64]
    ldp x8, x9, [sp, #80]
    ldp q0, q1, [sp, #96]
    ldp q2, q3, [sp, #128]
    ldp q4, q5, [sp, #160]
    ldp q6, q7, [sp, #192]
    ldp x29, x30, [sp], #224
    br x16
    .cfi_endproc
    .size resolve_and_jump, . - resolve_and_jump

    .macro UNLESS_DRIVER_NAME label
    cbz x1, \label
    ldrb w9, [x1]
    cmp w9, #'c'
    b.ne 1f
    ldrb w9, [x1, #1]
    cmp w9, #'u'
    b.ne \label
    ldrb w9, [x1, #2]
    sub w9, w9, #'A'
    cmp w9, #('Z' - 'A')
    b.hi \label
    b 2f
1:
    cmp w9, #'n'
    b.ne \label
    ldrb w9, [x1, #1]
    cmp w9, #'v'
    b.ne \label
    ldrb w9, [x1, #2]
    cmp w9, #'m'
    b.ne \label
    ldrb w9, [x1, #3]
    cmp w9, #'l'
    b.ne \label
2:
    .endm

    .macro INTERPOSER symbol decide genuine caller
    .p2align 2
    .globl \symbol
    .type \symbol, %function
\symbol:
    .cfi_startproc
    hint #34
    UNLESS_DRIVER_NAME 9f
    stp x29, x30, [sp, #-48]!
    .cfi_def_cfa_offset 48
    .cfi_offset 29, -48
    .cfi_offset 30, -40
    stp x0, x1, [sp, #16]
    str x2, [sp, #32]
    mov \caller, x30
    bl \decide
    mov x16, x1
    mov x17, x0
    ldp x0, x1, [sp, #16]
    ldr x2, [sp, #32]
    ldp x29, x30, [sp], #48
    .cfi_def_cfa_offset 0
    cbz x16, 9f
    mov x0, x17
    ret
9:
    adrp x16, \genuine
    ldr x16, [x16, #:lo12:\genuine]
    cbz x16, 8f
    br x16
8:
    stp x29, x30, [sp, #-48]!
    stp x0, x1, [sp, #16]
    str x2, [sp, #32]
    bl genuine_find
    ldp x0, x1, [sp, #16]
    ldr x2, [sp, #32]
    ldp x29, x30, [sp], #48
    adrp x16, \genuine
    ldr x16, [x16, #:lo12:\genuine]
    br x16
    .cfi_endproc
    .size \symbol, . - \symbol
    .endm

    INTERPOSER dlsym, loader_dlsym, genuine_dlsym, x2
    INTERPOSER dlvsym, loader_dlvsym, genuine_dlvsym, x3

    .p2align 2
    .globl dlopen
    .type dlopen, %function
dlopen:
    .cfi_startproc
    hint #34
    tbz w1, #3, 7f
    b loader_dlopen_deep /* in another section: out of a conditional branch's reach */
7:
    adrp x16, genuine_dlopen
    ldr x16, [x16, #:lo12:genuine_dlopen]
    cbz x16, 8f
    br x16
8:
    stp x29, x30, [sp, #-32]!
    stp x0, x1, [sp, #16]
    bl genuine_find
    ldp x0, x1, [sp, #16]
    ldp x29, x30, [sp], #32
    adrp x16, genuine_dlopen
    ldr x16, [x16, #:lo12:genuine_dlopen]
    br x16
    .cfi_endproc
    .size dlopen, . - dlopen

#else
#error "libvgpu.so is written for x86-64 and aarch64"
#endif

    .section .note.GNU-stack, "", %progbits
