"""Good data and trained models that hostile inputs are made from and thrown at."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from anndata import AnnData
from mudata import MuData

from tests.hostile.judge import Outcome

FIXTURES = Path(__file__).parents[1] / "fixtures"
SAVED = FIXTURES / "format_1" / "scvi_1.4.2"


def _make() -> Any:
    spec = importlib.util.spec_from_file_location("fixtures_make", FIXTURES / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE = _make()


def good() -> AnnData:
    """Return 60 cells x 30 genes with three labels in two batches."""
    return MAKE.make_adata()


def good_mudata() -> MuData:
    """Return these cells with 6 proteins, which some lack."""
    return MAKE.make_mdata()


class World:
    """Trained models: those of the fixtures, so that nothing has to be trained."""

    @cached_property
    def model(self) -> Any:
        """Model of RNA, with its reference."""
        from plkd import PLKD

        return PLKD.load(SAVED / "anndata", adata=good(), accelerator="cpu")

    @cached_property
    def fresh(self) -> Any:
        """Model that is not trained; to be left as it is found."""
        from plkd import PLKD, presets

        adata = good()
        PLKD.setup_anndata(adata, "cell_type", batch_key="batch")
        quick = presets.default.replace(confidence={"n_folds": 0})
        small = {"teacher_kwargs": {"width": 4, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (4,)}}
        return PLKD(adata, preset=quick, **small)

    @cached_property
    def calibrated(self) -> Any:
        """Model of RNA that was calibrated; the labels are hardly told apart."""
        from plkd import PLKD, presets

        adata = good()
        PLKD.setup_anndata(adata, "cell_type", batch_key="batch")
        small = {"teacher_kwargs": {"width": 4, "n_heads": 2, "depth": 1}, "student_kwargs": {"n_hidden": (8,)}}
        model = PLKD(adata, preset=presets.default.replace(confidence={"n_folds": 2}), **small)
        model.train(2, batch_size=32, accelerator="cpu", enable_progress_bar=False, logger=False)
        return model

    @cached_property
    def calibrated_annotator(self) -> Any:
        """Annotator of the calibrated model."""
        with TemporaryDirectory() as folder:
            return self.calibrated.export_student(Path(folder) / "a")

    @cached_property
    def joint(self) -> Any:
        """Model of RNA and proteins, with its reference."""
        from plkd import PLKD

        return PLKD.load(SAVED / "mudata", adata=good_mudata(), accelerator="cpu")

    @cached_property
    def annotator(self) -> Any:
        """Annotator of RNA."""
        from plkd import Annotator

        return Annotator.load(SAVED / "anndata")

    @cached_property
    def joint_annotator(self) -> Any:
        """Annotator of RNA and proteins."""
        from plkd import Annotator

        return Annotator.load(SAVED / "mudata")


@dataclass(frozen=True)
class Case:
    """One hostile input to one entry: ``run(world, folder)`` gives its outcome."""

    entry: str
    name: str
    run: Callable[[World, Path], Outcome]

    def __str__(self) -> str:
        return f"{self.entry}: {self.name}"
