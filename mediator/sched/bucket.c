/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/sched/bucket.h"

#define SECOND 1000000000u

void bucket_set(struct bucket *bucket, uint64_t rate, uint64_t size, uint64_t now)
{
    if (size > INT64_MAX / 2)
        size = INT64_MAX / 2;
    if (size == 0)
        size = 1;
    if (!bucket->rate) {
        *bucket = (struct bucket){.tokens = (int64_t)size, .last = now};
    } else {
        bucket_refill(bucket, now);
    }
    bucket->rate = rate;
    bucket->size = size;
    if (bucket->tokens > (int64_t)size)
        bucket->tokens = (int64_t)size;
}

void bucket_refill(struct bucket *bucket, uint64_t now)
{
    unsigned __int128 grown;
    uint64_t room;

    if (!bucket->rate || now <= bucket->last)
        return;
    grown = (unsigned __int128)(now - bucket->last) * bucket->rate + bucket->remainder;
    bucket->last = now;
    room = (uint64_t)((int64_t)bucket->size - bucket->tokens);
    if (grown / SECOND >= room) {
        bucket->tokens = (int64_t)bucket->size;
        bucket->remainder = 0;
    } else {
        bucket->tokens += (int64_t)(grown / SECOND);
        bucket->remainder = (uint64_t)(grown % SECOND);
    }
}

void bucket_take(struct bucket *bucket, int64_t amount)
{
    if (!bucket->rate)
        return;
    /* A debt is bounded too: a charge that no worker can have caused must not overflow. */
    if (amount > INT64_MAX / 4)
        amount = INT64_MAX / 4;
    if (amount < -(INT64_MAX / 4))
        amount = -(INT64_MAX / 4);
    bucket->tokens -= amount;
    if (bucket->tokens < -(INT64_MAX / 4))
        bucket->tokens = -(INT64_MAX / 4);
    if (bucket->tokens > (int64_t)bucket->size)
        bucket->tokens = (int64_t)bucket->size;
}

uint64_t bucket_ready_at(const struct bucket *bucket, uint64_t need)
{
    unsigned __int128 missing;

    if (!bucket->rate)
        return 0;
    if (need > bucket->size)
        need = bucket->size;
    if (bucket->tokens >= (int64_t)need)
        return bucket->last;
    missing = (unsigned __int128)((int64_t)need - bucket->tokens) * SECOND - bucket->remainder;
    missing = (missing + bucket->rate - 1) / bucket->rate;
    if (missing >= BUCKET_NEVER - bucket->last)
        return BUCKET_NEVER;
    return bucket->last + (uint64_t)missing;
}
