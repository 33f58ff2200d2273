/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libpfq: packets of network devices for C programs, through the daemon pfqd
 *
 * A program opens a handle, which is an end-point of pfqd: a place where packets are read. It joins
 * groups. A group has a program in pfq-lang, filters, and bindings to devices; it decides which of its
 * members gets a packet. pfqd does what needs privilege, and hands out memory that it shares with the
 * kernel; packets come through that memory and never through pfqd.
 *
 *     struct pfq *q;
 *     if (pfq_open_group(&q, PFQ_CLASS_DEFAULT, PFQ_POLICY_SHARED, NULL) < 0 ||
 *         pfq_bind(q, "eth0", PFQ_ANY_QUEUE) < 0 || pfq_enable(q) < 0)
 *         errx(1, "%s", pfq_error_last());
 *     for (;;)
 *         pfq_dispatch(q, handle_packet, NULL, -1);
 *
 * Errors. Functions return 0, a count or a number, or -errno; pfq_error_last() has the sentence that
 * goes with it. A function that talks to pfqd may return, beside what is said of it:
 *
 *     -EINVAL     pfqd or the library refuses an argument; the sentence says why
 *     -EACCES     the rights of this user do not cover it, or the policy of the group
 *     -ENOENT     no such group; one outside the user's rights is not there either
 *     -ENODEV     no such device
 *     -ESHUTDOWN  pfqd was stopped and took everything down; close the handle
 *     -ECONNRESET pfqd went away, and did not come back in 10 s with this session
 *     -ETIMEDOUT  pfqd did not answer in time; it may still do what was asked
 *     -EPROTO     what came is not of the protocol
 *     -EPERM      the handle was made before fork, and this is the child
 *     -ENOMEM -EMFILE ... what the system said
 *
 * When pfqd dies, packets go on, and so does reading. The next call that needs pfqd waits for it to
 * come back, up to 10 s; waiting and reading try to find it in between.
 *
 * Threads. One thread at a time waits, reads and dispatches with a handle; it alone calls
 * pfq_fd, pfq_enable, pfq_disable and pfq_close. All else may be called from any thread at any time; calls that need pfqd
 * take turns. Different handles have nothing to do with each other.
 *
 * Processes. A child after fork must not use the handle; it may pfq_close it, which then leaves that
 * of the parent alone. A daemon opens its handles when it has forked for the last time: they end with the
 * process that opened them. Descriptors are closed by exec. The library prints nothing, ends nothing and
 * raises no signal.
 */
#ifndef PFQ_PFQ_H
#define PFQ_PFQ_H

#include <pfq/ring.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PFQ_VERSION_MAJOR 0
#define PFQ_VERSION_MINOR 1
#define PFQ_VERSION_PATCH 0
#define PFQ_VERSION "0.1.0"

/* Where pfqd listens, unless the options or the environment variable PFQ_SOCKET say otherwise. */
#define PFQ_SOCKET_PATH "/run/pfq/pfqd.sock"

/* Classes of members, in masks. A packet goes to members that share a class with it. */
#define PFQ_CLASS_DEFAULT (UINT64_C(1) << 0)
#define PFQ_CLASS_USER_PLANE (UINT64_C(1) << 1)
#define PFQ_CLASS_CONTROL_PLANE (UINT64_C(1) << 2)
#define PFQ_CLASS_CONTROL (UINT64_C(1) << 63) /* configures a group and gets none of its packets */
#define PFQ_CLASS_ANY (~PFQ_CLASS_CONTROL)

#define PFQ_ANY_GROUP (-1) /* of pfq_join_group: the lowest one that is free */
#define PFQ_ANY_QUEUE (-1) /* all receive queues of a device */
#define PFQ_ANY_VLAN (-1)  /* every id from 1 to 4094 */
#define PFQ_COUNTERS 64    /* of a group */

#pragma GCC visibility push(default)

/* What follows, up to the end mark, is what the manual pages are made of. */
/* declarations: begin */

