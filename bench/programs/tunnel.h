/* What is inside tunnels: IP in IP, GRE, VXLAN, Geneve, the user plane of GTP version 1. */

#ifndef TUNNEL_H
#define TUNNEL_H

#include "parse.h"

enum { IP_IN_IP = 4, IP6_IN_IP = 41, GRE = 47 };
enum { VXLAN_PORT = 4789, GENEVE_PORT = 6081, GTP_PORT = 2152 };
enum { GRE_BYTES = 4, VXLAN_BYTES = 8, GENEVE_BYTES = 8, GTP_BYTES = 8, GTP_OPTION_BYTES = 4 };
enum { GRE_CHECKSUM = 0x8000, GRE_ROUTING = 0x4000, GRE_KEY = 0x2000, GRE_SEQUENCE = 0x1000, GRE_VERSION = 7 };
enum { VXLAN_HAS_ID = 8, GENEVE_VERSION = 0xc0, GENEVE_WORDS = 0x3f };
enum { GTP_TYPE = 0xf0, GTP_1 = 0x30, GTP_OPTIONS = 7, GTP_EXTENDED = 4, GTP_PACKET = 255, MAX_GTP_EXTENSIONS = 4 };

#define ETHERNET NET16(ETH_P_TEB)

INLINE bool is_known(__u16 kind)
{
	return kind == NET16(ETH_P_IP) || kind == NET16(ETH_P_IPV6) || kind == ETHERNET;
}

/* Each of these gives the kind of what is carried, in network order, or 0; the offset moves there. */

INLINE __u16 inside_gre(struct frame f, __u64 *at)
{
	const __u16 *header = reach(f, *at, GRE_BYTES);
	__u16 flags, kind;

	if (!header)
		return 0;
	flags = header[0];
	kind = header[1];
	if (flags & NET16(GRE_ROUTING | GRE_VERSION) || !is_known(kind))
		return 0;
	*at += GRE_BYTES;
	*at += flags & NET16(GRE_CHECKSUM) ? 4 : 0;
	*at += flags & NET16(GRE_KEY) ? 4 : 0;
	*at += flags & NET16(GRE_SEQUENCE) ? 4 : 0;
	return kind;
}

INLINE __u16 inside_vxlan(struct frame f, __u64 *at)
{
	const __u8 *header = reach(f, *at, VXLAN_BYTES);

	if (!header || !(header[0] & VXLAN_HAS_ID))
		return 0;
	*at += VXLAN_BYTES;
	return ETHERNET;
}

INLINE __u16 inside_geneve(struct frame f, __u64 *at)
{
	const __u8 *header = reach(f, *at, GENEVE_BYTES);
	__u16 kind;

	if (!header || header[0] & GENEVE_VERSION)
		return 0;
	kind = *(const __u16 *)(header + 2);
	*at += GENEVE_BYTES + 4 * (header[0] & GENEVE_WORDS);
	return is_known(kind) ? kind : 0;
}

INLINE __u16 inside_gtp(struct frame f, __u64 *at)
{
	const __u8 *header = reach(f, *at, GTP_BYTES);
	__u8 flags, following;

	if (!header || (header[0] & GTP_TYPE) != GTP_1 || header[1] != GTP_PACKET)
		return 0;
	flags = header[0];
	*at += GTP_BYTES;
	if (flags & GTP_OPTIONS) {
		header = reach(f, *at, GTP_OPTION_BYTES);
		if (!header)
			return 0;
		following = flags & GTP_EXTENDED ? header[3] : 0;
		*at += GTP_OPTION_BYTES;
		for (int i = 0; following; i++) {
			__u64 size, last;

			header = reach(f, *at, 1);
			if (i == MAX_GTP_EXTENSIONS || !header)
				return 0;
			size = 4 * header[0];
			last = forget(f, *at + size - 1);
			header = reach(f, last, 1);
			if (!size || !header)
				return 0;
			following = header[0];
			*at = last + 1;
		}
	}
	*at = forget(f, *at);
	header = reach(f, *at, 1);
	if (!header)
		return 0;
	switch (header[0] >> 4) {
	case 4:
		return NET16(ETH_P_IP);
	case 6:
		return NET16(ETH_P_IPV6);
	default:
		return 0;
	}
}

INLINE __u16 inside_udp(struct frame f, __u64 *at)
{
	const struct udphdr *header = reach(f, *at, sizeof(*header));

	if (!header)
		return 0;
	*at += sizeof(*header);
	switch (header->dest) {
	case NET16(VXLAN_PORT):
		return inside_vxlan(f, at);
	case NET16(GENEVE_PORT):
		return inside_geneve(f, at);
	case NET16(GTP_PORT):
		return inside_gtp(f, at);
	default:
		return 0;
	}
}

INLINE __u16 inside(struct frame f, struct ip ip, __u64 *at)
{
	if (*at == NOWHERE)
		return 0;
	switch (ip.proto) {
	case IP_IN_IP:
		return NET16(ETH_P_IP);
	case IP6_IN_IP:
		return NET16(ETH_P_IPV6);
	case GRE:
		return inside_gre(f, at);
	case UDP:
		return inside_udp(f, at);
	default:
		return 0;
	}
}

/* The IP header of the packet that a packet carries. */
INLINE struct ip inner_ip_of(struct frame f, struct ip ip)
{
	__u64 at = forget(f, ip.l4_offset);
	__u16 kind = inside(f, ip, &at);

	at = forget(f, at);
	if (kind == ETHERNET)
		kind = ethertype_at(f, &at);
	return ip_at(f, kind, at);
}

#endif
