/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer target: packets as capture files have them.
 *
 * The input is a file. Its packets are written in both formats, into buffers of odd sizes, and what is written
 * is read again: it must be the same packets.
 */
#include <pfq/file.h>
#include <pfq/write.h>

#include "check.h"

enum { RECORDS = 256, FILE_BYTES = 1 << 18, SLACK_BYTES = 4096, SECOND_NS = 1000000000 };

/* Packets whose bytes lie in `bytes`. */
struct packets {
    uint8_t *bytes;
    size_t size;
    struct pfq_record records[RECORDS];
    uint32_t count;
};

/* Reads the first packets of a file that is `size` bytes long; damage ends it. */
static void read_packets(struct packets *packets, const uint8_t *data, size_t size)
{
    struct pfq_file *file;
    REQUIRE(pfq_file_new(&file) == 0);
    packets->bytes = take_memory(size);
    packets->size = size;
    packets->count = 0;
    if (size)
        memcpy(packets->bytes, data, size);
    size_t at = 0, used = 1;
    while (used && packets->count < RECORDS) {
        int code = pfq_file_parse(file, packets->bytes + at, size - at, packets->records + packets->count,
                                  RECORDS - packets->count, &used);
        packets->count += code > 0 ? (uint32_t)code : 0;
        at += used;
    }
    pfq_file_free(file);
}

/* Appends a block of pcapng. */
static size_t put_block(uint8_t *out, uint32_t type, const void *body, uint32_t size)
{
    uint32_t bytes = size + 12;
    memcpy(out, &type, 4);
    memcpy(out + 4, &bytes, 4);
    memcpy(out + 8, body, size);
    memcpy(out + 8 + size, &bytes, 4);
    return bytes;
}

/* A section and an interface in ns for each packet, so that link types need no more thought. */
static size_t pcapng_head(uint8_t *out, const struct packets *packets)
{
    static const uint32_t section[] = {0x1a2b3c4d, 1, UINT32_MAX, UINT32_MAX};
    size_t size = put_block(out, 0x0a0d0d0a, section, sizeof section);
    for (uint32_t i = 0; i < packets->count; i++) {
        const uint32_t interface[] = {packets->records[i].link_type, 0, 1 << 16 | 9, 9, 0};
        size += put_block(out + size, 1, interface, sizeof interface);
    }
    return size;
}

static size_t pcap_head(uint8_t *out, uint16_t link_type)
{
    const uint32_t head[] = {0xa1b23c4d, 4 << 16 | 2, 0, 0, 0, link_type};
    memcpy(out, head, sizeof head);
    return sizeof head;
}

/* Writes what is chosen in many calls, each into a buffer of its own. Returns the bytes behind `out`. */
static size_t write_all(struct pfq_write *w, size_t (*write)(struct pfq_write *), uint8_t *out, size_t room,
                        uint64_t *state)
{
    size_t written = 0, least = 0;
    do {
        uint32_t before = w->done;
        w->cap = least + draw(state) % 300;
        w->limit = draw(state) % 4 ? UINT64_MAX : draw(state) % 200;
        w->buf = take_memory(w->cap);
        if (w->cap)
            memset(w->buf, 0xaa, w->cap);
        size_t size = write(w);
        REQUIRE(size <= w->cap && size <= room - written);
        if (size)
            memcpy(out + written, w->buf, size);
        free(w->buf);
        written += size;
        least = w->done == before && w->end == PFQ_WRITE_FULL ? least + 1000 : 0;
    } while (w->end == PFQ_WRITE_FULL || w->end == PFQ_WRITE_LIMIT);
    return written;
}

static void check_pcapng(struct packets *packets, uint8_t *out, uint64_t *state)
{
    uint32_t numbers[RECORDS];
    for (uint32_t i = 0; i < packets->count; i++)
        packets->records[i].interface = numbers[i] = i;
    struct pfq_write w = {.records = packets->records, .count = packets->count, .last_ns = UINT64_MAX,
                          .interfaces = numbers, .interface_count = packets->count};
    size_t head = pcapng_head(out, packets);
    size_t size = head + write_all(&w, pfq_write_pcapng, out + head, FILE_BYTES - head, state);
    REQUIRE(w.end == PFQ_WRITE_DONE && w.done == packets->count);
    struct packets again;
    read_packets(&again, out, size);
    REQUIRE(again.count == packets->count);
    for (uint32_t i = 0; i < again.count; i++) {
        const struct pfq_record *record = &again.records[i];
        const uint8_t *behind = (const uint8_t *)(uintptr_t)record->data + record->caplen;
        REQUIRE(mix_record(0, record) == mix_record(0, &packets->records[i]));
        for (uint32_t pad = record->caplen; pad % 4; pad++)
            REQUIRE(*behind++ == 0);
    }
    free(again.bytes);
}

/* Every second packet, up to the first that classic pcap cannot hold in one file with them. */
static void check_pcap(struct packets *packets, uint8_t *out, uint64_t *state)
{
    uint32_t chosen[RECORDS], count = 0;
    for (uint32_t i = 0; i < packets->count; i += 2)
        chosen[count++] = i;
    uint16_t link_type = packets->records[0].link_type;
    struct pfq_write w = {.records = packets->records, .chosen = chosen, .count = count, .last_ns = UINT64_MAX,
                          .unit_ns = 1, .link_type = link_type};
    size_t head = pcap_head(out, link_type);
    size_t size = head + write_all(&w, pfq_write_pcap, out + head, FILE_BYTES - head, state);
    struct packets again;
    read_packets(&again, out, size);
    REQUIRE(again.count == w.done);
    for (uint32_t i = 0; i < again.count; i++) {
        again.records[i].interface = packets->records[chosen[i]].interface;
        REQUIRE(mix_record(0, &again.records[i]) == mix_record(0, &packets->records[chosen[i]]));
    }
    free(again.bytes);
    REQUIRE(w.end == PFQ_WRITE_DONE || w.end == PFQ_WRITE_REFUSED);
    if (w.end == PFQ_WRITE_REFUSED) {
        const struct pfq_record *refused = &packets->records[chosen[w.done]];
        REQUIRE(refused->link_type != link_type || refused->ts_ns / SECOND_NS > UINT32_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct packets packets;
    uint64_t state = mix_bytes(1, data, size);
    read_packets(&packets, data, size);
    size_t total = SLACK_BYTES;
    for (uint32_t i = 0; i < packets.count; i++)
        total += packets.records[i].caplen + 100;
    if (packets.count && total <= FILE_BYTES) {
        static uint8_t out[FILE_BYTES];
        check_pcapng(&packets, out, &state);
        check_pcap(&packets, out, &state);
    }
    free(packets.bytes);
    return 0;
}
