"""Files come once, whole and as expected, or not at all."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from plkd._download import cache_folder, download

WRONG = "md5:" + "0" * 32


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


@pytest.fixture
def first_file(tmp_path) -> Path:
    path = tmp_path / "first.h5"
    path.write_bytes(bytes(range(256)) * 40)
    return path


@pytest.fixture
def second_file(tmp_path) -> Path:
    path = tmp_path / "second.h5"
    path.write_bytes(b"another file")
    return path


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "not yet" / "there"


class TestWithPooch:
    @pytest.fixture(autouse=True)
    def _needs_pooch(self):
        pytest.importorskip("pooch")

    def test_file_arrives_unchanged_and_is_all_there_is(self, server, first_file, cache):
        path = download(*server.add(first_file), cache)
        assert path.read_bytes() == first_file.read_bytes()
        assert files(cache) == [path]
        assert path.name.endswith("-first.h5")

    def test_second_call_asks_the_server_nothing(self, server, first_file, cache):
        source = server.add(first_file)
        first = download(*source, cache)
        assert download(*source, str(cache)) == first
        assert len(server.requests) == 1

    def test_server_is_told_who_asks(self, server, first_file, cache):
        download(*server.add(first_file), cache)
        assert server.requests[0][1].startswith("plkd/")

    def test_sha256_is_checked_too(self, server, first_file, cache):
        url, _ = server.add(first_file)
        digest = hashlib.sha256(first_file.read_bytes()).hexdigest()
        assert download(url, f"sha256:{digest.upper()}", cache).exists()
        with pytest.raises(ValueError, match="is not the expected file"):
            download(url, "sha256:" + "0" * 64, cache)

    def test_other_checksum_names_file_expected_and_found_and_keeps_nothing(self, server, first_file, cache):
        url, known_hash = server.add(first_file)
        with pytest.raises(ValueError, match=r"first\.h5 from http") as error:
            download(url, WRONG, cache)
        assert f"expected {WRONG}" in str(error.value)
        assert known_hash.removeprefix("md5:") in str(error.value)
        assert files(cache) == []

    def test_download_that_ends_early_is_an_error_and_keeps_nothing(self, server, first_file, cache):
        url, known_hash = server.add(first_file)
        server.truncated.add("/some/first.h5")
        # Older versions of urllib3 do not notice; the checksum does.
        with pytest.raises((OSError, ValueError), match=r"first\.h5"):
            download(url, known_hash, cache)
        assert files(cache) == []

    def test_download_succeeds_after_one_that_ended_early(self, server, first_file, cache):
        source = server.add(first_file)
        server.truncated.add("/some/first.h5")
        with pytest.raises((OSError, ValueError)):
            download(*source, cache)
        server.truncated.clear()
        assert download(*source, cache).read_bytes() == first_file.read_bytes()

    def test_file_that_is_not_there_names_the_address_and_where_to_put_it(self, server, first_file, cache):
        _, known_hash = server.add(first_file)
        url = f"{server.address}/gone/first.h5"
        with pytest.raises(OSError, match=f"could not be downloaded from {url}.*404.*save it as {cache}") as error:
            download(url, known_hash, cache)
        by_hand = Path(str(error.value).split("save it as ")[1].rstrip("."))
        by_hand.write_bytes(first_file.read_bytes())
        assert download(url, known_hash, cache) == by_hand
        assert len(server.requests) == 1

    def test_server_that_cannot_be_reached_is_an_oserror(self, first_file, cache):
        with pytest.raises(OSError, match="could not be downloaded"):
            download("http://127.0.0.1:9/first.h5", WRONG, cache)
        assert files(cache) == []

    def test_damaged_file_in_the_cache_is_replaced(self, server, first_file, cache):
        source = server.add(first_file)
        path = download(*source, cache)
        path.write_bytes(b"damaged")
        assert download(*source, cache).read_bytes() == first_file.read_bytes()
        assert len(server.requests) == 2

    def test_two_files_of_one_name_are_kept_side_by_side(self, server, first_file, second_file, cache):
        first = download(*server.add(first_file), cache)
        server.files["/other/first.h5"] = second_file
        known_hash = "md5:" + hashlib.md5(second_file.read_bytes()).hexdigest()
        second = download(f"{server.address}/other/first.h5", known_hash, cache)
        assert first.read_bytes() == first_file.read_bytes()
        assert second.read_bytes() == second_file.read_bytes()

    def test_environment_names_the_cache_where_the_argument_does_not(self, server, first_file, tmp_path, monkeypatch):
        source = server.add(first_file)
        monkeypatch.setenv("PLKD_CACHE", str(tmp_path / "env"))
        assert download(*source).parent == tmp_path / "env"
        assert download(*source, tmp_path / "argument").parent == tmp_path / "argument"

    @pytest.mark.parametrize("value", [None, ""])
    def test_system_cache_is_the_default(self, monkeypatch, value):
        import pooch

        monkeypatch.delenv("PLKD_CACHE", raising=False)
        if value is not None:
            monkeypatch.setenv("PLKD_CACHE", value)
        assert cache_folder() == Path(pooch.os_cache("plkd"))


def test_home_is_expanded():
    assert cache_folder("~/data") == Path.home() / "data"


def test_missing_pooch_names_what_to_install(monkeypatch, cache):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'pip install "plkd\[datasets\]"'):
        download("http://127.0.0.1:9/x.h5", WRONG, cache)


@pytest.mark.parametrize(
    "known_hash", [None, "", "md5:123", "0" * 32, "sha1:" + "0" * 40, "md5:" + "g" * 32, "sha256:" + "0" * 32]
)
def test_nothing_is_loaded_without_a_checksum(known_hash, cache):
    with pytest.raises(ValueError, match="known_hash=.*expected 'md5:' and 32 hexadecimal digits"):
        download("http://127.0.0.1:9/x.h5", known_hash, cache)


@pytest.mark.parametrize(
    "url", ["x.h5", "http://[x", "ftp://example.org/x.h5", "file:///etc/x.h5", "https://example.org/"]
)
def test_address_of_another_kind_is_refused(url, cache):
    with pytest.raises(ValueError, match=r"url=.*begins with http:// or https://"):
        download(url, WRONG, cache)
