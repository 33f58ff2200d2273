/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets wherever they lie: in a buffer that was read from a file, or in a ring.
 * Included by the headers of what works on packets of either source.
 */
#ifndef PFQ_RECORD_H
#define PFQ_RECORD_H

#include <pfq/ring.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* declarations: begin */

/* One packet: where its bytes are and what is known of it. Whoever filled it says how long the bytes stay. */
struct pfq_record {
    uint64_t ts_ns;     /* arrival, ns since 1970; 0 when the source has no time for it */
    uint64_t data;      /* address of the first byte, in this process */
    uint32_t len;       /* length on the wire, bytes */
    uint32_t caplen;    /* bytes that are there */
    uint32_t interface; /* of a file: number of the interface in it, from 0; of a ring: index of the device */
    uint16_t link_type; /* what the bytes begin with, a LINKTYPE number; 1 is Ethernet */
    uint16_t vlan_tci;  /* tag that the device took off and that is not among the bytes, 0: none */
};

/* The packets of a batch as records, one for each; they are valid as long as the batch. */
void pfq_batch_records(const struct pfq_batch *batch, struct pfq_record *out);

/* declarations: end */

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
