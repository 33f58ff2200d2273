/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Handles: how they are opened and closed. */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { TIMEOUT_MS = 30000 };

static struct pfq *make(const struct pfq_opts *o)
{
    const char *path = o->socket ? o->socket : secure_getenv("PFQ_SOCKET");
    struct pfq *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->pid = getpid();
    q->timeout_ms = o->timeout_ms == 0 || o->timeout_ms > INT32_MAX ? TIMEOUT_MS : (int)o->timeout_ms;
    q->control = q->watch = q->timer = q->group = -1;
    pthread_mutex_init(&q->lock, NULL);
    pthread_mutex_init(&q->small, NULL);
    q->events = epoll_create1(EPOLL_CLOEXEC);
    q->retry = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    q->path = strdup(path && path[0] ? path : PFQ_SOCKET_PATH);
    q->out = (struct json_out){.buf = malloc(MESSAGE_BYTES), .size = MESSAGE_BYTES};
    q->in = malloc(MESSAGE_BYTES);
    return q;
}

static void discard(struct pfq *q)
{
    /* Nothing is taken out of epoll descriptors: in a child they are the parent's, too. */
    pfq_endpoint_close(q->ep);
    int fds[] = {q->events, q->retry, q->watch, q->timer};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pthread_mutex_destroy(&q->lock);
    pthread_mutex_destroy(&q->small);
    free(q->path);
    free(q->out.buf);
    free(q->in);
    free(q->fds);
    free(q);
}

static int prepare(struct pfq *q)
{
    if (q->events < 0 || q->retry < 0)
        return pfq_fail(errno, "descriptors of a handle: %s", strerror(errno));
    if (!q->path || !q->out.buf || !q->in)
        return pfq_fail(ENOMEM, "no memory for a handle");
    if (epoll_ctl(q->events, EPOLL_CTL_ADD, q->retry, &(struct epoll_event){.events = EPOLLIN}))
        return pfq_fail(errno, "descriptors of a handle: %s", strerror(errno));
    return 0;
}

static int open_endpoint(struct pfq *q, const struct pfq_opts *o)
{
    struct json result;
    int error = pfq_begin(q, "endpoint.open");
    if (error)
        return error;
    q->once = true;
    pfq_json_put_bool(&q->out, "enabled", false);
    if (o->snaplen)
        pfq_json_put_uint(&q->out, "snaplen", o->snaplen);
    if (o->slots)
        pfq_json_put_uint(&q->out, "slots", o->slots);
    if (o->weight)
        pfq_json_put_uint(&q->out, "weight", o->weight);
    pfq_json_put_text(&q->out, "clock", pfq_clock_name(o->clock));
    error = pfq_ask(q, &result);
    if (!error)
        error = pfq_take_shape(q, result);
    if (!error && !pfq_take_number(result, "endpoint", INT32_MAX, &q->number))
        error = pfq_fail(EPROTO, "pfqd did not say which end-point it made");
    return pfq_finish(q, error);
}

int pfq_open_nogroup(struct pfq **out, const struct pfq_opts *opts)
{
    static const struct pfq_opts usual = {.size = sizeof usual};
    const struct pfq_opts *o = opts ? opts : &usual;
    if (!out)
        return pfq_fail(EINVAL, "there is no place for the handle");
    *out = NULL;
    if (o->size != sizeof *o)
        return pfq_fail(EINVAL, "options of %zu bytes, this library knows %zu", o->size, sizeof *o);
    if (!pfq_clock_name(o->clock))
        return pfq_fail(EINVAL, "there is no clock %u", o->clock);
    struct pfq *q = make(o);
    if (!q)
        return pfq_fail(ENOMEM, "no memory for a handle");
    int error = prepare(q);
    if (!error)
        error = pfq_session_open(q);
    if (!error)
        error = open_endpoint(q, o);
    if (!error) {
        *out = q;
        return 0;
    }
    if (q->control >= 0)
        close(q->control);
    discard(q);
    return error;
}

int pfq_open_group(struct pfq **out, uint64_t class_mask, enum pfq_policy policy, const struct pfq_opts *opts)
{
    int code = pfq_open_nogroup(out, opts);
    if (code || policy == PFQ_POLICY_UNDEFINED)
        return code;
    code = pfq_join_group(*out, PFQ_ANY_GROUP, class_mask, policy);
    if (code >= 0)
        return 0;
    pfq_close(*out);
    *out = NULL;
    return code;
}

int pfq_open(struct pfq **out, const struct pfq_opts *opts)
{
    return pfq_open_group(out, PFQ_CLASS_DEFAULT, PFQ_POLICY_PRIVATE, opts);
}

void pfq_close(struct pfq *q)
{
    if (!q)
        return;
    if (pfq_begin(q, "endpoint.close") == 0) {
        pfq_json_put_uint(&q->out, "endpoint", (uint64_t)q->number);
        pfq_json_put_raw(&q->out, "}");
        pfq_session_close(q);
        pfq_finish(q, 0);
    } else if (q->control >= 0) {
        close(q->control);
    }
    discard(q);
}

int pfq_id(const struct pfq *q)
{
    return q ? GET(q->number) : pfq_no_handle();
}

int pfq_group_id(const struct pfq *q)
{
    return q ? GET(q->group) : pfq_no_handle();
}

uint64_t pfq_groups_mask(const struct pfq *q)
{
    return q ? GET(q->groups) : 0;
}
