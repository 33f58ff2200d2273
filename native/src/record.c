/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "internal.h"

void pfq_batch_records(const struct pfq_batch *batch, struct pfq_record *out)
{
    uint32_t longest = batch->stride - (uint32_t)sizeof(struct pfq_slot);
    for (uint32_t i = 0; i < batch->count; i++)
        out[i] = pfq_slot_record(pfq_batch_slot(batch, i), longest);
}
