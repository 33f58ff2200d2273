/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Uses libpfq from C on memory files laid out as the maps are; run under the sanitizers. */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <pfq/record.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 4, SLOT_BYTES = 128, PAGE = 4096 };

struct fake {
    int fd, consumer_fd, wake_fd;
    char *ring;
    struct pfq_consumer *consumer;
};

static int memory(size_t bytes, void **at)
{
    int fd = memfd_create("ring", 0);
    assert(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
    *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert(*at != MAP_FAILED);
    return fd;
}

static struct fake make(void)
{
    struct fake f;
    f.fd = memory(PAGE, (void **)&f.ring);
    f.consumer_fd = memory(PAGE, (void **)&f.consumer);
    f.wake_fd = eventfd(0, 0);
    return f;
}

static void drop(struct fake *f)
{
    munmap(f->ring, PAGE);
    munmap(f->consumer, PAGE);
    close(f->fd);
    close(f->consumer_fd);
    close(f->wake_fd);
}

static struct pfq_endpoint *open_reader(const struct fake *f)
{
    struct pfq_endpoint *ep = NULL;
    int fds[] = {-1, f->fd};
    assert(pfq_endpoint_open(&ep, PFQ_ENDPOINT_OPTS(.ring_fds = fds, .rings = 2, .slots = SLOTS,
                                                    .slot_bytes = SLOT_BYTES, .consumer_fd = f->consumer_fd,
                                                    .doorbell_fd = -1, .wake_fd = f->wake_fd)) == 0);
    return ep;
}

static void publish(struct fake *f, uint16_t caplen)
{
    struct pfq_producer *producer = (struct pfq_producer *)f->ring;
    char *at = f->ring + SLOT_BYTES * (1 + producer->head % SLOTS);
    struct pfq_slot slot = {.ts_ns = producer->head, .len = 1000, .caplen = caplen};
    memcpy(at, &slot, sizeof slot);
    memset(at + sizeof slot, 'x', SLOT_BYTES - sizeof slot);
    __atomic_store_n(&producer->head, producer->head + 1, __ATOMIC_RELEASE);
}

static void test_read_wrap_release(void)
{
    struct fake f = make();
    struct pfq_endpoint *ep = open_reader(&f);
    struct pfq_batch b;
    struct pfq_stats stats;
    assert(pfq_endpoint_read(ep, &b, 10) == 0);
    for (int i = 0; i < 3; i++)
        publish(&f, 60);
    assert(pfq_endpoint_read(ep, &b, 10) == 3 && b.first == 0 && b.ring == 1);
    assert(pfq_endpoint_release(ep, 1, 3) == 0 && f.consumer[1].tail == 3);
    for (int i = 0; i < 4; i++)
        publish(&f, 60);
    assert(pfq_endpoint_read(ep, &b, 10) == 1 && pfq_batch_slot(&b, 0)->ts_ns == 3);
    assert(pfq_endpoint_read(ep, &b, 10) == 3 && pfq_batch_slot(&b, 2)->ts_ns == 6);
    assert(pfq_endpoint_release(ep, 1, 2) == 0 && f.consumer[1].tail == 3); /* never back */
    pfq_endpoint_stats(ep, &stats);
    assert(stats.delivered == 7 && stats.read == 7 && stats.released == 3 && stats.lost == 0);
    pfq_endpoint_close(ep);
    drop(&f);
}

static void test_refusals(void)
{
    struct fake f = make();
    struct pfq_endpoint *ep = open_reader(&f);
    struct pfq_batch b;
    assert(pfq_endpoint_release(ep, 0, 0) == -EINVAL && strcmp(pfq_error_last(), "no ring 0") == 0);
    assert(pfq_endpoint_release(ep, 2, 0) == -EINVAL);
    assert(pfq_endpoint_release(ep, 1, 1) == -EINVAL);
    ((struct pfq_producer *)f.ring)->head = SLOTS + 1;
    assert(pfq_endpoint_read(ep, &b, 1) == -EPROTO && pfq_endpoint_wait(ep, 0) == -EPROTO);
    pfq_endpoint_close(ep);
    pfq_endpoint_close(NULL);
    struct pfq_endpoint_opts none = {.size = 1};
    assert(pfq_endpoint_open(&ep, &none) == -EINVAL);
    drop(&f);
}

static void test_wait(void)
{
    struct fake f = make();
    struct pfq_endpoint *ep = open_reader(&f);
    assert(pfq_endpoint_wait(ep, 0) == 0);
    assert(pfq_endpoint_wait(ep, 3000000) == 0 && f.consumer[1].sleeping == 0);
    publish(&f, 60);
    assert(pfq_endpoint_wait(ep, -1) == 1);
    struct pfq_batch b;
    assert(pfq_endpoint_read(ep, &b, 1) == 1);
    assert(eventfd_write(f.wake_fd, 1) == 0 && pfq_endpoint_wait(ep, -1) == -ECANCELED);
    pfq_endpoint_close(ep);
    drop(&f);
}

/* A producer that lies about a length cannot make anybody read beyond the slot. */
static void test_records(void)
{
    struct fake f = make();
    struct pfq_endpoint *ep = open_reader(&f);
    static const uint16_t caplens[SLOTS] = {0, 5, 96, 65535};
    static const uint32_t found[SLOTS] = {0, 5, 96, 96};
    struct pfq_batch b;
    struct pfq_record records[SLOTS];
    for (int i = 0; i < SLOTS; i++)
        publish(&f, caplens[i]);
    assert(pfq_endpoint_read(ep, &b, 10) == SLOTS);
    pfq_batch_records(&b, records);
    for (uint32_t i = 0; i < SLOTS; i++) {
        const struct pfq_record *r = &records[i];
        assert(r->ts_ns == i && r->len == 1000 && r->caplen == found[i] && r->link_type == 1);
        assert(r->data == (uintptr_t)pfq_slot_data(pfq_batch_slot(&b, i)));
    }
    pfq_endpoint_close(ep);
    drop(&f);
}

int main(void)
{
    test_read_wrap_release();
    test_refusals();
    test_wait();
    test_records();
    puts("ok");
    return 0;
}
