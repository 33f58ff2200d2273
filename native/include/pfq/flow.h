/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flows: what two addresses and ports say to each other, both directions together.
 *
 * Functions return 0 or a count, or -errno. A table is used by one thread at a time.
 */
#ifndef PFQ_FLOW_H
#define PFQ_FLOW_H

#include <pfq/headers.h>
#include <pfq/record.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* declarations: begin */

/* Why a flow ended; the numbers are those of IPFIX (RFC 5102, flowEndReason). */
enum pfq_flow_end {
    PFQ_FLOW_IDLE = 1,   /* no packet for the idle time-out */
    PFQ_FLOW_ACTIVE = 2, /* older than the active time-out; its next packet began another flow */
    PFQ_FLOW_CLOSED = 3, /* TCP: FIN both ways, or RST */
    PFQ_FLOW_END = 4,    /* there are no more packets */
    PFQ_FLOW_FULL = 5,   /* the table was full and this flow was the one without a packet for the longest time */
};

/* One flow. Who sent its first packet is `src`; what has `_back` in its name went from `dst` to `src`. */
struct pfq_flow {
    uint8_t src[16];        /* IPv4 as ::ffff:a.b.c.d */
    uint8_t dst[16];
    uint64_t first_ns;      /* the earliest and the latest time of its packets, ns since 1970 */
    uint64_t last_ns;
    uint64_t packets;
    uint64_t packets_back;
    uint64_t bytes;         /* length on the wire, link-level header included */
    uint64_t bytes_back;
    uint32_t interface;     /* that the first packet came from */
    uint16_t src_port;      /* of TCP and UDP, otherwise 0 */
    uint16_t dst_port;
    uint8_t proto;          /* of layer 4 */
    uint8_t ip_version;     /* 4 or 6 */
    uint8_t tcp_flags;      /* all that were seen */
    uint8_t tcp_flags_back;
    uint8_t end_reason;     /* enum pfq_flow_end */
    uint8_t reserved[3];
};

/* Counts since the table was made. */
struct pfq_flow_stats {
    uint64_t packets; /* that belong to a flow */
    uint64_t not_ip;  /* that belong to none: neither IPv4 nor IPv6, or cut off before the addresses */
    uint64_t flows;   /* begun */
    uint64_t evicted; /* ended because the table was full */
    uint64_t open;    /* in the table now */
};

struct pfq_flow_opts {
    size_t size;         /* sizeof(struct pfq_flow_opts) */
    uint64_t idle_ns;    /* a flow ends when it had no packet for so long */
    uint64_t active_ns;  /* and at its first packet after so long */
    uint32_t max_flows;  /* at the same time, at most 2^28; memory is taken as the table fills */
    uint32_t reserved;
    const uint64_t *seed; /* two numbers that hashes depend on; NULL: random ones */
};

struct pfq_flow_table;

/* Returns 0, -EINVAL (options), -ENOMEM, or what getrandom said. */
int pfq_flow_table_new(struct pfq_flow_table **out, const struct pfq_flow_opts *opts);

/* NULL is allowed. */
void pfq_flow_table_free(struct pfq_flow_table *table);

/*
 * Counts packets for their flows and writes the flows that end meanwhile to `out`, in the order in which they end.
 * Time is that of the packets: it stands still while packets come that are older than one before. A packet
 * without a time counts as of now.
 * Stops early when `cap` flows are written. Returns how many packets are done, `*ended` is how many flows were written.
 */
size_t pfq_flow_table_add(struct pfq_flow_table *table, const struct pfq_record *records,
                          const struct pfq_headers *headers, size_t count, struct pfq_flow *out, size_t cap,
                          size_t *ended);

/* It is `now_ns`, although no packet says so. Returns how many flows were written; `cap` of them: call again. */
size_t pfq_flow_table_expire(struct pfq_flow_table *table, uint64_t now_ns, struct pfq_flow *out, size_t cap);

/* Ends flows, those without a packet for the longest time first. Returns how many were written, 0 when none is left. */
size_t pfq_flow_table_end(struct pfq_flow_table *table, struct pfq_flow *out, size_t cap);

void pfq_flow_table_stats(const struct pfq_flow_table *table, struct pfq_flow_stats *out);

/* declarations: end */

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
