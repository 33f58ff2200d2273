/* As much of libbpf's header of this name as the examples of the manual need. */
#define bpf_htons(x) __builtin_bswap16(x)
