"""What of a model a data set has, overall and pattern by pattern."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class AlignmentReport:
    """Say which share of a model's features a data set has, by modality and by pattern.

    Made by :meth:`plkd.PLKD.alignment_report` and :meth:`plkd.Annotator.alignment_report`; ``print`` it for a few lines.

    Parameters
    ----------
    modalities
        One row per modality of the model: ``modality``, ``n_features`` (of the model), ``n_found``, ``fraction`` (0 to 1),
        ``names`` (where the data set's names were taken from: ``var_names`` or a column of ``var``; empty where the data
        set lacks the modality) and ``found`` (the line that annotating logs).
    patterns
        One row per pattern, those with the least share first: ``pattern``, ``modality``, ``n_features``, ``n_found``,
        ``fraction``. Patterns of a modality that the data set lacks have 0.
    """

    modalities: pd.DataFrame
    patterns: pd.DataFrame

    @property
    def fraction(self) -> float:
        """Share of the model's features that the data set has, of the modalities that it has, 0 to 1."""
        there = self.modalities[self.modalities["names"] != ""]
        return float(there["n_found"].sum() / max(there["n_features"].sum(), 1))

    def __str__(self) -> str:
        there = self.modalities[self.modalities["names"] != ""]
        n_found, n_features = there["n_found"].sum(), there["n_features"].sum()
        lines = [f"{n_found:,} of {n_features:,} features found ({self.fraction:.0%})"]
        lines += [f"  {row.modality}: {row.found}" for row in self.modalities.itertuples()]
        patterns = self.patterns[self.patterns["modality"].isin(there["modality"])]
        if len(patterns):
            n_few = int((patterns["fraction"] < 0.5).sum())
            worst = ", ".join(f"{row.pattern} ({row.n_found} of {row.n_features})" for row in patterns[:3].itertuples())
            lines.append(
                f"  {len(patterns):,} patterns: median {np.median(patterns['fraction']):.0%} of their features found, "
                f"{n_few:,} with less than half; least: {worst}"
            )
        return "\n".join(lines)
