#!/usr/bin/env python3
"""Peak memory and wall time of a whole process, from the kernel's own figures.

Memory. The kernel keeps no peak of anonymous memory (VmHWM is the peak of all resident pages), and
polling misses short peaks. But a process gives pages back only in a system call (munmap, madvise,
brk, exit, ...), so every peak lies just before one. The process is stopped with ptrace at the entry
of every system call of every thread, and /proc/PID/smaps_rollup is read, which walks the page
tables (the counters in /proc/PID/status may lag by some 32 pages a thread):
  private    "Anonymous": pages that no file backs: heap, stacks, arena, written data sections
  resident   "Rss": all of them and the pages of files that were touched, the model's among them
Without memory pressure both are exact. Page tables and kernel stacks are not in them.

Time. From just before posix_spawn to the end of the process, so loader, checksums, image decoding
and exit are inside; the first run, which warms the page cache, is not counted.
"""

import argparse
import ctypes
import json
import os
import signal
import statistics
import sys
import time

PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_SETOPTIONS = 0, 24, 0x4200
TRACE_SYSGOOD, TRACE_CLONE, TRACE_FORK, TRACE_VFORK, EXIT_KILL = 0x1, 0x8, 0x2, 0x4, 0x100000
EVENT_STOP = signal.SIGTRAP

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"ptrace: {os.strerror(error)}")


def read_fields(path, names):
    """'Name:  123 kB' lines of a /proc file, in bytes."""
    values = dict.fromkeys(names, 0)
    with open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name in values:
                values[name] = int(rest.split()[0]) * 1024
    return values


def mappings(pid):
    """(anonymous, resident, name) of each mapping, largest first."""
    rows = {}
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split()
            if not words[0].endswith(":"):
                name = words[5] if len(words) > 5 else "[anonymous]"
                row = rows.setdefault(f"{words[1]} {name}", [0, 0])
            elif words[0] == "Anonymous:":
                row[0] += int(words[1]) * 1024
            elif words[0] == "Rss:":
                row[1] += int(words[1]) * 1024
    return sorted(((*sizes, name) for name, sizes in rows.items()), reverse=True)


def spawn_traced(command):
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            ptrace(PTRACE_TRACEME, 0)
            os.execvp(command[0], command)
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)
    return pid


def measure_memory(command):
    pid = spawn_traced(command)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):
        sys.exit(f"cannot trace {command[0]}")
    ptrace(PTRACE_SETOPTIONS, pid, TRACE_SYSGOOD | TRACE_CLONE | EXIT_KILL)
    peak = {"private": 0, "resident": 0, "mappings": []}
    ptrace(PTRACE_SYSCALL, pid)
    while True:
        thread, status = os.waitpid(-1, 0x40000000)  # __WALL: threads as well
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            if thread == pid:
                peak["exit_code"] = os.waitstatus_to_exitcode(status)
                return peak
            continue
        stop = os.WSTOPSIG(status)
        if stop == EVENT_STOP | 0x80:  # a system call, or its return
            now = read_fields(f"/proc/{pid}/smaps_rollup", ["Rss", "Anonymous"])
            peak["resident"] = max(peak["resident"], now["Rss"])
            if now["Anonymous"] > peak["private"]:
                peak["private"] = now["Anonymous"]
                peak["mappings"] = mappings(pid)
        deliver = 0 if stop in (EVENT_STOP, EVENT_STOP | 0x80, signal.SIGSTOP) else stop
        try:
            ptrace(PTRACE_SYSCALL, thread, deliver)
        except OSError:  # it has just been killed
            pass


def measure_time(command, runs):
    null = os.open(os.devnull, os.O_WRONLY)
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        pid = os.posix_spawnp(command[0], command, os.environ,
                              file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
        os.waitpid(pid, 0)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="timed runs; 0: memory only")
    parser.add_argument("--subtract", metavar="FILE", help="state resident minus this file's size")
    parser.add_argument("--mappings", action="store_true", help="list mappings at the private peak")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --")
    arguments = parser.parse_args()

    memory = measure_memory(arguments.command)
    report = {"private_bytes": memory["private"], "resident_bytes": memory["resident"]}
    if arguments.subtract:
        size = os.path.getsize(arguments.subtract)
        report["resident_minus_file_bytes"] = memory["resident"] - size
    if arguments.runs > 0:
        seconds = measure_time(arguments.command, arguments.runs)
        report["wall_ms"] = {"min": 1e3 * seconds[0], "median": 1e3 * statistics.median(seconds),
                             "p95": 1e3 * seconds[int(0.95 * len(seconds))]}
    if arguments.mappings:
        report["mappings"] = [{"private_bytes": private, "resident_bytes": resident, "name": name}
                              for private, resident, name in memory["mappings"]]
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        parts = [f"{name.removesuffix('_bytes').replace('_', ' ')} {value / 1e6:.2f} MB"
                 for name, value in report.items() if name.endswith("_bytes")]
        parts += [f"{name} {value:.2f} ms" for name, value in report.get("wall_ms", {}).items()]
        print(", ".join(parts))
        for row in report.get("mappings", []):
            print(f"{row['private_bytes'] >> 10:8} kB private {row['resident_bytes'] >> 10:8} kB "
                  f"resident  {row['name']}")
    return memory["exit_code"]


if __name__ == "__main__":
    sys.exit(main())
