/* shift (tcp >-> steer_flow) */

#include "flow.h"
#include "tunnel.h"

SEC("xdp") int program(struct xdp_md *ctx)
{
	struct record *record = start();
	struct frame f;
	struct ip ip;

	if (!record)
		return XDP_PASS;
	f = frame_of(ctx, record);
	ip = inner_ip_of(f, ip_of(f));
	return is_tcp(f, ip) ? steer_flow(record, f, ip, 0) : drop(record);
}
