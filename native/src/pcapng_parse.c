/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The newer format, pcapng: sections of blocks (draft-ietf-opsawg-pcapng). */
#include "file.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    INTERFACE = 1,
    OLD_PACKET = 2,
    SIMPLE_PACKET = 3,
    NAMES = 4,
    STATISTICS = 5,
    PACKET = 6,
    JOURNAL = 9,
    SECRETS = 10,
    CUSTOM = 0xbad,
    CUSTOM_NOT_COPIED = 0x40000bad,
    SECTION = 0x0a0d0d0a,
    BYTE_ORDER_MARK = 0x1a2b3c4d,
};

enum { HEAD_BYTES = 8, TAIL_BYTES = 4, SECTION_BYTES = 16, INTERFACE_BYTES = 8, PACKET_BYTES = 20 };
enum { TIMES_BYTES = 12 /* an interface's number and a time */, DEFAULT_RESOLUTION = 6 };
enum { IF_TSRESOL = 9, IF_TSOFFSET = 14 };
enum { ISB_RECEIVED = 4, ISB_DROPPED, ISB_ACCEPTED, ISB_OS_DROPPED, ISB_DELIVERED };

/* One block: its body lies between the two fields of its length. */
struct block {
    const uint8_t *body;
    size_t bytes; /* of the body */
    size_t at;    /* of the block in the run */
};

struct option {
    const uint8_t *value;
    uint16_t code, bytes;
};

static int too_short(const struct pfq_file *file, const struct block *block)
{
    return pfq_damage(file, block->at, "a block too short for its kind");
}

/* The next option, `*at` being its place. Returns 1, or 0 at the end, or -EBADMSG. */
static int next_option(const struct pfq_file *file, const struct block *block, size_t *at, struct option *out)
{
    size_t left = block->bytes - *at;
    if (left < 4)
        return 0;
    const uint8_t *head = block->body + *at;
    *out = (struct option){head + 4, pfq_u16(head, file->big_endian), pfq_u16(head + 2, file->big_endian)};
    if (out->code == 0)
        return 0;
    if (out->bytes > left - 4)
        return pfq_damage(file, block->at, "an option longer than its block");
    size_t padded = ((size_t)out->bytes + 3) & ~(size_t)3; /* fits: what is left is a multiple of 4, too */
    *at += 4 + padded;
    return 1;
}

static int check_options(const struct pfq_file *file, const struct block *block, size_t at)
{
    struct option option;
    int code;
    while ((code = next_option(file, block, &at, &option)) > 0)
        ;
    return code;
}

/* A copy of the options from `at` on, for whoever wants names and comments. NULL when there are none, or too many. */
static const uint8_t *keep_options(struct pfq_file *file, const struct block *block, size_t at, uint32_t *bytes)
{
    size_t size = block->bytes - at;
    uint8_t *copy = NULL;
    if (size && size <= PFQ_LARGEST_RECORD - file->options_kept)
        copy = malloc(size);
    file->info.options_lost |= size && !copy;
    *bytes = copy ? (uint32_t)size : 0;
    if (!copy)
        return NULL;
    file->options_kept += size;
    return memcpy(copy, block->body + at, size);
}

/* A section begins; `file->big_endian` is its byte order already. */
static int section(struct pfq_file *file, const struct block *block)
{
    if (block->bytes < SECTION_BYTES)
        return too_short(file, block);
    unsigned major = pfq_u16(block->body + 4, file->big_endian), minor = pfq_u16(block->body + 6, file->big_endian);
    if (major != 1)
        return pfq_damage(file, block->at, "version %u.%u of pcapng is unknown", major, minor);
    int code = check_options(file, block, SECTION_BYTES);
    if (code < 0)
        return code;
    if (file->info.sections++ == 0) {
        file->info.options = keep_options(file, block, SECTION_BYTES, &file->info.options_bytes);
        file->info.big_endian = file->big_endian;
    }
    file->first = file->count;
    return 0;
}

