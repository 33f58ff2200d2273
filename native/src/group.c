/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Groups: their members, and the devices they are bound to. */
#include "client.h"

#include <errno.h>
#include <net/if.h>

/* What reading ended with is over, once the handle has a device again. */
static void revive(struct pfq *q)
{
    int expected = ENODEV;
    __atomic_compare_exchange_n(&q->failed, &expected, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static const char *policy_name(enum pfq_policy policy)
{
    switch (policy) {
    case PFQ_POLICY_UNDEFINED:
        return "undefined";
    case PFQ_POLICY_PRIVATE:
        return "private";
    case PFQ_POLICY_RESTRICTED:
        return "restricted";
    case PFQ_POLICY_SHARED:
        return "shared";
    }
    return NULL;
}

int pfq_join_group(struct pfq *q, int gid, uint64_t class_mask, enum pfq_policy policy)
{
    struct json result, member;
    uint64_t joined;
    const char *name = policy_name(policy);
    if (!name)
        return pfq_fail(EINVAL, "there is no policy %d", (int)policy);
    int error = gid == PFQ_ANY_GROUP ? pfq_begin(q, "group.join") : pfq_begin_group(q, "group.join", gid);
    if (error)
        return error;
    q->once = gid == PFQ_ANY_GROUP;
    pfq_json_put_uint(&q->out, "endpoint", (uint64_t)q->number);
    pfq_json_put_uint(&q->out, "classes", class_mask);
    pfq_json_put_text(&q->out, "policy", name);
    error = pfq_ask(q, &result);
    if (error)
        return pfq_finish(q, error);
    if (!pfq_json_member(result, "group", &member) || !pfq_json_uint(member, MAX_GROUPS - 1, &joined))
        return pfq_finish(q, pfq_fail(EPROTO, "pfqd did not say which group was joined"));
    SET(q->groups, q->groups | UINT64_C(1) << joined);
    if (q->group < 0)
        SET(q->group, (int)joined);
    revive(q);
    return pfq_finish(q, (int)joined);
}

int pfq_leave_group(struct pfq *q, int gid)
{
    struct json result;
    int error = pfq_begin_group(q, "group.leave", gid);
    if (error)
        return error;
    pfq_json_put_uint(&q->out, "endpoint", (uint64_t)q->number);
    error = pfq_ask(q, &result);
    if (!error) {
        SET(q->groups, q->groups & ~(UINT64_C(1) << gid));
        if (q->group == gid)
            SET(q->group, -1);
    }
    return pfq_finish(q, error);
}

static int put_queue(struct pfq *q, int queue)
{
    if (queue < PFQ_ANY_QUEUE)
        return pfq_fail(EINVAL, "there is no queue %d", queue);
    if (queue >= 0)
        pfq_json_put_uint(&q->out, "queue", (uint64_t)queue);
    return 0;
}

static int begin_binding(struct pfq *q, const char *call, int gid, const char *device, int queue)
{
    if (!device)
        return pfq_fail(EINVAL, "there is no name of a device");
    int error = pfq_begin_group(q, call, gid);
    if (error)
        return error;
    pfq_json_put_text(&q->out, "device", device);
    error = put_queue(q, queue);
    return error ? pfq_finish(q, error) : 0;
}

int pfq_bind_group(struct pfq *q, int gid, const char *device, int queue, const struct pfq_bind_opts *o)
{
    if (o && o->size != sizeof *o)
        return pfq_fail(EINVAL, "options of %zu bytes, this library knows %zu", o->size, sizeof *o);
    int error = begin_binding(q, "group.bind", gid, device, queue);
    if (error)
        return error;
    if (o && o->direction)
        pfq_json_put_text(&q->out, "direction", o->direction);
    if (o && o->binding)
        pfq_json_put_text(&q->out, "binding", o->binding);
    if (o && o->hook)
        pfq_json_put_text(&q->out, "hook", o->hook);
    if (o && o->promiscuous)
        pfq_json_put_bool(&q->out, "promiscuous", true);
    error = pfq_do(q);
    if (!error)
        revive(q);
    return error;
}

int pfq_unbind_group(struct pfq *q, int gid, const char *device, int queue)
{
    int error = begin_binding(q, "group.unbind", gid, device, queue);
    return error ? error : pfq_do(q);
}

static int default_group(const struct pfq *q)
{
    if (!q)
        return pfq_no_handle();
    int gid = GET(q->group);
    return gid >= 0 ? gid : pfq_fail(ENOENT, "the handle is in no group");
}

int pfq_bind(struct pfq *q, const char *device, int queue)
{
    int gid = default_group(q);
    return gid < 0 ? gid : pfq_bind_group(q, gid, device, queue, NULL);
}

int pfq_unbind(struct pfq *q, const char *device, int queue)
{
    int gid = default_group(q);
    return gid < 0 ? gid : pfq_unbind_group(q, gid, device, queue);
}

int pfq_set_promisc(struct pfq *q, const char *device, int on)
{
    if (!device)
        return pfq_fail(EINVAL, "there is no name of a device");
    int error = pfq_begin(q, "promiscuous");
    if (error)
        return error;
    pfq_json_put_text(&q->out, "device", device);
    pfq_json_put_bool(&q->out, "on", on);
    return pfq_do(q);
}

int pfq_ifindex(const char *device)
{
    unsigned index = device ? if_nametoindex(device) : 0;
    return index ? (int)index : pfq_fail(ENODEV, "there is no device %s", device ? device : "without a name");
}
