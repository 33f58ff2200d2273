/* The primitive steer_flow. */

#ifndef FLOW_H
#define FLOW_H

#include "parse.h"

INLINE int steer_flow(struct record *record, struct frame f, struct ip ip, __u32 mark)
{
	const __u16 *ports = ip.l4;

	if (!ip.version)
		return drop_marked(record, mark);
	if (!has_ports(ip))
		return steer_marked(record, addresses(ip), mark);
	if (!has_l4(f, ip, sizeof(struct udphdr)))
		return drop_marked(record, mark);
	return steer_marked(record, addresses(ip) ^ ports[0] ^ ports[1], mark);
}

#endif
