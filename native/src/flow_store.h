/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a flow table keeps its flows: rows with numbers that never move, an index from keys to rows, and two
 * lists of rows in the order of their last packets.
 */
#ifndef PFQ_FLOW_STORE_H
#define PFQ_FLOW_STORE_H

#include "flow_key.h"

#include <stddef.h>

/* A flow in the table. */
struct row {
    struct key key;
    uint32_t hash;
    uint32_t interface;
    uint64_t seen;  /* the table's time at the last packet */
    uint64_t begun; /* and at the first */
    uint64_t first, last;
    uint64_t packets[2], bytes[2]; /* by direction; [0] is that of the first packet */
    uint8_t flags[2];
    bool swapped; /* the first packet came from the end that stands second in the key */
    bool closed;
    uint8_t unused[12];
};
_Static_assert(sizeof(struct row) == 128, "a row is two cache lines, the first of them to find it by");

/* Neighbours in a list, as numbers of rows; lists are rings through their heads. */
struct link {
    uint32_t older, newer;
};

/* The first rows are the heads of the lists. */
enum { OPEN, CLOSED, LISTS };

enum { CHUNK_BITS = 12, CHUNK_ROWS = 1 << CHUNK_BITS };

struct chunk {
    struct row row[CHUNK_ROWS];
    struct link link[CHUNK_ROWS];
};

/*
 * The index is open addressing with linear probing. A slot holds the hash in its upper half and the number of the
 * row in the lower one, 0 when empty, so that it grows and shrinks without a look at the rows.
 */
struct store {
    uint64_t *slot;
    size_t mask;          /* slots - 1; at most half of them are used */
    struct chunk **chunk; /* memory for all of these pointers is there from the beginning */
    uint32_t rows;        /* in the chunks that are there */
    uint32_t used;        /* rows that were ever used; there is no row beyond */
    uint32_t free;        /* first of the rows that are free again, 0 when none; linked by `newer` */
    uint32_t max;         /* rows there may be, heads of lists included */
};

/* Returns 0 or -ENOMEM. */
int pfq_store_open(struct store *store, uint32_t flows);
void pfq_store_close(struct store *store);

/* Number of a row for a new flow, 0 when there are as many as there may be, or no memory for more. */
uint32_t pfq_store_take(struct store *store);

void pfq_store_insert(struct store *store, uint32_t hash, uint32_t number);

/* Takes the row out of the index and out of its list. */
void pfq_store_drop(struct store *store, uint32_t number);

static inline struct row *row_at(const struct store *store, uint32_t number)
{
    return &store->chunk[number >> CHUNK_BITS]->row[number & (CHUNK_ROWS - 1)];
}

static inline struct link *link_at(const struct store *store, uint32_t number)
{
    return &store->chunk[number >> CHUNK_BITS]->link[number & (CHUNK_ROWS - 1)];
}

static inline void unlink_row(struct store *store, uint32_t number)
{
    struct link *link = link_at(store, number);
    link_at(store, link->older)->newer = link->newer;
    link_at(store, link->newer)->older = link->older;
}

/* Makes the row the newest of a list. */
static inline void append_row(struct store *store, uint32_t list, uint32_t number)
{
    struct link *head = link_at(store, list);
    *link_at(store, number) = (struct link){.older = head->older, .newer = list};
    link_at(store, head->older)->newer = number;
    head->older = number;
}

/* The row that was used least recently, or the list itself when it is empty. */
static inline uint32_t oldest_of(const struct store *store, uint32_t list)
{
    return link_at(store, list)->newer;
}

/* Number of the row with this key, or 0. */
static inline uint32_t find_row(const struct store *store, const struct key *key, uint32_t hash)
{
    for (size_t i = hash & store->mask; store->slot[i]; i = (i + 1) & store->mask)
        if (store->slot[i] >> 32 == hash && same_key(&row_at(store, (uint32_t)store->slot[i])->key, key))
            return (uint32_t)store->slot[i];
    return 0;
}

#endif
