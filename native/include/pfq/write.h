/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets in the form they have in capture files, many at a time. The heads of the files are the caller's.
 */
#ifndef PFQ_WRITE_H
#define PFQ_WRITE_H

#include <pfq/record.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* declarations: begin */

/* Why a call went no further. */
enum pfq_write_end {
    PFQ_WRITE_DONE,    /* all packets are written */
    PFQ_WRITE_FULL,    /* the next one needs more room than is left in the buffer */
    PFQ_WRITE_LIMIT,   /* it would begin beyond `limit` */
    PFQ_WRITE_LATE,    /* it is younger than `last_ns` */
    PFQ_WRITE_REFUSED, /* the format cannot hold it: its interface, link type or time */
};

/* The packets to write, and where to. A call goes on at `done`, and leaves it where the next one has to. */
struct pfq_write {
    const struct pfq_batch *batch; /* all its packets, as those of interface 0; NULL: the following */
    const struct pfq_record *records;
    const uint32_t *chosen;     /* numbers of the records to write, in this order; NULL: all of them */
    uint32_t count;             /* of `chosen`, or of the records, or of the batch */
    uint32_t done;              /* how many of these are written */
    void *buf;                  /* here */
    size_t cap;                 /* bytes of room */
    uint64_t limit;             /* no packet begins after more than so many bytes in the buffer */
    uint64_t last_ns;           /* no packet is younger */
    const uint32_t *interfaces; /* pcapng: number in the file for each number in the records */
    uint32_t interface_count;   /* of these */
    uint32_t unit_ns;           /* pcap: ns of a unit of its times, 1000 or 1 */
    uint16_t link_type;         /* pcap: of the file */
    uint16_t reserved;
    uint32_t end;               /* an enum pfq_write_end */
};

/* Enhanced Packet Blocks of pcapng, in ns. Returns bytes. */
size_t pfq_write_pcapng(struct pfq_write *w);

/* Records of classic pcap. Returns bytes. */
size_t pfq_write_pcap(struct pfq_write *w);

/* declarations: end */

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
