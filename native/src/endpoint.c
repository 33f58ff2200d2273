/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * Reading a head, and slots that the producer has just written, costs the producer cache misses, and
 * a reader faster than the producer would look after every packet. Some time between two looks lets
 * a batch gather: little when packets are few, so that none waits for long, and under load what it
 * takes for this part of a ring to fill. A steering producer of 8 million packets a second with a
 * reader that looked every 5 us made 10 million with one that looked every 100 us.
 */
enum { SHORT_GAP_NS = 5000, LONG_GAP_NS = 100 * 1000, LOAD_NS_PER_PACKET = 1000, LOOKS_PER_RING = 8 };

int64_t pfq_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static size_t page_up(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

static void *map_shared(int fd, size_t bytes, int protection, off_t offset)
{
    /* Populated: page faults in the first round through a large ring would make a reader late. */
    void *at = mmap(NULL, bytes, protection, MAP_SHARED | MAP_POPULATE, fd, offset);
    return at == MAP_FAILED ? NULL : at;
}

static int check_opts(const struct pfq_endpoint_opts *o)
{
    if (o->size != sizeof *o)
        return pfq_fail(EINVAL, "options of %zu bytes, this library knows %zu", o->size, sizeof *o);
    if (!o->ring_fds || o->rings == 0)
        return pfq_fail(EINVAL, "an end-point has at least one ring");
    if (o->slots == 0 || (o->slots & (o->slots - 1)))
        return pfq_fail(EINVAL, "%u slots are not a power of two", o->slots);
    if (o->slot_bytes < sizeof(struct pfq_producer) || o->slot_bytes % 8)
        return pfq_fail(EINVAL, "a slot of %u bytes is too small or not a multiple of 8", o->slot_bytes);
    return 0;
}

static int open_consumers(struct pfq_endpoint *ep, int fd)
{
    ep->consumer_bytes = page_up(ep->rings * sizeof(struct pfq_consumer));
    ep->consumers = map_shared(fd, ep->consumer_bytes, PROT_READ | PROT_WRITE, 0);
    if (!ep->consumers)
        return pfq_fail(errno, "mapping the reader's page (%zu bytes): %s", ep->consumer_bytes, strerror(errno));
    return 0;
}

static int open_rings(struct pfq_endpoint *ep, const int *fds)
{
    ep->ring_bytes = page_up(((size_t)ep->slots + 1) * ep->slot_bytes);
    for (uint32_t i = 0; i < ep->rings; i++) {
        struct ring *r = &ep->ring[i];
        if (fds[i] < 0)
            continue;
        r->producer = map_shared(fds[i], ep->ring_bytes, PROT_READ, 0);
        if (!r->producer)
            return pfq_fail(errno, "mapping ring %u (%zu bytes): %s", i, ep->ring_bytes, strerror(errno));
        r->consumer = &ep->consumers[i];
        r->read = r->seen = r->consumer->tail;
    }
    return 0;
}

/* The first page of a BPF ring buffer is its consumer's, the second its producer's (read-only). */
static int open_doorbell(struct pfq_endpoint *ep, int fd)
{
    size_t page = page_up(1);
    if (fd < 0)
        return 0;
    ep->bell_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (ep->bell_fd < 0)
        return pfq_fail(errno, "doorbell: %s", strerror(errno));
    ep->bell_consumer = map_shared(fd, page, PROT_READ | PROT_WRITE, 0);
    ep->bell_producer = map_shared(fd, page, PROT_READ, (off_t)page);
    if (!ep->bell_consumer || !ep->bell_producer)
        return pfq_fail(errno, "mapping the doorbell: %s", strerror(errno));
    return 0;
}

static int open_wake(struct pfq_endpoint *ep, int fd)
{
    if (fd < 0)
        return 0;
    ep->wake_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return ep->wake_fd < 0 ? pfq_fail(errno, "wake descriptor: %s", strerror(errno)) : 0;
}

int pfq_endpoint_open(struct pfq_endpoint **out, const struct pfq_endpoint_opts *o)
{
    int error = check_opts(o);
    if (error)
        return error;
    struct pfq_endpoint *ep = calloc(1, sizeof *ep + o->rings * sizeof ep->ring[0]);
    if (!ep)
        return pfq_fail(ENOMEM, "no memory for an end-point of %u rings", o->rings);
    ep->rings = o->rings;
    ep->slots = o->slots;
    ep->slot_bytes = o->slot_bytes;
    ep->bell_fd = ep->wake_fd = -1;
    if ((error = open_consumers(ep, o->consumer_fd)) || (error = open_rings(ep, o->ring_fds)) ||
        (error = open_doorbell(ep, o->doorbell_fd)) || (error = open_wake(ep, o->wake_fd))) {
        pfq_endpoint_close(ep);
        return error;
    }
    *out = ep;
    return 0;
}

static void unmap(const void *at, size_t bytes)
{
    if (at)
        munmap((void *)at, bytes);
}

void pfq_endpoint_close(struct pfq_endpoint *ep)
{
    if (!ep)
        return;
    for (uint32_t i = 0; i < ep->rings; i++)
        unmap(ep->ring[i].producer, ep->ring_bytes);
    unmap(ep->consumers, ep->consumer_bytes);
    unmap(ep->bell_consumer, page_up(1));
    unmap(ep->bell_producer, page_up(1));
    if (ep->bell_fd >= 0)
        close(ep->bell_fd);
    if (ep->wake_fd >= 0)
        close(ep->wake_fd);
    free(ep);
}

/* How long to let packets gather, after `arrived` packets in `elapsed_ns`. */
static int64_t gap(const struct pfq_endpoint *ep, uint64_t arrived, int64_t elapsed_ns)
{
    if (arrived == 0 || elapsed_ns / (int64_t)arrived >= LOAD_NS_PER_PACKET)
        return SHORT_GAP_NS;
    int64_t enough = elapsed_ns * (ep->slots / LOOKS_PER_RING) / (int64_t)arrived;
    return enough < SHORT_GAP_NS ? SHORT_GAP_NS : enough > LONG_GAP_NS ? LONG_GAP_NS : enough;
}

int pfq_look(struct pfq_endpoint *ep)
{
    int found = 0;
    uint64_t arrived = 0;
    for (uint32_t i = 0; i < ep->rings; i++) {
        struct ring *r = &ep->ring[i];
        if (!r->producer)
            continue;
        uint64_t head = __atomic_load_n(&r->producer->head, __ATOMIC_ACQUIRE);
        /* The difference is unsigned: a head that went back is caught as well. */
        if (head - r->read > ep->slots)
            return pfq_fail(EPROTO, "ring %u of %u slots: head %llu, but read up to %llu", i, ep->slots,
                            (unsigned long long)head, (unsigned long long)r->read);
        arrived += head - r->seen;
        r->seen = head;
        found |= head != r->read;
    }
    int64_t now = pfq_now_ns();
    ep->gap_ns = gap(ep, arrived, now - ep->looked_ns);
    ep->looked_ns = now;
    return found;
}

/* The next ring, in turn, with packets seen and not yet read. */
static struct ring *next_seen(struct pfq_endpoint *ep)
{
    for (uint32_t n = 0; n < ep->rings; n++) {
        struct ring *r = &ep->ring[ep->turn];
        ep->turn = ep->turn + 1 < ep->rings ? ep->turn + 1 : 0;
        if (r->seen != r->read)
            return r;
    }
    return NULL;
}

static void gather(const struct pfq_endpoint *ep)
{
    while (pfq_now_ns() - ep->looked_ns < ep->gap_ns)
        pfq_relax();
}

static uint32_t min_u64(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

int pfq_endpoint_read(struct pfq_endpoint *ep, struct pfq_batch *out, uint32_t max)
{
    struct ring *r = next_seen(ep);
    if (!r) {
        gather(ep);
        int found = pfq_look(ep);
        if (found <= 0)
            return found;
        r = next_seen(ep);
    }
    uint32_t at = (uint32_t)r->read & (ep->slots - 1);
    uint32_t in_a_row = min_u64(r->seen - r->read, ep->slots - at);
    *out = (struct pfq_batch){
        .slots = (const char *)r->producer + ((size_t)at + 1) * ep->slot_bytes,
        .count = min_u64(in_a_row, max < INT_MAX ? max : INT_MAX),
        .stride = ep->slot_bytes,
        .first = r->read,
        .ring = (uint32_t)(r - ep->ring),
    };
    /* Relaxed: only pfq_endpoint_stats looks from other threads. */
    __atomic_store_n(&r->read, r->read + out->count, __ATOMIC_RELAXED);
    return (int)out->count;
}

int pfq_endpoint_release(struct pfq_endpoint *ep, uint32_t ring, uint64_t upto)
{
    if (ring >= ep->rings || !ep->ring[ring].producer)
        return pfq_fail(EINVAL, "no ring %u", ring);
    struct ring *r = &ep->ring[ring];
    if (upto > __atomic_load_n(&r->read, __ATOMIC_RELAXED))
        return pfq_fail(EINVAL, "ring %u: packet %llu was not read yet", ring, (unsigned long long)upto);
    uint64_t tail = __atomic_load_n(&r->consumer->tail, __ATOMIC_RELAXED);
    /* Release: all uses of the packets come before the producer may overwrite them. */
    while (tail < upto && !__atomic_compare_exchange_n(&r->consumer->tail, &tail, upto, true, __ATOMIC_RELEASE,
                                                       __ATOMIC_RELAXED))
        ;
    return 0;
}

void pfq_endpoint_stats(const struct pfq_endpoint *ep, struct pfq_stats *out)
{
    *out = (struct pfq_stats){0};
    for (uint32_t i = 0; i < ep->rings; i++) {
        const struct ring *r = &ep->ring[i];
        if (!r->producer)
            continue;
        /* In this order, so that released <= read <= delivered also while packets arrive. */
        out->released += __atomic_load_n(&r->consumer->tail, __ATOMIC_ACQUIRE);
        out->read += __atomic_load_n(&r->read, __ATOMIC_ACQUIRE);
        out->delivered += __atomic_load_n(&r->producer->head, __ATOMIC_ACQUIRE);
        out->lost += __atomic_load_n(&r->producer->lost, __ATOMIC_RELAXED);
    }
}
