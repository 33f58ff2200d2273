/* when is_tcp (inc 0) >-> when is_udp (inc 1) >-> unless is_ip (inc 2) >-> when is_icmp (inc 3) >->
 * when (has_port 53) (inc 4) */

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
	if (is_tcp(f, ip)) {
		record->counters[0]++;
		if (has_port(ip, 53))
			record->counters[4]++;
	} else if (is_udp(f, ip)) {
		record->counters[1]++;
		if (has_port(ip, 53))
			record->counters[4]++;
	} else if (is_icmp(f, ip)) {
		record->counters[3]++;
	}
	if (ip.version != 4)
		record->counters[2]++;
	return copy(record);
}
