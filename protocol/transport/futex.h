/* SPDX-License-Identifier: Apache-2.0 */
/*
 * futex.h - sleeping on a word, raw
 *
 * shared: the word lies in memory that processes share. Raw system calls, not wrappers: a cancelled
 * thread must not leave between an announcement and the wake-up it owes.
 */
#ifndef VGPU_TRANSPORT_FUTEX_H
#define VGPU_TRANSPORT_FUTEX_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* 0 when woken, when *word is not expected, or for no reason; -ETIMEDOUT. */
static inline int vgpu_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t timeout_ms,
                                  bool shared)
{
    struct timespec t = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
    int saved = errno;
    int err = 0;

    if (syscall(SYS_futex, word, shared ? FUTEX_WAIT : FUTEX_WAIT_PRIVATE, expected, &t, NULL, 0) &&
        errno == ETIMEDOUT)
        err = -ETIMEDOUT;
    errno = saved;
    return err;
}

static inline void vgpu_futex_wake(_Atomic uint32_t *word, int count, bool shared)
{
    int saved = errno;

    syscall(SYS_futex, word, shared ? FUTEX_WAKE : FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved;
}

#endif
