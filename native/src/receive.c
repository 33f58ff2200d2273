/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting for packets of a handle, and reading them. */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <string.h>

enum { BUSY_NAP_NS = 1000 * 1000 };

static int check(const struct pfq *q)
{
    if (!q)
        return pfq_no_handle();
    return q->ep ? 0 : pfq_fail(EINVAL, "there is nothing to read: the handle is %s",
                                GET(q->enabled) ? "an egress one" : "not enabled");
}

static int failed(struct pfq *q)
{
    return __atomic_load_n(&q->failed, __ATOMIC_ACQUIRE);
}

static int end_with(struct pfq *q, int error)
{
    pthread_mutex_lock(&q->small);
    int code = pfq_fail(error, "%s", q->failure);
    pthread_mutex_unlock(&q->small);
    return code;
}

int pfq_read(struct pfq *q, struct pfq_batch *out, uint32_t max)
{
    int error = check(q);
    if (error)
        return error;
    if (max == 0)
        return pfq_fail(EINVAL, "there is nothing to read into");
    int count = pfq_endpoint_read(q->ep, out, max);
    if (count)
        return count;
    pfq_session_attend(q);
    /* Packets first: what is in the rings now came before the end. */
    error = failed(q);
    count = q->watch >= 0 ? pfq_ready_cool(q) : error ? pfq_look(q->ep) : 0;
    if (count > 0)
        return pfq_endpoint_read(q->ep, out, max);
    return count < 0 || !error ? count : end_with(q, error);
}

/* The same as pfq_poll, for an enabled handle, with a time in ns. */
static int wait_until(struct pfq *q, int64_t end_ns)
{
    for (;;) {
        int error = failed(q);
        int64_t left = end_ns - pfq_now_ns();
        int found = pfq_endpoint_wait(q->ep, error || left < 0 ? 0 : left);
        if (found && found != -ECANCELED)
            return found;
        if (error)
            return end_with(q, error);
        if (!pfq_session_attend(q) && found == -ECANCELED)
            pfq_channel_wait(-1, pfq_now_ns() + BUSY_NAP_NS); /* another thread talks with pfqd */
        if (found == 0 && !failed(q))
            return 0;
    }
}

int pfq_poll(struct pfq *q, int64_t timeout_us)
{
    int64_t now = pfq_now_ns(), longest = (INT64_MAX - now) / 1000;
    int found = check(q);
    if (found)
        return found;
    found = wait_until(q, timeout_us < 0 || timeout_us > longest ? INT64_MAX : now + timeout_us * 1000);
    pfq_ready_heat(q); /* no producer knows any more that somebody sleeps */
    return found;
}

static int next_batch(struct pfq *q, struct pfq_batch *out, uint32_t max, int64_t timeout_us)
{
    int count = pfq_read(q, out, max);
    if (count || timeout_us == 0)
        return count;
    count = pfq_poll(q, timeout_us);
    return count > 0 ? pfq_read(q, out, max) : count;
}

int pfq_release(struct pfq *q, const struct pfq_batch *batch)
{
    int error = check(q);
    return error ? error : pfq_endpoint_release(q->ep, batch->ring, batch->first + batch->count);
}

int pfq_recv(struct pfq *q, void *buf, size_t bytes, struct pfq_batch *out, int64_t timeout_us)
{
    int error = check(q);
    if (error)
        return error;
    size_t stride = q->ep->slot_bytes, room = stride - sizeof(struct pfq_slot);
    if (bytes < stride || (uintptr_t)buf % _Alignof(struct pfq_slot))
        return pfq_fail(EINVAL, "a buffer for packets has room for a slot of %zu bytes, aligned to %zu", stride,
                        _Alignof(struct pfq_slot));
    size_t most = bytes / stride;
    int count = next_batch(q, out, most < UINT32_MAX ? (uint32_t)most : UINT32_MAX, timeout_us);
    if (count <= 0)
        return count;
    for (int i = 0; i < count; i++) {
        const struct pfq_slot *from = pfq_batch_slot(out, (uint32_t)i);
        struct pfq_slot *to = (void *)((char *)buf + (size_t)i * stride);
        *to = *from;
        if (to->caplen > room)
            to->caplen = (uint16_t)room;
        memcpy(to + 1, pfq_slot_data(from), to->caplen);
    }
    error = pfq_release(q, out);
    out->slots = buf;
    return error ? error : count;
}

int pfq_dispatch(struct pfq *q, pfq_callback callback, void *user, int64_t timeout_us)
{
    struct pfq_batch batch;
    if (!callback)
        return pfq_fail(EINVAL, "there is nothing to call back");
    int count = next_batch(q, &batch, UINT32_MAX, timeout_us);
    if (count <= 0)
        return count;
    for (int i = 0; i < count; i++) {
        const struct pfq_slot *slot = pfq_batch_slot(&batch, (uint32_t)i);
        callback(user, slot, pfq_slot_data(slot));
    }
    int error = pfq_release(q, &batch);
    return error ? error : count;
}
