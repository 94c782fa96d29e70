"""How many features must be found, and what is done about those that were not found as they stand."""

from __future__ import annotations

#: Below this share of the model's features a query is refused, unless it is a targeted panel.
FLOOR = 0.2
#: Fewest of the model's genes that a targeted panel must have, and their least share of its own: other data sets hold mostly other
#: names where they hold few of the model's. Of antibodies as vendors name them, fewer are named as genes.
PANEL, OF_PANEL = 100, 0.67
#: Below this share the user is warned that labels may suffer, and columns of ``var`` are looked at for better names.
COMFORT = 0.7
#: So much more of the model's features must a column of ``var`` have than ``var_names``, to be used in their place.
MARGIN = 0.1
#: Names that differ only by case are matched if they are at most this share of those found otherwise. Within a species
#: they are a few in a hundred (C1orf112, C1ORF112); between human and mouse they are nearly all there are.
CASE_SHARE = 0.25
#: Two lists of names of which less than this share is in both are hardly names of the same things.
ALIKE = 0.1
