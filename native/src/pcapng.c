/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

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

enum { ENHANCED_PACKET_BLOCK = 6 };

size_t pfq_pcapng_packets(const struct pfq_batch *batch, void *buf, size_t cap, uint32_t interface, uint32_t *done)
{
    uint32_t longest = batch->stride - (uint32_t)sizeof(struct pfq_slot);
    char *out = buf;
    uint32_t i = *done;
    for (; i < batch->count; i++) {
        const struct pfq_slot *slot = pfq_batch_slot(batch, i);
        uint32_t caplen = slot->caplen < longest ? slot->caplen : longest;
        uint32_t padded = (caplen + 3) & ~UINT32_C(3);
        uint32_t bytes = (uint32_t)sizeof(struct block) + padded + (uint32_t)sizeof(uint32_t);
        if (cap - (size_t)(out - (char *)buf) < bytes)
            break;
        struct block head = {ENHANCED_PACKET_BLOCK, bytes, interface, (uint32_t)(slot->ts_ns >> 32),
                             (uint32_t)slot->ts_ns, caplen, slot->len};
        memcpy(out, &head, sizeof head);
        /* The padding is zeroed before the data is laid over its first part. */
        memset(out + sizeof head + padded - (padded ? 4 : 0), 0, padded ? 4 : 0);
        memcpy(out + sizeof head, pfq_slot_data(slot), caplen);
        memcpy(out + bytes - sizeof bytes, &bytes, sizeof bytes);
        out += bytes;
    }
    *done = i;
    return (size_t)(out - (char *)buf);
}
