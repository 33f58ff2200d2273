/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parameters of a handle, and what pfqd says of them. */
#include "client.h"

#include <errno.h>
#include <string.h>

enum { MAX_SLOTS = 1 << 18, MAX_SLOT_BYTES = 65600, MAX_WEIGHT = 8 };

static const char *const clocks[] = {[PFQ_CLOCK_NS] = "ns", [PFQ_CLOCK_COARSE] = "coarse", [PFQ_CLOCK_NONE] = "none"};
enum { CLOCKS = sizeof clocks / sizeof *clocks };

const char *pfq_clock_name(unsigned clock)
{
    return clock < CLOCKS ? clocks[clock] : NULL;
}

bool pfq_take_number(struct json shape, const char *name, uint64_t most, int *out)
{
    struct json member;
    uint64_t number;
    if (!pfq_json_member(shape, name, &member) || !pfq_json_uint(member, most, &number))
        return false;
    SET(*out, (int)number);
    return true;
}

static bool take_clock(struct json shape, int *out)
{
    struct json member;
    char name[16];
    if (!pfq_json_member(shape, "clock", &member) || pfq_json_text(member, name, sizeof name) < 0)
        return false;
    for (int i = 0; i < CLOCKS; i++)
        if (!strcmp(name, clocks[i])) {
            SET(*out, i);
            return true;
        }
    return false;
}

int pfq_take_shape(struct pfq *q, struct json shape)
{
    if (pfq_take_number(shape, "snaplen", UINT16_MAX, &q->snaplen) && pfq_take_number(shape, "slots", MAX_SLOTS, &q->slots) &&
        pfq_take_number(shape, "slot_bytes", MAX_SLOT_BYTES, &q->slot_bytes) && pfq_take_number(shape, "weight", MAX_WEIGHT, &q->weight) &&
        take_clock(shape, &q->clock))
        return 0;
    return pfq_fail(EPROTO, "pfqd did not say what the rings are like");
}

/* endpoint.set with one member, which is the caller's to write; NULL: there is no handle. */
static int begin_set(struct pfq *q)
{
    int error = pfq_begin(q, "endpoint.set");
    if (!error)
        pfq_json_put_uint(&q->out, "endpoint", (uint64_t)q->number);
    return error;
}

static int finish_set(struct pfq *q)
{
    struct json result;
    int error = pfq_ask(q, &result);
    return pfq_finish(q, error ? error : pfq_take_shape(q, result));
}

static int set_number(struct pfq *q, const char *name, uint64_t value)
{
    int error = begin_set(q);
    if (error)
        return error;
    pfq_json_put_uint(&q->out, name, value);
    return finish_set(q);
}

int pfq_set_snaplen(struct pfq *q, uint32_t bytes)
{
    return set_number(q, "snaplen", bytes);
}

int pfq_set_slots(struct pfq *q, uint32_t slots)
{
    return set_number(q, "slots", slots);
}

int pfq_set_weight(struct pfq *q, uint32_t weight)
{
    return set_number(q, "weight", weight);
}

int pfq_set_clock(struct pfq *q, enum pfq_clock clock)
{
    if (!pfq_clock_name(clock))
        return pfq_fail(EINVAL, "there is no clock %u", (unsigned)clock);
    int error = begin_set(q);
    if (error)
        return error;
    pfq_json_put_text(&q->out, "clock", pfq_clock_name(clock));
    return finish_set(q);
}

int pfq_get_snaplen(const struct pfq *q)
{
    return q ? GET(q->snaplen) : pfq_no_handle();
}

int pfq_get_slots(const struct pfq *q)
{
    return q ? GET(q->slots) : pfq_no_handle();
}

int pfq_get_slot_size(const struct pfq *q)
{
    return q ? GET(q->slot_bytes) : pfq_no_handle();
}

int pfq_get_clock(const struct pfq *q)
{
    return q ? GET(q->clock) : pfq_no_handle();
}

int pfq_get_weight(const struct pfq *q)
{
    return q ? GET(q->weight) : pfq_no_handle();
}

int pfq_egress_bind(struct pfq *q, const char *device, int queue)
{
    if (!device)
        return pfq_fail(EINVAL, "there is no name of a device");
    int error = begin_set(q);
    if (error)
        return error;
    pfq_json_put_name(&q->out, "egress");
    pfq_json_put_raw(&q->out, "{");
    pfq_json_put_text(&q->out, "device", device);
    if (queue != PFQ_ANY_QUEUE)
        pfq_json_put_uint(&q->out, "queue", (uint32_t)queue);
    pfq_json_put_raw(&q->out, "}");
    error = finish_set(q);
    if (!error)
        SET(q->egress, true);
    return error;
}

int pfq_egress_unbind(struct pfq *q)
{
    int error = begin_set(q);
    if (error)
        return error;
    pfq_json_put_null(&q->out, "egress");
    error = finish_set(q);
    if (!error)
        SET(q->egress, false);
    return error;
}
