"""Files appear whole or not at all; any damage to an Annotator's file is found before anything in it is used."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from plkd import PLKD
from plkd._files import NotWrittenError, read_safetensors, replace_when_written, staged
from plkd.annotator import Annotator
from plkd.annotator._file import FILE_NAME, FORMAT, read_annotator, write_annotator
from tests import moments

FIXTURE = Path(__file__).parent / "fixtures" / "format_1" / "scvi_1.4.2" / "anndata"
TENSORS = {"student.weight": torch.tensor([[1.5, -2.0]]), "patterns.indices": torch.tensor([3, 1], dtype=torch.int32)}
ABOUT = {"format": FORMAT, "labels": ["B", "T"]}


@pytest.fixture
def folder(tmp_path):
    write_annotator(tmp_path / FILE_NAME, TENSORS, ABOUT)
    return tmp_path


def write(path):
    with replace_when_written(path) as temporary:
        temporary.write_bytes(b"new content")


def write_half(path):
    with replace_when_written(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


class TestReplaceWhenWritten:
    def test_puts_the_new_file_in_place(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("old")
        with replace_when_written(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
            assert temporary.parent == tmp_path
        assert path.read_text() == "new"
        assert list(tmp_path.iterdir()) == [path]

    def test_keeps_the_old_file_after_an_error_and_leaves_nothing_behind(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("old")
        with pytest.raises(KeyboardInterrupt):
            write_half(path)
        assert path.read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]


class TestReadSafetensors:
    def test_gives_tensors_and_metadata(self, tmp_path):
        save_file(TENSORS, tmp_path / "a.safetensors", metadata={"k": "v"})
        tensors, metadata = read_safetensors(tmp_path / "a.safetensors")
        assert metadata == {"k": "v"}
        assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())

    def test_without_metadata(self, tmp_path):
        save_file(TENSORS, tmp_path / "a.safetensors")
        assert read_safetensors(tmp_path / "a.safetensors")[1] == {}

    @pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 100], ids=["empty", "short", "garbage"])
    def test_what_is_none_is_refused(self, tmp_path, content):
        (tmp_path / "a.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.safetensors is damaged or no safetensors file"):
            read_safetensors(tmp_path / "a.safetensors")


class TestRoundTrip:
    @pytest.mark.parametrize("name", ["", FILE_NAME], ids=["folder", "file"])
    def test_gives_back_what_was_written(self, folder, name):
        tensors, about = read_annotator(folder / name)
        assert about == ABOUT
        assert set(tensors) == set(TENSORS)
        for key, value in TENSORS.items():
            assert tensors[key].dtype == value.dtype
            assert torch.equal(tensors[key], value)

    def test_is_one_plain_safetensors_file_with_json(self, folder):
        assert [path.name for path in folder.iterdir()] == [FILE_NAME]
        with safe_open(folder / FILE_NAME, framework="np") as file:
            metadata = file.metadata()
        assert set(metadata) == {"plkd", "sha256"}
        assert json.loads(metadata["plkd"]) == ABOUT

    def test_tensors_may_be_views_and_need_gradients(self, tmp_path):
        value = torch.arange(6.0).reshape(2, 3).t().requires_grad_()
        write_annotator(tmp_path / FILE_NAME, {"t": value}, ABOUT)
        assert torch.equal(read_annotator(tmp_path)[0]["t"], value)

    def test_labels_that_look_like_the_checksum_or_are_not_ascii(self, tmp_path):
        about = {**ABOUT, "labels": ['"sha256":"', "sha256", '"sha256":"' + "0" * 64, "αβ T-Zelle", '\\"', "\n"]}
        write_annotator(tmp_path / FILE_NAME, {**TENSORS, '"sha256":"x': torch.ones(1)}, about)
        assert read_annotator(tmp_path)[1] == about

    def test_replaces_an_older_file(self, folder):
        write_annotator(folder / FILE_NAME, TENSORS, {**ABOUT, "labels": ["new"]})
        assert read_annotator(folder)[1]["labels"] == ["new"]
        assert len(list(folder.iterdir())) == 1


class TestDamage:
    def test_every_changed_byte_is_found(self, folder):
        file = folder / FILE_NAME
        good = file.read_bytes()
        assert len(good) < 1000
        for place in range(len(good)):
            # The lowest bit; the bit of upper and lower case; all bits.
            for change in (0x01, 0x20, 0xFF):
                bad = bytearray(good)
                bad[place] ^= change
                file.write_bytes(bad)
                with pytest.raises(ValueError, match="is damaged, or no Annotator: its checksum does not fit"):
                    read_annotator(folder)
        file.write_bytes(good)
        read_annotator(folder)

    def test_every_truncation_is_found(self, folder):
        file = folder / FILE_NAME
        good = file.read_bytes()
        for length in range(len(good)):
            file.write_bytes(good[:length])
            with pytest.raises(ValueError, match="is damaged, or no Annotator"):
                read_annotator(folder)

    def test_bytes_added_or_swapped_are_found(self, folder):
        file = folder / FILE_NAME
        good = file.read_bytes()
        for bad in (good + b"\0", b"\0" + good, good[:-4] + good[-2:] + good[-4:-2], good + good):
            file.write_bytes(bad)
            with pytest.raises(ValueError, match="is damaged, or no Annotator"):
                read_annotator(folder)

    def test_another_safetensors_file_is_refused(self, tmp_path):
        save_file(TENSORS, tmp_path / FILE_NAME, metadata={"format": "pt"})
        with pytest.raises(ValueError, match="is damaged, or no Annotator"):
            read_annotator(tmp_path)


def test_changed_bytes_of_a_real_annotator_are_found(tmp_path):
    """Every third of tensors, JSON and the safetensors header; and at every tenth length when it is cut short."""
    good = (FIXTURE / FILE_NAME).read_bytes()
    bad = tmp_path / FILE_NAME

    def is_found(data):
        bad.write_bytes(data)
        with pytest.raises(ValueError, match="its checksum does not fit"):
            read_annotator(tmp_path)

    for place in range(0, len(good), 3):
        is_found(good[:place] + bytes([good[place] ^ (1 << place % 8)]) + good[place + 1 :])
    for length in range(0, len(good), 10):
        is_found(good[:length])
    is_found(good + b"\0")
    # A header length that reaches far beyond the file.
    is_found((2**62).to_bytes(8, "little") + good[8:])


def fill(folder: Path) -> None:
    """Write a model and an Annotator, then over them and beside them with no file larger than 3,000 bytes."""
    import resource

    model, annotator = PLKD.load(FIXTURE, accelerator="cpu"), Annotator.load(FIXTURE)
    model.save(folder / "m")
    annotator.save(folder / "a")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
    for save in (
        lambda: model.save(folder / "m", overwrite=True),
        lambda: annotator.save(folder / "a", overwrite=True),
        lambda: model.save(folder / "n"),
        lambda: annotator.save(folder / "b"),
    ):
        with pytest.raises(NotWrittenError, match="could not be written"):
            save()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in folder.rglob("*")) == ["a", "annotator.safetensors", "m", "model.pt"]


class TestNotWritten:
    """What cannot be written is said by name, with what that means for the old file; nothing is left."""

    def test_missing_parent(self, tmp_path):
        with pytest.raises(NotWrittenError, match=r"none/a\.txt could not be written \(No such file or directory\)"):
            write(tmp_path / "none" / "a.txt")

    @pytest.mark.parametrize("call", ["write_bytes", "fsync", "replace"])
    def test_full_disk(self, tmp_path, call):
        path = tmp_path / "a.txt"
        path.write_bytes(b"old")
        with (
            moments.struck(0, moments.fail, only=call),
            pytest.raises(NotWrittenError, match="No space left on device"),
        ):
            write(path)
        assert path.read_bytes() == b"old"
        assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]

    @pytest.mark.skipif(os.name == "nt", reason="POSIX: a limit on the size of files")
    def test_a_disk_that_is_really_full(self, tmp_path):
        """The system itself refuses to write on: what a model's and an Annotator's writers make of it."""
        assert moments.in_child(lambda: fill(tmp_path)) == 0

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is read-only to root")
    def test_read_only_folder(self, tmp_path):
        tmp_path.chmod(0o555)
        with pytest.raises(NotWrittenError, match="Permission denied"):
            write(tmp_path / "a.txt")


class TestStaged:
    def test_new_folder_appears_with_all_its_files(self, tmp_path):
        with staged(tmp_path / "a" / "b") as staging:
            (staging / "x").write_text("1")
            assert not (tmp_path / "a" / "b").exists()
        assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["x"]
        assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]

    def test_parents_that_were_made_are_gone_after_a_failure(self, tmp_path):
        with pytest.raises(KeyboardInterrupt), staged(tmp_path / "a" / "b"):
            raise KeyboardInterrupt
        assert not list(tmp_path.iterdir())

    def test_other_files_of_a_folder_stay(self, tmp_path):
        (tmp_path / "mine").write_text("mine")
        with staged(tmp_path) as staging:
            (staging / "x").write_text("1")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "x"]

    def test_folder_may_be_a_link(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        with staged(tmp_path / "link") as staging:
            (staging / "x").write_text("1")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real" / "x").read_text() == "1"


class Opened:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("dump", [lambda o, p: p.write_bytes(pickle.dumps(o)), torch.save], ids=["pickle", "torch"])
def test_a_pickle_posing_as_an_annotator_is_refused_and_never_executed(tmp_path, dump):
    trace = tmp_path / "executed"
    dump(Opened(trace), tmp_path / FILE_NAME)
    with pytest.raises(ValueError, match="is damaged, or no Annotator"):
        Annotator.load(tmp_path)
    assert not trace.exists()


def test_a_newer_format_is_refused_naming_both_numbers(tmp_path):
    write_annotator(tmp_path / FILE_NAME, TENSORS, {**ABOUT, "format": FORMAT + 1})
    with pytest.raises(ValueError, match=rf"has format {FORMAT + 1}; this plkd reads up to {FORMAT}. Fix: update plkd"):
        Annotator.load(tmp_path)


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(ValueError, match=rf"No Annotator at .*; expected a folder with {FILE_NAME}"):
        Annotator.load(tmp_path / "nowhere")


def test_the_folder_of_a_whole_model_names_the_class_that_loads_it(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds a PLKD model, not an Annotator\. Fix: `plkd\.PLKD\.load"):
        Annotator.load(tmp_path)
