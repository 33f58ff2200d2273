/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formats packets that end where their memory ends, into buffers that end where they must; run under the sanitizers. */
#include <assert.h>
#include <pfq/write.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 5, SECOND_NS = 1000000000 };

static const uint32_t caplens[COUNT] = {0, 5, 96, 3, 64};
static const uint32_t interfaces[2] = {7, 9};

static void make(struct pfq_record *records)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        char *data = malloc(caplens[i] ? caplens[i] : 1);
        memset(data, 'a' + (int)i, caplens[i] ? caplens[i] : 1);
        records[i] = (struct pfq_record){.ts_ns = 3 * (uint64_t)SECOND_NS + 1500 + i, .data = (uintptr_t)data,
                                         .len = 1000, .caplen = caplens[i], .interface = i % 2, .link_type = 1};
    }
}

static void drop(struct pfq_record *records)
{
    for (uint32_t i = 0; i < COUNT; i++)
        free((void *)(uintptr_t)records[i].data);
}

static struct pfq_write job(const struct pfq_record *records, void *buf, size_t cap)
{
    return (struct pfq_write){.records = records, .count = COUNT, .buf = buf, .cap = cap, .limit = UINT64_MAX,
                              .last_ns = UINT64_MAX, .interfaces = interfaces, .interface_count = 2, .unit_ns = 1000,
                              .link_type = 1};
}

static size_t bytes_of(uint32_t caplen, int pcapng)
{
    return pcapng ? 32 + (caplen + 3) / 4 * 4 : 16 + caplen;
}

/* Every size of buffer, on the heap, so that a byte too many is caught. */
static void test_sizes(int pcapng)
{
    struct pfq_record records[COUNT];
    make(records);
    for (size_t cap = 0; cap <= 400; cap++) {
        size_t want = 0;
        uint32_t fit = 0;
        while (fit < COUNT && want + bytes_of(caplens[fit], pcapng) <= cap)
            want += bytes_of(caplens[fit++], pcapng);
        char *buf = malloc(cap ? cap : 1);
        struct pfq_write w = job(records, buf, cap);
        assert((pcapng ? pfq_write_pcapng(&w) : pfq_write_pcap(&w)) == want && w.done == fit);
        assert(w.end == (fit < COUNT ? PFQ_WRITE_FULL : PFQ_WRITE_DONE));
        free(buf);
    }
    drop(records);
}

static void test_chosen(void)
{
    static const uint32_t chosen[] = {3, 1};
    static const uint32_t block[] = {6, 36, 9, 0, 0, 3, 1000, 0x00646464, 36};
    char buf[512];
    struct pfq_record records[COUNT];
    make(records);
    struct pfq_write w = job(records, buf, sizeof buf);
    w.chosen = chosen;
    w.count = 2;
    assert(pfq_write_pcapng(&w) == 36 + 40 && w.done == 2);
    uint32_t got[9];
    memcpy(got, buf, sizeof got);
    assert(((uint64_t)got[3] << 32 | got[4]) == records[3].ts_ns);
    got[3] = got[4] = 0;
    assert(memcmp(got, block, sizeof block) == 0);
    w.done = 1;
    w.unit_ns = 1;
    assert(pfq_write_pcap(&w) == 21);
    memcpy(got, buf, 16);
    assert(got[0] == 3 && got[1] == 1501 && got[2] == 5 && got[3] == 1000 && memcmp(buf + 16, "bbbbb", 5) == 0);
    w.done = 1;
    w.unit_ns = 1000;
    assert(pfq_write_pcap(&w) == 21);
    memcpy(got, buf, 16);
    assert(got[1] == 1);
    drop(records);
}

static void test_ends(void)
{
    char buf[512];
    struct pfq_record records[COUNT];
    make(records);
    struct pfq_write w = job(records, buf, sizeof buf);
    w.limit = 31;
    assert(pfq_write_pcapng(&w) == 32 && w.done == 1 && w.end == PFQ_WRITE_LIMIT);
    w.limit = 40; /* exactly so many bytes are not more */
    assert(pfq_write_pcapng(&w) == 40 + 128 && w.done == 3 && w.end == PFQ_WRITE_LIMIT);
    w.last_ns = records[3].ts_ns;
    assert(pfq_write_pcapng(&w) == 36 && w.done == 4 && w.end == PFQ_WRITE_LATE);
    w.last_ns = UINT64_MAX;
    records[4].interface = 2;
    assert(pfq_write_pcapng(&w) == 0 && w.done == 4 && w.end == PFQ_WRITE_REFUSED);
    records[4].link_type = 101;
    assert(pfq_write_pcap(&w) == 0 && w.done == 4 && w.end == PFQ_WRITE_REFUSED);
    records[4].link_type = 1;
    records[4].ts_ns = ((uint64_t)UINT32_MAX + 1) * SECOND_NS;
    assert(pfq_write_pcap(&w) == 0 && w.end == PFQ_WRITE_REFUSED);
    records[4].ts_ns--;
    assert(pfq_write_pcap(&w) == 80 && w.done == COUNT && w.end == PFQ_WRITE_DONE);
    drop(records);
}

int main(void)
{
    test_sizes(0);
    test_sizes(1);
    test_chosen();
    test_ends();
    puts("ok");
    return 0;
}
