/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to pfqd: who may make them, and how they are put together. */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int pfq_no_handle(void)
{
    return pfq_fail(EINVAL, "there is no handle");
}

int pfq_begin(struct pfq *q, const char *call)
{
    if (!q)
        return pfq_no_handle();
    if (q->pid != getpid())
        return pfq_fail(EPERM, "the handle belongs to process %d; a child opens one of its own", (int)q->pid);
    pthread_mutex_lock(&q->lock);
    q->takes_fds = q->once = false;
    q->out.used = 0;
    q->out.error = 0;
    pfq_json_put_raw(&q->out, "{");
    pfq_json_put_uint(&q->out, "id", ++q->id);
    pfq_json_put_text(&q->out, "call", call);
    return 0;
}

int pfq_ask(struct pfq *q, struct json *result)
{
    pfq_json_put_raw(&q->out, "}");
    if (q->out.error == EILSEQ)
        return pfq_fail(EINVAL, "a text is not UTF-8");
    if (q->out.error)
        return pfq_fail(E2BIG, "the request has more than %d bytes", MESSAGE_BYTES);
    return pfq_session_call(q, !q->once, result);
}

static int put_group(struct pfq *q, int gid)
{
    if (gid < 0 || gid >= MAX_GROUPS)
        return pfq_fail(EINVAL, "groups have numbers from 0 to %d, not %d", MAX_GROUPS - 1, gid);
    pfq_json_put_uint(&q->out, "group", (uint64_t)gid);
    return 0;
}

int pfq_finish(struct pfq *q, int code)
{
    pfq_drop_fds(q);
    pthread_mutex_unlock(&q->lock);
    return code;
}

int pfq_do(struct pfq *q)
{
    struct json result;
    return pfq_finish(q, pfq_ask(q, &result));
}

int pfq_begin_group(struct pfq *q, const char *call, int gid)
{
    int error = pfq_begin(q, call);
    if (error)
        return error;
    error = put_group(q, gid);
    return error ? pfq_finish(q, error) : 0;
}
