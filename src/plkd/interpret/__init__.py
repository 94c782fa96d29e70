"""What calls rest on: patterns that mark labels, genes behind them, and how far attention and attribution agree."""

from __future__ import annotations

from plkd.interpret._agreement import agreement, attention_by_modality
from plkd.interpret._genes import gene_attribution, genes_of_pattern
from plkd.interpret._rank import rank_patterns

__all__ = ["agreement", "attention_by_modality", "gene_attribution", "genes_of_pattern", "rank_patterns"]
