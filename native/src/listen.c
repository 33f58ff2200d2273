/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of pfqd as they come: the answer that somebody waits for, and events on the way. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void pfq_drop_fds(struct pfq *q)
{
    pfq_close_all(q->fds, q->fd_count);
    q->fd_count = 0;
}

static bool keep_fds(struct pfq *q, const struct message *m)
{
    enum { MOST = MAX_CPUS + 2 };
    if (m->fd_count == 0)
        return true;
    int *grown = realloc(q->fds, (q->fd_count + m->fd_count) * sizeof *grown);
    if (grown)
        q->fds = grown;
    if (!grown || q->fd_count + m->fd_count > MOST)
        return false;
    memcpy(q->fds + q->fd_count, m->fds, m->fd_count * sizeof *grown);
    q->fd_count += m->fd_count;
    return true;
}

static void heed(struct pfq *q, const struct heard *heard)
{
    if (heard->kind == HEARD_STOPPING) {
        pfq_fail(ESHUTDOWN, "pfqd was stopped, and took everything down");
        pfq_hang_up(q, ESHUTDOWN);
    } else if (heard->kind == HEARD_FAILED && heard->endpoint == (uint64_t)GET(q->number)) {
        pfq_hear_error(heard->value);
        pfq_session_fail(q, ENODEV);
    }
}

int pfq_listen(struct pfq *q, uint64_t id, int64_t end_ns, struct heard *heard)
{
    for (;;) {
        struct message m;
        int came = pfq_channel_receive(q->control, q->in, &m, end_ns);
        if (came <= 0)
            return came;
        *heard = pfq_hear(q->in, m.size);
        bool answer = heard->kind >= HEARD_RESULT && heard->kind <= HEARD_ERROR;
        bool kept = answer && heard->id == id && q->takes_fds && keep_fds(q, &m);
        if (!kept)
            pfq_close_all(m.fds, m.fd_count);
        if (heard->kind == HEARD_NONSENSE)
            return -EPROTO;
        if (heard->kind == HEARD_ERROR && heard->id == UINT64_MAX)
            return pfq_hear_error(heard->value);
        if (answer && heard->id == id) {
            if (m.fd_count && !kept)
                return pfq_fail(EPROTO, "pfqd sent %u descriptors that nobody asked for", m.fd_count);
            if (heard->kind != HEARD_MORE)
                return 1;
        } else if (answer && heard->id > q->id) {
            return pfq_fail(EPROTO, "pfqd answered request %llu, which nobody made", (unsigned long long)heard->id);
        } else if (!answer) {
            heed(q, heard);
            if (q->state == GONE)
                return -q->gone;
            if (id == UINT64_MAX)
                return 1;
        }
        /* Otherwise it is the answer to a request that was given up. */
    }
}
