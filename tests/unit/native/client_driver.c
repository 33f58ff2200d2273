/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls libpfq as its standard input says, for tests that are written in Python.
 *
 * A line is a call and its arguments, separated by tabs; where a handle is wanted it is a number from 0
 * to 7. Each line is answered by one: the result, then what there is to say, separated by tabs; after a
 * failed call that is the library's sentence.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <pfq/pfq.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HANDLES = 8, MAX_ARGUMENTS = 12, LINE_BYTES = 1 << 18, NUMBER_AT = 14, KEPT = 8 };

static struct pfq *handles[HANDLES];
static struct pfq_batch kept[KEPT]; /* batches that were read and not released */
static char *arg[MAX_ARGUMENTS];
static int args;
static char said[LINE_BYTES];

static long number(int i)
{
    return i < args ? strtol(arg[i], NULL, 0) : 0;
}

static uint64_t mask(int i)
{
    return i < args ? strtoull(arg[i], NULL, 0) : 0;
}

static const char *text(int i)
{
    return i < args && strcmp(arg[i], "NULL") ? arg[i] : NULL;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list list;
    size_t used = strlen(said);
    va_start(list, format);
    vsnprintf(said + used, sizeof said - used, format, list);
    va_end(list);
}

static int open_handle(int h, const char *how)
{
    struct pfq_opts *o = PFQ_OPTS(.socket = text(4), .snaplen = (uint32_t)number(5), .slots = (uint32_t)number(6),
                                  .clock = (uint32_t)number(7), .weight = (uint32_t)number(8),
                                  .timeout_ms = (uint32_t)number(9));
    if (!strcmp(how, "private"))
        return pfq_open(&handles[h], o);
    if (!strcmp(how, "nogroup"))
        return pfq_open_nogroup(&handles[h], o);
    return pfq_open_group(&handles[h], mask(3), (enum pfq_policy)atoi(how), o);
}

/* What packets say of themselves: the number in each, or its length when it has none. */
static void tell(const struct pfq_slot *slot, const uint8_t *data)
{
    uint32_t found = 0;
    for (int i = 0; i < 4 && slot->caplen >= NUMBER_AT + 4; i++)
        found = found << 8 | data[NUMBER_AT + i];
    say("%s%u", said[0] ? "," : "", found);
}

static void tell_one(void *user, const struct pfq_slot *slot, const uint8_t *data)
{
    *(int *)user += 1;
    tell(slot, data);
}

static void tell_batch(const struct pfq_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct pfq_slot *slot = pfq_batch_slot(batch, i);
        tell(slot, pfq_slot_data(slot));
    }
}

/* Reads until nothing is there; says the numbers of all packets. */
static int drain(struct pfq *q)
{
    struct pfq_batch batch;
    int all = 0, count;
    while ((count = pfq_read(q, &batch, 1000)) > 0) {
        tell_batch(&batch);
        pfq_release(q, &batch);
        all += count;
    }
    return count < 0 ? count : all;
}

/* The header of the next packet. */
static int show_header(struct pfq *q)
{
    struct pfq_batch batch;
    int count = pfq_read(q, &batch, 1);
    if (count <= 0)
        return count;
    const struct pfq_slot *s = pfq_batch_slot(&batch, 0);
    say("%llu,%u,%u,%u,%u,%u,%u,%u,%u", (unsigned long long)s->ts_ns, s->len, s->ifindex, s->mark, s->state, s->caplen,
        s->queue, s->vlan_tci, s->group);
    pfq_release(q, &batch);
    return count;
}

static int receive(struct pfq *q, size_t bytes, int64_t timeout_us)
{
    struct pfq_batch batch;
    char *buf = malloc(bytes); /* of exactly this size, for the sanitizers */
    int count = pfq_recv(q, buf, bytes, &batch, timeout_us);
    if (count > 0)
        tell_batch(&batch);
    free(buf);
    return count;
}

/* Sleeps on the descriptor and reads until it has seen `wanted` packets, or nothing came for 3 s. */
static int listen_for(struct pfq *q, int wanted)
{
    int all = 0, fd = pfq_fd(q), count = 0;
    while (fd >= 0 && all < wanted) {
        struct pfq_batch batch;
        if (poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 3000) == 0)
            break;
        while ((count = pfq_read(q, &batch, 64)) > 0) {
            all += count;
            pfq_release(q, &batch);
        }
        if (count < 0)
            return count;
    }
    return fd < 0 ? fd : all;
}

struct asker {
    struct pfq *q;
    int times, failed;
};

