/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames of other link types as Ethernet, so that programs and filters read them. */
#include "file.h"

enum {
    LINK_NULL = 0,
    LINK_ETHERNET = 1,
    LINK_PPP = 9,
    LINK_RAW_BSD = 12,
    LINK_RAW_OPENBSD = 14,
    LINK_RAW = 101,
    LINK_LOOP = 108,
    LINK_SLL = 113,
    LINK_IPV4 = 228,
    LINK_IPV6 = 229,
    LINK_SLL2 = 276,
};

enum { ETHER_BYTES = 14, ADDRESS_BYTES = 6, LEAST_ETHER_TYPE = 0x600, MOST_LENGTH = 1500 };
enum { IPV4 = 0x0800, IPV6 = 0x86dd, MPLS = 0x8847, MPLS_MULTICAST = 0x8848, NOTHING = 0 };
enum { FAMILY_BYTES = 4, SLL_BYTES = 16, SLL2_BYTES = 20 };
enum { SLL_LLC = 4 /* the protocol of 802.2 frames */ };

/* What an Ethernet frame gets in place of the first `skip` bytes. */
struct header {
    uint32_t skip;
    uint16_t type;       /* NOTHING: it cannot be told */
    const uint8_t *from; /* source address, or NULL */
};

static uint16_t big16(const uint8_t *at)
{
    return pfq_u16(at, true);
}

static uint16_t ip_type(const struct pfq_record *record, const uint8_t *data)
{
    if (record->caplen == 0)
        return NOTHING;
    return data[0] >> 4 == 4 ? IPV4 : data[0] >> 4 == 6 ? IPV6 : NOTHING;
}

/* The address families of the systems there are: 2 is IPv4 everywhere, IPv6 has many numbers. */
static uint16_t family_type(uint32_t family)
{
    switch (family) {
    case 2:
        return IPV4;
    case 10: /* Linux */
    case 24: /* NetBSD, OpenBSD */
    case 28: /* FreeBSD */
    case 30: /* macOS */
        return IPV6;
    default:
        return NOTHING;
    }
}

static struct header loopback(const struct pfq_record *record, const uint8_t *data)
{
    if (record->caplen < FAMILY_BYTES)
        return (struct header){0};
    uint16_t type = family_type(pfq_u32(data, true));
    if (type == NOTHING && record->link_type == LINK_NULL) /* in the byte order of whoever captured */
        type = family_type(pfq_u32(data, false));
    return (struct header){FAMILY_BYTES, type, NULL};
}

static uint16_t ppp_type(uint16_t protocol)
{
    switch (protocol) {
    case 0x0021:
        return IPV4;
    case 0x0057:
        return IPV6;
    case 0x0281:
        return MPLS;
    case 0x0283:
        return MPLS_MULTICAST;
    default:
        return NOTHING;
    }
}

/* Address and control may be left out, and so may the upper byte of the protocol. */
static struct header ppp(const struct pfq_record *record, const uint8_t *data)
{
    uint32_t at = record->caplen >= 2 && data[0] == 0xff && data[1] == 0x03 ? 2 : 0;
    uint32_t left = record->caplen - at;
    if (left >= 1 && data[at] & 1)
        return (struct header){at + 1, ppp_type(data[at]), NULL};
    if (left >= 2)
        return (struct header){at + 2, ppp_type(big16(data + at)), NULL};
    return (struct header){0};
}

/* Below the Ethernet types only 802.2 has a place in an Ethernet frame: behind its length. */
static uint16_t cooked_type(uint16_t protocol, uint32_t payload)
{
    if (protocol >= LEAST_ETHER_TYPE)
        return protocol;
    return protocol == SLL_LLC && payload <= MOST_LENGTH ? (uint16_t)payload : NOTHING;
}

static struct header cooked(const struct pfq_record *record, const uint8_t *data)
{
    bool second = record->link_type == LINK_SLL2;
    uint32_t skip = second ? SLL2_BYTES : SLL_BYTES;
    if (record->caplen < skip)
        return (struct header){0};
    uint32_t payload = record->len > skip ? record->len - skip : 0;
    uint16_t type = cooked_type(big16(data + (second ? 0 : 14)), payload);
    uint16_t address_bytes = second ? data[11] : big16(data + 4);
    const uint8_t *from = data + (second ? 12 : 6);
    return (struct header){skip, type, address_bytes >= ADDRESS_BYTES ? from : NULL};
}

static struct header header_of(const struct pfq_record *record)
{
    const uint8_t *data = (const uint8_t *)(uintptr_t)record->data;
    switch (record->link_type) {
    case LINK_RAW:
    case LINK_RAW_BSD:
    case LINK_RAW_OPENBSD:
        return (struct header){0, ip_type(record, data), NULL};
    case LINK_IPV4:
        return (struct header){0, IPV4, NULL};
    case LINK_IPV6:
        return (struct header){0, IPV6, NULL};
    case LINK_NULL:
    case LINK_LOOP:
        return loopback(record, data);
    case LINK_PPP:
        return ppp(record, data);
    case LINK_SLL:
    case LINK_SLL2:
        return cooked(record, data);
    default:
        return (struct header){0};
    }
}

uint32_t pfq_records_foreign(const struct pfq_record *records, uint32_t count)
{
    uint32_t foreign = 0;
    for (uint32_t i = 0; i < count; i++)
        foreign += records[i].link_type != LINK_ETHERNET;
    return foreign;
}

static size_t frame_bytes(const struct pfq_record *record, struct header header)
{
    return header.type == NOTHING ? 0 : ETHER_BYTES + (size_t)(record->caplen - header.skip);
}

/* Writes the frame to `to`, and tells of it in `record`. */
static void convert(struct pfq_record *record, struct header header, uint8_t *to)
{
    if (header.type == NOTHING) {
        record->len = record->caplen = 0;
        return;
    }
    const uint8_t *data = (const uint8_t *)(uintptr_t)record->data;
    memset(to, 0, ETHER_BYTES);
    if (header.from)
        memcpy(to + ADDRESS_BYTES, header.from, ADDRESS_BYTES);
    to[12] = (uint8_t)(header.type >> 8);
    to[13] = (uint8_t)header.type;
    record->caplen -= header.skip;
    record->len = record->len > header.skip ? record->len - header.skip : 0;
    memcpy(to + ETHER_BYTES, data + header.skip, record->caplen);
    record->caplen += ETHER_BYTES;
    record->len = record->len > UINT32_MAX - ETHER_BYTES ? UINT32_MAX : record->len + ETHER_BYTES;
    record->data = (uintptr_t)to;
    record->link_type = LINK_ETHERNET;
}

size_t pfq_records_as_ethernet(const struct pfq_record *records, uint32_t count, struct pfq_record *out, void *buf,
                               size_t cap)
{
    size_t needed = 0;
    for (uint32_t i = 0; i < count; i++)
        if (records[i].link_type != LINK_ETHERNET)
            needed += frame_bytes(&records[i], header_of(&records[i]));
    if (needed > cap)
        return needed;
    uint8_t *to = buf;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = records[i];
        if (records[i].link_type == LINK_ETHERNET)
            continue;
        struct header header = header_of(&records[i]);
        convert(&out[i], header, to);
        if (header.type != NOTHING)
            to += frame_bytes(&records[i], header);
    }
    return needed;
}
