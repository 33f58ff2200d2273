/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capture files, pcap and pcapng: a parser that is given the bytes of a file in order and makes records
 * of them. It does no input of its own. One thread at a time uses a parser.
 *
 * What is believed: a packet or block has at most 16 MiB, a file at most 65,536 interfaces. A packet
 * may have more bytes than the snap length or than its length on the wire; both stay as the file has them.
 */
#ifndef PFQ_FILE_H
#define PFQ_FILE_H

#include <pfq/record.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* declarations: begin */

/* What a file says of one interface; classic pcap has one. A counter that the file does not tell is UINT64_MAX. */
struct pfq_interface {
    uint64_t received;       /* packets, from the interface statistics blocks */
    uint64_t dropped;        /* by the interface */
    uint64_t accepted;       /* by the filter */
    uint64_t os_dropped;     /* by the operating system */
    uint64_t delivered;      /* to the capturing program */
    int64_t offset_s;        /* added to every time */
    const uint8_t *options;  /* of its block, in the byte order of its section; NULL when there are none */
    uint32_t options_bytes;
    uint32_t snaplen;        /* 0: unlimited */
    uint16_t link_type;
    uint8_t resolution;      /* as if_tsresol: 10 to the minus this, or 2 to the minus the low 7 bits if bit 7 is set */
    uint8_t big_endian;      /* the byte order of the options */
};

/* What is known of the file as a whole. */
struct pfq_file_info {
    uint64_t offset;        /* bytes used so far */
    uint64_t sections;      /* of pcapng */
    uint64_t skipped;       /* blocks of unknown types */
    uint64_t skipped_at;    /* where the first of them lies */
    const uint8_t *options; /* of the first section, in its byte order; NULL when there are none */
    uint32_t options_bytes;
    uint32_t skipped_type;  /* of the first of them */
    uint32_t interfaces;    /* so far; their numbers run on over sections */
    uint8_t format;         /* 0: not known yet, 1: pcap, 2: pcapng */
    uint8_t big_endian;     /* the byte order of the options */
    uint8_t options_lost;   /* options of some interfaces were not kept: over 16 MiB in all */
};

struct pfq_file;

/* Returns 0, or -ENOMEM. */
int pfq_file_new(struct pfq_file **out);

/* NULL is allowed. */
void pfq_file_free(struct pfq_file *file);

/*
 * Makes records, at most `max`, of the packets in `bytes`, which follow the bytes used so far. The records
 * point into `bytes`. Says in `*used` how many bytes are done with: the next call begins with those behind.
 * With `max` 0, reads up to the first packet.
 * Returns how many records. When that is 0 and nothing was used, the packet or block that comes next
 * needs pfq_file_wanted() bytes, or, with `max` 0, is a packet.
 * Returns -EBADMSG for damage, once the packets before it were returned, and -ENOMEM.
 */
int pfq_file_parse(struct pfq_file *file, const void *bytes, size_t size, struct pfq_record *out, uint32_t max,
                   size_t *used);

/* Bytes that the next packet or block needs in one piece, as far as its beginning has told. */
size_t pfq_file_wanted(const struct pfq_file *file);

/*
 * The file ends, and the last call of pfq_file_parse left `left` bytes.
 * Returns 0, or -EBADMSG when that is in the middle of something.
 */
int pfq_file_finish(struct pfq_file *file, size_t left);

/* The pointers are valid until the parser is freed. */
void pfq_file_info(const struct pfq_file *file, struct pfq_file_info *out);

/* Returns 0, or -EINVAL (no such interface). The pointers are valid until the parser is freed. */
int pfq_file_interface(const struct pfq_file *file, uint32_t number, struct pfq_interface *out);

/*
 * Reads a file ahead in a thread of its own. The descriptor stays the caller's, who leaves it alone until
 * pfq_ahead_free. Returns 0, or what pthread_create said (-EAGAIN).
 */
struct pfq_ahead;
int pfq_ahead_new(struct pfq_ahead **out, int fd);

/* Gives a buffer to be filled; it stays untouched by others until it is taken, or until pfq_ahead_free.
 * Returns 0, or -ENOBUFS when 8 are being filled. */
int pfq_ahead_give(struct pfq_ahead *ahead, void *buffer, size_t size);

/*
 * Waits, at most `timeout_ns`, for the oldest buffer that was given, and says in `*filled` how many bytes are
 * in it: fewer than its size only where the file ends. Returns 1, 0 when the time is over, -EINVAL when no buffer
 * was given, or -errno of read(2), once everything before was taken.
 */
int pfq_ahead_take(struct pfq_ahead *ahead, size_t *filled, int64_t timeout_ns);

/* Ends the thread, which finishes the buffer that it is filling. NULL is allowed. */
void pfq_ahead_free(struct pfq_ahead *ahead);

/* How many of the records are not Ethernet frames. */
uint32_t pfq_records_foreign(const struct pfq_record *records, uint32_t count);

/*
 * The records as Ethernet frames. Frames of raw IP, BSD loopback, Linux cooked captures and PPP are copied
 * into `buf` behind an Ethernet header that is made up; of other link types nothing is left: len and
 * caplen are 0, and link_type stays. Ethernet frames stay as they are.
 * Returns the bytes that it needs; when those are more than `cap`, nothing was written.
 */
size_t pfq_records_as_ethernet(const struct pfq_record *records, uint32_t count, struct pfq_record *out, void *buf,
                               size_t cap);

/* declarations: end */

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
