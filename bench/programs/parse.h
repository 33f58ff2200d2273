/* Where the headers of a frame are: at most two VLAN tags, IPv4 with options, IPv6 with extension headers.
 * A header counts only when all of it lies in the first HEADER_WINDOW bytes. */

#ifndef PARSE_H
#define PARSE_H

#include "record.h"

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <stddef.h>

enum { HEADER_WINDOW = 512, TAG_BYTES = 4, MAX_EXTENSIONS = 8, EXTENSION_BYTES = 8, ICMP_BYTES = 8 };
enum { TCP = 6, UDP = 17, ICMP = 1, ICMP6 = 58, NO_PROTO = 256 };
enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, AUTHENTICATION = 51, DESTINATION = 60, MOBILITY = 135 };

#define NET16(x) ((__u16)((x) >> 8 | (x) << 8))

/* The bytes of a frame, and a place for numbers on their way through memory. */
struct frame {
	const void *data, *end;
	volatile __u64 *spare;
};

/* An IP header and what follows it.
 *
 * version     4, 6 or 0: there is none
 * proto       behind the extension headers; NO_PROTO when they cannot be followed
 * header, l4  places of the header and of layer 4
 * l4_offset   of layer 4; NOWHERE in a later fragment */
struct ip {
	const void *header, *l4;
	__u64 l4_offset;
	__u32 version, proto;
	bool fragment;
};

enum { NOWHERE = HEADER_WINDOW + 1 };

#define NO_IP ((struct ip){ .l4_offset = NOWHERE, .proto = NO_PROTO })

INLINE struct frame frame_of(const struct xdp_md *ctx, struct record *record)
{
	return (struct frame){ (const void *)(long)ctx->data, (const void *)(long)ctx->data_end, &record->spare };
}

/* The same number, of which the verifier no longer knows where it comes from: so that it goes on once, not
 * once for each way here. */
INLINE __u64 forget(struct frame f, __u64 number)
{
	*f.spare = number;
	return *f.spare;
}

/* Whether so many bytes at an offset are there; `start` points to the offset. */
INLINE bool holds(struct frame f, const void *start, __u64 offset, __u64 size)
{
	return offset <= HEADER_WINDOW - size && start + size <= f.end;
}

/* The place of so many bytes at an offset, or null when they are not all there. The compiler must not
 * compute it again: the verifier knows only of this pointer how far it may be read. */
INLINE const void *reach(struct frame f, __u64 offset, __u64 size)
{
	const void *start;

	if (offset > HEADER_WINDOW - size)
		return 0;
	start = f.data + offset;
	asm volatile("" : "+r"(start));
	return start + size <= f.end ? start : 0;
}

INLINE bool is_tag(__u16 ethertype)
{
	return ethertype == NET16(ETH_P_8021Q) || ethertype == NET16(ETH_P_8021AD);
}

/* The EtherType behind the tags of the Ethernet header at an offset, in network order; 0 when it is cut
 * off. The offset moves behind it. The kernel's structures of these headers are packed, and would be read
 * byte by byte. */
INLINE __u16 ethertype_at(struct frame f, __u64 *offset)
{
	__u64 at = *offset;
	const __u16 *header = reach(f, at, ETH_HLEN);

	if (!header)
		return 0;
	*offset = at + ETH_HLEN;
	if (!is_tag(header[6]))
		return header[6];
	if (!holds(f, header, at, ETH_HLEN + TAG_BYTES))
		return 0;
	*offset = at + ETH_HLEN + TAG_BYTES;
	if (!is_tag(header[8]))
		return header[8];
	if (!holds(f, header, at, ETH_HLEN + 2 * TAG_BYTES))
		return 0;
	*offset = at + ETH_HLEN + 2 * TAG_BYTES;
	return header[10];
}

INLINE bool is_extension(__u32 proto)
{
	return proto == HOP_BY_HOP || proto == ROUTING || proto == FRAGMENT || proto == AUTHENTICATION ||
	       proto == DESTINATION || proto == MOBILITY;
}