static int interface(struct pfq_file *file, const struct block *block)
{
    if (block->bytes < INTERFACE_BYTES)
        return too_short(file, block);
    int code = check_options(file, block, INTERFACE_BYTES);
    if (code < 0)
        return code;
    if (file->count == PFQ_MOST_INTERFACES)
        return pfq_damage(file, block->at, "more than %d interfaces", PFQ_MOST_INTERFACES);
    struct pfq_source *source = pfq_source_add(file, pfq_u16(block->body, file->big_endian),
                                               pfq_u32(block->body + 4, file->big_endian));
    if (!source)
        return pfq_no_memory();
    struct pfq_interface *told = &source->told;
    told->resolution = DEFAULT_RESOLUTION;
    told->big_endian = file->big_endian;
    told->options = keep_options(file, block, INTERFACE_BYTES, &told->options_bytes);
    struct option option;
    for (size_t at = INTERFACE_BYTES; next_option(file, block, &at, &option) > 0;) {
        if (option.code == IF_TSRESOL && option.bytes == 1)
            told->resolution = option.value[0];
        else if (option.code == IF_TSOFFSET && option.bytes == 8)
            told->offset_s = (int64_t)pfq_u64(option.value, file->big_endian);
    }
    pfq_clock_set(source);
    return 0;
}

/* The section's interface `number`, or NULL when it has none of that number. */
static inline struct pfq_source *source_of(const struct pfq_file *file, uint32_t number)
{
    return number < file->count - file->first ? &file->sources[file->first + number] : NULL;
}

static int no_source(const struct pfq_file *file, const struct block *block, uint32_t number)
{
    return pfq_damage(file, block->at, "a packet of interface %" PRIu32 ", but the section has %" PRIu32, number,
                      file->count - file->first);
}

/* Counters of an interface; one that does not exist is nobody's fault but theirs, and harmless. */
static int statistics(struct pfq_file *file, const struct block *block)
{
    if (block->bytes < TIMES_BYTES)
        return too_short(file, block);
    struct pfq_source *source = source_of(file, pfq_u32(block->body, file->big_endian));
    struct pfq_interface ignored, *told = source ? &source->told : &ignored;
    uint64_t *const counters[] = {&told->received, &told->dropped, &told->accepted, &told->os_dropped,
                                  &told->delivered};
    struct option option;
    size_t at = TIMES_BYTES;
    int code = check_options(file, block, at);
    while (code == 0 && next_option(file, block, &at, &option) > 0)
        if (option.code >= ISB_RECEIVED && option.code <= ISB_DELIVERED && option.bytes == 8)
            *counters[option.code - ISB_RECEIVED] = pfq_u64(option.value, file->big_endian);
    return code;
}

/* A packet with time; the old kind has a counter of drops in the upper half of its interface's number. */
static inline int packet(struct pfq_file *file, struct pfq_run *run, const struct block *block, bool old)
{
    const uint8_t *body = block->body;
    const bool big_endian = file->big_endian;
    if (block->bytes < PACKET_BYTES)
        return too_short(file, block);
    uint32_t number = old ? pfq_u16(body, big_endian) : pfq_u32(body, big_endian);
    const struct pfq_source *source = source_of(file, number);
    if (!source)
        return no_source(file, block, number);
    uint32_t caplen = pfq_u32(body + 12, big_endian);
    if (caplen > block->bytes - PACKET_BYTES)
        return pfq_damage(file, block->at, "a packet of %" PRIu32 " bytes in a smaller block", caplen);
    uint64_t units = (uint64_t)pfq_u32(body + 4, big_endian) << 32 | pfq_u32(body + 8, big_endian);
    run->out[run->count++] = (struct pfq_record){
        .ts_ns = pfq_time(source, units),
        .data = (uintptr_t)(body + PACKET_BYTES),
        .len = pfq_u32(body + 16, big_endian),
        .caplen = caplen,
        .interface = file->first + number,
        .link_type = source->told.link_type,
    };
    return 0;
}

