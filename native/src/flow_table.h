/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A flow table, and how flows leave it. */
#ifndef PFQ_FLOW_TABLE_H
#define PFQ_FLOW_TABLE_H

#include "flow_store.h"

#include <pfq/flow.h>

struct pfq_flow_table {
    struct store store;
    uint64_t seed[2];
    uint64_t limit_ns[LISTS]; /* how long a row of each list may be without a packet */
    uint64_t active_ns;
    uint64_t now; /* the latest time of a packet */
    uint64_t due; /* nothing ends by itself before */
    struct pfq_flow_stats stats;
};

/* Where ended flows go. */
struct sink {
    struct pfq_flow *out;
    size_t cap, count;
};

/* Takes a flow out of the table; false, and nothing done, when there is no room for it in the sink. */
bool pfq_end_flow(struct pfq_flow_table *table, uint32_t number, enum pfq_flow_end reason, struct sink *sink);

/* Ends the flows whose time is over; false when the sink is full before that is done. */
bool pfq_end_due(struct pfq_flow_table *table, struct sink *sink);

/* The flow without a packet for the longest time; closed connections come first. 0 when there is none. */
uint32_t pfq_oldest_flow(const struct pfq_flow_table *table);

/* Something ends by itself when `limit` has passed since a time. */
static inline void due_by(struct pfq_flow_table *table, uint64_t since, uint64_t limit)
{
    uint64_t at = since + limit < since ? UINT64_MAX : since + limit;
    if (at < table->due)
        table->due = at;
}

#endif
