/* SPDX-License-Identifier: Apache-2.0 */
#include "mediator/daemon/daemon.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
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

static void timer_ready(struct daemon *d, struct source *source, uint32_t events)
{
    uint64_t count;

    /* What is due is found out before the next wait anyway. */
    if (read(source->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        vgpu_log(VGPU_LOG_ERROR, "timer_failed", LOG_S("why", strerror(errno)));
}

/* Turns are too short for epoll's timeouts, which are whole milliseconds. */
static int timer_start(struct daemon *d)
{
    d->timer =
        (struct source){timer_ready, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
    return d->timer.fd < 0 ? -1 : loop_add(d, &d->timer, EPOLLIN);
}

static void timer_set(struct daemon *d, uint64_t now, uint64_t at)
{
    struct itimerspec time = {0};

    if (at == d->timer_at && at > now)
        return;
    d->timer_at = at;
    if (at != NEVER) {
        at = at ? at : 1; /* all zeros would stop it */
        time.it_value = (struct timespec){(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
    }
    timerfd_settime(d->timer.fd, TFD_TIMER_ABSTIME, &time, NULL);
}

void loop_run(struct daemon *d)
{
    d->timer_at = NEVER;
    if (timer_start(d) != 0) {
        vgpu_log(VGPU_LOG_ERROR, "timer_failed", LOG_S("why", strerror(errno)));
        return;
    }
    while (!d->stop) {
        uint64_t now = now_ns(), next = NEVER;
        struct epoll_event event;
        int n;

        /* Workers last: what the others let go of or ask for is settled there. */
        next = earlier(next, vms_tick(d, now));
        next = earlier(next, clients_tick(d, now));
        next = earlier(next, control_tick(d, now));
        next = earlier(next, workers_tick(d, now));
        next = earlier(next, schedule_tick(d, now));
        timer_set(d, now, next);
        /*
         * One event at a time: a callback may then free any source. The kernel moves a descriptor
         * that stays ready to the end of its list, so a busy one does not starve the others.
         */
        n = epoll_wait(d->epoll, &event, 1, -1);
        if (n == 1) {
            struct source *source = event.data.ptr;

            source->ready(d, source, event.events);
        } else if (n < 0 && errno != EINTR) {
            vgpu_log(VGPU_LOG_ERROR, "epoll_failed", LOG_S("why", strerror(errno)));
            return;
        }
    }
}
