"""A model card: what a model was trained on, how good it is and what it cannot do, as Markdown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plkd.patterns import KIND
from plkd.report._plain import facts, in_words
from plkd.report._report import Report
from plkd.report._scores import named_scores, number

_INPUT = {"counts": "raw counts", "log": "log-normalised"}
_MARKUP = re.compile(r"([\\|`*_<>\[\]])")


@dataclass(frozen=True)
class CardFacts:
    """What a card says of a model beside its scores.

    Attributes
    ----------
    modalities
        The user's name, kind, number of features and scale of each.
    labels
        Number of cells of the reference by label; None where it is not known.
    sources
        Where each pattern comes from.
    about
        The sections of :attr:`plkd.Report.about`.
    calibrated
        Whether confidence was calibrated.
    """

    modalities: Sequence[tuple[str, str, int, str]]
    labels: Mapping[str, int | None]
    sources: Sequence[str]
    about: Mapping[str, Any]
    calibrated: bool


def as_card(facts_: CardFacts, report: Report | None, description: str | None, license: str | None) -> str:
    """Return the card: a header that the Hugging Face Hub reads, then sections for people.

    Parameters
    ----------
    facts_
        What the model comes from.
    report
        Scores on held-out cells; None where no cells were held out.
    description
        The author's own words, Markdown; None says that there are none.
    license
        Short name of the model's licence, for the header; None leaves it out.
    """
    reads = " + ".join(f"{n:,} {KIND[kind].features}" for _, kind, n, _ in facts_.modalities)
    # Without the seconds: the same training shall give the same card.
    training = {name: value for name, value in facts_.about["training"].items() if name != "seconds"}
    blocks = [
        _header(facts_, license),
        f"# plkd: {len(facts_.labels):,} labels from {reads}",
        description.strip() if description else "The author gave no description of the reference.",
        _use(),
        "## Reference\n\n" + _table(facts_.about["reference"], ("features", "labels", "patterns")),
        _labels(facts_, report),
        _features(facts_),
        _patterns(facts_),
        _scores(facts_, report),
        _limits(facts_),
        "## Training\n\n" + _table({**training, **_dropped(facts_)}),
        "## Versions\n\n" + _table(facts_.about["versions"]),
    ]
    return "\n\n".join(blocks) + "\n"


def _header(facts_: CardFacts, license: str | None) -> str:
    versions = facts_.about["versions"]
    tags = ["biology", "genomics", "single-cell", "cell-type-annotation", "model_cls_name:PLKD"]
    tags += [f"{name.split('-')[0]}_version:{versions[name]}" for name in ("scvi-tools", "anndata") if name in versions]
    tags += [f"modality:{kind}" for _, kind, _, _ in facts_.modalities]
    lines = [f"license: {license}"] if license else []
    return "\n".join(["---", *lines, "library_name: plkd", "tags:", *(f"- {tag}" for tag in tags), "---"])


def _use() -> str:
    return """## Use

```python
import plkd

annotator = plkd.Annotator.load("annotator/")  # or its address, with known_hash="sha256:..."
table = annotator.annotate(query, unknown="auto")  # label, confidence, novelty, runner_up, rejected, reason
```"""


def _labels(facts_: CardFacts, report: Report | None) -> str:
    lines = ["| label | cells | precision | recall | F1 |", "| --- | ---: | ---: | ---: | ---: |"]
    for label, n in facts_.labels.items():
        scores = ["–"] * 3
        if report is not None and label in report.labels.index:
            row = report.labels.loc[label]
            scores = [number(row[name]) for name in ("precision", "recall", "f1")]
        lines.append(f"| {_cell(label)} | {'–' if n is None else f'{n:,}'} | {' | '.join(scores)} |")
    return "## Labels\n\nCells of the reference; scores on held-out cells.\n\n" + "\n".join(lines)


def _features(facts_: CardFacts) -> str:
    lines = ["| modality | features | reference | a query's values |", "| --- | --- | --- | --- |"]
    for name, kind, n, scale in facts_.modalities:
        given = _INPUT[scale]
        taken = "raw counts, or log-normalised, which is recognised" if kind == "rna" else given
        lines.append(f"| {_cell(name)} | {n:,} {KIND[kind].features} | {given} | {taken} |")
    return (
        "## Features\n\n"
        + "\n".join(lines)
        + "\n\nThey are found by name, in any order. A query that has fewer than 20 % of them is refused."
    )


def _patterns(facts_: CardFacts) -> str:
    sources = Counter("learned from the reference" if s == "learned" else s.split(":")[0] for s in facts_.sources)
    return "## Patterns\n\n" + _table(dict(sources.most_common()))


def _scores(facts_: CardFacts, report: Report | None) -> str:
    if report is None:
        return "## Scores\n\nNone: no labelled cells were held out of training, or the reference is not at hand."
    scores = {name: value + (f" (uncalibrated {old})" if old else "") for name, value, old in named_scores(report)}
    return (
        f"## Scores\n\nOn {len(report.truth):,} cells that were kept from training.\n\n"
        + _table({**scores, **_calibration(facts_.about["calibration"])})
        + "\n\nOther laboratories' cells are called worse: these numbers are an upper bound for them."
    )


def _calibration(section: Any) -> dict[str, Any]:
    return dict(section) if isinstance(section, Mapping) else {"calibration": section}


def _limits(facts_: CardFacts) -> str:
    reference = facts_.about["reference"]
    lines = ["A cell of a type that is not among the labels gets the nearest one, unless `unknown=` rejects it."]
    few = next((value for name, value in reference.items() if str(name).startswith("labels of fewer")), None)
    if few:
        lines.append(f"Labels of few cells, whose scores are chance to a good part: {_escaped(in_words(few))}.")
    if reference.get("batches") == 1:
        lines.append("The reference is one batch: nothing is known of cells of other donors or protocols.")
    if not facts_.calibrated:
        lines.append("Confidence is not calibrated, and there is no novelty: `unknown=` cannot be used.")
    lines.append("Labels are the reference's, with its errors; no call is a diagnosis.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _dropped(facts_: CardFacts) -> dict[str, Any]:
    dropped = facts_.about["dropped"]
    return {
        f"dropped {name}": len(value) if name == "features in no pattern" else value for name, value in dropped.items()
    }


def _table(section: Mapping[str, Any], without: Sequence[str] = ()) -> str:
    rows = facts({name: value for name, value in section.items() if name not in without})
    if not rows:
        return "Not known."
    return "\n".join(["| | |", "| --- | --- |", *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows)])


def _cell(text: str) -> str:
    """Return text that stays in its cell of a table and is no markup."""
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)
