/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The C reader of the benchmark: takes packets from several end-points until told to stop, adds up
 * their lengths, and prints "packets bytes".
 *
 *   reader SLOTS SLOT_BYTES CPUS ENDPOINTS FD...
 *
 * For each end-point: a descriptor for the ring of each CPU, then consumer and doorbell. Standard
 * input closes when it is time to stop.
 */
#include <pfq/pfq.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_ENDPOINTS = 64, MAX_CPUS = 1024, BATCH = 4096, NAP_NS = 200000, ROUNDS = 1024 };

static int told_to_stop(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&in, 1, 0) > 0;
}

int main(int argc, char **argv)
{
    static struct pfq_endpoint *eps[MAX_ENDPOINTS];
    static int fds[MAX_CPUS];
    if (argc < 5)
        return 64;
    uint32_t slots = atoi(argv[1]), slot_bytes = atoi(argv[2]), cpus = atoi(argv[3]), count = atoi(argv[4]);
    char **next = argv + 5;
    if (count > MAX_ENDPOINTS || cpus > MAX_CPUS || argc != 5 + (int)(count * (cpus + 2)))
        return 64;
    for (uint32_t e = 0; e < count; e++) {
        for (uint32_t c = 0; c < cpus; c++)
            fds[c] = atoi(*next++);
        int consumer = atoi(*next++), doorbell = atoi(*next++);
        if (pfq_endpoint_open(&eps[e], PFQ_ENDPOINT_OPTS(.ring_fds = fds, .rings = cpus, .slots = slots,
                                                         .slot_bytes = slot_bytes, .consumer_fd = consumer,
                                                         .doorbell_fd = doorbell, .wake_fd = -1)) != 0) {
            fprintf(stderr, "reader: %s\n", pfq_error_last());
            return 1;
        }
    }
    puts("ready");
    fflush(stdout);

    uint64_t packets = 0, bytes = 0;
    for (unsigned round = 0;; round++) {
        int idle = 1;
        for (uint32_t e = 0; e < count; e++) {
            struct pfq_batch batch;
            int n = pfq_endpoint_read(eps[e], &batch, BATCH);
            for (int i = 0; i < n; i++)
                bytes += pfq_batch_slot(&batch, i)->len;
            if (n > 0) {
                pfq_endpoint_release(eps[e], batch.ring, batch.first + n);
                packets += n;
                idle = 0;
            }
        }
        if (idle && told_to_stop())
            break;
        if (idle)
            pfq_endpoint_wait(eps[round % count], NAP_NS);
    }
    printf("%llu %llu\n", (unsigned long long)packets, (unsigned long long)bytes);
    return 0;
}
