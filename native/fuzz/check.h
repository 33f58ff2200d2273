/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the fuzz targets share. */
#ifndef PFQ_FUZZ_CHECK_H
#define PFQ_FUZZ_CHECK_H

#include <pfq/record.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must be so for every input; stays in optimised builds. */
#define REQUIRE(condition)                                                          \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

static inline uint64_t mix(uint64_t digest, uint64_t value)
{
    digest = (digest ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return digest ^ digest >> 29;
}

static inline uint64_t mix_bytes(uint64_t digest, const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < size; i++)
        digest = (digest ^ byte[i]) * UINT64_C(0x100000001b3);
    return mix(digest, size);
}

/* Reads all of a record, and gives the same for the same one wherever its bytes lie. */
static inline uint64_t mix_record(uint64_t digest, const struct pfq_record *record)
{
    digest = mix(mix(mix(digest, record->ts_ns), record->len), record->interface);
    digest = mix(digest, (uint64_t)record->link_type << 16 | record->vlan_tci);
    return mix_bytes(digest, (const void *)(uintptr_t)record->data, record->caplen);
}

/* The next number of a sequence that follows from its first one. */
static inline uint64_t draw(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *state >> 33;
}

/* Memory of exactly this size, so that AddressSanitizer sees what goes beyond. */
static inline void *take_memory(size_t size)
{
    void *memory = malloc(size);
    REQUIRE(memory || !size);
    return memory;
}

#endif
