"""Everything that asks the running kernel: bpf(2), maps, programs, probes, devices, attachment.

abi         numbers and structures of linux/bpf.h
sys         bpf(2), one function per command, and descriptors
maps        maps as objects
elf         relocatable object -> instructions, debug information, relocations
programs    loading and test runs
verifier    the verifier's log -> one sentence and a place in the user's program
features    what this kernel can do: a table of probes
privilege   what this process may do
netlink     rtnetlink
devices     network devices of the current network namespace
watch       what happens to them
attach      XDP and tcx links
clsact      the older way for TC
"""
