/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PFQ_SRC_FILE_H
#define PFQ_SRC_FILE_H

#include <pfq/file.h>

#include <stdbool.h>
#include <string.h>

enum {
    PFQ_LARGEST_RECORD = 1 << 24, /* a packet or block, bytes; the options that are kept of a whole file, too */
    PFQ_MOST_INTERFACES = 65536,
    PFQ_UNTOLD = 0xff, /* every byte of a counter that the file does not tell */
};

/* The order of a packet's two lengths in pcap, which old versions had the other way round, or either way. */
enum pfq_lengths { PFQ_CAPLEN_FIRST, PFQ_LEN_FIRST, PFQ_SMALLER_IS_CAPLEN };

enum pfq_format { PFQ_FORMAT_UNKNOWN, PFQ_FORMAT_PCAP, PFQ_FORMAT_PCAPNG };

/* Turns the time of a packet into ns: units * factor + offset up to `limit`; what is above, or rare, slowly. */
struct pfq_clock {
    uint64_t limit, factor, offset_ns;
};

struct pfq_source {
    struct pfq_clock clock;
    struct pfq_interface told;
};

struct pfq_file {
    enum pfq_format format;
    bool big_endian;     /* the file, or the section that is being read */
    uint64_t offset;     /* of the next byte that was not used */
    size_t wanted;       /* bytes from there on that are needed in one piece */
    const char *in;      /* what ends there when the file does: "a packet" */
    uint32_t in_head;    /* bytes of it that come before, and are not counted */
    uint32_t head_bytes; /* of the header of a packet in pcap */
    enum pfq_lengths lengths;
    uint32_t unit_ns;    /* of the second time field in pcap */
    uint32_t first;      /* number of the section's first interface */
    uint32_t count, room;
    struct pfq_source *sources;
    size_t options_kept;
    struct pfq_file_info info;
};

/* The bytes that are being parsed, and the records that come of them. */
struct pfq_run {
    const uint8_t *bytes;
    size_t size, at;
    struct pfq_record *out;
    uint32_t max, count;
};

/* Reads packets until there are `max`, the bytes end, or something is wrong: returns 0 or -errno. */
int pfq_pcap_run(struct pfq_file *file, struct pfq_run *run);
int pfq_pcapng_run(struct pfq_file *file, struct pfq_run *run);

/* Reads the header of a pcap file, once all its 24 bytes are there. Returns 0, or -EBADMSG. */
int pfq_pcap_header(struct pfq_file *file, const uint8_t *header);
bool pfq_is_pcap(const uint8_t *magic);

/* A new interface, numbered next. Returns NULL when memory ends; the caller sees to PFQ_MOST_INTERFACES. */
struct pfq_source *pfq_source_add(struct pfq_file *file, uint16_t link_type, uint32_t snaplen);

/* To be called when `told.resolution` or `told.offset_s` were set. */
void pfq_clock_set(struct pfq_source *source);

/* ns since 1970 of any time: what is before 1970 becomes 0, what does not fit in 64 bits UINT64_MAX. */
uint64_t pfq_clock_slow(const struct pfq_interface *told, uint64_t units);

/* Keeps the sentence, with the offset of byte `at` of the run, and returns -EBADMSG. */
int pfq_damage(const struct pfq_file *file, size_t at, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* -ENOMEM, with its sentence */
int pfq_no_memory(void);

/* The run ends for want of bytes: `need` from `at` on, which are the `in` behind `head` bytes. */
static inline int pfq_want(struct pfq_file *file, size_t need, const char *in, uint32_t head)
{
    file->wanted = need;
    file->in = in;
    file->in_head = head;
    return 0;
}

static inline uint16_t pfq_u16(const uint8_t *at, bool big_endian)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return big_endian ? __builtin_bswap16(value) : value;
}

static inline uint32_t pfq_u32(const uint8_t *at, bool big_endian)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return big_endian ? __builtin_bswap32(value) : value;
}

static inline uint64_t pfq_u64(const uint8_t *at, bool big_endian)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return big_endian ? __builtin_bswap64(value) : value;
}

static inline uint64_t pfq_time(const struct pfq_source *source, uint64_t units)
{
    const struct pfq_clock *clock = &source->clock;
    if (__builtin_expect(units <= clock->limit, 1))
        return units * clock->factor + clock->offset_ns;
    return pfq_clock_slow(&source->told, units);
}

#endif
