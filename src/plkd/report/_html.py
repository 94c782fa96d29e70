"""A report as one page."""

from __future__ import annotations

from html import escape
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from plkd.report._figures import figures
from plkd.report._plain import facts
from plkd.report._report import Report
from plkd.report._scores import named_scores, number

_CAPTIONS = {
    "reliability": "Each point is a bin of equally many cells, its bar the 95 % interval. On the diagonal a confidence "
    "of 80 % is right 8 times of 10; below it, confidences are too high. The error is less what chance gives: slightly "
    "below 0 is 0. Above: cells by confidence.",
    "confidence": "Right and wrong calls by confidence; the number of cells on a logarithmic scale.",
    "confusion": "Share of each true label's cells that was called which label.",
}
_HEAD = ("Cells", "Called", "Precision", "Recall", "F1", "Confidence")


def as_html(report: Report) -> str:
    """Return the page; everything that users named is escaped, and nothing is loaded from elsewhere."""
    drawn = {
        name: f'<figure><img alt="{name}" src="{address}"><figcaption>{escape(_CAPTIONS[name])}</figcaption></figure>'
        for name, address in figures(report).items()
    }
    style = (files("plkd.report") / "page.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>plkd report</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>plkd report</h1>
<p class="faint">{len(report._calls.truth):,} labelled cells, {len(report._calls.labels)} labels; plkd {version("plkd")}</p>
{_scores(report)}
<h2>Confidence</h2>
<div class="figures">
{drawn["reliability"]}
{drawn["confidence"]}
</div>
<h2>Labels</h2>
<p class="faint">Confidence is the mean over the cells called so; where it is far from the precision, it misleads.</p>
{_labels(report)}
<h2>Confusion</h2>
{drawn["confusion"]}
<div class="sections">
{"".join(_section(str(name), section) for name, section in report.about.items())}</div>
</main>
</body>
</html>
"""


def _scores(report: Report) -> str:
    tiles = [
        f'<div><dt>{name}</dt><dd class="value">{value}</dd>'
        + (f'<dd class="before">uncalibrated {before}</dd>' if before else "")
        + "</div>"
        for name, value, before in named_scores(report)
    ]
    return f'<dl class="scores">{"".join(tiles)}</dl>'


def _labels(report: Report) -> str:
    head = "".join(f"<th scope='col'>{name}</th>" for name in _HEAD)
    rows = "\n".join(
        _row(str(label), row) for label, row in zip(report.labels.index, report.labels.to_dict("records"), strict=True)
    )
    return (
        f'<div class="card wide"><table><thead><tr><th scope="col" class="text">Label</th>{head}'
        f'<th scope="col" class="text">Confused with</th></tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'
    )


def _row(label: str, row: dict[str, Any]) -> str:
    confused = f"{escape(row['confused_with'])} ({row['n_confused']:,})" if row["n_confused"] else ""
    shares = "".join(
        f'<td class="share" style="--share: {number(row[name], ".3f")}">{number(row[name])}</td>'
        if row[name] == row[name]
        else "<td>–</td>"
        for name in ("precision", "recall", "f1", "confidence")
    )
    return (
        f'<tr><th scope="row">{escape(label)}</th><td>{row["n_cells"]:,}</td><td>{row["n_called"]:,}</td>{shares}'
        f'<td class="text">{confused}</td></tr>'
    )


def _section(name: str, section: object) -> str:
    lines = facts(section)
    title = f"<section><h2>{escape(name.replace('_', ' ').capitalize())}</h2>"
    if [fact for fact, _ in lines] == [""]:
        return f'{title}<div class="card">{escape(lines[0][1])}</div></section>\n'
    rows = "".join(f"<dt>{escape(fact)}</dt><dd>{escape(value)}</dd>" for fact, value in lines)
    return f'{title}<dl class="facts card">{rows}</dl></section>\n'
