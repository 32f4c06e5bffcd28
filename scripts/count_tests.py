#!/usr/bin/env python3
"""Adds up what meson's test logs say and prints the closing line; exit status 1 if a test failed.

A program's own summary counts (doctest, unittest); one without a summary is one test. A doctest
case that printed "skipped: ..." counts as skipped, not as passed.
"""

import json
import os
import re
import sys
from collections import Counter

DOCTEST_SUMMARY = re.compile(r"\[doctest\] test cases: +\d+ \| +(\d+) passed \| +(\d+) failed")
DOCTEST_CASE = re.compile(r"^TEST CASE: +(.*)$")
DOCTEST_SKIP = re.compile(r"MESSAGE: skipped: ?(.*)$")
UNITTEST_SUMMARY = re.compile(r"^Ran (\d+) tests? in", re.MULTILINE)
UNITTEST_COUNTS = re.compile(r"(failures|errors|skipped)=(\d+)")


def skipped_cases(output):
    """case -> reason"""
    reasons, case = {}, None
    for line in output.splitlines():
        if match := DOCTEST_CASE.search(line):
            case = match.group(1)
        elif match := DOCTEST_SKIP.search(line):
            reasons.setdefault(case, match.group(1))
    return reasons


def count_program(test):
    output = test.get("stdout", "") + "\n" + test.get("stderr", "")
    succeeded = test["result"] in ("OK", "EXPECTEDFAIL")
    counts = Counter()
    if match := DOCTEST_SUMMARY.search(output):
        skips = skipped_cases(output)
        for case, reason in skips.items():
            print(f"skipped: {test['name']}: {case}: {reason}")
        counts.update(passed=int(match.group(1)) - len(skips), failed=int(match.group(2)),
                      skipped=len(skips))
    elif match := UNITTEST_SUMMARY.search(output):
        found = {key: int(n) for key, n in UNITTEST_COUNTS.findall(output[match.end():])}
        counts.update(failed=found.get("failures", 0) + found.get("errors", 0),
                      skipped=found.get("skipped", 0))
        counts["passed"] = int(match.group(1)) - counts["failed"] - counts["skipped"]
    elif test["result"] == "SKIP":
        print(f"skipped: {test['name']}: {output.strip().splitlines()[-1:]}")
        counts["skipped"] = 1
    elif succeeded:
        counts["passed"] = 1
    if test["result"] not in ("OK", "EXPECTEDFAIL", "SKIP") and counts["failed"] == 0:
        counts["failed"] = 1  # it crashed or timed out: there is no summary, or it lies
    return counts


def count_folder(folder):
    total = Counter()
    for name in sorted(os.listdir(folder)):
        counts = Counter()
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            for line in f:
                if name.endswith(".json"):
                    counts += count_program(json.loads(line))
                else:
                    counts[line.split()[1]] += 1
                    print(line.strip())
        print(f"{name.removesuffix('.json')}: {closing_line(counts)}")
        total += counts
    return total


def closing_line(counts):
    line = f"{counts['passed']} passed, {counts['failed']} failed"
    return f"{line}, {counts['skipped']} skipped" if counts["skipped"] else line


def main():
    total = count_folder(sys.argv[1])
    print(closing_line(total))
    sys.exit(total["failed"] > 0 or total["passed"] == 0)


if __name__ == "__main__":
    main()
