/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pfq/record.h>

enum { ETHERNET = 1 };

void pfq_batch_records(const struct pfq_batch *batch, struct pfq_record *out)
{
    uint32_t longest = batch->stride - (uint32_t)sizeof(struct pfq_slot);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct pfq_slot *slot = pfq_batch_slot(batch, i);
        out[i] = (struct pfq_record){
            .ts_ns = slot->ts_ns,
            .data = (uintptr_t)pfq_slot_data(slot),
            .len = slot->len,
            .caplen = slot->caplen < longest ? slot->caplen : longest,
            .interface = slot->ifindex,
            .link_type = ETHERNET,
        };
    }
}
