/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layout version 1, as src/pfq/layout.py has it; a build with another layout stops here. */
#include <pfq/record.h>

#define AT(type, member, offset) \
    _Static_assert(offsetof(struct type, member) == (offset), #type "." #member " is at " #offset " in layout 1")

_Static_assert(sizeof(struct pfq_slot) == 32, "the slot header has 32 bytes in layout 1");
AT(pfq_slot, ts_ns, 0);
AT(pfq_slot, len, 8);
AT(pfq_slot, ifindex, 12);
AT(pfq_slot, mark, 16);
AT(pfq_slot, state, 20);
AT(pfq_slot, caplen, 24);
AT(pfq_slot, queue, 26);
AT(pfq_slot, vlan_tci, 28);
AT(pfq_slot, group, 30);

_Static_assert(sizeof(struct pfq_producer) == 64, "the producer's line has 64 bytes in layout 1");
AT(pfq_producer, head, 0);
AT(pfq_producer, tail_seen, 8);
AT(pfq_producer, lost, 16);

_Static_assert(sizeof(struct pfq_consumer) == 128, "the reader's element has 128 bytes in layout 1");
AT(pfq_consumer, tail, 0);
AT(pfq_consumer, sleeping, 64);

_Static_assert(sizeof(struct pfq_record) == 32, "a record has 32 bytes");
AT(pfq_record, ts_ns, 0);
AT(pfq_record, data, 8);
AT(pfq_record, len, 16);
AT(pfq_record, caplen, 20);
AT(pfq_record, interface, 24);
AT(pfq_record, link_type, 28);
AT(pfq_record, vlan_tci, 30);

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the fields of layout 1 are little endian");
