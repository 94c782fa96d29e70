"""Public collections of gene sets by name, through decoupler."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from plkd._arguments import check_type
from plkd._files import make_folder, replace_when_written
from plkd.patterns._decoupler import asking, check_organism, with_genes
from plkd.patterns._immune import immune
from plkd.patterns._set import PatternSet
from plkd.patterns._table import read_table
from plkd.patterns._translate import translate

logger = logging.getLogger("plkd")


class _Public(NamedTuple):
    paper: str
    load: Callable[[Any, str], pd.DataFrame]
    """From ``decoupler.op`` and a species to a frame with ``source``, ``target`` and maybe ``weight``."""


def _msigdb(collection: str) -> Callable[[Any, str], pd.DataFrame]:
    def load(op: Any, organism: str) -> pd.DataFrame:
        sets = op.resource("MSigDB", organism=organism)
        return sets[sets["collection"] == collection].rename(columns={"geneset": "source", "genesymbol": "target"})

    return load


def _panglao(op: Any, organism: str) -> pd.DataFrame:
    markers = op.resource("PanglaoDB", organism=organism)
    seen_in = "mouse" if organism == "mouse" else "human"
    # Logical columns come as text where some entries are missing.
    flags = markers[["canonical_marker", seen_in]].astype(str).apply(lambda column: column.str.lower())
    kept = (flags == "true").all(axis=1)
    return markers[kept].rename(columns={"cell_type": "source", "genesymbol": "target"})


_PUBLIC = {
    "hallmark": _Public("Liberzon 2015 Cell Syst 1:417", lambda op, organism: op.hallmark(organism=organism)),
    "reactome": _Public("Milacic 2024 Nucleic Acids Res 52:D672", _msigdb("reactome_pathways")),
    "go_bp": _Public("Ashburner 2000 Nat Genet 25:25", _msigdb("go_biological_process")),
    # All genes of a pathway would be thousands; the paper takes the hundred that respond most surely.
    "progeny": _Public("Schubert 2018 Nat Commun 9:20", lambda op, organism: op.progeny(organism=organism, top=100)),
    "collectri": _Public(
        "Müller-Dott 2023 Nucleic Acids Res 51:10934", lambda op, organism: op.collectri(organism=organism)
    ),
    "panglao": _Public("Franzén 2019 Database 2019:baz046", _panglao),
}
COLLECTIONS = ("immune", *_PUBLIC)


def collection(name: str, organism: str = "human", *, cache_dir: str | Path | None = None) -> PatternSet:
    """Return a collection of gene sets by its name; a public one is downloaded once, through decoupler, and kept.

    Parameters
    ----------
    name
        ``immune``, the bundled one (:func:`immune`), or a public one: ``hallmark`` (50 hallmarks of MSigDB),
        ``reactome`` (pathways) and ``go_bp`` (biological processes of the Gene Ontology), both out of all of MSigDB, a
        large download; ``progeny`` (the 100 genes that respond most surely to each of 14 signalling pathways, weighted),
        ``collectri`` (targets of transcription factors, weighted by their sign), ``panglao`` (canonical markers of cell
        types in PanglaoDB). Their own licences apply: decoupler is asked for what is free for academic use.
    organism
        ``human``, or a species to whose genes the human ones are translated by orthology, such as ``mouse``, ``rat`` or
        ``zebrafish``; an unknown one lists all.
    cache_dir
        Folder to keep the sets in. None takes the environment variable ``PLKD_CACHE``, or else the system's cache folder,
        such as ``~/.cache/plkd``. What is there is read without decoupler and without a network. Another version of plkd
        fetches the sets anew; so does deleting the file that the log names.

    Returns
    -------
    The sets with all their genes, as symbols; the source of each is its collection's paper.

    Raises
    ------
    ValueError
        If there is no such collection or species, or the kept file is damaged.
    ImportError
        If decoupler is needed and not installed.
    OSError
        If the download fails, as it does without a network.
    RuntimeError
        If what came is not what decoupler expects.

    Examples
    --------
    >>> collection("immune")["Mitochondrial"][:2]
    ['MT-ATP6', 'MT-ATP8']
    >>> hallmarks = collection("hallmark", "mouse")  # doctest: +SKIP
    """
    check_type("name", name, str, f"one of {', '.join(map(repr, COLLECTIONS))}")
    if name not in COLLECTIONS:
        raise ValueError(f"name={name!r} is no collection. Fix: pass one of {', '.join(map(repr, COLLECTIONS))}.")
    check_organism(organism)
    if (name, organism) == ("immune", "human"):
        return immune()
    path = _cache_path(name, organism, cache_dir)
    if path.is_file():
        logger.info("patterns: %s read from %s", name, path)
        return _kept(path)
    sets = translate(immune(), organism) if name == "immune" else _public(name, organism)
    _keep(sets, path)
    return sets


def _public(name: str, organism: str) -> PatternSet:
    with asking(name, f"try again with a network, or pass sets from a file: plkd.patterns.read('{name}.gmt').") as op:
        frame = with_genes(_PUBLIC[name].load(op, organism))
        columns = [column for column in ("source", "target", "weight") if column in frame]
        made = PatternSet.from_frame(frame[columns].dropna().drop_duplicates(["source", "target"]))
    source = f"{name}: {_PUBLIC[name].paper}" + (f"; orthologues in {organism}" if organism != "human" else "")
    return replace(made, sources=(source,) * len(made))


def _cache_path(name: str, organism: str, cache_dir: str | Path | None) -> Path:
    from plkd._download import cache_folder

    return cache_folder(cache_dir) / f"patterns-{name}-{organism}-plkd-{version('plkd')}.tsv.gz"


def _keep(sets: PatternSet, path: Path) -> None:
    """Write a table, since GMT has no place for weights."""
    make_folder(path.parent)
    paper = dict(zip(sets.names, sets.sources, strict=True))
    frame = sets.to_frame()
    with replace_when_written(path) as temporary:
        frame.assign(paper=frame["source"].map(paper)).to_csv(temporary, sep="\t", index=False, compression="gzip")
    logger.info("patterns: kept in %s", path)


def _kept(path: Path) -> PatternSet:
    try:
        frame = read_table(path)
        papers = frame.drop_duplicates("source")["paper"]
        return replace(PatternSet.from_frame(frame), sources=tuple(papers))
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}). Fix: delete it; the next call fetches it anew.") from error
