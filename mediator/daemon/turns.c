/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/turns.h"

#include <stddef.h>

void turns_init(struct turns *turns, uint64_t quantum)
{
    *turns = (struct turns){.quantum = quantum};
}

void turns_join(struct turns *turns, struct turns_member *member)
{
    if (!turns->first) {
        turns->first = member->next = member->previous = member;
    } else {
        member->next = turns->first;
        member->previous = turns->first->previous;
        member->previous->next = member;
        member->next->previous = member;
    }
    member->wants = member->in_flight = false;
    member->open = !turns->contended;
}

void turns_leave(struct turns *turns, struct turns_member *member)
{
    bool alone = member->next == member;

    if (turns->holder == member) {
        /* The one before holds an ended turn, so that the next decision goes on after the leaver.
         */
        turns->holder = alone ? NULL : member->previous;
        turns->turn_end = 0;
    }
    if (turns->first == member)
        turns->first = alone ? NULL : member->next;
    member->previous->next = member->next;
    member->next->previous = member->previous;
    member->next = member->previous = NULL;
}

static bool is_active(const struct turns_member *member)
{
    return member->wants || member->in_flight;
}

/* The first that wants after from, which itself comes last; NULL: nobody wants. */
static struct turns_member *next_wanting(struct turns_member *from)
{
    struct turns_member *member = from;

    do {
        member = member->next;
        if (member->wants)
            return member;
    } while (member != from);
    return NULL;
}

static void pass_to(struct turns *turns, struct turns_member *member, uint64_t now)
{
    if (turns->holder && turns->holder != member)
        turns->passed++;
    turns->holder = member;
    turns->turn_end = now + turns->quantum;
}

uint64_t turns_decide(struct turns *turns, uint64_t now)
{
    struct turns_member *member = turns->first, *only = NULL, *next;
    unsigned active = 0;

    if (!member) {
        turns->contended = false;
        return TURNS_NEVER;
    }
    do {
        if (is_active(member)) {
            active++;
            only = member;
        }
        member = member->next;
    } while (member != turns->first);

    turns->contended = active > 1;
    if (!turns->contended) {
        if (only && only != turns->holder)
            pass_to(turns, only, now);
        do {
            member->open = true;
            member = member->next;
        } while (member != turns->first);
        return TURNS_NEVER;
    }

    next = next_wanting(turns->holder ? turns->holder : turns->first->previous);
    if (next && (!turns->holder || !is_active(turns->holder) || now >= turns->turn_end))
        pass_to(turns, next, now);
    else if (now >= turns->turn_end)
        turns->turn_end = now + turns->quantum; /* all only wait for the GPU */
    do {
        member->open = member == turns->holder;
        member = member->next;
    } while (member != turns->first);
    return turns->turn_end;
}
