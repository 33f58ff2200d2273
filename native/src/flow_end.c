/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flow_table.h"

static void copy_out(struct pfq_flow *flow, const struct row *row, enum pfq_flow_end reason)
{
    const struct key *key = &row->key;
    const uint64_t *src = row->swapped ? key->high : key->low, *dst = row->swapped ? key->low : key->high;
    uint16_t low_port = (uint16_t)key->rest, high_port = (uint16_t)(key->rest >> HIGH_PORT_SHIFT);
    *flow = (struct pfq_flow){
        .first_ns = row->first,
        .last_ns = row->last,
        .packets = row->packets[0],
        .packets_back = row->packets[1],
        .bytes = row->bytes[0],
        .bytes_back = row->bytes[1],
        .interface = row->interface,
        .src_port = row->swapped ? high_port : low_port,
        .dst_port = row->swapped ? low_port : high_port,
        .proto = (uint8_t)(key->rest >> PROTO_SHIFT),
        .ip_version = (uint8_t)(key->rest >> VERSION_SHIFT),
        .tcp_flags = row->flags[0],
        .tcp_flags_back = row->flags[1],
        .end_reason = (uint8_t)(row->closed ? PFQ_FLOW_CLOSED : reason),
    };
    memcpy(flow->src, src, sizeof flow->src);
    memcpy(flow->dst, dst, sizeof flow->dst);
}

bool pfq_end_flow(struct pfq_flow_table *table, uint32_t number, enum pfq_flow_end reason, struct sink *sink)
{
    if (sink->count == sink->cap)
        return false;
    struct pfq_flow *flow = &sink->out[sink->count++];
    copy_out(flow, row_at(&table->store, number), reason);
    table->stats.evicted += flow->end_reason == PFQ_FLOW_FULL;
    table->stats.open--;
    pfq_store_drop(&table->store, number);
    return true;
}

bool pfq_end_due(struct pfq_flow_table *table, struct sink *sink)
{
    table->due = UINT64_MAX;
    for (uint32_t list = 0; list < LISTS; list++) {
        uint32_t oldest;
        while ((oldest = oldest_of(&table->store, list)) != list) {
            uint64_t seen = row_at(&table->store, oldest)->seen;
            if (table->now - seen < table->limit_ns[list]) {
                due_by(table, seen, table->limit_ns[list]);
                break;
            }
            if (!pfq_end_flow(table, oldest, PFQ_FLOW_IDLE, sink)) {
                table->due = 0;
                return false;
            }
        }
    }
    return true;
}

uint32_t pfq_oldest_flow(const struct pfq_flow_table *table)
{
    uint32_t closed = oldest_of(&table->store, CLOSED), open = oldest_of(&table->store, OPEN);
    return closed != CLOSED ? closed : open != OPEN ? open : 0;
}

size_t pfq_flow_table_expire(struct pfq_flow_table *table, uint64_t now_ns, struct pfq_flow *out, size_t cap)
{
    struct sink sink = {out, cap, 0};
    if (now_ns > table->now)
        table->now = now_ns;
    if (table->now >= table->due)
        pfq_end_due(table, &sink);
    return sink.count;
}

size_t pfq_flow_table_end(struct pfq_flow_table *table, struct pfq_flow *out, size_t cap)
{
    struct sink sink = {out, cap, 0};
    uint32_t oldest;
    while ((oldest = pfq_oldest_flow(table)) && pfq_end_flow(table, oldest, PFQ_FLOW_END, &sink))
        ;
    return sink.count;
}
