/* limit 1000000 1000 */

#include "record.h"

enum { RATE = 1000000, BURST = 1000, INTERVAL_NS = 1000000000 / RATE, TRIES = 8 };

/* When the bucket will be full again, and the time. */
VARIABLE __u64 bucket;
VARIABLE __u64 now_ns;

SEC("xdp") int program(struct xdp_md *ctx)
{
	struct record *record = start();
	__u64 now = now_ns;

	if (!record)
		return XDP_PASS;
	for (int i = 0; i < TRIES; i++) {
		__u64 before = *(volatile __u64 *)&bucket;
		__u64 full_at = before > now ? before : now;

		if (full_at - now > (BURST - 1ULL) * INTERVAL_NS)
			return drop(record);
		if (__sync_val_compare_and_swap(&bucket, before, full_at + INTERVAL_NS) == before)
			return copy(record);
	}
	return drop(record);
}
