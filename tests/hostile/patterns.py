"""Patterns: reading, matching, learning, joining, writing."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from tests.hostile import arguments, models
from tests.hostile.judge import Outcome, judge
from tests.hostile.world import Case, World, good

GENES = [f"GENE{i}" for i in range(30)]


def _calling(name: str, *args: Any, **kwargs: Any):
    """Call a function of ``plkd.patterns``, or a method of :class:`plkd.PatternSet`; arguments stay as they were."""

    def run(world: World, folder: Path) -> Outcome:
        import plkd

        method = name.removeprefix("PatternSet.")
        call = getattr(plkd.PatternSet if method != name else plkd.patterns, method)
        return judge(lambda: call(*args, **kwargs), None, args, kwargs)

    return run


def _of_a_set(method: str, *args: Any, **kwargs: Any):
    def run(world: World, folder: Path) -> Outcome:
        patterns = world.model.patterns
        return judge(lambda: getattr(patterns, method)(*args, **kwargs), None, args, kwargs)

    return run


def _gmt(content: bytes, name: str = "sets.gmt"):
    def run(world: World, folder: Path) -> Outcome:
        from plkd import PatternSet

        (folder / name).write_bytes(content)
        return judge(lambda: PatternSet.from_gmt(folder / name))

    return run


THINGS = {**arguments.NAMES, "ragged": [[1], [1, 2]], "one dim": np.ones(30), "three dims": np.ones((2, 3, 4))}
MATRICES = {
    **THINGS, "text": np.full((30, 2), "a"), "objects": np.full((30, 2), None, dtype=object), "complex": np.ones((30, 2)) + 1j, "NaN": np.full((30, 2), np.nan),
    "infinite": np.full((30, 2), np.inf), "transposed": np.ones((2, 30)), "empty": np.empty((30, 0)), "zeros": np.zeros((30, 2)), "huge": np.full((30, 2), 1e300),
    "negative": -np.ones((30, 2)), "sparse": sparse.csr_matrix(np.eye(30)), "sparse of the wrong shape": sparse.csr_matrix(np.eye(29)),
    "frame": pd.DataFrame(np.eye(30)), "frame of text": pd.DataFrame(np.full((30, 2), "a")), "bool": np.eye(30, dtype=bool),
    "coo": sparse.coo_matrix(np.eye(30)),
}  # fmt: skip
FRAMES = {
    **THINGS, "empty": pd.DataFrame(), "only sources": pd.DataFrame({"source": ["a"]}), "NaN": pd.DataFrame({"source": [np.nan], "target": ["G"]}),
    "numbers": pd.DataFrame({"source": [1, 2], "target": [3, 4]}), "weights of text": pd.DataFrame({"source": ["a"], "target": ["G"], "weight": ["heavy"]}),
    "weights infinite": pd.DataFrame({"source": ["a"], "target": ["G"], "weight": [np.inf]}), "weights zero": pd.DataFrame({"source": ["a"], "target": ["G"], "weight": [0]}),
    "two weights": pd.DataFrame({"source": ["a", "a"], "target": ["G", "G"], "weight": [1, 2]}), "unknown kind": pd.DataFrame({"source": ["a"], "target": ["G"], "kind": ["x"]}),
    "weights complex": pd.DataFrame({"source": ["a"], "target": ["G"], "weight": [1j]}), "no rows": pd.DataFrame({"source": [], "target": []}),
    "columns twice": pd.DataFrame([["a", "b", "c"]], columns=["source", "source", "target"]), "lists": pd.DataFrame({"source": [["a"]], "target": [["b"]]}),
    "two kinds": pd.DataFrame({"source": ["a", "a"], "target": ["G", "H"], "kind": ["rna", "atac"]}),
}  # fmt: skip
FEATURES = {
    **THINGS, "twice": ["a", "a"], "empty": [], "numbers": list(range(30)), "None in it": [None, "a"], "a text": "abc", "few": GENES[:3],
    "lower case": [g.lower() for g in GENES], "unicode": ["ген"] * 1, "series": pd.Series(GENES), "index": pd.Index(GENES), "generator": (g for g in GENES),
}  # fmt: skip
PEAKS = {
    **THINGS, "empty": [], "genes": GENES, "backwards": ["chr1:200-100"], "empty interval": ["chr1:5-5"], "negative": ["chr1:-5-10"],
    "huge": ["chr1:1-99999999999999999999"], "frame without columns": pd.DataFrame({"x": [1]}), "frame with NaN": pd.DataFrame({"chrom": ["chr1"], "start": [np.nan], "end": [5]}),
    "frame of text": pd.DataFrame({"chrom": ["chr1"], "start": ["a"], "end": ["b"]}), "frame backwards": pd.DataFrame({"chrom": ["chr1"], "start": [9], "end": [5]}),
    "frame infinite": pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [np.inf]}), "fine": ["chr1:1-5", "chrX_5_9"], "frame without rows": pd.DataFrame({"chrom": [], "start": [], "end": []}),
}  # fmt: skip
TABLE = pd.DataFrame({"gene": ["A"], "chrom": ["chr1"], "start": [5000], "end": [6000], "strand": ["+"]})
TABLES = {
    **THINGS, "empty": pd.DataFrame(), "no strand": TABLE.drop(columns="strand"), "unknown strand": TABLE.assign(strand="x"), "NaN": TABLE.assign(start=np.nan),
    "text": TABLE.assign(start="a", end="b"), "backwards": TABLE.assign(start=9000), "infinite": TABLE.assign(end=np.inf), "off the chromosome": TABLE.assign(end=10**10),
    "another build": TABLE.assign(genome="mm10"), "negative": TABLE.assign(start=-5), "no names": TABLE.assign(gene=None), "fine": TABLE,
}  # fmt: skip


def cases() -> Iterator[Case]:
    """Give every function of patterns everything."""
    for name, value in {**models.patterns(), **THINGS}.items():
        yield Case("patterns.read", name, _calling("read", value))
        yield Case("PatternSet.from_dict", name, _calling("PatternSet.from_dict", value))
        yield Case("PatternSet.from_state", name, _calling("PatternSet.from_state", value))
        yield Case("patterns.concat", name, _calling("concat", value))
        yield Case("patterns.concat", f"unknown kind {name}", _calling("concat", **{"rna": value}))
    for name, value in FRAMES.items():
        yield Case("PatternSet.from_frame", name, _calling("PatternSet.from_frame", value))
    fine = pd.DataFrame({"source": ["a"], "target": ["G"]})
    for column in ("source_col", "target_col", "weight_col", "kind_col"):
        for name, value in arguments.NAMES.items():
            yield Case(
                "PatternSet.from_frame", f"{column}: {name}", _calling("PatternSet.from_frame", fine, **{column: value})
            )
    for name, value in MATRICES.items():
        yield Case("PatternSet.from_matrix", name, _calling("PatternSet.from_matrix", value, GENES))
        yield Case("patterns.learn", name, _calling("learn", getattr(value, "T", value), GENES))
    for name, value in FEATURES.items():
        yield Case(
            "PatternSet.from_matrix", f"features: {name}", _calling("PatternSet.from_matrix", np.ones((30, 2)), value)
        )
        yield Case(
            "PatternSet.from_matrix",
            f"names: {name}",
            _calling("PatternSet.from_matrix", np.ones((30, 2)), GENES, value),
        )
        yield Case("patterns.learn", f"features: {name}", _calling("learn", np.eye(30), value))
        yield Case("patterns.learn", f"exclude: {name}", _calling("learn", np.eye(30), GENES, exclude=value))
        yield Case("PatternSet.for_features", name, _of_a_set("for_features", value))
        yield Case("PatternSet.for_features", f"genes: {name}", _of_a_set("for_features", GENES, genes=value))
        yield Case("patterns.protein_genes", name, _calling("protein_genes", value))
        yield Case(
            "PatternSet()",
            f"features: {name}",
            _calling("PatternSet", ("a",), value, sparse.csc_matrix(np.ones((30, 1)))),
        )
        yield Case(
            "PatternSet()", f"names: {name}", _calling("PatternSet", value, GENES, sparse.csc_matrix(np.ones((30, 1))))
        )
    for name, value in MATRICES.items():
        yield Case("PatternSet()", f"membership: {name}", _calling("PatternSet", ("a", "b"), GENES, value))
    for setting in ("min_size", "max_size", "max_patterns", "max_overlap"):
        for name, value in arguments.NUMBERS.items():
            yield Case(
                "PatternSet.for_features", f"{setting}: {name}", _of_a_set("for_features", GENES, **{setting: value})
            )
    for setting in ("n_patterns", "min_size", "max_size", "seed"):
        for name, value in arguments.NUMBERS.items():
            yield Case("patterns.learn", f"{setting}: {name}", _calling("learn", np.eye(30), GENES, **{setting: value}))
    for name, value in arguments.NAMES.items():
        yield Case("PatternSet.for_features", f"kind: {name}", _of_a_set("for_features", GENES, kind=value))
        yield Case("patterns.learn", f"kind: {name}", _calling("learn", np.eye(30), GENES, kind=value))
        yield Case("PatternSet.from_varm", f"key: {name}", _calling("PatternSet.from_varm", good(), value))
        yield Case("PatternSet[]", name, _of_a_set("__getitem__", value))
        yield Case(
            "patterns.from_peaks", f"genome: {name}", _calling("from_peaks", ["chr1:4000-5000"], TABLE, genome=value)
        )
    for name, value in {**THINGS, "AnnData": good()}.items():
        yield Case("PatternSet.from_varm", name, _calling("PatternSet.from_varm", value, "sets"))
    for name, value in PEAKS.items():
        yield Case("patterns.parse_peaks", name, _calling("parse_peaks", value))
        yield Case("patterns.from_peaks", name, _calling("from_peaks", value, TABLE, genome="hg38"))
    for name, value in TABLES.items():
        yield Case(
            "patterns.from_peaks", f"table: {name}", _calling("from_peaks", ["chr1:4000-5000"], value, genome="hg38")
        )
    for setting in ("upstream", "downstream"):
        for name, value in arguments.NUMBERS.items():
            run = _calling("from_peaks", ["chr1:4000-5000"], TABLE, genome="hg38", **{setting: value})
            yield Case("patterns.from_peaks", f"{setting}: {name}", run)
    texts = {"empty": b"", "binary": bytes(range(256)) * 4, "one column": b"a\n", "two columns": b"a\tb\n", "no name": b"\tb\tc\n", "twice": b"a\t\tx\na\t\ty\n",
             "latin-1": "a\t\tgène\n".encode("latin-1"), "no genes": b"a\tb\t\n", "cut gzip": gzip.compress(b"a\tb\tc\n" * 50)[:20], "NUL": b"a\tb\tc\0\n",
             "csv": b"source,target\na,b\n", "gzip of binary": gzip.compress(bytes(range(256))), "fine": b"a\tna\tGENE1\tGENE2\n", "line breaks": b"a\tb\tc\r\nd\te\tf\r"}  # fmt: skip
    for name, content in texts.items():
        yield Case("PatternSet.from_gmt", name, _gmt(content))
    for name, value in arguments.PATHS.items():
        yield Case("PatternSet.from_gmt", f"path: {name}", _calling("PatternSet.from_gmt", value))
        yield Case("PatternSet.to_gmt", f"path: {name}", _of_a_set("to_gmt", value))