static void *ask_again_and_again(void *arg_)
{
    struct asker *a = arg_;
    struct pfq_stats stats;
    struct pfq_group_stats group;
    for (int i = 0; i < a->times && !a->failed; i++)
        a->failed = pfq_get_stats(a->q, &stats) || pfq_get_group_stats(a->q, pfq_group_id(a->q), &group) ||
                    pfq_set_weight(a->q, 1 + (uint32_t)i % 8);
    return NULL;
}

/* Reads `wanted` packets while another thread asks pfqd for statistics. */
static int read_and_ask(struct pfq *q, int wanted, int times)
{
    struct asker asker = {.q = q, .times = times};
    pthread_t thread;
    int all = 0, seen;
    pthread_create(&thread, NULL, ask_again_and_again, &asker);
    while (all < wanted && (seen = 0, pfq_dispatch(q, tell_one, &seen, 3000000)) > 0)
        all += seen;
    pthread_join(thread, NULL);
    say("\t%d", asker.failed);
    return all;
}

/* What a child may do with a handle of its parent: nothing but close it. */
static int in_child(struct pfq *q)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int code = pfq_set_weight(q, 2);
        pfq_close(q);
        _exit(code == -EPERM ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    return status;
}

static int group_stats(struct pfq *q, int gid)
{
    struct pfq_group_stats s = {0};
    int code = pfq_get_group_stats(q, gid, &s);
    if (!code)
        say("%llu,%llu,%llu,%llu,%llu,%llu,%llu,%llu", (unsigned long long)s.arrived, (unsigned long long)s.filtered,
            (unsigned long long)s.dropped, (unsigned long long)s.selected, (unsigned long long)s.nobody,
            (unsigned long long)s.forwarded, (unsigned long long)s.unsent, (unsigned long long)s.to_linux);
    return code;
}

static int group_counters(struct pfq *q, int gid)
{
    uint64_t counters[PFQ_COUNTERS] = {0};
    int code = pfq_get_group_counters(q, gid, counters);
    for (int i = 0; !code && i < PFQ_COUNTERS; i++)
        say("%s%llu", i ? "," : "", (unsigned long long)counters[i]);
    return code;
}

static int stats(struct pfq *q)
{
    struct pfq_stats s = {0};
    int code = pfq_get_stats(q, &s);
    if (!code)
        say("%llu,%llu,%llu,%llu", (unsigned long long)s.delivered, (unsigned long long)s.lost,
            (unsigned long long)s.read, (unsigned long long)s.released);
    return code;
}

/* Arguments from the second on are numbers, four of each instruction. */
static int set_fprog(struct pfq *q, int gid)
{
    struct sock_filter code[16];
    unsigned short count = 0;
    for (char *at = args > 3 ? arg[3] : ""; *at && count < 16; count++) {
        code[count].code = (uint16_t)strtoul(at, &at, 0);
        code[count].jt = (uint8_t)strtoul(at, &at, 0);
        code[count].jf = (uint8_t)strtoul(at, &at, 0);
        code[count].k = (uint32_t)strtoul(at, &at, 0);
    }
    return pfq_group_fprog(q, gid, &(struct sock_fprog){.len = count, .filter = code});
}

static int readable(struct pfq *q, int timeout_ms)
{
    int fd = pfq_fd(q);
    return fd < 0 ? fd : poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, timeout_ms);
}

static int bind_with(struct pfq *q)
{
    return pfq_bind_group(q, (int)number(2), text(3), (int)number(4),
                          args < 6 ? NULL
                                   : PFQ_BIND_OPTS(.direction = text(5), .binding = text(6), .hook = text(7),
                                                   .promiscuous = (uint32_t)number(8)));
}

static int hash_of(const char *hex)
{
    uint8_t *frame = malloc(strlen(hex) / 2 + 1); /* for the sanitizers again */
    size_t size = 0;
    for (; hex[0] && hex[1]; hex += 2)
        frame[size++] = (uint8_t)strtoul((char[]){hex[0], hex[1], 0}, NULL, 16);
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, frame, size);
    say("%u", pfq_symmetric_hash(exact, size));
    free(frame);
    free(exact);
    return 0;
}

#define CALL(name, expression) \
    if (!strcmp(call, name))   \
        return expression;

static int keep(struct pfq *q, int at, uint32_t max)
{
    int count = pfq_read(q, &kept[at], max);
    if (count > 0)
        tell_batch(&kept[at]);
    return count;
}

static int close_handle(int h)
{
    pfq_close(handles[h]);
    handles[h] = NULL;
    return 0;
}

