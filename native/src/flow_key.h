/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the packets of a flow have in common, and its hash. */
#ifndef PFQ_FLOW_KEY_H
#define PFQ_FLOW_KEY_H

#include <pfq/headers.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Both directions of a flow have the same key: the smaller of the two ends stands first. */
struct key {
    uint64_t low[2], high[2]; /* addresses */
    uint64_t rest;            /* port of low, port of high, protocol, IP version */
};

enum { HIGH_PORT_SHIFT = 16, PROTO_SHIFT = 32, VERSION_SHIFT = 40 };

static inline bool same_key(const struct key *a, const struct key *b)
{
    return !((a->low[0] ^ b->low[0]) | (a->low[1] ^ b->low[1]) | (a->high[0] ^ b->high[0]) |
             (a->high[1] ^ b->high[1]) | (a->rest ^ b->rest));
}

static inline void swap_when(uint64_t mask, uint64_t *a, uint64_t *b)
{
    uint64_t differing = (*a ^ *b) & mask;
    *a ^= differing;
    *b ^= differing;
}

/* The key of a packet. Returns whether its sender stands second in it. */
static inline bool make_key(struct key *key, const struct pfq_headers *headers)
{
    memcpy(key->low, headers->src, sizeof key->low);
    memcpy(key->high, headers->dst, sizeof key->high);
    uint64_t low_port = headers->src_port, high_port = headers->dst_port;
    bool swapped = key->low[1] != key->high[1]   ? key->low[1] > key->high[1]
                   : key->low[0] != key->high[0] ? key->low[0] > key->high[0]
                                                 : low_port > high_port;
    uint64_t mask = -(uint64_t)swapped; /* which way a packet goes cannot be predicted: no branches */
    swap_when(mask, &key->low[0], &key->high[0]);
    swap_when(mask, &key->low[1], &key->high[1]);
    swap_when(mask, &low_port, &high_port);
    key->rest = low_port | high_port << HIGH_PORT_SHIFT | (uint64_t)headers->proto << PROTO_SHIFT |
                (uint64_t)headers->ip_version << VERSION_SHIFT;
    return swapped;
}

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

/* SipHash-1-3: who does not know the seed cannot make many flows of one hash. */
static inline uint32_t hash_of(const uint64_t seed[2], const struct key *key)
{
    uint64_t v[4] = {seed[0] ^ UINT64_C(0x736f6d6570736575), seed[1] ^ UINT64_C(0x646f72616e646f6d),
                     seed[0] ^ UINT64_C(0x6c7967656e657261), seed[1] ^ UINT64_C(0x7465646279746573)};
    if (key->rest >> VERSION_SHIFT == 4) { /* only the last four bytes of the addresses differ */
        sip_word(v, key->low[1] >> 32 | (key->high[1] >> 32) << 32);
    } else {
        sip_word(v, key->low[0]);
        sip_word(v, key->low[1]);
        sip_word(v, key->high[0]);
        sip_word(v, key->high[1]);
    }
    sip_word(v, key->rest);
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

#endif
