/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/daemon.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int loop_add(struct daemon *d, struct source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    return epoll_ctl(d->epoll, EPOLL_CTL_ADD, source->fd, &event);
}

void loop_modify(struct daemon *d, struct source *source, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    epoll_ctl(d->epoll, EPOLL_CTL_MOD, source->fd, &event);
}

void loop_close(struct daemon *d, struct source *source)
{
    if (source->fd < 0)
        return;
    epoll_ctl(d->epoll, EPOLL_CTL_DEL, source->fd, NULL);
    close(source->fd);
    source->fd = -1;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void loop_run(struct daemon *d)
{
    while (!d->stop) {
        uint64_t now = now_ns(), next = NEVER;
        struct epoll_event event;
        int timeout = -1, n;

        /* Workers last: what the others let go of or ask for is settled there. */
        next = earlier(next, vms_tick(d, now));
        next = earlier(next, clients_tick(d, now));
        next = earlier(next, control_tick(d, now));
        next = earlier(next, workers_tick(d, now));
        if (next != NEVER) {
            uint64_t ms = next <= now ? 0 : (next - now + 999999) / 1000000;

            timeout = ms > 3600000 ? 3600000 : (int)ms;
        }
        /*
         * One event at a time: a callback may then free any source. The kernel moves a descriptor
         * that stays ready to the end of its list, so a busy one does not starve the others.
         */
        n = epoll_wait(d->epoll, &event, 1, timeout);
        if (n == 1) {
            struct source *source = event.data.ptr;

            source->ready(d, source, event.events);
        } else if (n < 0 && errno != EINTR) {
            vgpu_log(VGPU_LOG_ERROR, "epoll_failed", LOG_S("why", strerror(errno)));
            return;
        }
    }
}
