"""An Annotator from an address is the one its author exported, and says what it was trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from plkd import Annotator


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "annotator"
    trained.export_student(folder, card=trained.model_card("Simulated cells.", license="cc0-1.0"))
    return folder / "annotator.safetensors"


@pytest.fixture
def sha256(file) -> str:
    return "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()


class TestFromAnAddress:
    @pytest.fixture(autouse=True)
    def _needs_pooch(self):
        pytest.importorskip("pooch", reason='Annotators are downloaded by pooch: pip install "plkd[datasets]"')

    def test_answers_as_the_exported_one(self, server, file, sha256, trained, make_adata, tmp_path):
        address, _ = server.add(file)
        annotator = Annotator.load(address, known_hash=sha256, cache_dir=tmp_path / "cache")
        query = make_adata(30, seed=5)
        np.testing.assert_array_equal(annotator.predict(query), trained.predict(query))
        assert "Simulated cells." in annotator.card

    def test_is_downloaded_once(self, server, file, sha256, tmp_path, monkeypatch):
        monkeypatch.setenv("PLKD_CACHE", str(tmp_path / "cache"))
        address, md5 = server.add(file)
        Annotator.load(address, known_hash=sha256)
        Annotator.load(address, known_hash=sha256)
        assert len(server.requests) == 1
        assert Annotator.load(address, known_hash=md5).labels == Annotator.load(file).labels

    def test_other_file_than_the_author_vouched_for_is_refused_and_not_kept(self, server, file, tmp_path):
        address, _ = server.add(file)
        with pytest.raises(ValueError, match="is not the expected file, and was not kept"):
            Annotator.load(address, known_hash="sha256:" + "0" * 64, cache_dir=tmp_path / "cache")
        assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))

    def test_file_that_is_no_annotator_names_the_address(self, server, tmp_path):
        (tmp_path / "table.csv").write_text("label,n\nT,3\n")
        address, md5 = server.add(tmp_path / "table.csv")
        with pytest.raises(ValueError, match=f"{address} is the file with that checksum.*no Annotator.*Fix: give the"):
            Annotator.load(address, known_hash=md5, cache_dir=tmp_path / "cache")

    def test_no_network_says_where_to_put_the_file(self, file, sha256, tmp_path, trained):
        address = "http://127.0.0.1:9/annotator.safetensors"
        with pytest.raises(OSError, match="could not be downloaded from http://127.0.0.1:9.* save it as ") as error:
            Annotator.load(address, known_hash=sha256, cache_dir=tmp_path / "cache")
        by_hand = Path(str(error.value).split("save it as ")[1].rstrip("."))
        by_hand.write_bytes(file.read_bytes())
        assert Annotator.load(address, known_hash=sha256, cache_dir=tmp_path / "cache").labels == trained.labels


@pytest.mark.parametrize("known_hash", [None, "", "0" * 64])
def test_address_without_a_checksum_is_refused(known_hash):
    with pytest.raises(ValueError, match="not loaded unchecked"):
        Annotator.load("https://example.org/annotator.safetensors", known_hash=known_hash)


@pytest.mark.parametrize("argument", ["known_hash", "cache_dir"])
def test_what_goes_with_an_address_is_refused_of_a_path(file, argument):
    with pytest.raises(ValueError, match=rf"{argument} goes with an address.*Fix: `plkd\.Annotator\.load\("):
        Annotator.load(file, **{argument: "md5:" + "0" * 32})


def test_card_stays_with_the_file(file, trained, tmp_path):
    annotator = Annotator.load(file)
    assert annotator.card == trained.model_card("Simulated cells.", license="cc0-1.0")
    annotator.rename_features({"GENE000": "Gene0"}).save(tmp_path / "renamed")
    assert Annotator.load(tmp_path / "renamed").card == annotator.card


def test_every_export_has_a_card_even_unasked(trained, tmp_path):
    assert trained.export_student(tmp_path / "a").card == trained.model_card()


def test_card_that_is_no_text_is_refused_before_anything_is_written(trained, tmp_path):
    with pytest.raises(TypeError, match=r"card is a dict; expected text.*model_card\(\)"):
        trained.export_student(tmp_path / "a", card={"labels": 3})
    assert not (tmp_path / "a").exists()


def test_file_without_a_card_loads():
    from tests.fixtures import make

    folder = next(path for path in sorted(make.HERE.rglob("annotator.safetensors")))
    assert Annotator.load(folder).card is None
