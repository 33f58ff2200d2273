/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joins a group of pfqd, reads its packets and prints how many there were: one line of JSON a second,
 * and a last one at the end.
 *
 *     capture [-s SOCKET] [-w WEIGHT] [-c PACKETS] [-t SECONDS] [-f] GROUP [DEVICE [PROGRAM]]
 *
 * GROUP is a number, or `any` for a new one. With a device the group is bound to it, with a program it
 * gets that. -f prints a line for each flow at the end: its hash and its packets. Ends by SIGINT, after
 * so many packets or so many seconds, or when there can be no more packets.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <pfq/pfq.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { BUCKETS = 1 << 16, EVERY_MS = 1000 };

struct totals {
    uint64_t packets, bytes;
    struct {
        uint32_t hash;
        uint64_t packets;
    } flows[BUCKETS];
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "capture: %s: %s\n", what, pfq_error_last());
    exit(1);
}

/* A table of 65,536 flows, open addressing; more flows than that are counted as packets only. */
static void count(struct totals *totals, const struct pfq_slot *slot)
{
    totals->packets++;
    totals->bytes += slot->len;
    uint32_t hash = pfq_symmetric_hash(pfq_slot_data(slot), slot->caplen), at = pfq_fold(hash, BUCKETS);
    for (int tries = 0; tries < BUCKETS; tries++, at = (at + 1) % BUCKETS) {
        if (totals->flows[at].packets && totals->flows[at].hash != hash)
            continue;
        totals->flows[at].hash = hash;
        totals->flows[at].packets++;
        return;
    }
}

/* Reads all that waits. Returns 0, or why there will be no more packets. */
static int read_all(struct pfq *q, struct totals *totals)
{
    struct pfq_batch batch;
    int packets;
    while ((packets = pfq_read(q, &batch, 4096)) > 0) {
        for (int i = 0; i < packets; i++)
            count(totals, pfq_batch_slot(&batch, (uint32_t)i));
        pfq_release(q, &batch);
    }
    return packets;
}

static void print(struct pfq *q, const struct totals *totals)
{
    struct pfq_stats stats = {0};
    pfq_get_stats(q, &stats);
    printf("{\"group\": %d, \"endpoint\": %d, \"packets\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"lost\": %" PRIu64 "}\n",
           pfq_group_id(q), pfq_id(q), totals->packets, totals->bytes, stats.lost);
    fflush(stdout);
}

static void print_flows(const struct totals *totals)
{
    for (int i = 0; i < BUCKETS; i++)
        if (totals->flows[i].packets)
            printf("{\"hash\": %" PRIu32 ", \"packets\": %" PRIu64 "}\n", totals->flows[i].hash, totals->flows[i].packets);
}

static struct pfq *join(int argc, char **argv, struct pfq_opts *opts)
{
    struct pfq *q;
    int group = strcmp(argv[0], "any") ? atoi(argv[0]) : PFQ_ANY_GROUP;
    if (pfq_open_nogroup(&q, opts) < 0)
        fail("opening");
    group = pfq_join_group(q, group, PFQ_CLASS_DEFAULT, PFQ_POLICY_SHARED);
    if (group < 0)
        fail(argv[0]);
    if (argc > 2 && pfq_set_group_program(q, group, argv[2]) < 0)
        fail(argv[2]);
    if (argc > 1 && pfq_bind(q, argv[1], PFQ_ANY_QUEUE) < 0)
        fail(argv[1]);
    if (pfq_enable(q) < 0)
        fail("enabling");
    return q;
}

static int capture(struct pfq *q, struct totals *totals, uint64_t most, double seconds)
{
    int error = 0, epoll = epoll_create1(EPOLL_CLOEXEC), fd = pfq_fd(q);
    if (fd < 0)
        fail("waiting");
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN});
    double begun = now(), printed = begun;
    print(q, totals); /* it is in the group, and packets come */
    while (!stopped && !error && totals->packets < most && now() - begun < seconds) {
        struct epoll_event event;
        if (epoll_wait(epoll, &event, 1, EVERY_MS / 10) > 0)
            error = read_all(q, totals);
        if (now() - printed >= EVERY_MS / 1e3) {
            print(q, totals);
            printed = now();
        }
    }
    close(epoll);
    return error;
}

int main(int argc, char **argv)
{
    struct pfq_opts *opts = PFQ_OPTS(.snaplen = 128);
    uint64_t most = UINT64_MAX;
    double seconds = 1e9;
    int option, flows = 0;
    while ((option = getopt(argc, argv, "s:w:c:t:f")) != -1)
        switch (option) {
        case 's':
            opts->socket = optarg;
            break;
        case 'w':
            opts->weight = (uint32_t)atoi(optarg);
            break;
        case 'c':
            most = strtoull(optarg, NULL, 10);
            break;
        case 't':
            seconds = atof(optarg);
            break;
        case 'f':
            flows = 1;
            break;
        default:
            return 1;
        }
    if (optind == argc) {
        fprintf(stderr, "capture: which group?\n");
        return 1;
    }
    sigaction(SIGINT, &(struct sigaction){.sa_handler = stop}, NULL);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL);
    static struct totals totals;
    struct pfq *q = join(argc - optind, argv + optind, opts);
    int error = capture(q, &totals, most, seconds);
    if (error)
        fprintf(stderr, "capture: %s\n", pfq_error_last());
    else
        error = read_all(q, &totals);
    print(q, &totals);
    if (flows)
        print_flows(&totals);
    pfq_close(q);
    return error ? 1 : 0;
}
