/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flow_store.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_SLOTS = 1024, CACHE_LINE = 64 };

static bool add_chunk(struct store *store)
{
    _Static_assert(sizeof(struct chunk) % CACHE_LINE == 0, "aligned_alloc wants whole lines");
    struct chunk *chunk = aligned_alloc(CACHE_LINE, sizeof *chunk);
    if (!chunk)
        return false;
    store->chunk[store->rows >> CHUNK_BITS] = chunk;
    store->rows += CHUNK_ROWS;
    return true;
}

int pfq_store_open(struct store *store, uint32_t flows)
{
    *store = (struct store){.mask = FIRST_SLOTS - 1, .used = LISTS, .max = flows + LISTS};
    store->slot = calloc(FIRST_SLOTS, sizeof *store->slot);
    store->chunk = calloc((store->max >> CHUNK_BITS) + 1, sizeof *store->chunk);
    if (!store->slot || !store->chunk || !add_chunk(store)) {
        pfq_store_close(store);
        return -ENOMEM;
    }
    for (uint32_t list = 0; list < LISTS; list++)
        *link_at(store, list) = (struct link){list, list};
    return 0;
}

void pfq_store_close(struct store *store)
{
    for (uint32_t i = 0; i < store->rows >> CHUNK_BITS; i++)
        free(store->chunk[i]);
    free(store->chunk);
    free(store->slot);
}

static void put(uint64_t *slots, size_t mask, uint64_t slot)
{
    size_t i = (slot >> 32) & mask;
    while (slots[i])
        i = (i + 1) & mask;
    slots[i] = slot;
}

/* Doubles the index. */
static bool widen(struct store *store)
{
    size_t mask = store->mask * 2 + 1;
    uint64_t *slots = calloc(mask + 1, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i <= store->mask; i++)
        if (store->slot[i])
            put(slots, mask, store->slot[i]);
    free(store->slot);
    store->slot = slots;
    store->mask = mask;
    return true;
}

uint32_t pfq_store_take(struct store *store)
{
    uint32_t number = store->free;
    if (number) {
        store->free = link_at(store, number)->newer;
        return number;
    }
    if (store->used == store->max)
        return 0;
    if ((store->used > store->mask / 2 && !widen(store)) || (store->used == store->rows && !add_chunk(store))) {
        store->max = store->used; /* what there is must do */
        return 0;
    }
    return store->used++;
}

void pfq_store_insert(struct store *store, uint32_t hash, uint32_t number)
{
    put(store->slot, store->mask, (uint64_t)hash << 32 | number);
}

/* Closes the gap, so that no search ends before what it looks for. */
static void take_out(struct store *store, uint32_t number)
{
    size_t mask = store->mask, gap = row_at(store, number)->hash & mask;
    while ((uint32_t)store->slot[gap] != number)
        gap = (gap + 1) & mask;
    for (size_t i = (gap + 1) & mask; store->slot[i]; i = (i + 1) & mask) {
        size_t home = (store->slot[i] >> 32) & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            store->slot[gap] = store->slot[i];
            gap = i;
        }
    }
    store->slot[gap] = 0;
}

void pfq_store_drop(struct store *store, uint32_t number)
{
    take_out(store, number);
    unlink_row(store, number);
    link_at(store, number)->newer = store->free;
    store->free = number;
}
