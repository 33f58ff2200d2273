/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rings of a handle: got from pfqd, and given back. */
#include "client.h"

#include <errno.h>
#include <stdio.h>

/* Rings from the descriptors that came: one for each CPU, the reader's page, the doorbell. */
static int take_rings(struct pfq *q, struct json shape)
{
    int rings, error = pfq_take_shape(q, shape);
    struct pfq_endpoint *ep;
    if (error)
        return error;
    if (!pfq_take_number(shape, "rings", MAX_CPUS, &rings) || q->fd_count != (rings ? (unsigned)rings + 2 : 0))
        return pfq_fail(EPROTO, "pfqd sent %u descriptors, not those of the rings", q->fd_count);
    if (rings == 0) /* an egress one */
        return GET(q->egress) ? 0 : pfq_fail(EPROTO, "pfqd made no rings");
    error = pfq_endpoint_open(&ep, PFQ_ENDPOINT_OPTS(.ring_fds = q->fds, .rings = (uint32_t)rings, .slots = (uint32_t)q->slots,
                                                     .slot_bytes = (uint32_t)q->slot_bytes, .consumer_fd = q->fds[rings],
                                                     .doorbell_fd = q->fds[rings + 1], .wake_fd = q->events));
    if (error)
        return error;
    pthread_mutex_lock(&q->small);
    q->ep = ep;
    pthread_mutex_unlock(&q->small);
    return pfq_ready_begin(q);
}

static void drop_rings(struct pfq *q)
{
    pfq_ready_end(q);
    pthread_mutex_lock(&q->small);
    struct pfq_endpoint *ep = q->ep;
    q->ep = NULL;
    pthread_mutex_unlock(&q->small);
    pfq_endpoint_close(ep);
    SET(q->enabled, false);
}

static int ask_to_disable(struct pfq *q)
{
    int error = pfq_begin(q, "endpoint.disable");
    if (error)
        return error;
    pfq_json_put_uint(&q->out, "endpoint", (uint64_t)q->number);
    return pfq_do(q);
}

int pfq_disable(struct pfq *q)
{
    int error = ask_to_disable(q);
    if (error)
        return error;
    drop_rings(q);
    SET(q->groups, 0);
    SET(q->group, -1);
    return 0;
}

int pfq_enable(struct pfq *q)
{
    struct json result;
    if (q && GET(q->enabled))
        return pfq_fail(EINVAL, "the handle is enabled already");
    int error = pfq_begin(q, "endpoint.enable");
    if (error)
        return error;
    q->takes_fds = true;
    pfq_json_put_uint(&q->out, "endpoint", (uint64_t)q->number);
    error = pfq_ask(q, &result);
    bool refused = error && error != -EMFILE && error != -ENOMEM;
    error = pfq_finish(q, error ? error : take_rings(q, result));
    if (!error)
        SET(q->enabled, true);
    if (!error || refused)
        return error;
    /* pfqd has made the rings, and we have not got them. */
    char said[TEXT_BYTES];
    snprintf(said, sizeof said, "%s", pfq_error_last());
    pfq_disable(q);
    return pfq_fail(-error, "%s", said);
}

int pfq_is_enabled(const struct pfq *q)
{
    return q ? GET(q->enabled) : pfq_no_handle();
}
