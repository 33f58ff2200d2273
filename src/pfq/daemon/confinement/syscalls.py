"""The system calls that confined processes may make, by what they are for, with their numbers.

Each has its number on x86-64 and that of the table which AArch64 and RISC-V share; `-`: there is none.
"""

from typing import Final

DESCRIPTORS: Final = """
    read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, close 3 57,
    close_range 436 436, lseek 8 62, dup 32 23, dup2 33 -, dup3 292 24, fcntl 72 25, pipe 22 -, pipe2 293 59,
    poll 7 -, ppoll 271 73, select 23 -, pselect6 270 72, epoll_create1 291 20, epoll_ctl 233 21,
    epoll_wait 232 -, epoll_pwait 281 22
"""
READING: Final = """
    open 2 -, openat 257 56, stat 4 -, fstat 5 80, lstat 6 -, newfstatat 262 79, statx 332 291, fstatfs 138 44,
    statfs 137 43, access 21 -, faccessat 269 48, faccessat2 439 439, readlink 89 -, readlinkat 267 78,
    getdents64 217 61, getcwd 79 17
"""
MEMORY: Final = """
    mmap 9 222, munmap 11 215, mprotect 10 226, mremap 25 216, madvise 28 233, brk 12 214, msync 26 227,
    membarrier 324 283
"""
SELF: Final = """
    futex 202 98, rseq 334 293, set_robust_list 273 99, get_robust_list 274 100, set_tid_address 218 96,
    arch_prctl 158 -, exit 60 93, exit_group 231 94, gettid 186 178, getpid 39 172, getppid 110 173,
    getuid 102 174, geteuid 107 175, getgid 104 176, getegid 108 177, getresuid 118 148, getresgid 120 150,
    getgroups 115 158, getpgrp 111 -, getpgid 121 155, getsid 124 156, getrusage 98 165, getrlimit 97 163,
    prlimit64 302 261, sched_yield 24 124, sched_getaffinity 204 123, sched_getparam 143 121,
    sched_getscheduler 145 120, getpriority 140 141, getcpu 309 168, sysinfo 99 179, uname 63 160,
    getrandom 318 278, capget 125 90
"""
SIGNALS: Final = """
    rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigtimedwait 128 137,
    rt_sigsuspend 130 133, rt_sigpending 127 136, sigaltstack 131 132, tgkill 234 131, restart_syscall 219 128,
    pause 34 -, alarm 37 -, setitimer 38 103, getitimer 36 102
"""
TIME: Final = """
    clock_gettime 228 113, clock_getres 229 114, clock_nanosleep 230 115, nanosleep 35 101,
    gettimeofday 96 169, time 201 -, times 100 153
"""
THREADS: Final = """
    clone 56 220, fork 57 -, vfork 58 -, wait4 61 260, waitid 247 95, prctl 157 167
"""
MESSAGES: Final = """
    sendto 44 206, recvfrom 45 207, sendmsg 46 211, recvmsg 47 212, shutdown 48 210, getsockname 51 204,
    getpeername 52 205, getsockopt 55 209
"""
WRITING: Final = """
    mkdir 83 -, mkdirat 258 34, unlink 87 -, unlinkat 263 35, rmdir 84 -, rename 82 -, renameat 264 38,
    renameat2 316 276, fsync 74 82, fdatasync 75 83, ftruncate 77 46, fallocate 285 47, fchmod 91 52,
    fchmodat 268 53, chmod 90 -, fchown 93 55, fchownat 260 54, chown 92 -, umask 95 166, utimensat 280 88,
    flock 73 32
"""
SOCKETS: Final = """
    socket 41 198, socketpair 53 199, bind 49 200, listen 50 201, accept 43 202, accept4 288 242,
    connect 42 203, setsockopt 54 208, sendmmsg 307 269, recvmmsg 299 243
"""
EVENTS: Final = """
    ioctl 16 29, eventfd2 290 19, timerfd_create 283 85, timerfd_settime 286 86, inotify_init1 294 26,
    inotify_add_watch 254 27, inotify_rm_watch 255 28, signalfd4 289 74, pidfd_open 434 434, kill 62 129,
    setrlimit 160 164, sched_setaffinity 203 122, memfd_create 319 279
"""
KERNEL: Final = """
    bpf 321 280
"""