/* No time and no captured length: what is left at the snap length. */
static int simple_packet(struct pfq_file *file, struct pfq_run *run, const struct block *block)
{
    if (block->bytes < 4)
        return too_short(file, block);
    const struct pfq_source *source = source_of(file, 0);
    if (!source)
        return no_source(file, block, 0);
    uint32_t len = pfq_u32(block->body, file->big_endian);
    uint32_t caplen = source->told.snaplen && source->told.snaplen < len ? source->told.snaplen : len;
    if (caplen > block->bytes - 4)
        return pfq_damage(file, block->at, "a packet of %" PRIu32 " bytes in a smaller block", caplen);
    run->out[run->count++] = (struct pfq_record){
        .data = (uintptr_t)(block->body + 4),
        .len = len,
        .caplen = caplen,
        .interface = file->first,
        .link_type = source->told.link_type,
    };
    return 0;
}

static int other(struct pfq_file *file, struct pfq_run *run, const struct block *block, uint32_t type)
{
    switch (type) {
    case OLD_PACKET:
        return packet(file, run, block, true);
    case SIMPLE_PACKET:
        return simple_packet(file, run, block);
    case SECTION:
        return section(file, block);
    case INTERFACE:
        return interface(file, block);
    case STATISTICS:
        return statistics(file, block);
    case NAMES:
    case JOURNAL:
    case SECRETS:
    case CUSTOM:
    case CUSTOM_NOT_COPIED:
        return 0;
    default:
        if (file->info.skipped++ == 0) {
            file->info.skipped_type = type;
            file->info.skipped_at = file->offset + block->at;
        }
        return 0;
    }
}

/* The byte order of the section that begins here. */
static int read_byte_order(struct pfq_file *file, const struct pfq_run *run, bool *big_endian)
{
    const uint8_t *mark = run->bytes + run->at + HEAD_BYTES;
    *big_endian = pfq_u32(mark, true) == BYTE_ORDER_MARK;
    if (!*big_endian && pfq_u32(mark, false) != BYTE_ORDER_MARK)
        return pfq_damage(file, run->at, "a section header without its byte-order mark");
    return 0;
}

/* The block at `run->at`. Returns 1, 0 when more bytes are wanted, or -EBADMSG. */
static inline int next_block(struct pfq_file *file, const struct pfq_run *run, struct block *block, uint32_t *type)
{
    const uint8_t *head = run->bytes + run->at;
    size_t left = run->size - run->at, least = HEAD_BYTES + TAIL_BYTES;
    if (left < HEAD_BYTES)
        return pfq_want(file, HEAD_BYTES, "a block", 0);
    *type = pfq_u32(head, file->big_endian);
    if (__builtin_expect(*type == SECTION, 0)) {
        if (left < HEAD_BYTES + 4)
            return pfq_want(file, HEAD_BYTES + 4, "a section header", 0);
        int code = read_byte_order(file, run, &file->big_endian);
        if (code < 0)
            return code;
        least += 4;
    }
    uint32_t size = pfq_u32(head + 4, file->big_endian);
    if (size < least || size % 4 || size > PFQ_LARGEST_RECORD)
        return pfq_damage(file, run->at, "a block cannot have %" PRIu32 " bytes", size);
    if (size > left)
        return pfq_want(file, size, "a block", 0);
    if (memcmp(head + 4, head + size - TAIL_BYTES, TAIL_BYTES) != 0)
        return pfq_damage(file, run->at, "the two lengths of a block differ");
    *block = (struct block){head + HEAD_BYTES, size - HEAD_BYTES - TAIL_BYTES, run->at};
    return 1;
}

static inline bool is_packet(uint32_t type)
{
    return type == PACKET || type == OLD_PACKET || type == SIMPLE_PACKET;
}

int pfq_pcapng_run(struct pfq_file *file, struct pfq_run *run)
{
    struct block block = {0};
    uint32_t type = 0;
    int code;
    while ((code = next_block(file, run, &block, &type)) > 0) {
        if (run->count == run->max && is_packet(type))
            return 0;
        code = type == PACKET ? packet(file, run, &block, false) : other(file, run, &block, type);
        if (code < 0)
            return code;
        run->at += block.bytes + HEAD_BYTES + TAIL_BYTES;
    }
    return code;
}
