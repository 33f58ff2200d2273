/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One descriptor that is readable while packets may wait. It is an epoll descriptor with three others in it:
 *
 *   doorbell  of the rings; readable from when a producer rang until reading found nothing
 *   events    of the connection with pfqd
 *   timer     expired ("hot") while there may be packets that nobody rings for: at the beginning, after
 *             pfq_poll, and when packets came just before sleeping. Otherwise it runs for the first,
 *             short sleep after a flag was set, for the reason that wait.c gives.
 *
 * Reading is only as expensive as ever: all is done when there is nothing to read, and when somebody
 * asked for the descriptor.
 */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void set_timer(struct pfq *q, int64_t ns)
{
    struct itimerspec t = {.it_value = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}};
    timerfd_settime(q->timer, 0, &t, NULL);
}

void pfq_ready_heat(struct pfq *q)
{
    if (q->watch < 0 || q->hot)
        return;
    set_timer(q, 1);
    q->hot = true;
}

static int watch_for(struct pfq *q, int fd)
{
    if (!epoll_ctl(q->watch, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN}))
        return 0;
    return pfq_fail(errno, "watching for packets: %s", strerror(errno));
}

int pfq_ready_begin(struct pfq *q)
{
    if (q->watch < 0)
        return 0;
    pfq_ready_heat(q);
    return watch_for(q, q->ep->bell_fd);
}

void pfq_ready_end(struct pfq *q)
{
    /* Closing would not take it out: pfqd has the doorbell open, too. */
    if (q->watch >= 0 && q->ep)
        epoll_ctl(q->watch, EPOLL_CTL_DEL, q->ep->bell_fd, NULL);
}

static void end_watch(struct pfq *q)
{
    if (q->watch >= 0)
        close(q->watch);
    if (q->timer >= 0)
        close(q->timer);
    q->watch = q->timer = -1;
    q->hot = false;
}

int pfq_fd(struct pfq *q)
{
    if (!q)
        return pfq_no_handle();
    if (q->watch >= 0)
        return q->watch;
    q->watch = epoll_create1(EPOLL_CLOEXEC);
    q->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int error = 0;
    if (q->watch < 0 || q->timer < 0)
        error = pfq_fail(errno, "a descriptor to wait for packets: %s", strerror(errno));
    if (error || (error = watch_for(q, q->events)) || (error = watch_for(q, q->timer)) ||
        (error = q->ep ? pfq_ready_begin(q) : 0)) {
        end_watch(q);
        return error;
    }
    return q->watch;
}

int pfq_ready_cool(struct pfq *q)
{
    if (q->watch < 0)
        return 0;
    /* In this order: who rings from now on is heard, and who rang before has packets that are seen. */
    pfq_quiet_doorbell(q->ep);
    bool fresh = pfq_set_sleeping(q->ep);
    int found = pfq_look(q->ep);
    int64_t now = q->ep->looked_ns;
    if (found) {
        pfq_ready_heat(q);
        return found;
    }
    if (fresh)
        q->settled_ns = now + PFQ_FIRST_SLEEP_NS;
    if (q->hot || q->settled_ns) {
        if (q->settled_ns <= now)
            q->settled_ns = 0;
        set_timer(q, q->settled_ns ? q->settled_ns - now : 0);
        q->hot = false;
    }
    return 0;
}
