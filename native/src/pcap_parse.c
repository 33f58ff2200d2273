/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The classic format, pcap: a header, then packets. */
#include "file.h"

#include <inttypes.h>

enum { HEAD_BYTES = 16, MODIFIED_HEAD_BYTES = 24, MICRO = 6, NANO = 9, DG_UX = 543 /* a version */, PREFETCH_BYTES = 1024 };

static const struct variant {
    uint32_t magic;
    uint8_t head_bytes;
    uint8_t resolution;
} variants[] = {
    {0xa1b2c3d4, HEAD_BYTES, MICRO},
    {0xa1b23c4d, HEAD_BYTES, NANO},
    {0xa1b2cd34, MODIFIED_HEAD_BYTES, MICRO}, /* of a patched libpcap: the device and protocol follow the lengths */
};

static const struct variant *variant_of(uint32_t magic)
{
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (variants[i].magic == magic)
            return &variants[i];
    return NULL;
}

bool pfq_is_pcap(const uint8_t *magic)
{
    return variant_of(pfq_u32(magic, false)) || variant_of(pfq_u32(magic, true));
}

int pfq_pcap_header(struct pfq_file *file, const uint8_t *header)
{
    bool big_endian = !variant_of(pfq_u32(header, false));
    const struct variant *variant = variant_of(pfq_u32(header, big_endian));
    unsigned major = pfq_u16(header + 4, big_endian), minor = pfq_u16(header + 6, big_endian);
    if (major != 2 && !(major == DG_UX && minor == 0))
        return pfq_damage(file, 0, "version %u.%u of pcap is unknown", major, minor);
    /* What lies above the 16 bits of the link type tells the length of the frame check sequence. */
    uint16_t link_type = (uint16_t)pfq_u32(header + 20, big_endian);
    struct pfq_source *source = pfq_source_add(file, link_type, pfq_u32(header + 16, big_endian));
    if (!source)
        return pfq_no_memory();
    source->told.resolution = variant->resolution;
    pfq_clock_set(source);
    file->big_endian = big_endian;
    file->lengths = major != 2 || minor < 3 ? PFQ_LEN_FIRST : minor == 3 ? PFQ_SMALLER_IS_CAPLEN : PFQ_CAPLEN_FIRST;
    file->head_bytes = variant->head_bytes;
    file->unit_ns = variant->resolution == NANO ? 1 : 1000;
    return 0;
}

struct lengths {
    uint32_t caplen, len;
};

static inline struct lengths lengths_of(const uint8_t *head, bool big_endian, enum pfq_lengths order)
{
    uint32_t first = pfq_u32(head + 8, big_endian), second = pfq_u32(head + 12, big_endian);
    if (order == PFQ_LEN_FIRST || (order == PFQ_SMALLER_IS_CAPLEN && first > second))
        return (struct lengths){second, first};
    return (struct lengths){first, second};
}

/* The packet at `run->at` cannot be read: says why. */
static int stop(struct pfq_file *file, struct pfq_run *run)
{
    const uint8_t *head = run->bytes + run->at;
    if (run->size - run->at < file->head_bytes)
        return pfq_want(file, file->head_bytes, "the header of a packet", 0);
    uint32_t caplen = lengths_of(head, file->big_endian, file->lengths).caplen;
    if (caplen > PFQ_LARGEST_RECORD)
        return pfq_damage(file, run->at, "a length of %" PRIu32 " bytes is not credible", caplen);
    return pfq_want(file, file->head_bytes + (size_t)caplen, "a packet", file->head_bytes);
}

static inline __attribute__((always_inline)) int read_packets(struct pfq_file *file, struct pfq_run *run,
                                                              bool big_endian, enum pfq_lengths order)
{
    const size_t head_bytes = file->head_bytes;
    const uint64_t unit_ns = file->unit_ns;
    const uint16_t link_type = file->sources[0].told.link_type;
    const uint8_t *head = run->bytes + run->at, *const end = run->bytes + run->size;
    struct pfq_record *out = run->out, *const full = out + run->max;
    while (out < full && (size_t)(end - head) >= head_bytes) {
        __builtin_prefetch(head + PREFETCH_BYTES);
        struct lengths lengths = lengths_of(head, big_endian, order);
        if (lengths.caplen > (size_t)(end - head) - head_bytes || lengths.caplen > PFQ_LARGEST_RECORD)
            break;
        *out++ = (struct pfq_record){
            .ts_ns = pfq_u32(head, big_endian) * UINT64_C(1000000000) + pfq_u32(head + 4, big_endian) * unit_ns,
            .data = (uintptr_t)(head + head_bytes),
            .len = lengths.len,
            .caplen = lengths.caplen,
            .link_type = link_type,
        };
        head += head_bytes + lengths.caplen;
    }
    run->at = (size_t)(head - run->bytes);
    run->count = (uint32_t)(out - run->out);
    return out < full ? stop(file, run) : 0;
}

int pfq_pcap_run(struct pfq_file *file, struct pfq_run *run)
{
    if (file->lengths != PFQ_CAPLEN_FIRST)
        return read_packets(file, run, file->big_endian, file->lengths);
    return file->big_endian ? read_packets(file, run, true, PFQ_CAPLEN_FIRST)
                            : read_packets(file, run, false, PFQ_CAPLEN_FIRST);
}
