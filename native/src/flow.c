/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _DEFAULT_SOURCE
#include "flow_table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

enum { FIN = 0x01, SYN = 0x02, RST = 0x04, ACK = 0x10 };

/* Packets whose keys are made, and whose rows are fetched into the cache, before the first of them is counted. */
enum { AHEAD = 32 };

/* A closed connection stays for its last acknowledgements and for what was sent twice. */
static const uint64_t LINGER_NS = UINT64_C(5000000000);

static const uint32_t MOST_FLOWS = UINT32_C(1) << 28;

/* What a packet is looked up by. */
struct query {
    struct key key;
    uint32_t hash;
    bool swapped; /* the sender stands second in the key */
};

int pfq_flow_table_new(struct pfq_flow_table **out, const struct pfq_flow_opts *opts)
{
    if (!opts || opts->size < sizeof *opts || !opts->idle_ns || !opts->active_ns || !opts->max_flows ||
        opts->max_flows > MOST_FLOWS)
        return -EINVAL;
    struct pfq_flow_table *table = calloc(1, sizeof *table);
    if (!table)
        return -ENOMEM;
    if (opts->seed) {
        memcpy(table->seed, opts->seed, sizeof table->seed);
    } else if (getrandom(table->seed, sizeof table->seed, 0) != (ssize_t)sizeof table->seed) {
        int error = errno;
        free(table);
        return -error;
    }
    if (pfq_store_open(&table->store, opts->max_flows)) {
        free(table);
        return -ENOMEM;
    }
    table->active_ns = opts->active_ns;
    table->limit_ns[OPEN] = opts->idle_ns;
    table->limit_ns[CLOSED] = opts->idle_ns < LINGER_NS ? opts->idle_ns : LINGER_NS;
    table->due = UINT64_MAX;
    *out = table;
    return 0;
}

void pfq_flow_table_free(struct pfq_flow_table *table)
{
    if (!table)
        return;
    pfq_store_close(&table->store);
    free(table);
}

/* A row for a new flow, if need be that of the oldest; 0 when there is no room for that one in the sink. */
static uint32_t make_room(struct pfq_flow_table *table, struct sink *sink)
{
    uint32_t number = pfq_store_take(&table->store);
    if (number || !pfq_end_flow(table, pfq_oldest_flow(table), PFQ_FLOW_FULL, sink))
        return number;
    return pfq_store_take(&table->store);
}

static uint32_t begin_flow(struct pfq_flow_table *table, const struct query *query, const struct pfq_record *record,
                           struct sink *sink)
{
    uint32_t number = make_room(table, sink);
    if (!number)
        return 0;
    *row_at(&table->store, number) = (struct row){
        .key = query->key,
        .hash = query->hash,
        .interface = record->interface,
        .begun = table->now,
        .first = UINT64_MAX,
        .swapped = query->swapped,
    };
    pfq_store_insert(&table->store, query->hash, number);
    append_row(&table->store, OPEN, number);
    due_by(table, table->now, table->limit_ns[OPEN]);
    table->stats.flows++;
    table->stats.open++;
    return number;
}

/* Whether a packet with these TCP flags is not of this flow any more: it is too old, or a connection begins anew. */
static bool begins_another(const struct pfq_flow_table *table, const struct row *row, uint8_t flags)
{
    return table->now - row->begun >= table->active_ns || (row->closed && (flags & (SYN | ACK)) == SYN);
}

static void count_packet(struct pfq_flow_table *table, uint32_t number, bool back, const struct pfq_record *record,
                         uint8_t flags)
{
    struct row *row = row_at(&table->store, number);
    uint64_t at = record->ts_ns ? record->ts_ns : table->now;
    row->first = at < row->first ? at : row->first;
    row->last = at > row->last ? at : row->last;
    row->seen = table->now;
    row->packets[back]++;
    row->bytes[back] += record->len;
    row->flags[back] |= flags;
    bool closes = !row->closed && ((flags & RST) || (row->flags[0] & row->flags[1] & FIN));
    row->closed |= closes;
    unlink_row(&table->store, number);
    append_row(&table->store, row->closed ? CLOSED : OPEN, number);
    if (closes)
        due_by(table, table->now, table->limit_ns[CLOSED]);
    table->stats.packets++;
}

/* Puts one packet in its flow; false, and the packet has to come again, when the sink is full. */
static bool put_packet(struct pfq_flow_table *table, const struct pfq_record *record,
                       const struct pfq_headers *headers, const struct query *query, struct sink *sink)
{
    if (record->ts_ns > table->now)
        table->now = record->ts_ns;
    if (table->now >= table->due && !pfq_end_due(table, sink))
        return false;
    if (!headers->ip_version) {
        table->stats.not_ip++;
        return true;
    }
    uint32_t number = find_row(&table->store, &query->key, query->hash);
    if (number && begins_another(table, row_at(&table->store, number), headers->tcp_flags)) {
        if (!pfq_end_flow(table, number, PFQ_FLOW_ACTIVE, sink))
            return false;
        number = 0;
    }
    if (!number && !(number = begin_flow(table, query, record, sink)))
        return false;
    count_packet(table, number, query->swapped != row_at(&table->store, number)->swapped, record, headers->tcp_flags);
    return true;
}

/* Makes the keys of packets and has the memory that they lead to on its way. */
static void look_ahead(const struct pfq_flow_table *table, const struct pfq_headers *headers, size_t count,
                       struct query *queries)
{
    const struct store *store = &table->store;
    for (size_t i = 0; i < count; i++) {
        queries[i].swapped = make_key(&queries[i].key, &headers[i]);
        queries[i].hash = hash_of(table->seed, &queries[i].key);
        __builtin_prefetch(&store->slot[queries[i].hash & store->mask]);
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t number = (uint32_t)store->slot[queries[i].hash & store->mask];
        if (number) {
            const struct row *row = row_at(store, number);
            __builtin_prefetch(row);
            __builtin_prefetch(&row->first, 1);
            __builtin_prefetch(link_at(store, number), 1);
        }
    }
}

size_t pfq_flow_table_add(struct pfq_flow_table *table, const struct pfq_record *records,
                          const struct pfq_headers *headers, size_t count, struct pfq_flow *out, size_t cap,
                          size_t *ended)
{
    struct sink sink = {out, cap, 0};
    struct query queries[AHEAD];
    size_t done = 0;
    bool room = true;
    while (room && done < count) {
        size_t some = count - done < AHEAD ? count - done : AHEAD;
        look_ahead(table, headers + done, some, queries);
        for (size_t i = 0; i < some && room; i++) {
            room = put_packet(table, &records[done], &headers[done], &queries[i], &sink);
            done += room;
        }
    }
    *ended = sink.count;
    return done;
}

void pfq_flow_table_stats(const struct pfq_flow_table *table, struct pfq_flow_stats *out)
{
    *out = table->stats;
}
