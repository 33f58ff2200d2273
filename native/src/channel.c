/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket of pfqd: messages, and the descriptors that come with them. */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BUSY_NAP_NS = 5 * 1000 * 1000 };

static void wait_for(int fd, short events, int64_t end_ns)
{
    int64_t left = end_ns - pfq_now_ns();
    struct timespec t = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    if (left > 0)
        ppoll(&(struct pollfd){.fd = fd, .events = events}, 1, &t, NULL);
}

void pfq_channel_wait(int fd, int64_t end_ns)
{
    wait_for(fd, POLLIN, end_ns);
}

int pfq_channel_connect(const char *path, int64_t end_ns)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return pfq_fail(ENAMETOOLONG, "the path of a socket has at most %zu bytes: %s", sizeof address.sun_path - 1, path);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return pfq_fail(errno, "a socket for pfqd: %s", strerror(errno));
    /* Room for the longest message; as far as the system lets it grow. */
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){2 * MESSAGE_BYTES}, sizeof(int));
    while (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        int error = errno;
        /* EAGAIN: too many others wait to be let in. */
        if ((error != EAGAIN && error != EINTR) || pfq_now_ns() >= end_ns) {
            close(fd);
            return pfq_fail(error, "connecting to pfqd at %s: %s%s", path, strerror(error),
                            error == ENOENT || error == ECONNREFUSED ? "; is pfqd running?" : "");
        }
        wait_for(-1, 0, pfq_now_ns() + BUSY_NAP_NS);
    }
    return fd;
}

int pfq_channel_send(int fd, const void *message, size_t size, int64_t end_ns)
{
    for (;;) {
        if (send(fd, message, size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return 0;
        if (errno != EAGAIN && errno != EINTR)
            return pfq_fail(errno, "sending to pfqd: %s", strerror(errno));
        if (pfq_now_ns() >= end_ns)
            return pfq_fail(ETIMEDOUT, "pfqd takes no more requests");
        wait_for(fd, POLLOUT, end_ns);
    }
}

void pfq_close_all(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

/* All descriptors of a message, wherever in its control data they are. */
static void take_fds(struct msghdr *header, struct message *out)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0))
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (out->fd_count < MESSAGE_FDS)
                out->fds[out->fd_count++] = fd;
            else
                close(fd);
        }
    }
}

int pfq_channel_receive(int fd, char *text, struct message *out, int64_t end_ns)
{
    union {
        char bytes[CMSG_SPACE(MESSAGE_FDS * sizeof(int)) + CMSG_SPACE(64)];
        struct cmsghdr aligned;
    } control;
    struct iovec where = {.iov_base = text, .iov_len = MESSAGE_BYTES};
    struct msghdr header;
    ssize_t size;
    bool reset = false;
    *out = (struct message){0};
    for (;;) {
        header = (struct msghdr){.msg_iov = &where, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        size = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (size >= 0)
            break;
        /* Closed before pfqd had read all of ours. What it said before that comes after this. */
        if (errno == ECONNRESET && !reset) {
            reset = true;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return pfq_fail(errno, "receiving from pfqd: %s", strerror(errno));
        if (pfq_now_ns() >= end_ns)
            return -EAGAIN;
        wait_for(fd, POLLIN, end_ns);
    }
    take_fds(&header, out);
    out->size = (size_t)size;
    if (!(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return size > 0;
    pfq_close_all(out->fds, out->fd_count);
    out->fd_count = 0;
    if (header.msg_flags & MSG_TRUNC)
        return pfq_fail(EPROTO, "pfqd sent a message of more than %d bytes", MESSAGE_BYTES);
    return pfq_fail(EMFILE, "descriptors of pfqd were lost: this process may have no more open (ulimit -n)");
}