static int handle_calls(const char *call, int h)
{
    struct pfq *q = handles[h];
    CALL("open", open_handle(h, text(2)))
    CALL("close", close_handle(h))
    CALL("id", pfq_id(q))
    CALL("group_id", pfq_group_id(q))
    CALL("groups_mask", (say("%llu", (unsigned long long)pfq_groups_mask(q)), 0))
    CALL("enable", pfq_enable(q))
    CALL("disable", pfq_disable(q))
    CALL("is_enabled", pfq_is_enabled(q))
    CALL("set_snaplen", pfq_set_snaplen(q, (uint32_t)number(2)))
    CALL("get_snaplen", pfq_get_snaplen(q))
    CALL("set_slots", pfq_set_slots(q, (uint32_t)number(2)))
    CALL("get_slots", pfq_get_slots(q))
    CALL("get_slot_size", pfq_get_slot_size(q))
    CALL("set_clock", pfq_set_clock(q, (enum pfq_clock)number(2)))
    CALL("get_clock", pfq_get_clock(q))
    CALL("set_weight", pfq_set_weight(q, (uint32_t)number(2)))
    CALL("get_weight", pfq_get_weight(q))
    CALL("egress_bind", pfq_egress_bind(q, text(2), (int)number(3)))
    CALL("egress_unbind", pfq_egress_unbind(q))
    CALL("set_promisc", pfq_set_promisc(q, text(2), (int)number(3)))
    CALL("in_child", in_child(q))
    CALL("stats", stats(q))
    return -ENOSYS;
}

static int group_calls(const char *call, struct pfq *q)
{
    int gid = (int)number(2);
    CALL("join_group", pfq_join_group(q, gid, mask(3), (enum pfq_policy)number(4)))
    CALL("leave_group", pfq_leave_group(q, gid))
    CALL("bind", pfq_bind(q, text(2), (int)number(3)))
    CALL("unbind", pfq_unbind(q, text(2), (int)number(3)))
    CALL("bind_group", bind_with(q))
    CALL("unbind_group", pfq_unbind_group(q, gid, text(3), (int)number(4)))
    CALL("set_group_program", pfq_set_group_program(q, gid, text(3)))
    CALL("set_group_program_json", pfq_set_group_program_json(q, gid, text(3)))
    CALL("set_group_program_file", pfq_set_group_program_file(q, gid, text(3)))
    CALL("group_filter", pfq_group_filter(q, gid, text(3)))
    CALL("group_fprog", set_fprog(q, gid))
    CALL("group_fprog_reset", pfq_group_fprog_reset(q, gid))
    CALL("vlan_filters_enable", pfq_vlan_filters_enable(q, gid, (int)number(3)))
    CALL("vlan_set_filter", pfq_vlan_set_filter(q, gid, (int)number(3)))
    CALL("vlan_reset_filter", pfq_vlan_reset_filter(q, gid, (int)number(3)))
    CALL("get_group_stats", group_stats(q, gid))
    CALL("get_group_counters", group_counters(q, gid))
    return -ENOSYS;
}

static int reading_calls(const char *call, struct pfq *q)
{
    int seen = 0;
    CALL("fd", pfq_fd(q) < 0 ? pfq_fd(q) : 0)
    CALL("poll", pfq_poll(q, number(2)))
    CALL("drain", drain(q))
    CALL("header", show_header(q))
    CALL("keep", keep(q, (int)number(2), (uint32_t)number(3)))
    CALL("release", pfq_release(q, &kept[number(2)]))
    CALL("recv", receive(q, (size_t)number(2), number(3)))
    CALL("dispatch", pfq_dispatch(q, tell_one, &seen, number(2)))
    CALL("listen", listen_for(q, (int)number(2)))
    CALL("readable", readable(q, (int)number(2)))
    CALL("read_and_ask", read_and_ask(q, (int)number(2), (int)number(3)))
    return -ENOSYS;
}

static int answer(const char *call)
{
    CALL("ifindex", pfq_ifindex(text(1)))
    CALL("hash", hash_of(arg[1]))
    CALL("fold", (int)pfq_fold((uint32_t)mask(1), (uint32_t)mask(2)))
    CALL("sleep_ms", usleep((useconds_t)number(1) * 1000))
    int h = (int)number(1), code = handle_calls(call, h);
    if (code == -ENOSYS)
        code = group_calls(call, handles[h]);
    return code == -ENOSYS ? reading_calls(call, handles[h]) : code;
}

int main(void)
{
    static char line[LINE_BYTES];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        args = 0;
        for (char *rest = line; rest && args < MAX_ARGUMENTS;)
            arg[args++] = strsep(&rest, "\t");
        said[0] = 0;
        int code = answer(arg[0]);
        if (code < 0)
            snprintf(said, sizeof said, "%s", code == -ENOSYS ? "no such call" : pfq_error_last());
        for (char *at = said; (at = strchr(at, '\n'));)
            *at = ' ';
        printf("%d\t%s\n", code, said);
        fflush(stdout);
    }
    for (int h = 0; h < HANDLES; h++)
        pfq_close(handles[h]);
    return 0;
}
