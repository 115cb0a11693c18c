#!/usr/bin/env python3
"""Adds up CTest's JUnit files: junit_summary.py FILE... prints one line per failed program and, as
its last line, "<passed> <failed> <skipped>" for tests/run to read.

A test program prints its own count ("suite: N passed, M failed"); that count is used, so that the
sum is one of test cases and not of programs. A program that failed without saying so (a crash, a
time limit) counts as one failure more. The fixtures of the lab (lab/...) count only when they fail.
"""
import re
import sys
import xml.etree.ElementTree as ET

COUNT = re.compile(r"(?:^|\s)(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", re.M)


def of_case(case):
    """(passed, failed, skipped) of one CTest test."""
    skipped = case.find("skipped")
    if skipped is not None and case.get("status") != "fail":
        if case.get("status") == "disabled" or case.get("status") == "notrun":
            # a program that was not built must not look like success
            if "SKIP_RETURN_CODE" not in (skipped.get("message") or ""):
                return 0, 1, 0
        return 0, 0, 1
    broken = case.find("failure") is not None or case.get("status") == "fail"
    found = COUNT.findall(case.findtext("system-out") or "")
    if not found:
        return (0, 1, 0) if broken else (1, 0, 0)
    passed, failed, skip = found[-1]
    passed, failed, skip = int(passed), int(failed), int(skip or 0)
    if broken and failed == 0:
        failed = 1
    return passed, failed, skip


def main(files):
    total = [0, 0, 0]
    for name in files:
        for case in ET.parse(name).getroot().iter("testcase"):
            counts = of_case(case)
            if case.get("name").startswith("lab/") and not counts[1]:
                continue
            if counts[1]:
                print(f"FAILED {case.get('name')}")
            total = [a + b for a, b in zip(total, counts)]
    print(*total)


if __name__ == "__main__":
    main(sys.argv[1:])
