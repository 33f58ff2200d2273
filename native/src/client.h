/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of pfqd's client share. */
#ifndef PFQ_CLIENT_H
#define PFQ_CLIENT_H

#include "internal.h"
#include "json.h"

#include <pfq/pfq.h>
#include <pthread.h>
#include <sys/types.h>

enum {
    MESSAGE_BYTES = 131072,
    MESSAGE_FDS = 253,  /* no message has more: SCM_MAX_FD of the kernel */
    MAX_CPUS = 8192,
    TOKEN_BYTES = 64,
    MAX_GROUPS = 64,
    TEXT_BYTES = 2048,  /* of an error */
    PROTOCOL_VERSION = 1,
};

enum state {
    LOST,     /* there is no connection; one is sought */
    GREETING, /* it is there, and the answer to `hello` is not */
    READY,
    GONE,     /* for good: pfqd does not know the session any more */
};

/* A message as it came; its text is in the handle's `in`. */
struct message {
    size_t size;
    unsigned fd_count;
    int fds[MESSAGE_FDS];
};

/* What a message says. */
struct heard {
    enum { HEARD_NONSENSE, HEARD_RESULT, HEARD_MORE, HEARD_ERROR, HEARD_FAILED, HEARD_STOPPING, HEARD_OTHER } kind;
    uint64_t id;       /* of a result, a part of one, or an error; UINT64_MAX: of no request */
    uint64_t endpoint; /* that failed */
    struct json value; /* the result or the error */
};

struct pfq {
    pid_t pid;
    int timeout_ms;
    char *path; /* of the socket */

    /* The connection: who holds the lock talks. */
    pthread_mutex_t lock;
    enum state state;
    int gone; /* errno, when GONE */
    int control;
    int events; /* epoll descriptor: readable when the connection has something or `retry` says so */
    int retry;  /* timer: while there is no connection, and to have the reader look here */
    int64_t lost_ns;
    char token[TOKEN_BYTES + 1];
    uint64_t id; /* of the last request */
    struct json_out out;
    char *in;
    int *fds; /* that came with the answer */
    unsigned fd_count;
    bool takes_fds; /* the request asks for some */
    bool once;      /* it must not be made twice */

    /* Read by any thread, with __atomic_load_n; written by who holds the lock. */
    int number, group, clock, weight, snaplen, slots, slot_bytes;
    bool enabled, egress;
    uint64_t groups;

    /* Guards `ep` against pfq_get_stats, and the text. */
    pthread_mutex_t small;
    int failed; /* errno that reading ends with; atomic */
    char failure[TEXT_BYTES];

    /* The reading thread's. */
    struct pfq_endpoint *ep;
    int watch;  /* epoll descriptor of pfq_fd; -1 until it is asked for */
    int timer;  /* in it: expired while there may be packets, or runs for the first sleep */
    bool hot;   /* it is expired, and stays so until there is nothing to read */
    int64_t settled_ns; /* from then on every producer knows that the reader sleeps */
};

#define GET(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define SET(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELAXED)

/* channel.c */

/* A descriptor connected to the socket, not blocking, or -errno. Tries until `end_ns` when pfqd is busy. */
int pfq_channel_connect(const char *path, int64_t end_ns);
/* Sends one message, with a time limit. 0 or -errno. */
int pfq_channel_send(int fd, const void *message, size_t size, int64_t end_ns);
/* The next message; 1, 0 when the connection is at its end, -EAGAIN when none came in time, -errno. */
int pfq_channel_receive(int fd, char *text, struct message *out, int64_t end_ns);
/* Waits for input until `end_ns`. */
void pfq_channel_wait(int fd, int64_t end_ns);
void pfq_close_all(int *fds, unsigned count);

/* hear.c */

/* Reads a message of pfqd; pfq_error_last() says what is wrong with nonsense. */
struct heard pfq_hear(const char *text, size_t size);
/* Keeps what an error of pfqd says for pfq_error_last. Returns -errno. */
int pfq_hear_error(struct json error);

/* greet.c */

/* Says `hello` on a new connection, and with a token whose session it is. 0 or -errno. */
int pfq_greet(struct pfq *q, int64_t end_ns);
/* What came of it. 0, -ECONNRESET: it does not know the session, -errno. */
int pfq_greeted(struct pfq *q, const struct heard *heard);

/* listen.c */

/*
 * The next message that answers request `id`, or any event when `id` is UINT64_MAX. Events are heeded on
 * the way. 1, 0: the connection has ended, -EAGAIN: nothing in time, -errno: it is broken.
 */
int pfq_listen(struct pfq *q, uint64_t id, int64_t end_ns, struct heard *heard);
/* Closes the descriptors that came with an answer. */
void pfq_drop_fds(struct pfq *q);

/* session.c; all but the first two with the lock held */

/* Connects for the first time. 0 or -errno. */
int pfq_session_open(struct pfq *q);
/* What the reading thread does for the connection: events, and finding pfqd again. False: another thread has the lock. */
bool pfq_session_attend(struct pfq *q);
/* Sends the request in `out` and waits for its answer. 0 and the result, or -errno. `again`: it may be done twice. */
int pfq_session_call(struct pfq *q, bool again, struct json *result);
/* Lets pfqd know that the end-point is not needed any more, however it is with the connection. */
void pfq_session_close(struct pfq *q);
/* There is no connection any more, and with an error none is sought. */
void pfq_hang_up(struct pfq *q, int gone);
/* Reading ends with this error, for which pfq_error_last() has the text. */
void pfq_session_fail(struct pfq *q, int error);

/* request.c: says that the handle is NULL; takes the lock and begins a request; sends it; gives the lock back. All return 0 or -errno. */

int pfq_no_handle(void);
int pfq_begin(struct pfq *q, const char *call);
int pfq_ask(struct pfq *q, struct json *result);
int pfq_finish(struct pfq *q, int code);
/* Asks and finishes. */
int pfq_do(struct pfq *q);
/* Begins a request about a group. */
int pfq_begin_group(struct pfq *q, const char *call, int gid);

/* parameters.c */

/* NULL: there is no such clock. */
const char *pfq_clock_name(unsigned clock);
/* A number of an answer; false when it is none up to `most`. */
bool pfq_take_number(struct json from, const char *name, uint64_t most, int *out);
/* Keeps what pfqd says of an end-point. 0 or -EPROTO. */
int pfq_take_shape(struct pfq *q, struct json shape);

/* ready.c */

/* pfq_fd's descriptor learns of rings, of their end, and that there may be packets. Nothing when nobody asked for it. */
int pfq_ready_begin(struct pfq *q);
void pfq_ready_end(struct pfq *q);
void pfq_ready_heat(struct pfq *q);
/* Reading found nothing: looks once more, and cools. 1: there are packets after all; 0; -EPROTO. */
int pfq_ready_cool(struct pfq *q);

#endif