/*
 * page: pfq_open - open and close a handle of PFQ
 *
 * A handle is an end-point of pfqd. It is opened without rings, so that its parameters can be set
 * first (pfq_set_snaplen(3)); pfq_enable(3) gives it rings, and packets of its groups begin to come.
 * Its end-point ends with the handle, and with the process.
 */

struct pfq;

/* Who else may join a group, change it and read its counters. */
enum pfq_policy {
    PFQ_POLICY_UNDEFINED,  /* nobody joins with it; the first other one of a member becomes the group's */
    PFQ_POLICY_PRIVATE,    /* nobody else */
    PFQ_POLICY_RESTRICTED, /* handles of the same process that ask for it */
    PFQ_POLICY_SHARED,     /* everybody who asks for it and has the rights */
};

/* Where the time stamps of packets come from. */
enum pfq_clock {
    PFQ_CLOCK_NS,     /* ns, read for each packet */
    PFQ_CLOCK_COARSE, /* as of the last tick of the kernel, some ms; cheaper */
    PFQ_CLOCK_NONE,   /* always 0 */
};

/* Options of a new handle; what is 0 or NULL is as usual. PFQ_OPTS(.snaplen = 128) makes some. */
struct pfq_opts {
    size_t size;         /* sizeof(struct pfq_opts) */
    const char *socket;  /* path of pfqd's socket; NULL: $PFQ_SOCKET, or PFQ_SOCKET_PATH */
    uint32_t snaplen;    /* bytes of a frame to keep, 1 to 65535; 0: a frame of 1500 bytes with its headers */
    uint32_t slots;      /* packets in each ring, 1 to 262144, made a power of two; 0: pfqd's choice */
    uint32_t clock;      /* an enum pfq_clock */
    uint32_t weight;     /* share of what groups steer, 1 to 8; 0: 1 */
    uint32_t timeout_ms; /* how long an answer of pfqd may take; 0: 30000 */
    uint32_t reserved;   /* 0 */
};

/*
 * Opens a handle, makes a private group and joins it in class PFQ_CLASS_DEFAULT. `opts` may be NULL.
 * Returns 0, -ENOENT or -ECONNREFUSED (no pfqd at the socket), -EACCES (no right to use it), -EPROTO
 * (another version of pfqd), -ENOSPC (all groups or end-points are taken, or this user's share).
 */
int pfq_open(struct pfq **out, const struct pfq_opts *opts);

/* The same without any group. */
int pfq_open_nogroup(struct pfq **out, const struct pfq_opts *opts);

/*
 * The same with a group of its own that others may join as its policy says, in the classes of a mask
 * that is not 0. With PFQ_POLICY_UNDEFINED no group is joined.
 */
int pfq_open_group(struct pfq **out, uint64_t class_mask, enum pfq_policy policy, const struct pfq_opts *opts);

/*
 * Ends the handle and its end-point: its groups lose a member, its rings and all batches are gone.
 * NULL is allowed. In a child after fork it frees what the child has, and the parent's goes on.
 */
void pfq_close(struct pfq *q);

/* The number of the end-point, 0 to 63. */
int pfq_id(const struct pfq *q);

/* The default group: the first one that was joined and not left. Returns its number, or -1: none. */
int pfq_group_id(const struct pfq *q);

/*
 * page: pfq_enable - begin and end to receive packets
 *
 * An enabled handle has a ring for each CPU of the machine, mapped into the process, and gets the
 * packets that its groups select it for. An egress one (pfq_egress_bind(3)) has none, and sends them.
 */

/*
 * Gives the handle rings. Returns 0, -EINVAL (it is enabled already), -EMFILE (it takes two descriptors
 * and one for each CPU, if only for a moment; the handle is in no group then), -ENOSPC (more memory
 * than this user may have).
 */
int pfq_enable(struct pfq *q);

/*
 * Leaves all groups, as PFQ always did, and gives the rings back with all that was not read: no batch
 * may be used any more. Returns 0, also when it was not enabled.
 */
int pfq_disable(struct pfq *q);

/* Returns 1 or 0. */
int pfq_is_enabled(const struct pfq *q);

