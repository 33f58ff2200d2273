/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread that reads a file into buffers, so that reading goes on while what was read is used. Whoever uses it
 * reads as well instead of waiting: each buffer has its place in the file, and belongs to the side that claims it.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <pfq/file.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 8, SPIN_NS = 20000 };

struct buffer {
    char *start;
    size_t size, filled;
    off_t offset;
    int error;              /* of reading it */
    _Atomic uint64_t ready; /* its number, from 1 on, once it is filled */
};

/* The buffers are a queue, and `given`, `claimed`, `taken` say how many were: given >= claimed >= taken. */
struct pfq_ahead {
    struct buffer buffers[ROOM];
    _Atomic uint64_t given, claimed;
    uint64_t taken;
    off_t offset; /* of the next buffer */
    bool ended;   /* a buffer that was taken met the end of the file, or an error */
    int error;
    atomic_bool stop;
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

/* Tells the other side, which may sleep. */
static void tell(struct pfq_ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    pthread_cond_broadcast(&ahead->changed);
    pthread_mutex_unlock(&ahead->lock);
}

/* Fills one that nobody has begun; false when there is none. */
static bool fill_next(struct pfq_ahead *ahead)
{
    uint64_t number = ahead->claimed;
    do {
        if (number == ahead->given)
            return false;
    } while (!atomic_compare_exchange_weak(&ahead->claimed, &number, number + 1));
    struct buffer *buffer = &ahead->buffers[number % ROOM];
    buffer->filled = 0;
    buffer->error = 0;
    while (buffer->filled < buffer->size && !ahead->stop) {
        ssize_t got = pread(ahead->fd, buffer->start + buffer->filled, buffer->size - buffer->filled,
                            buffer->offset + (off_t)buffer->filled);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            buffer->error = got < 0 ? errno : 0;
            break;
        }
        buffer->filled += (size_t)got;
    }
    buffer->ready = number + 1;
    tell(ahead);
    return true;
}

/* Whether `*counter` becomes `wanted` or more within the time that spinning is cheaper than sleeping. */
static bool spin(const _Atomic uint64_t *counter, uint64_t wanted)
{
    int64_t until = pfq_now_ns() + SPIN_NS;
    while (*counter < wanted) {
        for (int i = 0; i < 16; i++)
            pfq_relax();
        if (pfq_now_ns() > until)
            return false;
    }
    return true;
}

static void *work(void *of)
{
    struct pfq_ahead *ahead = of;
    while (!ahead->stop) {
        uint64_t known = ahead->given;
        if (fill_next(ahead) || spin(&ahead->given, known + 1))
            continue;
        pthread_mutex_lock(&ahead->lock);
        while (ahead->given == known && !ahead->stop)
            pthread_cond_wait(&ahead->changed, &ahead->lock);
        pthread_mutex_unlock(&ahead->lock);
    }
    return NULL;
}

/* Signals are for the other threads. */
static int start(struct pfq_ahead *ahead)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&ahead->thread, NULL, work, ahead);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static void destroy(struct pfq_ahead *ahead)
{
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}

int pfq_ahead_new(struct pfq_ahead **out, int fd)
{
    struct pfq_ahead *ahead = calloc(1, sizeof *ahead);
    if (!ahead)
        return pfq_fail(ENOMEM, "no memory left");
    ahead->fd = fd;
    ahead->offset = lseek(fd, 0, SEEK_CUR);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&ahead->changed, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&ahead->lock, NULL);
    int code = start(ahead);
    if (code != 0) {
        destroy(ahead);
        return pfq_fail(code, "no thread to read with");
    }
    *out = ahead;
    return 0;
}

int pfq_ahead_give(struct pfq_ahead *ahead, void *start, size_t size)
{
    uint64_t given = ahead->given;
    if (given - ahead->taken == ROOM)
        return pfq_fail(ENOBUFS, "%d buffers are being filled", ROOM);
    struct buffer *buffer = &ahead->buffers[given % ROOM];
    buffer->start = start;
    buffer->size = size;
    buffer->offset = ahead->offset;
    ahead->offset += (off_t)size;
    ahead->given = given + 1;
    tell(ahead);
    return 0;
}

/* Sleeps until a buffer is filled, or the time is over. */
static bool wait_ready(struct pfq_ahead *ahead, const struct buffer *buffer, uint64_t number, int64_t timeout_ns)
{
    int64_t until = pfq_now_ns() + timeout_ns;
    struct timespec at = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    int code = 0;
    pthread_mutex_lock(&ahead->lock);
    while (buffer->ready < number && code == 0)
        code = pthread_cond_timedwait(&ahead->changed, &ahead->lock, &at);
    pthread_mutex_unlock(&ahead->lock);
    return buffer->ready == number;
}

int pfq_ahead_take(struct pfq_ahead *ahead, size_t *filled, int64_t timeout_ns)
{
    uint64_t number = ahead->taken + 1;
    if (number > ahead->given)
        return pfq_fail(EINVAL, "no buffer was given");
    const struct buffer *buffer = &ahead->buffers[ahead->taken % ROOM];
    while (buffer->ready < number && fill_next(ahead))
        ;
    if (!spin(&buffer->ready, number) && !wait_ready(ahead, buffer, number, timeout_ns))
        return 0;
    /* What lies behind that is not looked at, though it may have been read: the file may have grown. */
    *filled = ahead->ended ? 0 : buffer->filled;
    if (!ahead->ended && buffer->filled < buffer->size) {
        ahead->ended = true;
        ahead->error = buffer->error;
    }
    if (ahead->error && *filled == 0)
        return pfq_fail(ahead->error, "read failed");
    ahead->taken = number;
    return 1;
}

void pfq_ahead_free(struct pfq_ahead *ahead)
{
    if (!ahead)
        return;
    ahead->stop = true;
    tell(ahead);
    pthread_join(ahead->thread, NULL);
    destroy(ahead);
}
