/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The headers of packets: what generated code leaves for each record of a run, addresses as text, and copies of the
 * bytes.
 */
#ifndef PFQ_HEADERS_H
#define PFQ_HEADERS_H

#include <pfq/record.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* declarations: begin */

/* What was read of one packet's headers; numbers in the order of this machine, what is absent is 0. */
struct pfq_headers {
    uint8_t src[16];      /* source address: IPv6, or IPv4 as ::ffff:a.b.c.d */
    uint8_t dst[16];      /* destination address, likewise */
    uint32_t flow_hash;   /* the same for both directions */
    uint32_t payload_len; /* bytes behind the TCP or UDP header, by the word of the IP header */
    uint16_t src_port;    /* of TCP or UDP */
    uint16_t dst_port;
    uint16_t ether_type;     /* behind at most two VLAN tags */
    uint16_t vlan_tci;       /* outer VLAN tag: its control information */
    uint16_t vlan;           /* outer VLAN tag: its id */
    uint16_t l3_offset;      /* where the IP header begins in the captured bytes */
    uint16_t l4_offset;      /* where the header behind it begins, extension headers skipped */
    uint16_t payload_offset; /* where the bytes behind the TCP or UDP header begin */
    uint8_t ip_version;      /* 4 or 6 when there is a whole IP header */
    uint8_t proto;           /* IP protocol behind any extension headers */
    uint8_t ttl;             /* IPv4 time to live or IPv6 hop limit */
    uint8_t tos;             /* IPv4 type of service or IPv6 traffic class */
    uint8_t tcp_flags;       /* from CWR (0x80) down to FIN (0x01) */
    uint8_t is_fragment;     /* 1 in each fragment of a datagram, the first included */
    uint8_t has;             /* which of the others there are: 1 EtherType, 2 tag, 4 proto, 8 ports, 16 flow hash */
    uint8_t reserved;
};

/* The most bytes that an address takes as text, the byte behind it included. */
#define PFQ_ADDRESS_TEXT 46

/*
 * Writes addresses as text, each ended by a newline: IPv4 addresses (::ffff:a.b.c.d) as a.b.c.d. The addresses have
 * 16 bytes each, `stride` bytes apart; `out` has room for count * PFQ_ADDRESS_TEXT. Returns the bytes written.
 */
size_t pfq_addresses_text(const uint8_t *addresses, size_t stride, size_t count, char *out);

/*
 * Copies the captured bytes of packets into rows of `width` bytes, each filled up with zeros; what does not fit
 * into a row is left out.
 */
void pfq_records_matrix(const struct pfq_record *records, size_t count, uint8_t *out, size_t width);

/*
 * Copies the captured bytes of packets one behind the other, and makes `copies` the records of them there. `out` has
 * room for the sum of all `caplen`.
 */
void pfq_records_copy(const struct pfq_record *records, size_t count, uint8_t *out, struct pfq_record *copies);

/* declarations: end */

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
