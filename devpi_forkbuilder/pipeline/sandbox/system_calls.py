"""System calls that the filter treats specially: their numbers, and why they are refused.

Numbers are from the kernel's tables (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h); from
424 on they are the same everywhere. None: the architecture does not have the call.
"""

from __future__ import annotations

X86_64, GENERIC = 0, 1

ESCAPES = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "clone": (56, 220),
    "clone3": (435, 435),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "userfaultfd": (323, 282),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "socket": (41, 198),
    "syslog": (103, 116),
}
"""What has let programs out of boxes, and io_uring, whose operations no filter sees."""

UNCOUNTED = {
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "mq_timedsend": (242, 182),
    "mq_timedreceive": (243, 183),
    "mq_notify": (244, 184),
    "mq_getsetattr": (245, 185),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}
"""Memory that RLIMIT_AS does not see (svipc(7), mq_overview(7), memfd_create(2)); queues and segments outlive the
build where it has no IPC namespace. Programs know kernels that are built without these calls."""

OTHER_PROCESSES = {
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
}
"""Calls for other processes, which no user id nor Landlock keeps from those of the same user."""

OF_A_PROCESS = {
    "prlimit64": (302, 261),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
}
"""Allowed for the calling thread alone: the first argument, a process id, has to be 0."""

OF_A_KIND = {"setpriority": (141, 140), "ioprio_set": (251, 30)}
"""Allowed for the calling thread alone: the first argument says what the second, which has to be 0, is the id of."""

WATCHES = {"inotify_init": (253, None), "inotify_init1": (294, 26), "fanotify_init": (300, 262)}
"""They tell names in folders that Landlock keeps closed."""

ATTRIBUTES = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
}
"""Calls that change modes, owners and times, which Landlock does not see."""

EXTENDED_ATTRIBUTES = {
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
}
"""The same for access control lists and other extended attributes."""

CONNECT = {"connect": (42, 203), "bind": (49, 200)}
"""Socket files that everybody may write to can be connected to by a build that sees them, and abstract names of the
machine can be taken, those of this program's own locks too; Landlock has no rule for either before version 9. So these
go to the listener too, which knows the work folder only."""

FCNTL, IOCTL = {"fcntl": (72, 25)}, {"ioctl": (16, 29)}
LEASES_AND_OWNERS = (8, 15, 1024, 1026)
"""F_SETOWN, F_SETOWN_EX, F_SETLEASE, F_NOTIFY of fcntl(2): signals to others, and leases on the server's files, which
make it wait for 45 seconds when it opens them."""
OWNERS = (0x8901, 0x8902)
"""FIOSETOWN and SIOCSPGRP of ioctl(2), which do what F_SETOWN does."""

SECCOMP = (317, 277)


def numbers(table: dict[str, tuple[int, int | None]] | dict[str, tuple[int, int]], column: int) -> dict[str, int]:
    """The calls of `table` that an architecture has."""
    return {name: number for name, row in table.items() if (number := row[column]) is not None}
