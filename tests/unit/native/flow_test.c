/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flow tables from C, run under the sanitizers: no packet gets lost, whatever the table has room for. */
#include <assert.h>
#include <errno.h>
#include <pfq/flow.h>
#include <stdio.h>
#include <string.h>

enum { PACKETS = 30000, RUN = 700, FLOWS = 5000, ROOM = 16 };

static uint32_t random_state = 1;

static uint32_t roll(uint32_t below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

static struct pfq_headers packet_of(uint32_t flow)
{
    struct pfq_headers packet = {.ip_version = flow % 5 ? 4 : 6, .proto = flow % 2 ? 6 : 17};
    static const uint8_t flags[] = {0x02, 0x10, 0x11, 0x04};
    memset(packet.src + 10, 0xff, 2);
    memset(packet.dst + 10, 0xff, 2);
    memcpy(packet.src + 12, &flow, sizeof flow);
    packet.src_port = (uint16_t)(flow * 7);
    packet.dst_port = 443;
    packet.tcp_flags = flow % 2 ? flags[roll(4)] : 0;
    if (roll(20) == 0)
        packet.ip_version = 0;
    if (roll(2)) {
        struct pfq_headers back = packet;
        memcpy(back.src, packet.dst, sizeof back.src);
        memcpy(back.dst, packet.src, sizeof back.dst);
        back.src_port = packet.dst_port;
        back.dst_port = packet.src_port;
        return back;
    }
    return packet;
}

static uint64_t sum(const struct pfq_flow *flows, size_t count)
{
    uint64_t packets = 0;
    for (size_t i = 0; i < count; i++) {
        assert(flows[i].end_reason >= PFQ_FLOW_IDLE && flows[i].end_reason <= PFQ_FLOW_FULL);
        assert(flows[i].first_ns <= flows[i].last_ns);
        packets += flows[i].packets + flows[i].packets_back;
    }
    return packets;
}

static void run_table(uint32_t max_flows, const uint64_t *seed, uint64_t idle_ns)
{
    struct pfq_flow_opts opts = {sizeof opts, idle_ns, 50000, max_flows, 0, seed};
    struct pfq_flow_table *table = NULL;
    assert(pfq_flow_table_new(&table, &opts) == 0);
    static struct pfq_record records[RUN];
    static struct pfq_headers headers[RUN];
    struct pfq_flow out[ROOM];
    uint64_t now = 1, packets = 0;
    size_t ended;
    for (int left = PACKETS; left > 0; left -= RUN) {
        for (size_t i = 0; i < RUN; i++) {
            records[i] = (struct pfq_record){.ts_ns = roll(50) ? now : 0, .len = 60};
            headers[i] = packet_of(roll(FLOWS));
            now += roll(20);
        }
        for (size_t done = 0; done < RUN;) {
            done += pfq_flow_table_add(table, records + done, headers + done, RUN - done, out, ROOM, &ended);
            assert(done == RUN || ended == ROOM);
            packets += sum(out, ended);
        }
    }
    while ((ended = pfq_flow_table_expire(table, now + 100, out, ROOM)))
        packets += sum(out, ended);
    struct pfq_flow_stats stats;
    pfq_flow_table_stats(table, &stats);
    assert(stats.open <= max_flows && stats.open > 0);
    while ((ended = pfq_flow_table_end(table, out, ROOM)))
        packets += sum(out, ended);
    pfq_flow_table_stats(table, &stats);
    assert(stats.open == 0 && stats.packets == packets);
    assert(stats.packets + stats.not_ip == (PACKETS + RUN - 1) / RUN * RUN);
    pfq_flow_table_free(table);
}

int main(void)
{
    static const uint64_t seed[2] = {0, 0};
    run_table(1, NULL, 1000);
    run_table(37, seed, 1000);
    run_table(1 << 20, NULL, 20000);
    run_table(1 << 20, seed, UINT64_MAX);

    struct pfq_flow_table *table = NULL;
    struct pfq_flow_opts wrong = {sizeof wrong, 0, 1, 1, 0, NULL};
    assert(pfq_flow_table_new(&table, &wrong) == -EINVAL && !table);
    pfq_flow_table_free(NULL);
    puts("ok");
    return 0;
}
