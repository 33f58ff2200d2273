/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer target: the table of flows.
 *
 * The input is the sizes of the table and then packets, eight bytes each. They are counted twice: with room for
 * all flows that end, and with room for a few, other hashes and other runs. Both must give the same flows in the
 * same order, and every packet must be in one of them.
 */
#include <pfq/flow.h>

#include "check.h"

enum { HEAD_BYTES = 4, STEP_BYTES = 8, PACKETS = 2048 };

struct input {
    struct pfq_flow_opts opts;
    struct pfq_record records[PACKETS];
    struct pfq_headers headers[PACKETS];
    size_t count;
    uint64_t ip_packets, ip_bytes;
};

struct outcome {
    uint64_t digest, flows, packets, bytes, evicted;
};

static const uint64_t SECOND_NS = 1000000000;

/* Few addresses and ports, so that packets meet flows. */
static void fill_address(uint8_t *address, uint8_t version, uint8_t host)
{
    if (version == 4)
        address[10] = address[11] = 0xff;
    address[host & 1 ? 15 : 12] = host >> 1 & 7;
}

static void read_packet(struct input *input, const uint8_t *step, uint64_t *now)
{
    size_t i = input->count++;
    struct pfq_headers *headers = &input->headers[i];
    struct pfq_record *record = &input->records[i];
    memset(headers, 0, sizeof *headers);
    /* Time goes forward by up to 65 s, sometimes back, and sometimes there is none. */
    uint64_t step_ns = (uint64_t)step[0] * step[0] * (SECOND_NS / 1000);
    *now = step[1] & 1 && *now > step_ns ? *now - step_ns : *now + step_ns;
    *record = (struct pfq_record){.ts_ns = step[1] & 2 ? 0 : *now, .len = step[2] * 7u, .interface = step[1] >> 6};
    headers->ip_version = (uint8_t[]){4, 6, 0, 4}[step[1] >> 2 & 3];
    if (!headers->ip_version)
        return;
    fill_address(headers->src, headers->ip_version, step[3]);
    fill_address(headers->dst, headers->ip_version, step[3] >> 4);
    headers->proto = step[4] & 1 ? 6 : 17;
    headers->src_port = step[5] & 7;
    headers->dst_port = step[5] >> 4 & 7;
    headers->tcp_flags = headers->proto == 6 ? step[6] : 0;
    input->ip_packets++;
    input->ip_bytes += record->len;
}

static void read_input(struct input *input, const uint8_t *data, size_t size)
{
    input->opts = (struct pfq_flow_opts){.size = sizeof input->opts,
                                         .idle_ns = (data[0] + UINT64_C(1)) * SECOND_NS / 8,
                                         .active_ns = (data[1] + UINT64_C(1)) * SECOND_NS,
                                         .max_flows = data[2] + 1u};
    input->count = 0;
    input->ip_packets = input->ip_bytes = 0;
    uint64_t now = (uint64_t)data[3] << 56; /* up to the end of time */
    for (size_t at = HEAD_BYTES; at + STEP_BYTES <= size && input->count < PACKETS; at += STEP_BYTES)
        read_packet(input, data + at, &now);
}

static void take(struct outcome *outcome, const struct input *input, const struct pfq_flow *flows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct pfq_flow *flow = &flows[i];
        REQUIRE(flow->packets + flow->packets_back > 0 && flow->first_ns <= flow->last_ns);
        REQUIRE(flow->end_reason >= PFQ_FLOW_IDLE && flow->end_reason <= PFQ_FLOW_FULL);
        REQUIRE(flow->end_reason != PFQ_FLOW_CLOSED || flow->proto == 6);
        outcome->digest = mix_bytes(outcome->digest, flow, sizeof *flow);
        outcome->packets += flow->packets + flow->packets_back;
        outcome->bytes += flow->bytes + flow->bytes_back;
        outcome->evicted += flow->end_reason == PFQ_FLOW_FULL;
    }
    outcome->flows += count;
    REQUIRE(outcome->packets <= input->ip_packets);
}

/* Counts all packets, at most `most` of them in a call, with room for `cap` flows. */
static struct outcome count_packets(const struct input *input, uint64_t seed, size_t most, size_t cap)
{
    struct outcome outcome = {0};
    struct pfq_flow_opts opts = input->opts;
    const uint64_t seeds[] = {seed, ~seed};
    opts.seed = seeds;
    struct pfq_flow_table *table;
    REQUIRE(pfq_flow_table_new(&table, &opts) == 0);
    struct pfq_flow_stats stats;
    struct pfq_flow *flows = take_memory(cap * sizeof *flows);
    size_t at = 0, ended = 0;
    while (at < input->count) {
        size_t count = input->count - at < most ? input->count - at : most;
        size_t done = pfq_flow_table_add(table, input->records + at, input->headers + at, count, flows, cap, &ended);
        REQUIRE(done <= count && ended <= cap && (done == count || ended == cap));
        take(&outcome, input, flows, ended);
        pfq_flow_table_stats(table, &stats);
        REQUIRE(stats.open <= opts.max_flows && stats.open + outcome.flows == stats.flows);
        at += done;
    }
    while ((ended = pfq_flow_table_end(table, flows, cap)) > 0)
        take(&outcome, input, flows, ended);
    pfq_flow_table_stats(table, &stats);
    REQUIRE(stats.open == 0 && stats.flows == outcome.flows && stats.evicted == outcome.evicted);
    REQUIRE(stats.packets == input->ip_packets && stats.not_ip == input->count - input->ip_packets);
    REQUIRE(outcome.packets == input->ip_packets && outcome.bytes == input->ip_bytes);
    free(flows);
    pfq_flow_table_free(table);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct input input;
    if (size < HEAD_BYTES)
        return 0;
    read_input(&input, data, size);
    struct outcome one = count_packets(&input, 1, PACKETS, PACKETS);
    struct outcome two = count_packets(&input, data[0] + UINT64_C(2), 1 + data[1] % 40, 1 + data[2] % 3);
    REQUIRE(one.flows == two.flows && one.evicted == two.evicted && one.digest == two.digest);
    return 0;
}
