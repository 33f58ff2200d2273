/* As much of libbpf's header of this name as the examples of the manual need. */
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) value *name

static void *(*bpf_map_lookup_elem)(void *, const void *) = (void *)1;
static long (*bpf_map_update_elem)(void *, const void *, const void *, __u64) = (void *)2;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static __u32 (*bpf_get_prandom_u32)(void) = (void *)7;
static long (*bpf_redirect_map)(void *, __u64, __u64) = (void *)51;
static long (*bpf_spin_lock)(struct bpf_spin_lock *) = (void *)93;
static long (*bpf_spin_unlock)(struct bpf_spin_lock *) = (void *)94;
