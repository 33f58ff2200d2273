/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The session with pfqd: greeting, requests and answers, events, and a new connection after pfqd had died. */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { CONNECT_MS = 5000, RETRY_MS = 100, RESUME_MS = 10000, LATE_MS = 1000, CLOSE_MS = 2000 };

static int64_t after_ms(int ms)
{
    return pfq_now_ns() + ms * INT64_C(1000000);
}

/* Has the descriptor `events` become readable after so many ms, once; 0: not. */
static void set_retry(struct pfq *q, int ms)
{
    struct itimerspec t = {.it_value = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}};
    timerfd_settime(q->retry, 0, &t, NULL);
}

void pfq_session_fail(struct pfq *q, int error)
{
    pthread_mutex_lock(&q->small);
    snprintf(q->failure, sizeof q->failure, "%s", pfq_error_last());
    pthread_mutex_unlock(&q->small);
    __atomic_store_n(&q->failed, error, __ATOMIC_RELEASE);
    set_retry(q, 1); /* the reader is to learn of it, whichever thread has heard it */
}

void pfq_hang_up(struct pfq *q, int gone)
{
    if (q->control >= 0) {
        epoll_ctl(q->events, EPOLL_CTL_DEL, q->control, NULL);
        close(q->control);
        q->control = -1;
    }
    if (q->state == READY)
        q->lost_ns = pfq_now_ns();
    q->state = gone ? GONE : LOST;
    q->gone = gone;
    if (gone)
        pfq_session_fail(q, gone);
    else
        set_retry(q, RETRY_MS);
}

static int connect_now(struct pfq *q, int64_t end_ns)
{
    int fd = pfq_channel_connect(q->path, end_ns);
    if (fd < 0)
        return fd;
    q->control = fd;
    int error = pfq_greet(q, end_ns);
    if (!error && epoll_ctl(q->events, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN}))
        error = pfq_fail(errno, "watching the connection to pfqd: %s", strerror(errno));
    return error;
}

int pfq_session_open(struct pfq *q)
{
    struct heard heard;
    int error = connect_now(q, after_ms(CONNECT_MS));
    /* Who is not let in may be told so, before it has said anything. */
    if (error && error != -EPIPE && error != -ECONNRESET)
        return error;
    int came = pfq_listen(q, 0, after_ms(q->timeout_ms), &heard);
    if (came == 0 || came == -ECONNRESET)
        return pfq_fail(EACCES, "pfqd at %s does not let user %u in", q->path, (unsigned)geteuid());
    if (came == -EAGAIN)
        return pfq_fail(ETIMEDOUT, "pfqd at %s does not answer", q->path);
    error = came < 0 ? came : pfq_greeted(q, &heard);
    if (!error)
        q->state = READY;
    return error;
}

/* One step towards a connection, or the events of the one there is. Never waits. */
static void step(struct pfq *q)
{
    struct heard heard;
    int came;
    if (q->state == LOST) {
        set_retry(q, RETRY_MS);
        int error = connect_now(q, 0);
        if (error)
            pfq_hang_up(q, 0);
        else
            q->state = GREETING;
    } else if (q->state == GREETING) {
        came = pfq_listen(q, 0, 0, &heard);
        int error = came <= 0 ? came : pfq_greeted(q, &heard);
        if (came > 0 && (error == 0 || error == -ECONNRESET || error == -EPROTO)) {
            set_retry(q, 0);
            if (error)
                pfq_hang_up(q, -error);
            q->state = error ? GONE : READY;
        } else if (came != -EAGAIN && q->state != GONE) {
            pfq_hang_up(q, 0);
        }
    } else if (q->state == READY) {
        while ((came = pfq_listen(q, UINT64_MAX, 0, &heard)) > 0)
            ;
        if (came != -EAGAIN && q->state != GONE)
            pfq_hang_up(q, came == -EPROTO ? EPROTO : 0);
    }
}

bool pfq_session_attend(struct pfq *q)
{
    uint64_t times;
    if (epoll_wait(q->events, &(struct epoll_event){0}, 1, 0) == 0)
        return true;
    if (pthread_mutex_trylock(&q->lock))
        return false; /* who talks hears what comes, too */
    bool due = read(q->retry, &times, sizeof times) > 0;
    if (q->state != LOST || due)
        step(q);
    pthread_mutex_unlock(&q->lock);
    return true;
}

/* Waits until the session is ready: for a while after the connection was lost, and later for a moment. */
static int await(struct pfq *q)
{
    int64_t end_ns = q->lost_ns + RESUME_MS * INT64_C(1000000), late_ns = after_ms(LATE_MS);
    end_ns = end_ns > late_ns ? end_ns : late_ns;
    while (q->state != READY && q->state != GONE) {
        step(q);
        if (q->state == READY || q->state == GONE)
            break;
        int64_t now = pfq_now_ns(), until = after_ms(RETRY_MS);
        if (now >= end_ns)
            return pfq_fail(ECONNRESET, "pfqd went away, and has not come back yet");
        pfq_channel_wait(q->control, until < end_ns ? until : end_ns);
    }
    if (q->state == READY)
        return 0;
    pthread_mutex_lock(&q->small);
    int error = pfq_fail(q->gone, "%s", q->failure);
    pthread_mutex_unlock(&q->small);
    return error;
}

/* The connection failed during a request. Returns whether it is worth another try. */
static bool lost(struct pfq *q, int error)
{
    if (q->state != GONE)
        pfq_hang_up(q, error == -EPROTO ? EPROTO : 0);
    return q->state == LOST;
}

int pfq_session_call(struct pfq *q, bool again, struct json *result)
{
    struct heard heard;
    for (;;) {
        int error = await(q);
        if (error)
            return error;
        int64_t end = after_ms(q->timeout_ms);
        pfq_drop_fds(q);
        error = pfq_channel_send(q->control, q->out.buf, q->out.used, end);
        if (error == -ETIMEDOUT)
            return error;
        int came = error ? 0 : pfq_listen(q, q->id, end, &heard);
        if (came > 0 && heard.kind == HEARD_ERROR)
            return pfq_hear_error(heard.value);
        if (came > 0) {
            *result = heard.value;
            return 0;
        }
        if (came == -EAGAIN)
            return pfq_fail(ETIMEDOUT, "pfqd has not answered in %d ms", q->timeout_ms);
        if (came == -EMFILE || came == -ENOMEM)
            return came;
        if (lost(q, came) && again) {
            again = false;
            continue;
        }
        return q->state == GONE ? await(q) : pfq_fail(ECONNRESET, "pfqd went away during the call; perhaps it was done");
    }
}

void pfq_session_close(struct pfq *q)
{
    struct heard heard;
    if (q->state == LOST)
        step(q); /* a pfqd that is back learns at least that we came and went */
    q->takes_fds = false;
    q->timeout_ms = CLOSE_MS;
    if (q->state == READY && !pfq_channel_send(q->control, q->out.buf, q->out.used, after_ms(CLOSE_MS)))
        pfq_listen(q, q->id, after_ms(CLOSE_MS), &heard);
    if (q->control >= 0)
        close(q->control);
}
