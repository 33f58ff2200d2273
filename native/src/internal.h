/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PFQ_INTERNAL_H
#define PFQ_INTERNAL_H

#include <pfq/record.h>
#include <stdbool.h>

struct ring {
    const struct pfq_producer *producer; /* NULL: this CPU has no ring */
    struct pfq_consumer *consumer;
    uint64_t read; /* packets handed out; private, so that no one can move it */
    uint64_t seen; /* `head` when it was last looked at */
};

struct pfq_endpoint {
    uint32_t rings, slots, slot_bytes;
    uint32_t turn; /* ring to read next */
    size_t ring_bytes, consumer_bytes;
    int64_t looked_ns; /* when the heads were last looked at */
    int64_t gap_ns;    /* how long to wait before the next look */
    struct pfq_consumer *consumers;
    uint64_t *bell_consumer;       /* position up to which the doorbell's records are eaten */
    const uint64_t *bell_producer; /* position up to which they are written */
    int bell_fd, wake_fd;
    struct ring ring[];
};

/* Keeps the sentence for pfq_error_last and returns -error. */
int pfq_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Looks at the heads. Returns 1 when there are packets to read, 0 when not, or -EPROTO. */
int pfq_look(struct pfq_endpoint *ep);

/* How long to sleep at most after a flag of `sleeping` was set: wait.c says why. */
enum { PFQ_FIRST_SLEEP_NS = 20 * 1000 * 1000 };

/* Says `sleeping` in every ring. Returns whether some producer did not know yet. */
bool pfq_set_sleeping(struct pfq_endpoint *ep);

/* Eats the doorbell's records. */
void pfq_quiet_doorbell(struct pfq_endpoint *ep);

int64_t pfq_now_ns(void);

static inline void pfq_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The packet of a slot that has room for `longest` bytes; what the producer says of the length is not believed. */
static inline struct pfq_record pfq_slot_record(const struct pfq_slot *slot, uint32_t longest)
{
    return (struct pfq_record){
        .ts_ns = slot->ts_ns,
        .data = (uintptr_t)pfq_slot_data(slot),
        .len = slot->len,
        .caplen = slot->caplen < longest ? slot->caplen : longest,
        .interface = slot->ifindex,
        .link_type = 1, /* Ethernet */
    };
}

#endif
