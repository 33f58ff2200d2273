/* steer_flow */

#include "flow.h"

SEC("xdp") int program(struct xdp_md *ctx)
{
	struct record *record = start();
	struct frame f;

	if (!record)
		return XDP_PASS;
	f = frame_of(ctx, record);
	return steer_flow(record, f, ip_of(f), 0);
}
