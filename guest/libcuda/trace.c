/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/libcuda/trace.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/libcuda/guest.h"

#if defined(__x86_64__)

#define PIECES_MAX 4096
#define PIECE_BYTES 32
#define DEPTH_MAX 64

static struct {
    const char *name;
    void *fn, *piece;
} traced[PIECES_MAX];
static uint32_t traced_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Calls in progress: a callback may call back into the library. */
static __thread struct {
    uint32_t index;
    void *back;
} calls[DEPTH_MAX];
static __thread uint32_t depth;

void *vgpu_trace_push(uint32_t index, void *back);
void *vgpu_trace_pop(uint32_t result);
extern char vgpu_trace_enter[] __attribute__((visibility("hidden")));

/*
 * Entered with the index in r11 and the caller's stack as the call left it. The arguments go
 * through untouched; the return address is kept aside, so that the call comes back here.
 */
__asm__(".text\n"
        ".hidden vgpu_trace_enter\n"
        ".globl vgpu_trace_enter\n"
        "vgpu_trace_enter:\n"
        "    push %rdi\n"
        "    push %rsi\n"
        "    push %rdx\n"
        "    push %rcx\n"
        "    push %r8\n"
        "    push %r9\n"
        "    sub $8, %rsp\n"
        "    mov %r11d, %edi\n"
        "    mov 56(%rsp), %rsi\n"
        "    call vgpu_trace_push\n"
        "    add $8, %rsp\n"
        "    pop %r9\n"
        "    pop %r8\n"
        "    pop %rcx\n"
        "    pop %rdx\n"
        "    pop %rsi\n"
        "    pop %rdi\n"
        "    lea vgpu_trace_back(%rip), %r11\n"
        "    mov %r11, (%rsp)\n"
        "    jmp *%rax\n"
        "vgpu_trace_back:\n"
        "    push %rax\n"
        "    sub $8, %rsp\n"
        "    mov %eax, %edi\n"
        "    call vgpu_trace_pop\n"
        "    mov %rax, %r11\n"
        "    add $8, %rsp\n"
        "    pop %rax\n"
        "    jmp *%r11\n");

__attribute__((used, visibility("hidden"))) void *vgpu_trace_push(uint32_t index, void *back)
{
    if (depth == DEPTH_MAX)
        abort(); /* nothing can come back from deeper than we can remember */
    calls[depth].index = index;
    calls[depth++].back = back;
    return traced[index].fn;
}

__attribute__((used, visibility("hidden"))) void *vgpu_trace_pop(uint32_t result)
{
    uint32_t index = calls[--depth].index;
    const char *name = NULL;

    if (result && cuGetErrorName((CUresult)result, &name) == CUDA_SUCCESS)
        vgpu_say(VGPU_LOG_DEBUG, "%s returned %s (%u)", traced[index].name, name, result);
    return calls[depth].back;
}

static void *make_piece(uint32_t index)
{
    static uint8_t *page;
    static size_t used;
    uint8_t code[PIECE_BYTES] = {0x49, 0xc7, 0xc3}; /* mov r11, imm32 */
    void *enter = vgpu_trace_enter;

    if (!page || used + PIECE_BYTES > 4096) {
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            return page = NULL;
        used = 0;
    }
    memcpy(code + 3, &index, 4);
    code[7] = 0x49, code[8] = 0xba; /* mov r10, imm64 */
    memcpy(code + 9, &enter, 8);
    code[17] = 0x41, code[18] = 0xff, code[19] = 0xe2; /* jmp r10 */
    if (mprotect(page, 4096, PROT_READ | PROT_WRITE) != 0)
        return NULL;
    uint8_t *piece = page + used;
    memcpy(piece, code, sizeof(code));
    used += PIECE_BYTES;
    return mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0 ? piece : NULL;
}

void *vgpu_trace(const char *name, void *fn)
{
    void *piece = NULL;

    if (!fn || !vgpu_says(VGPU_LOG_DEBUG))
        return fn;
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < traced_count && !piece; i++) {
        if (traced[i].fn == fn && strcmp(traced[i].name, name) == 0)
            piece = traced[i].piece;
    }
    if (!piece && traced_count < PIECES_MAX && (piece = make_piece(traced_count))) {
        traced[traced_count].name = name;
        traced[traced_count].fn = fn;
        traced[traced_count++].piece = piece;
    }
    pthread_mutex_unlock(&lock);
    return piece ? piece : fn;
}

#else

void *vgpu_trace(const char *name, void *fn)
{
    (void)name;
    return fn;
}

#endif

void vgpu_trace_table(const char *name, const void **table, unsigned first, unsigned count)
{
    if (!vgpu_says(VGPU_LOG_DEBUG))
        return;
    for (unsigned i = first; i < count; i++) {
        char *slot;
        if (table[i] && asprintf(&slot, "private table %s slot %u", name, i) > 0)
            table[i] = vgpu_trace(slot, (void *)table[i]);
    }
}
