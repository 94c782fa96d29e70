"""A report as text for a terminal."""

from __future__ import annotations

import textwrap

import pandas as pd

from plkd.report._plain import facts
from plkd.report._report import Report
from plkd.report._scores import named_scores, number

#: Labels with a line of their own; of more, those called worst.
_MOST_LABELS = 20
_WIDTH, _NAME, _CONFUSED = 88, 28, 20


def as_text(report: Report) -> str:
    """Return lines of at most 88 characters."""
    blocks = [_scores(report), _labels(report.labels)]
    blocks += [_section(str(name), section) for name, section in report.about.items()]
    # What a terminal would act on, or could not encode, is not sent to it.
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in "\n\n".join(blocks))


def _scores(report: Report) -> str:
    lines = [f"{len(report._calls.truth):,} labelled cells, {len(report._calls.labels)} labels"]
    for name, value, before in named_scores(report):
        lines.append(f"  {name:20}{value:>7}" + (f"   (uncalibrated {before})" if before else ""))
    return "\n".join(lines)


def _labels(table: pd.DataFrame) -> str:
    shown = table[(table["n_cells"] > 0) | (table["n_called"] > 0)]
    title = "Labels"
    if len(shown) > _MOST_LABELS:
        shown = shown.sort_values("f1", kind="stable").head(_MOST_LABELS)
        title = f"The {_MOST_LABELS} labels called worst"
    lines = [
        title,
        f"  {'':{_NAME}}{'cells':>7}{'precision':>10}{'recall':>7}{'F1':>6}  confused with",
    ]
    for label, row in shown.iterrows():
        confused = f"{_cut(row['confused_with'], _CONFUSED)} ({row['n_confused']:,})" if row["n_confused"] else ""
        lines.append(
            f"  {_cut(str(label), _NAME):{_NAME}}{row['n_cells']:>7,}{number(row['precision']):>10}"
            f"{number(row['recall']):>7}{number(row['f1']):>6}  {confused}".rstrip()
        )
    left = len(table) - len(shown)
    if left:
        lines.append(f"  and {left} more: report.labels")
    return "\n".join(lines)


def _section(name: str, section: object) -> str:
    lines = [name.replace("_", " ").capitalize()]
    for fact, value in facts(section):
        start = f"  {fact}: " if fact else "  "
        lines.append(textwrap.fill(value, _WIDTH, initial_indent=start, subsequent_indent="    "))
    return "\n".join(lines)


def _cut(name: str, length: int) -> str:
    """Cut a name in its middle, so that both ends stay; without line breaks."""
    name = " ".join(name.split())
    if len(name) <= length:
        return name
    tail = (length - 1) // 3
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"
