/* tcp >-> port 443 */

#include "parse.h"

SEC("xdp") int program(struct xdp_md *ctx)
{
	struct record *record = start();
	struct frame f;
	struct ip ip;

	if (!record)
		return XDP_PASS;
	f = frame_of(ctx, record);
	ip = ip_of(f);
	return is_tcp(f, ip) && has_port(ip, 443) ? copy(record) : drop(record);
}
