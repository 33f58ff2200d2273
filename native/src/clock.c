/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The times of a capture file, in units of any size and with an offset, as ns since 1970. */
#include "file.h"

enum { POWER_OF_TWO = 0x80, NANO = 9, MOST_DIGITS = 19 /* of a power of ten in 64 bits */ };

static const uint64_t SECOND_NS = 1000000000;

/* A time without its offset: no unit is so long that the seconds would not fit. */
struct instant {
    uint64_t seconds, ns;
};

static uint64_t power_of_ten(unsigned exponent)
{
    uint64_t power = 1;
    while (exponent--)
        power *= 10;
    return power;
}

/* units / 2^exponent seconds, exponent 0 to 127 */
static struct instant binary(uint64_t units, unsigned exponent)
{
    uint64_t seconds = exponent < 64 ? units >> exponent : 0;
    uint64_t part = exponent < 64 ? units - (seconds << exponent) : units;
    uint64_t low = (part & UINT32_MAX) * SECOND_NS;
    if (exponent < 32)
        return (struct instant){seconds, low >> exponent};
    /* part * SECOND_NS has up to 94 bits: its lowest 32 never get over the shift */
    uint64_t high = (part >> 32) * SECOND_NS + (low >> 32);
    return (struct instant){seconds, exponent - 32 < 64 ? high >> (exponent - 32) : 0};
}

/* units / 10^exponent seconds */
static struct instant decimal(uint64_t units, unsigned exponent)
{
    uint64_t second = exponent <= MOST_DIGITS ? power_of_ten(exponent) : 0; /* 0: longer than all units */
    uint64_t seconds = second ? units / second : 0;
    uint64_t part = units - seconds * second;
    if (exponent <= NANO)
        return (struct instant){seconds, part * power_of_ten(NANO - exponent)};
    return (struct instant){seconds, exponent - NANO <= MOST_DIGITS ? part / power_of_ten(exponent - NANO) : 0};
}

uint64_t pfq_clock_slow(const struct pfq_interface *told, uint64_t units)
{
    unsigned exponent = told->resolution & ~POWER_OF_TWO;
    struct instant at = told->resolution & POWER_OF_TWO ? binary(units, exponent) : decimal(units, exponent);
    uint64_t back = told->offset_s < 0 ? 0 - (uint64_t)told->offset_s : 0;
    uint64_t seconds, ns;
    if (at.seconds < back)
        return 0;
    if (__builtin_add_overflow(at.seconds - back, told->offset_s < 0 ? 0 : (uint64_t)told->offset_s, &seconds) ||
        __builtin_mul_overflow(seconds, SECOND_NS, &ns) || __builtin_add_overflow(ns, at.ns, &ns))
        return UINT64_MAX;
    return ns;
}

void pfq_clock_set(struct pfq_source *source)
{
    const struct pfq_interface *told = &source->told;
    source->clock = (struct pfq_clock){.offset_ns = pfq_clock_slow(told, 0)};
    if (told->resolution <= NANO && told->offset_s >= 0) {
        source->clock.factor = power_of_ten(NANO - told->resolution);
        source->clock.limit = (UINT64_MAX - source->clock.offset_ns) / source->clock.factor;
    }
}
