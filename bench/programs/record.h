/* What a program leaves behind for each packet, in the form of a compiled pfq-lang program: the action,
 * the selected end-points, the counters. */

#ifndef RECORD_H
#define RECORD_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <stdbool.h>

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

/* The kernel does not take descriptions of variables as clang writes them. */
#define VARIABLE __attribute__((nodebug))

struct map_def {
	__u32 type, key_size, value_size, max_entries, map_flags;
};

static void *(*map_lookup)(const void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;

enum { DROP, COPY, STEER };
enum { DEFAULT_CLASSES = 1, TABLE_ENTRIES = 512, MAX_ENDPOINTS = 64, COUNTERS = 64 };

/* Of each CPU, for the packet in hand; the counters go on. */
struct record {
	__u64 classes;
	__u32 fanout, hash, hash2, mark, state, kernel;
	__u64 selected;
	__u64 arrived, dropped, selections, nobody;
	__u64 spare;
	__u64 counters[COUNTERS];
};

VARIABLE struct map_def SEC("maps") records = {
	.type = BPF_MAP_TYPE_PERCPU_ARRAY,
	.key_size = sizeof(__u32),
	.value_size = sizeof(struct record),
	.max_entries = 1,
};

/* Which end-points there are, and which one each hash selects. */
VARIABLE struct {
	__u64 members;
	__u32 count, turns;
	__u8 hashed[TABLE_ENTRIES];
} steering;

INLINE struct record *start(void)
{
	__u32 zero = 0;
	struct record *record = map_lookup(&records, &zero);

	if (record)
		record->arrived++;
	return record;
}

INLINE void leave(struct record *record, __u32 fanout, __u32 hash, __u32 mark)
{
	record->classes = DEFAULT_CLASSES;
	record->fanout = fanout;
	record->hash = hash;
	record->hash2 = 0;
	record->mark = mark;
	record->state = 0;
	record->kernel = 0;
}

INLINE void select(struct record *record, __u64 selected)
{
	record->selections++;
	record->selected = selected;
	if (!selected)
		record->nobody++;
}

INLINE int drop_marked(struct record *record, __u32 mark)
{
	leave(record, DROP, 0, mark);
	record->selected = 0;
	record->dropped++;
	return XDP_PASS;
}

INLINE int drop(struct record *record)
{
	return drop_marked(record, 0);
}

INLINE int copy(struct record *record)
{
	leave(record, COPY, 0, 0);
	select(record, steering.members);
	return XDP_PASS;
}

INLINE __u32 mix(__u32 a)
{
	a = (a ^ 0xdeadbeef) + (a << 4);
	a = a ^ (a >> 10);
	a = a + (a << 7);
	return a ^ (a >> 13);
}

INLINE int steer_marked(struct record *record, __u32 hash, __u32 mark)
{
	__u8 endpoint = steering.hashed[mix(hash) % TABLE_ENTRIES];

	leave(record, STEER, hash, mark);
	select(record, endpoint < MAX_ENDPOINTS ? 1ULL << endpoint : 0);
	return XDP_PASS;
}

#endif
