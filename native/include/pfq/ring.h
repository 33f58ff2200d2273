/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader's side of PFQ's shared rings, for those who have the descriptors of their maps.
 *
 * Functions return 0 or a count, or -errno; pfq_error_last() has the sentence that goes with it.
 * One thread at a time reads and waits on an end-point; pfq_endpoint_release and
 * pfq_endpoint_stats may be called from any thread.
 */
#ifndef PFQ_RING_H
#define PFQ_RING_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PFQ_LAYOUT_VERSION 1

/* Everything else in the library is hidden; libpfq.map says the same to the linker. */
#pragma GCC visibility push(default)

/* What follows, up to the end mark, is also what Python sees: plain declarations only. */
/* declarations: begin */

/*
 * page: pfq_endpoint_open - read the rings of an end-point
 *
 * For those who have the descriptors of the maps; a handle of pfq_open(3) does all this by itself. Its
 * batches, slots and statistics are those described here. One thread at a time reads and waits on an
 * end-point; pfq_endpoint_release and pfq_endpoint_stats may be called from any thread.
 */

/* Header of a slot, little endian; `caplen` bytes of the frame follow it. */
struct pfq_slot {
    uint64_t ts_ns;    /* arrival, ns since 1970; 0 when the clock is `none` */
    uint32_t len;      /* length on the wire, bytes */
    uint32_t ifindex;  /* receiving device */
    uint32_t mark;     /* mark after the last group */
    uint32_t state;    /* state of the highest group that selected the end-point */
    uint16_t caplen;   /* bytes that follow, at most the snap length */
    uint16_t queue;    /* receive queue */
    uint16_t vlan_tci; /* outer VLAN tag, 0 when untagged */
    uint16_t group;    /* highest group that selected the end-point */
};

/* Element 0 of a ring: written by the producer, read-only here. */
struct pfq_producer {
    uint64_t head;      /* packets ever published */
    uint64_t tail_seen; /* the producer's copy of the reader's `tail` */
    uint64_t lost;      /* packets lost because the ring was full */
    uint64_t reserved[5];
};

/* One element for each CPU of the reader's own page; tail and sleeping lie on lines of their own. */
struct pfq_consumer {
    uint64_t tail; /* packets released */
    uint64_t reserved_tail[7];
    uint32_t sleeping; /* the reader sleeps: ring the doorbell once, then clear this */
    uint32_t reserved_sleeping[15];
};

/* Packets in a row in one ring; they stay as they are until they are released. */
struct pfq_batch {
    const void *slots; /* the first slot's header */
    uint32_t count;    /* packets */
    uint32_t stride;   /* bytes from one slot to the next */
    uint64_t first;    /* running number of the first packet in its ring */
    uint32_t ring;     /* which ring; release up to `first + count` */
    uint32_t reserved;
};

/* Packets, summed over the rings of an end-point since they were made. */
struct pfq_stats {
    uint64_t delivered; /* published by the producers */
    uint64_t lost;      /* selected for this end-point and lost because a ring was full */
    uint64_t read;      /* handed out by pfq_endpoint_read */
    uint64_t released;  /* given back; the producers may overwrite them */
};

struct pfq_endpoint_opts {
    size_t size;         /* sizeof(struct pfq_endpoint_opts) */
    const int *ring_fds; /* one ring map for each CPU, -1 for a CPU without a ring */
    uint32_t rings;      /* how many */
    uint32_t slots;      /* of each ring, a power of two */
    uint32_t slot_bytes; /* header included, a multiple of 8 */
    int consumer_fd;     /* map with one struct pfq_consumer for each CPU */
    int doorbell_fd;     /* BPF ring buffer the producers ring, or -1: a waiting reader then naps */
    int wake_fd;         /* eventfd that ends waiting when it becomes readable, or -1 */
};

struct pfq_endpoint;

/*
 * Opens an end-point whose maps exist. The descriptors stay the caller's and may be closed afterwards.
 * Returns 0, -EINVAL (options), or what mmap or dup said (-EPERM, -ENOMEM, -EBADF ...).
 */
int pfq_endpoint_open(struct pfq_endpoint **out, const struct pfq_endpoint_opts *opts);

/* Unmaps the rings: no batch may be used any more. NULL is allowed. */
void pfq_endpoint_close(struct pfq_endpoint *ep);

/*
 * The next published packets, at most `max`, all of one ring, the rings taking turns.
 * Reading does not release: the producers keep off these slots until pfq_endpoint_release.
 * Does not wait for packets; but looking slows the producers down, so it lets 5 us pass between two
 * looks, and under load up to 0.1 ms, in which a batch gathers. Returns how many, 0 when there are
 * none, -EPROTO when a ring is inconsistent.
 */
int pfq_endpoint_read(struct pfq_endpoint *ep, struct pfq_batch *out, uint32_t max);

/*
 * Gives back all packets of a ring below the running number `upto`; lower than before is no error.
 * Returns 0, or -EINVAL (no such ring, or packets that were not read yet).
 */
int pfq_endpoint_release(struct pfq_endpoint *ep, uint32_t ring, uint64_t upto);

/*
 * Waits for packets, at most `timeout_ns`; negative: without limit.
 * Returns 1 (packets), 0 (time is over), -EINTR (a signal came), -ECANCELED (wake_fd), -EPROTO as above.
 */
int pfq_endpoint_wait(struct pfq_endpoint *ep, int64_t timeout_ns);

/* Counts of its rings; may be called at any time. */
void pfq_endpoint_stats(const struct pfq_endpoint *ep, struct pfq_stats *out);

/*
 * page: pfq_error_last - what went wrong
 *
 * Functions of the library return 0, a count, a number or a pointer, or -errno.
 */

/* What the last failed call of this thread had to say; valid until its next failing call. Never NULL. */
const char *pfq_error_last(void);

/* declarations: end */

#pragma GCC visibility pop

#define PFQ_ENDPOINT_OPTS(...) (&(struct pfq_endpoint_opts){.size = sizeof(struct pfq_endpoint_opts), __VA_ARGS__})

/* Packet `i` of a batch. */
static inline const struct pfq_slot *pfq_batch_slot(const struct pfq_batch *batch, uint32_t i)
{
    return (const struct pfq_slot *)((const char *)batch->slots + (size_t)i * batch->stride);
}

/* The first of the `caplen` bytes of a packet. */
static inline const uint8_t *pfq_slot_data(const struct pfq_slot *slot)
{
    return (const uint8_t *)(slot + 1);
}

#ifdef __cplusplus
}
#endif

#endif
