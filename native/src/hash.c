/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hash of steer_flow in C. What is read of a frame, and what not, is as in src/pfq/lang/packet.py. */
#include <pfq/pfq.h>

#include <stdbool.h>
#include <string.h>

enum {
    WINDOW = 512,
    ETHERNET_BYTES = 14,
    TAG_BYTES = 4,
    MAX_TAGS = 2,
    MAX_EXTENSIONS = 8,
    PORTS_BYTES = 8, /* of a TCP or UDP header that must be there */
    TCP = 6,
    UDP = 17,
    FRAGMENT = 44,
    AH = 51,
    UNKNOWN = -1,
};

struct frame {
    const uint8_t *at;
    size_t size;
};

/* Where layer 4 is, and what. */
struct layer4 {
    int proto;
    size_t offset;
    bool fragment;
};

static unsigned number(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static uint32_t words(const uint8_t *at, size_t size)
{
    uint32_t hash = 0, word;
    for (size_t i = 0; i < size; i += sizeof word) {
        memcpy(&word, at + i, sizeof word);
        hash ^= word;
    }
    return hash;
}

static uint32_t ports_of(const struct frame *f, size_t offset)
{
    uint16_t ports[2];
    memcpy(ports, f->at + offset, sizeof ports);
    return (uint32_t)ports[0] ^ ports[1];
}

static bool is_extension(int proto)
{
    return proto == 0 || proto == 43 || proto == FRAGMENT || proto == AH || proto == 60 || proto == 135;
}

static struct layer4 walk_extensions(const struct frame *f, int proto, size_t at)
{
    struct layer4 unknown = {.proto = UNKNOWN};
    bool fragment = false;
    for (int i = 0; i < MAX_EXTENSIONS && is_extension(proto); i++) {
        if (f->size < at + 8)
            return unknown;
        const uint8_t *head = f->at + at;
        if (proto == FRAGMENT) {
            fragment = fragment || (number(head + 2) & 0xfff9);
            if (number(head + 2) & 0xfff8)
                return (struct layer4){.proto = head[0], .fragment = true};
            at += 8;
        } else {
            at += proto == AH ? (head[1] + 2u) * 4 : (head[1] + 1u) * 8;
        }
        proto = head[0];
    }
    return is_extension(proto) ? unknown : (struct layer4){proto, at, fragment};
}

static uint32_t with_ports(const struct frame *f, const struct layer4 *l4, uint32_t addresses)
{
    if ((l4->proto != TCP && l4->proto != UDP) || l4->fragment)
        return addresses;
    return f->size < l4->offset + PORTS_BYTES ? 0 : addresses ^ ports_of(f, l4->offset);
}

static uint32_t hash4(const struct frame *f, size_t at)
{
    const uint8_t *ip = f->at + at;
    if (f->size < at + 20 || ip[0] >> 4 != 4)
        return 0;
    size_t size = (ip[0] & 15) * 4u;
    if (size < 20 || f->size < at + size)
        return 0;
    struct layer4 l4 = {ip[9], at + size, (number(ip + 6) & 0x3fff) != 0};
    return with_ports(f, &l4, words(ip + 12, 8));
}

static uint32_t hash6(const struct frame *f, size_t at)
{
    const uint8_t *ip = f->at + at;
    if (f->size < at + 40 || ip[0] >> 4 != 6)
        return 0;
    struct layer4 l4 = walk_extensions(f, ip[6], at + 40);
    return with_ports(f, &l4, words(ip + 8, 32));
}

uint32_t pfq_symmetric_hash(const void *bytes, size_t size)
{
    struct frame f = {bytes, size < WINDOW ? size : WINDOW};
    size_t at = ETHERNET_BYTES;
    if (f.size < at)
        return 0;
    unsigned type = number(f.at + at - 2);
    for (int tags = 0; tags < MAX_TAGS && (type == 0x8100 || type == 0x88a8); tags++) {
        at += TAG_BYTES;
        if (f.size < at)
            return 0;
        type = number(f.at + at - 2);
    }
    return type == 0x0800 ? hash4(&f, at) : type == 0x86dd ? hash6(&f, at) : 0;
}

/* Spreads a hash over 32 bits: the mixing of the original PFQ since 2017, and of steering tables. */
static uint32_t mix(uint32_t a)
{
    a = (a ^ UINT32_C(0xdeadbeef)) + (a << 4);
    a ^= a >> 10;
    a += a << 7;
    return a ^ a >> 13;
}

uint32_t pfq_fold(uint32_t hash, uint32_t n)
{
    uint32_t a = mix(hash);
    if (n <= 1)
        return 0;
    if ((n & (n - 1)) == 0)
        return a & (n - 1);
    if (n < 8)
        return a % n;
    /* What falls into the power of two above but not below `n` is spread once more. */
    uint32_t above = UINT32_MAX >> __builtin_clz(n);
    return (a & above) < n ? a & above : a % n;
}
