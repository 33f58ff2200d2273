/* filter (addr_in "...") */

#include "parse.h"

enum { PREFIXES = 4096 };

struct key4 {
	__u32 bits, address;
};

struct key6 {
	__u32 bits, address[4];
};

VARIABLE struct map_def SEC("maps") set4 = {
	.type = BPF_MAP_TYPE_LPM_TRIE,
	.key_size = sizeof(struct key4),
	.value_size = 1,
	.max_entries = PREFIXES,
	.map_flags = BPF_F_NO_PREALLOC,
};

VARIABLE struct map_def SEC("maps") set6 = {
	.type = BPF_MAP_TYPE_LPM_TRIE,
	.key_size = sizeof(struct key6),
	.value_size = 1,
	.max_entries = PREFIXES,
	.map_flags = BPF_F_NO_PREALLOC,
};

INLINE bool has4(__u32 address)
{
	struct key4 key = { 32, address };

	return map_lookup(&set4, &key);
}

INLINE bool has6(const struct in6_addr *address)
{
	const __u32 *words = address->in6_u.u6_addr32;
	struct key6 key = { 128, { words[0], words[1], words[2], words[3] } };

	return map_lookup(&set6, &key);
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

		found = has4(header->saddr) || has4(header->daddr);
	} else if (ip.version == 6) {
		const struct ipv6hdr *header = ip.header;

		found = has6(&header->saddr) || has6(&header->daddr);
	}
	return found ? copy(record) : drop(record);
}
