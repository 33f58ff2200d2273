/* filter (addr_in "...") */

#include "parse.h"

enum { BOUNDARIES = 2048 };

/* Where the set changes between in and out, in ascending order. */
VARIABLE struct {
	__u64 count4, count6;
	__u64 four[BOUNDARIES];
	__u64 upper[BOUNDARIES], lower[BOUNDARIES];
} set;

/* 1 when a < b, without a branch, which the verifier would follow both ways. */
INLINE __u64 less(__u64 a, __u64 b)
{
	__u64 borrow = (~a & b) | ((~a | b) & (a - b));

	asm volatile("" : "+r"(borrow));
	return borrow >> 63;
}

INLINE bool has4(__u64 address)
{
	__u64 count = 0;

	for (__u64 step = BOUNDARIES; step; step /= 2) {
		__u64 tried = count + step, index = (tried - 1) % BOUNDARIES, beyond = (set.count4 - tried) >> 63;
		__u64 above = (address - set.four[index]) >> 63;
		__u64 stay = beyond | above;
		asm volatile("" : "+r"(stay));
		count += step & (stay - 1);
	}
	return count & 1;
}

INLINE bool has6(__u64 upper, __u64 lower)
{
	__u64 count = 0;

	for (__u64 step = BOUNDARIES; step; step /= 2) {
		__u64 tried = count + step, index = (tried - 1) % BOUNDARIES, stay = (set.count6 - tried) >> 63;
		__u64 high = set.upper[index], low = set.lower[index];

		stay |= less(upper, high) | ((1 - (less(upper, high) | less(high, upper))) & less(lower, low));
		asm volatile("" : "+r"(stay));
		count += step & (stay - 1);
	}
	return count & 1;
}

INLINE bool has(const __u64 *address)
{
	return has6(__builtin_bswap64(address[0]), __builtin_bswap64(address[1]));
}

SEC("xdp") int program(struct xdp_md *ctx)
{
	struct record *record = start();
	struct frame f;
	struct ip ip;
	bool found = false;

	if (!record)
		return XDP_PASS;
	f = frame_of(ctx, record);
	ip = ip_of(f);
	if (ip.version == 4) {
		const struct iphdr *header = ip.header;

		found = has4(__builtin_bswap32(header->saddr)) || has4(__builtin_bswap32(header->daddr));
	} else if (ip.version == 6) {
		const __u64 *header = ip.header;

		found = has(header + 1) || has(header + 3);
	}
	return found ? copy(record) : drop(record);
}