/*
 * page: pfq_set_snaplen - parameters of a handle
 *
 * Snap length, slots and clock are fixed while the handle is enabled: then setting them fails with
 * -EINVAL. The weight may change at any time.
 */

/* Bytes of each frame to keep, 1 to 65535. Slots become as large as it takes. Returns 0 or -EINVAL. */
int pfq_set_snaplen(struct pfq *q, uint32_t bytes);

/* Returns bytes. */
int pfq_get_snaplen(const struct pfq *q);

/* Packets that each ring holds, 1 to 262144; the next power of two is taken. Returns 0 or -EINVAL. */
int pfq_set_slots(struct pfq *q, uint32_t slots);

/* Returns packets. */
int pfq_get_slots(const struct pfq *q);

/* Bytes of a slot: struct pfq_slot and the bytes of the frame, as one size of a few that there are. */
int pfq_get_slot_size(const struct pfq *q);

/* An enum pfq_clock. Returns 0 or -EINVAL. */
int pfq_set_clock(struct pfq *q, enum pfq_clock clock);

/* Returns an enum pfq_clock. */
int pfq_get_clock(const struct pfq *q);

/* Its share of the packets that groups steer, 1 to 8. Flows move. Returns 0 or -EINVAL. */
int pfq_set_weight(struct pfq *q, uint32_t weight);

/* Returns 1 to 8. */
int pfq_get_weight(const struct pfq *q);

/*
 * page: pfq_join_group - join and leave groups
 *
 * There are 64 groups, 0 to 63. A handle may be in many; a packet that several of them select it for
 * comes once. A group lives as long as it has members, unless pfqd's configuration holds it.
 */

/*
 * Joins a group in the classes of a mask that is not 0, making it when it is not there. Again is
 * harmless, and changes the classes. Returns its number; -EACCES (its policy is another, or does not
 * let this handle in), -ENOSPC (PFQ_ANY_GROUP, and none is free).
 */
int pfq_join_group(struct pfq *q, int gid, uint64_t class_mask, enum pfq_policy policy);

/* Returns 0, also when it was not in. The group ends with its last member. */
int pfq_leave_group(struct pfq *q, int gid);

/* The groups that it is in, as bits. */
uint64_t pfq_groups_mask(const struct pfq *q);

/*
 * page: pfq_bind - bind groups to devices
 *
 * A group that is bound to a device, or to one receive queue of it, gets the packets that arrive there.
 * It may be bound to many. The handle must be in the group.
 */

/* How a group is bound; what is NULL or 0 is as usual. PFQ_BIND_OPTS(.direction = "inout") makes some. */
struct pfq_bind_opts {
    size_t size;           /* sizeof(struct pfq_bind_opts) */
    const char *direction; /* which packets: "in" (usual), "out" or "inout" */
    const char *binding;   /* "tap" (usual): Linux gets every packet; "inline": those that the program passes on */
    const char *hook;      /* where the program runs: "auto" (usual), "xdp", "xdp-generic", "tcx" or "clsact" */
    uint32_t promiscuous;  /* 1: frames for other addresses too, as long as it is bound */
    uint32_t reserved;     /* 0 */
};

/*
 * Binds the default group to a device and a receive queue, or PFQ_ANY_QUEUE. Returns 0, -ENODEV (no
 * such device), -ENOENT (there is no default group), -EBUSY (the kernel gives the place to no other).
 */
int pfq_bind(struct pfq *q, const char *device, int queue);

/* Undoes it. Returns 0, also when it was not bound; -ENODEV or -ENOENT as above. */
int pfq_unbind(struct pfq *q, const char *device, int queue);

/* The same for any group, with options, which may be NULL. */
int pfq_bind_group(struct pfq *q, int gid, const char *device, int queue, const struct pfq_bind_opts *opts);

/* Undoes it. */
int pfq_unbind_group(struct pfq *q, int gid, const char *device, int queue);

/*
 * Turns the handle into an egress one: packets that its groups select it for are sent out of a device,
 * by a transmit queue or PFQ_ANY_QUEUE, and cannot be read. It must not be enabled at the time, and sends once
 * it is. Returns 0, -EINVAL, -ENODEV.
 */