INLINE struct ip ip4_at(struct frame f, __u64 at)
{
	const struct iphdr *header = reach(f, at, sizeof(*header));
	struct ip ip = NO_IP;
	__u64 size;

	if (!header || header->version != 4 || header->ihl < 5)
		return ip;
	size = header->ihl * 4;
	ip.l4 = reach(f, at + size, 0);
	if (!ip.l4)
		return ip;
	ip.version = 4;
	ip.proto = header->protocol;
	ip.header = header;
	ip.l4_offset = header->frag_off & NET16(0x1fff) ? NOWHERE : at + size;
	ip.fragment = header->frag_off & NET16(0x3fff);
	return ip;
}

INLINE struct ip ip6_at(struct frame f, __u64 at)
{
	const struct ipv6hdr *header = reach(f, at, sizeof(*header));
	__u64 offset = at + sizeof(*header);
	struct ip ip = NO_IP;

	if (!header || header->version != 6)
		return ip;
	ip.version = 6;
	ip.header = header;
	ip.proto = header->nexthdr;
	for (int i = 0; is_extension(ip.proto); i++) {
		const __u8 *extension = reach(f, offset, EXTENSION_BYTES);

		if (i == MAX_EXTENSIONS || !extension) {
			ip.proto = NO_PROTO;
			return ip;
		}
		if (ip.proto == FRAGMENT) {
			__u16 parts = *(const __u16 *)(extension + 2);

			ip.fragment |= (parts & NET16(0xfff9)) != 0;
			if (parts & NET16(0xfff8)) {
				ip.proto = extension[0];
				return ip;
			}
			offset += EXTENSION_BYTES;
		} else if (ip.proto == AUTHENTICATION) {
			offset += (extension[1] + 2) * 4;
		} else {
			offset += (extension[1] + 1) * 8;
		}
		ip.proto = extension[0];
	}
	ip.l4 = reach(f, offset, 0);
	ip.l4_offset = ip.l4 ? offset : NOWHERE;
	return ip;
}

INLINE struct ip ip_at(struct frame f, __u16 ethertype, __u64 at)
{
	if (ethertype == NET16(ETH_P_IP))
		return ip4_at(f, at);
	if (ethertype == NET16(ETH_P_IPV6))
		return ip6_at(f, at);
	return NO_IP;
}

/* The outermost IP header of the frame. */
INLINE struct ip ip_of(struct frame f)
{
	__u64 offset = 0;
	__u16 ethertype = ethertype_at(f, &offset);

	return ip_at(f, ethertype, offset);
}

INLINE bool has_l4(struct frame f, struct ip ip, __u64 size)
{
	return holds(f, ip.l4, ip.l4_offset, size);
}

INLINE bool is_tcp(struct frame f, struct ip ip)
{
	return ip.proto == TCP && has_l4(f, ip, sizeof(struct tcphdr));
}

INLINE bool is_udp(struct frame f, struct ip ip)
{
	return ip.proto == UDP && has_l4(f, ip, sizeof(struct udphdr));
}

/* TCP and UDP headers begin with the two ports. */
INLINE bool has_port(struct ip ip, __u16 port)
{
	const __u16 *ports = ip.l4;

	return ports[0] == NET16(port) || ports[1] == NET16(port);
}

INLINE bool is_icmp(struct frame f, struct ip ip)
{
	return ip.proto == (ip.version == 4 ? ICMP : ICMP6) && has_l4(f, ip, ICMP_BYTES);
}

/* XOR of the 32-bit words of both addresses. */
INLINE __u32 addresses(struct ip ip)
{
	if (ip.version == 4) {
		const __u32 *both = ip.header + offsetof(struct iphdr, saddr);

		return both[0] ^ both[1];
	} else {
		const __u64 *both = ip.header + offsetof(struct ipv6hdr, saddr);
		__u64 words = both[0] ^ both[1] ^ both[2] ^ both[3];

		return words ^ words >> 32;
	}
}

/* Ports count for whole datagrams only, so that the fragments of one stay together. */
INLINE bool has_ports(struct ip ip)
{
	return (ip.proto == TCP || ip.proto == UDP) && !ip.fragment;
}

#endif
