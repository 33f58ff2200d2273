/* flow >-> filter (ip_hop .> 1) >-> when (has_addr 10.0.0.0/8) (mark 1) >-> when (has_port 53) (inc 0) >->
 * steer_flow */

#include "flow.h"

enum { NETWORK = 10 };

INLINE __u8 hops(struct ip ip)
{
	const struct ipv6hdr *header6 = ip.header;
	const struct iphdr *header4 = ip.header;

	return ip.version == 4 ? header4->ttl : header6->hop_limit;
}

INLINE bool has_addr(struct ip ip)
{
	const __u8 *header = ip.header;

	return ip.version == 4 && (header[offsetof(struct iphdr, saddr)] == NETWORK ||
				   header[offsetof(struct iphdr, daddr)] == NETWORK);
}

SEC("xdp") int program(struct xdp_md *ctx)
{
	struct record *record = start();
	struct frame f;
	struct ip ip;

	if (!record)
		return XDP_PASS;
	f = frame_of(ctx, record);
	ip = ip_of(f);
	if ((!is_tcp(f, ip) && !is_udp(f, ip)) || hops(ip) <= 1)
		return drop(record);
	if (has_port(ip, 53))
		record->counters[0]++;
	return steer_flow(record, f, ip, has_addr(ip));
}