int pfq_egress_bind(struct pfq *q, const char *device, int queue);

/* Undoes it, while the handle is not enabled. */
int pfq_egress_unbind(struct pfq *q);

/*
 * Switches the promiscuous mode of a device on or off for this handle; pfqd keeps it on as long as
 * somebody wants it, and undoes it when the handle is closed. Returns 0 or -ENODEV.
 */
int pfq_set_promisc(struct pfq *q, const char *device, int on);

/* The index of a device of this network namespace. Returns it, or -ENODEV. */
int pfq_ifindex(const char *device);

/*
 * page: pfq_set_group_program - programs of groups
 *
 * A group without a program gives every packet to all its members. Each packet meets the old program
 * or the new one. A program that is refused changes nothing, and pfq_error_last() has the first fault
 * with its place. The handle must be in the group. A program has at most some 120,000 bytes (-E2BIG).
 */

/*
 * A program in pfq-lang; NULL: none any more. Returns 0, -EINVAL (refused), -EAGAIN (this user made too
 * many changes in the last second; bindings, filters and joining count, too).
 */
int pfq_set_group_program(struct pfq *q, int gid, const char *text);

/* A program as JSON, as `pfq-lang --json` prints it. */
int pfq_set_group_program_json(struct pfq *q, int gid, const char *json);

/*
 * A program in a file that this process can read. It imports modules of PFQ's library only, and names no
 * files: pfqd reads none for others. Returns what open and read say, too.
 */
int pfq_set_group_program_file(struct pfq *q, int gid, const char *path);

/*
 * page: pfq_group_filter - filters of groups
 *
 * What gets to the program of a group: packets that its Berkeley filter accepts, and whose VLAN is one
 * of its set. The others are counted as filtered. The handle must be in the group.
 */

struct sock_fprog;

/* An expression as of tcpdump. Returns 0 or -EINVAL. */
int pfq_group_filter(struct pfq *q, int gid, const char *expression);

/* The instructions of a filter, as for SO_ATTACH_FILTER (linux/filter.h). Returns 0 or -EINVAL. */
int pfq_group_fprog(struct pfq *q, int gid, const struct sock_fprog *filter);

/* Takes the Berkeley filter away, however it was set. */
int pfq_group_fprog_reset(struct pfq *q, int gid);

/* On: a set of VLANs, at first empty, so that no packet passes. Off: no set, all pass. */
int pfq_vlan_filters_enable(struct pfq *q, int gid, int on);

/* Adds an id from 1 to 4094, 0 (packets without a tag) or PFQ_ANY_VLAN. Returns 0, or -EINVAL (no set is on). */
int pfq_vlan_set_filter(struct pfq *q, int gid, int vid);

/* Takes it out of the set. */
int pfq_vlan_reset_filter(struct pfq *q, int gid, int vid);

/*
 * page: pfq_read - wait for packets and read them
 *
 * Packets come in batches, which lie in the rings: struct pfq_batch and struct pfq_slot of pfq/ring.h.
 * pfq_batch_slot(&batch, i) is the header of packet i, pfq_slot_data(slot) its first byte; slot->caplen
 * bytes are there of slot->len. They stay until they are released; a ring that is full loses packets.
 *
 * When the end-point can get no more packets, these functions give what is in the rings first, and then
 * fail: -ENODEV (the last device of its groups is gone; after the next pfq_bind they go on),
 * -ESHUTDOWN (pfqd was stopped), -ECONNRESET (another pfqd runs now, which does not know the handle).
 * All fail with -EINVAL when the handle is not enabled or is an egress one, and with -EPROTO when a ring is broken.
 */

/*
 * One descriptor for epoll, poll or select, the same until the handle is closed. It becomes readable
 * when packets wait, and now and then without any; it stays so until a pfq_read or pfq_dispatch finds
 * nothing (returns 0) or fails. Read until then, then wait for it. Returns it, or -EMFILE, -ENOMEM.
 */
int pfq_fd(struct pfq *q);

/* Waits for packets, at most so many µs; negative: without limit. Returns 1 (packets), 0 (time is over), -EINTR (a signal). */
int pfq_poll(struct pfq *q, int64_t timeout_us);

