/* bloom_filter 65536 [...] 32 */

#include "parse.h"

enum { BINS = 65536 };

VARIABLE __u8 bits[BINS / 8];

INLINE bool is_set(__u8 a, __u8 b, __u8 c)
{
	__u32 hash = ((a ^ b ^ c) | (b ^ c) << 8 | c << 16) % BINS;

	return bits[hash / 8] >> hash % 8 & 1;
}

INLINE bool belongs(__u32 address)
{
	__u8 a = address, b = address >> 8, c = address >> 16, d = address >> 24;

	return is_set(a, b, c) && is_set(a, b, d) && is_set(a, c, d) && is_set(b, c, d);
}

SEC("xdp") int program(struct xdp_md *ctx)
{
	struct record *record = start();
	struct frame f;
	const struct iphdr *header;
	struct ip ip;

	if (!record)
		return XDP_PASS;
	f = frame_of(ctx, record);
	ip = ip_of(f);
	if (ip.version != 4)
		return drop(record);
	header = ip.header;
	return belongs(header->saddr) || belongs(header->daddr) ? copy(record) : drop(record);
}
