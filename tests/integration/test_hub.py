"""A model shared through `scvi.hub` is the model that was saved."""

from __future__ import annotations

import json
from importlib.metadata import version

import anndata
import numpy as np
import pandas as pd
import pytest

import plkd

pytest.importorskip("huggingface_hub", reason="scvi.hub needs it: pip install huggingface_hub")


@pytest.fixture
def shared(trained, tmp_path):
    """Give the folder that the user guide's lines make: model, reference, card, metadata."""
    from huggingface_hub import ModelCard
    from scvi.hub import HubMetadata, HubModel

    folder = tmp_path / "shared"
    trained.save(folder)
    trained.adata.write_h5ad(folder / "adata.h5ad")
    metadata = HubMetadata.from_dir(str(folder), anndata_version=version("anndata"), model_parent_module="plkd")
    card = ModelCard(trained.model_card("Simulated.", license="cc0-1.0"))
    HubModel(str(folder), metadata=metadata, model_card=card).save()
    return folder


def test_metadata_name_class_and_package(shared):
    written = json.loads((shared / "_scvi_required_metadata.json").read_text())
    assert written["model_cls_name"] == "PLKD"
    assert written["model_parent_module"] == "plkd"
    assert written["scvi_version"] == version("scvi-tools")


def test_model_comes_back_from_its_folder(shared, trained, make_adata):
    from scvi.hub import HubModel

    hub = HubModel(str(shared))
    query = make_adata(40, seed=3)
    assert isinstance(hub.model, plkd.PLKD)
    pd.testing.assert_frame_equal(hub.model.predict(query, soft=True), trained.predict(query, soft=True))
    np.testing.assert_array_equal(hub.adata.obs_names, trained.adata.obs_names)


def test_model_comes_back_with_its_reference_and_trains_on(shared, train):
    from scvi.hub import HubModel

    hub = HubModel(str(shared))
    hub.load_model(adata=anndata.read_h5ad(shared / "adata.h5ad"))
    before = len(hub.model.history["student_loss_train"])
    train(hub.model, 1)
    assert len(hub.model.history["student_loss_train"]) == before + 1


def test_model_comes_back_without_data(shared, trained, make_adata):
    from scvi.hub import HubModel

    (shared / "adata.h5ad").unlink()
    hub = HubModel(str(shared))
    hub.load_model(adata=False)
    query = make_adata(40, seed=3)
    np.testing.assert_array_equal(hub.model.predict(query), trained.predict(query))


def test_card_on_the_hub_is_ours_with_its_header(shared, trained):
    from scvi.hub import HubModel

    card = HubModel(str(shared)).model_card
    assert card.data.license == "cc0-1.0"
    assert {"model_cls_name:PLKD", f"scvi_version:{version('scvi-tools')}"} <= set(card.data.tags)
    assert "Simulated." in card.text


def test_card_helper_of_scvi_knows_its_own_classes_only(shared):
    """The reason why plkd writes the card itself; if this fails, the user guide can say otherwise."""
    from scvi.hub import HubModelCardHelper

    with pytest.raises(ValueError, match="PLKD not recognized"):
        HubModelCardHelper.from_dir(
            str(shared), license_info="cc0-1.0", anndata_version=version("anndata"), model_parent_module="plkd"
        )
