"""Memory of a process in the kernel's figures, in bytes."""

import pathlib


def of_process(process="self"):
    """Anonymous memory and resident memory now, and the most that was ever resident."""
    fields = {}
    for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("RssAnon", "VmRSS", "VmHWM"):
            fields[name] = int(value.split()[0]) * 1024
    return {"private": fields["RssAnon"], "resident": fields["VmRSS"], "peak": fields["VmHWM"]}
