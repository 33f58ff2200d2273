/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

#include <pfq/write.h>

#include <string.h>

/* An Enhanced Packet Block up to its data; the block's length follows the padded data once more. */
struct block {
    uint32_t type;
    uint32_t bytes;
    uint32_t interface;
    uint32_t ts_high;
    uint32_t ts_low;
    uint32_t caplen;
    uint32_t len;
};

/* A record of classic pcap up to its data. */
struct record {
    uint32_t seconds;
    uint32_t units;
    uint32_t caplen;
    uint32_t len;
};

enum { ENHANCED_PACKET_BLOCK = 6, SECOND_NS = 1000000000 };

/* Bytes of a packet in the file; 64 bits, because `caplen` may be any number of 32. */
static inline uint64_t block_bytes(const struct pfq_record *r)
{
    return sizeof(struct block) + (((uint64_t)r->caplen + 3) & ~UINT64_C(3)) + sizeof(uint32_t);
}

static inline uint64_t record_bytes(const struct pfq_record *r)
{
    return sizeof(struct record) + (uint64_t)r->caplen;
}

static inline int put_block(const struct pfq_write *w, const struct pfq_record *r, char *out, uint64_t size)
{
    uint32_t bytes = (uint32_t)size, tail[2] = {0, bytes};
    if (r->interface >= w->interface_count || size > UINT32_MAX)
        return 0;
    struct block head = {ENHANCED_PACKET_BLOCK, bytes,     w->interfaces[r->interface], (uint32_t)(r->ts_ns >> 32),
                         (uint32_t)r->ts_ns,    r->caplen, r->len};
    memcpy(out, &head, sizeof head);
    /* The padding is zeroed before the data is laid over its first part. */
    if (r->caplen) {
        memcpy(out + size - sizeof tail, tail, sizeof tail);
        memcpy(out + sizeof head, (const void *)(uintptr_t)r->data, r->caplen);
    } else {
        memcpy(out + sizeof head, &bytes, sizeof bytes);
    }
    return 1;
}

static inline int put_record(const struct pfq_write *w, const struct pfq_record *r, char *out)
{
    uint64_t seconds = r->ts_ns / SECOND_NS;
    uint32_t ns = (uint32_t)(r->ts_ns - seconds * SECOND_NS);
    if (seconds > UINT32_MAX || r->link_type != w->link_type)
        return 0;
    struct record head = {(uint32_t)seconds, w->unit_ns == 1 ? ns : ns / 1000, r->caplen, r->len};
    memcpy(out, &head, sizeof head);
    if (r->caplen)
        memcpy(out + sizeof head, (const void *)(uintptr_t)r->data, r->caplen);
    return 1;
}

/* Inlined below, so that `pcapng` and `ring` are known in each copy. */
static inline __attribute__((always_inline)) size_t write_packets(struct pfq_write *w, int pcapng, int ring)
{
    char *const start = w->buf;
    char *out = start;
    uint32_t i = w->done, longest = ring ? w->batch->stride - (uint32_t)sizeof(struct pfq_slot) : 0;
    struct pfq_record slot;
    w->end = PFQ_WRITE_DONE;
    for (; i < w->count; i++) {
        const struct pfq_record *r = &slot;
        if (ring) {
            slot = pfq_slot_record(pfq_batch_slot(w->batch, i), longest);
            slot.interface = 0;
        } else {
            r = &w->records[w->chosen ? w->chosen[i] : i];
        }
        size_t used = (size_t)(out - start);
        uint64_t size = pcapng ? block_bytes(r) : record_bytes(r);
        if (r->ts_ns > w->last_ns)
            w->end = PFQ_WRITE_LATE;
        else if (used > w->limit)
            w->end = PFQ_WRITE_LIMIT;
        else if (w->cap - used < size)
            w->end = PFQ_WRITE_FULL;
        else if (!(pcapng ? put_block(w, r, out, size) : put_record(w, r, out)))
            w->end = PFQ_WRITE_REFUSED;
        if (w->end != PFQ_WRITE_DONE)
            break;
        out += size;
    }
    w->done = i;
    return (size_t)(out - start);
}

size_t pfq_write_pcapng(struct pfq_write *w)
{
    return w->batch ? write_packets(w, 1, 1) : write_packets(w, 1, 0);
}

size_t pfq_write_pcap(struct pfq_write *w)
{
    return w->batch ? write_packets(w, 0, 1) : write_packets(w, 0, 0);
}
