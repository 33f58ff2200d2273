/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was counted for a handle and for groups. */
#include "client.h"

#include <errno.h>

static int take_counter(struct json from, const char *name, uint64_t *out)
{
    struct json member;
    if (pfq_json_member(from, name, &member) && pfq_json_uint(member, UINT64_MAX, out))
        return 0;
    return pfq_fail(EPROTO, "pfqd did not say how many packets were `%s`", name);
}

static int ask_stats(struct pfq *q, struct pfq_stats *out)
{
    struct json r;
    int error = pfq_begin(q, "endpoint.statistics");
    if (error)
        return error;
    pfq_json_put_uint(&q->out, "endpoint", (uint64_t)q->number);
    error = pfq_ask(q, &r);
    if (!error && !(error = take_counter(r, "delivered", &out->delivered)) &&
        !(error = take_counter(r, "lost", &out->lost)))
        error = take_counter(r, "read", &out->read);
    if (!error)
        out->released = out->read;
    return pfq_finish(q, error);
}

int pfq_get_stats(struct pfq *q, struct pfq_stats *out)
{
    if (!q)
        return pfq_no_handle();
    if (GET(q->enabled) && GET(q->egress))
        return ask_stats(q, out);
    pthread_mutex_lock(&q->small);
    bool enabled = q->ep != NULL;
    if (enabled)
        pfq_endpoint_stats(q->ep, out);
    pthread_mutex_unlock(&q->small);
    return enabled ? 0 : pfq_fail(EINVAL, "the handle is not enabled");
}

static int ask_statistics(struct pfq *q, int gid, struct json *result)
{
    int error = pfq_begin_group(q, "group.statistics", gid);
    if (error)
        return error;
    error = pfq_ask(q, result);
    return error ? pfq_finish(q, error) : 0;
}

int pfq_get_group_stats(struct pfq *q, int gid, struct pfq_group_stats *out)
{
    struct json r;
    int error = ask_statistics(q, gid, &r);
    if (error)
        return error;
    if (!(error = take_counter(r, "arrived", &out->arrived)) &&
        !(error = take_counter(r, "filtered", &out->filtered)) &&
        !(error = take_counter(r, "dropped", &out->dropped)) &&
        !(error = take_counter(r, "selected", &out->selected)) &&
        !(error = take_counter(r, "nobody", &out->nobody)) &&
        !(error = take_counter(r, "forwarded", &out->forwarded)) &&
        !(error = take_counter(r, "unsent", &out->unsent)))
        error = take_counter(r, "to_linux", &out->to_linux);
    return pfq_finish(q, error);
}

int pfq_get_group_counters(struct pfq *q, int gid, uint64_t counters[64])
{
    struct json result, list, counter;
    unsigned count = 0;
    int error = ask_statistics(q, gid, &result);
    if (error)
        return error;
    if (pfq_json_member(result, "counters", &list))
        for (struct json rest = pfq_json_items(list); count < PFQ_COUNTERS && pfq_json_next(&rest, &counter); count++)
            if (!pfq_json_uint(counter, UINT64_MAX, &counters[count]))
                break;
    if (count != PFQ_COUNTERS)
        error = pfq_fail(EPROTO, "pfqd did not give %d counters", PFQ_COUNTERS);
    return pfq_finish(q, error);
}