/*
 * The next packets, at most `max`, to be released. Does not wait for packets, only as pfq_endpoint_read(3)
 * does for a batch to gather. Returns how many, 0: none.
 */
int pfq_read(struct pfq *q, struct pfq_batch *out, uint32_t max);

/* Gives back a batch and all before it in its ring. Returns 0, or -EINVAL. Any thread may call it. */
int pfq_release(struct pfq *q, const struct pfq_batch *batch);

/*
 * Waits as pfq_poll does, and copies the next packets into a buffer, as many slots as fit; `out`
 * describes them there. Nothing needs to be released. Returns how many, 0: time is over; -EINVAL
 * (there is no room for one slot, see pfq_get_slot_size(3)), -EINTR.
 */
int pfq_recv(struct pfq *q, void *buf, size_t bytes, struct pfq_batch *out, int64_t timeout_us);

/*
 * What pfq_dispatch calls: `data` are the slot->caplen bytes of a packet, there until it returns. It must
 * not disable or close the handle.
 */
typedef void (*pfq_callback)(void *user, const struct pfq_slot *slot, const uint8_t *data);

/* Waits as pfq_poll does, calls back for each packet of one batch, and releases it. Returns how many, 0, -EINTR. */
int pfq_dispatch(struct pfq *q, pfq_callback callback, void *user, int64_t timeout_us);

/*
 * page: pfq_get_stats - statistics and counters
 *
 * Each packet is counted in one place. group: arrived = filtered + dropped + selected; end-point:
 * selected for it = delivered + lost.
 */

/* Packets of a group since it began. */
struct pfq_group_stats {
    uint64_t arrived;   /* came from its devices */
    uint64_t filtered;  /* rejected by its filters */
    uint64_t dropped;   /* dropped by its program */
    uint64_t selected;  /* the others: they go to members */
    uint64_t nobody;    /* of these, those for which no member was eligible */
    uint64_t forwarded; /* copies that the program wanted sent on other devices */
    uint64_t unsent;    /* of these, those that the kernel refused */
    uint64_t to_linux;  /* passed on to Linux by the program */
};

/*
 * Packets of this handle since it was enabled (struct pfq_stats of pfq/ring.h). Asks pfqd only when
 * the handle is an egress one. Returns 0, or -EINVAL (it is not enabled).
 */
int pfq_get_stats(struct pfq *q, struct pfq_stats *out);

/* Returns 0, -ENOENT (there is no such group), -EACCES (its policy keeps them from this handle). */
int pfq_get_group_stats(struct pfq *q, int gid, struct pfq_group_stats *out);

/* The 64 counters that programs count with `inc` and `dec`. Returns as above. */
int pfq_get_group_counters(struct pfq *q, int gid, uint64_t counters[64]);

/*
 * page: pfq_symmetric_hash - the hash that steer_flow steers by
 *
 * To spread packets over threads in the way groups spread them over members: both directions of a flow
 * have one hash.
 */

/*
 * The hash of an Ethernet frame: its IP addresses and, of TCP and UDP, its ports, as 32-bit words and
 * 16-bit words in memory order, XORed. A fragment's ports do not count; it is the same as
 * `flow_hash` of Python's batches. Looks at the first 512 bytes, through 2 VLAN tags and 8 IPv6
 * extension headers. Returns it, or 0: not IP, or cut short.
 */
uint32_t pfq_symmetric_hash(const void *frame, size_t bytes);

/* A number below `n` for a hash: mixed, so that similar hashes are spread evenly. `n` of 0 gives 0. */
uint32_t pfq_fold(uint32_t hash, uint32_t n);

/* declarations: end */

#pragma GCC visibility pop

#define PFQ_OPTS(...) (&(struct pfq_opts){.size = sizeof(struct pfq_opts), __VA_ARGS__})
#define PFQ_BIND_OPTS(...) (&(struct pfq_bind_opts){.size = sizeof(struct pfq_bind_opts), __VA_ARGS__})

#ifdef __cplusplus
}
#endif

#endif
