/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bucket.h - a token bucket that is charged after the fact
 *
 * Tokens come at rate per second up to size. What is taken may be more than there is: the bucket
 * then owes, and is empty until the debt is repaid. So over any time T at most
 * rate * T + size + (the largest single charge) is taken by a caller that stops while the bucket is
 * empty. The remainder of the refill is carried, so that looking often loses nothing.
 *
 * No clock of its own: now is ns of any monotonic clock. Tokens are whatever the caller counts.
 */
#ifndef VGPU_SCHED_BUCKET_H
#define VGPU_SCHED_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define BUCKET_NEVER UINT64_MAX

struct bucket {
    uint64_t rate; /* tokens per second; 0: no limit */
    uint64_t size; /* tokens */
    int64_t tokens;
    uint64_t last;      /* ns of the last refill */
    uint64_t remainder; /* of the refill, in 1e-9 tokens */
};

/*
 * Sets rate and size. A bucket that had no limit before starts full; otherwise what it holds, or
 * owes, stays (what is above the new size is lost), so that changing a limit pays nobody's debt.
 */
void bucket_set(struct bucket *bucket, uint64_t rate, uint64_t size, uint64_t now);
void bucket_refill(struct bucket *bucket, uint64_t now);
/* Takes amount, or gives it back when negative; never above size. No effect without a limit. */
void bucket_take(struct bucket *bucket, int64_t amount);
/* When it will hold at least need tokens (bounded to size); now or before: it does. */
uint64_t bucket_ready_at(const struct bucket *bucket, uint64_t need);

static inline bool bucket_is_limited(const struct bucket *bucket)
{
    return bucket->rate != 0;
}

#endif
