"""A model card says what the model was trained on."""

from __future__ import annotations

import re
from importlib.metadata import version

import numpy as np
import pytest
import yaml

from plkd import PLKD


def sections(card: str) -> dict[str, str]:
    """Split a card at its headings of the second level."""
    parts = re.split(r"^## (.+)\n", card, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> dict[str, list[str]]:
    """Return the rows of a section's table by their first cell."""
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {first: rest for first, *rest in cells}


def test_labels_are_counted_and_scored_as_in_the_report(trained):
    table = rows(sections(trained.model_card())["Labels"])
    counts, scores = trained.adata.obs["cell_type"].value_counts(), trained.report().labels
    for label in trained.labels:
        n, precision, recall, f1 = table[label.replace("_", r"\_")]
        assert int(n) == counts[label]
        row = scores.loc[label]
        assert [precision, recall, f1] == [f"{row[name]:.2f}" for name in ("precision", "recall", "f1")]


def test_reference_features_patterns_and_versions_are_named(trained):
    parts = sections(trained.model_card())
    reference = rows(parts["Reference"])
    assert reference["cells"] == ["120"]
    assert reference["batches"] == ["2"]
    assert rows(parts["Features"])["rna"][:2] == ["60 genes", "raw counts"]
    assert rows(parts["Patterns"])["learned from the reference"] == [str(len(trained.patterns))]
    assert rows(parts["Versions"])["scvi-tools"] == [version("scvi-tools")]


def test_scores_are_those_of_the_report(trained):
    scores = rows(sections(trained.model_card())["Scores"])
    overall = trained.report().overall
    assert scores["Macro-F1"][0].startswith(f"{overall['macro_f1']:.3f}")
    assert scores["Calibration error"][0].startswith(f"{overall['calibration_error']:.3f}")


def test_modalities_are_counted_by_kind(joint):
    table = rows(sections(joint.model_card())["Features"])
    assert {name: row[0] for name, row in table.items() if name in ("rna", "prot", "atac")} == {
        "rna": "40 genes",
        "prot": "12 proteins",
        "atac": "60 peaks",
    }


def test_header_is_yaml_that_names_licence_class_and_versions(trained):
    _, header, text = trained.model_card("Blood.", license="cc-by-4.0").split("---\n", 2)
    found = yaml.safe_load(header)
    assert found["license"] == "cc-by-4.0"
    assert {"model_cls_name:PLKD", f"scvi_version:{version('scvi-tools')}", "modality:rna"} <= set(found["tags"])
    assert "\nBlood.\n" in text
    assert "license" not in yaml.safe_load(trained.model_card().split("---\n", 2)[1])


def test_limits_name_what_the_reference_lacks(make_model, make_adata, train):
    adata = make_adata(n_obs=60, n_batches=1)
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.add_categories(["ra|re"])
    adata.obs.loc[adata.obs_names[:4], "cell_type"] = "ra|re"
    model = train(make_model(adata, preset=_uncalibrated()), 1)
    limits = sections(model.model_card())["Limits"]
    assert r"ra\|re 4" in limits
    assert "one batch" in limits
    assert "not calibrated" in limits
    assert rows(sections(model.model_card())["Labels"])[r"ra\|re"][0] == "4"


def test_calibrated_model_of_two_batches_has_fewer_limits(trained):
    limits = sections(trained.model_card())["Limits"]
    assert "one batch" not in limits
    assert "not calibrated" not in limits
    assert "is not among the labels" in limits


def test_names_no_cell_and_no_batch(trained):
    card = trained.model_card()
    assert not any(name in card for name in [*trained.adata.obs_names, *np.unique(trained.adata.obs["batch"])])


def test_model_without_held_out_cells_or_reference_has_a_card_that_says_so(make_model, train, tmp_path):
    train(make_model(preset=_uncalibrated()), 1).save(tmp_path / "m")
    card = PLKD.load(tmp_path / "m", accelerator="cpu").model_card()
    assert "None: no labelled cells were held out" in sections(card)["Scores"]
    assert rows(sections(card)["Labels"])[r"type\_0"] == ["40", "–", "–", "–"]


def test_untrained_model_has_none(make_model):
    with pytest.raises(RuntimeError, match="train"):
        make_model().model_card()


@pytest.mark.parametrize("license", ["", "CC BY", "x\ntags: []", 4])
def test_license_that_would_break_the_header_is_refused(trained, license):
    with pytest.raises(ValueError, match="license=.*short name"):
        trained.model_card(license=license)


def test_description_is_text(trained):
    with pytest.raises(TypeError, match="description is a list"):
        trained.model_card(["Blood"])


def _uncalibrated():
    from plkd import presets

    return presets.default.replace(confidence={"n_folds": 0})
