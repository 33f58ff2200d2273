/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

/*
 * Waiting has three steps: look again for a short while, say `sleeping` and look once more, sleep.
 *
 * The producer publishes a packet (a store to head) and then loads `sleeping`. There is no full fence
 * between the two, because a fence for every packet would cost more than all the rest of the ring: the
 * processor may perform the load first. If it does so just before we set `sleeping` and look, we miss
 * its packet and it misses our flag. Its store is visible a few nanoseconds later, but nothing rings.
 * So the first sleep after setting a flag is short, then we look again; from there on every producer
 * has seen the flag and any packet rings, and the sleep lasts as long as it likes.
 */
enum {
    SPIN_NS = 50 * 1000,
    SPIN_GAP_NS = 1000,
    NAP_NS = 1000 * 1000, /* how often to look when there is no doorbell */
};

/* Looks for packets until `end_ns`, with pauses, since each look disturbs the producer. */
static int spin(struct pfq_endpoint *ep, int64_t end_ns)
{
    int found;
    while ((found = pfq_look(ep)) == 0 && ep->looked_ns < end_ns)
        while (pfq_now_ns() < ep->looked_ns + SPIN_GAP_NS)
            pfq_relax();
    return found;
}

bool pfq_set_sleeping(struct pfq_endpoint *ep)
{
    bool fresh = false;
    for (uint32_t i = 0; i < ep->rings; i++) {
        if (!ep->ring[i].producer || __atomic_load_n(&ep->ring[i].consumer->sleeping, __ATOMIC_RELAXED))
            continue;
        __atomic_store_n(&ep->ring[i].consumer->sleeping, 1, __ATOMIC_RELAXED);
        fresh = true;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return fresh;
}

static void clear_sleeping(struct pfq_endpoint *ep)
{
    for (uint32_t i = 0; i < ep->rings; i++)
        if (ep->ring[i].producer)
            __atomic_store_n(&ep->ring[i].consumer->sleeping, 0, __ATOMIC_RELAXED);
}

/*
 * A record that is reserved but not yet committed is skipped too: its producer published before it
 * rang, so the look that follows finds the packets anyway.
 */
void pfq_quiet_doorbell(struct pfq_endpoint *ep)
{
    uint64_t written = __atomic_load_n(ep->bell_producer, __ATOMIC_ACQUIRE);
    __atomic_store_n(ep->bell_consumer, written, __ATOMIC_RELEASE);
}

/* Sleeps until a doorbell, the wake descriptor, a signal or `ns`. Returns 0, -EINTR or -ECANCELED. */
static int sleep_for(struct pfq_endpoint *ep, int64_t ns)
{
    struct pollfd fds[2] = {{.fd = ep->bell_fd, .events = POLLIN}, {.fd = ep->wake_fd, .events = POLLIN}};
    struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    if (ppoll(fds, 2, &t, NULL) < 0)
        return pfq_fail(errno, "waiting for packets: %s", strerror(errno));
    if (fds[0].revents)
        pfq_quiet_doorbell(ep);
    return fds[1].revents ? pfq_fail(ECANCELED, "waiting was ended by the wake descriptor") : 0;
}

/* The same as pfq_endpoint_wait, after the spinning; leaves the flags set. */
static int doze(struct pfq_endpoint *ep, int64_t end_ns)
{
    int64_t settled_ns = 0; /* from then on every producer has seen its flag */
    for (;;) {
        bool fresh = pfq_set_sleeping(ep);
        int found = pfq_look(ep);
        int64_t now = ep->looked_ns;
        if (found || now >= end_ns)
            return found;
        if (fresh)
            settled_ns = now + PFQ_FIRST_SLEEP_NS;
        int64_t until = ep->bell_fd < 0 ? now + NAP_NS : now < settled_ns ? settled_ns : end_ns;
        int error = sleep_for(ep, (until < end_ns ? until : end_ns) - now);
        if (error) {
            found = pfq_look(ep); /* packets first: whoever woke us may have sent some before */
            return found ? found : error;
        }
    }
}

int pfq_endpoint_wait(struct pfq_endpoint *ep, int64_t timeout_ns)
{
    int64_t now = pfq_now_ns();
    int64_t end = timeout_ns < 0 || timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
    int found = spin(ep, end - now < SPIN_NS ? end : now + SPIN_NS);
    if (found || ep->looked_ns >= end)
        return found;
    found = doze(ep, end);
    clear_sleeping(ep);
    return found;
}
