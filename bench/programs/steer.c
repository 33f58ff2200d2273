/* steer_flow */

#include "flow.h"

SEC("xdp") int program(struct xdp_md *ctx)
{
	struct record *record = start();
	struct frame f = frame_of(ctx);

	return record ? steer_flow(record, f, ip_of(f), 0) : XDP_PASS;
}
