#!/usr/bin/env python3
"""Makes C++ text of a report's page, its chart library built in.

usage: make_page.py PAGE.html CHART.js OUTPUT.cc
"""

import pathlib
import sys

CHART_MARK = "/* Chart.js */"
DATA_MARK = "@DATA@"
PART = 8000  # characters; compilers limit literals


def literals(text):
    parts = [text[i : i + PART] for i in range(0, len(text), PART)]
    return "".join(f'    R"page({part})page",\n' for part in parts)


def split_once(text, mark):
    if text.count(mark) != 1:
        sys.exit(f"make_page.py: {mark} stands {text.count(mark)} times, expected once")
    return text.split(mark)


def main():
    page, chart, output = map(pathlib.Path, sys.argv[1:])
    library = chart.read_text(encoding="utf-8")
    if "</script" in library.lower():
        sys.exit(f"{chart}: ends the script element it is put in")
    before, after = split_once(page.read_text(encoding="utf-8"), DATA_MARK)
    chart_before, chart_after = split_once(after, CHART_MARK)
    output.write_text(
        '#include "apps/report/page.h"\n\nnamespace mpq {\nnamespace {\n'
        f"constexpr std::string_view kBefore[] = {{\n{literals(before)}}};\n"
        f"constexpr std::string_view kAfter[] = {{\n"
        f"{literals(chart_before + library + chart_after)}}};\n"
        "}  // namespace\n"
        "const std::span<const std::string_view> kPageBeforeData = kBefore;\n"
        "const std::span<const std::string_view> kPageAfterData = kAfter;\n"
        "}  // namespace mpq\n",
        encoding="utf-8",
    )


main()
