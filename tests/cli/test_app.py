"""Exit codes, and errors of one line."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings

import pytest

import plkd
from plkd.cli._app import run


def test_no_arguments_show_the_commands(capsys):
    assert run([]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("demo", "train", "annotate", "patterns"))


@pytest.mark.parametrize("command", ["demo", "train", "annotate", "patterns"])
def test_every_command_has_help(command, capsys):
    assert run([command, "--help"]) == 0
    assert "--verbose" in capsys.readouterr().out


def test_version_is_the_package_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"plkd {plkd.__version__}\n"


@pytest.mark.parametrize("args", [["annotate"], ["train", "x.h5ad"], ["demo", "--n-splits", "0"], ["no-such-command"]])
def test_wrong_usage_ends_with_2_and_one_line(args, capsys):
    assert run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_file_that_is_missing_ends_with_1_and_one_line(tmp_path, capsys):
    assert run(["train", str(tmp_path / "no.h5ad"), "--labels-key", "x", "--out", str(tmp_path / "m")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: No such reference: {tmp_path / 'no.h5ad'}; expected an .h5ad, .h5mu or .zarr file.\n"


def test_verbose_shows_where_an_error_arose(tmp_path, capsys):
    run(["train", str(tmp_path / "no.h5ad"), "--labels-key", "x", "--out", str(tmp_path / "m"), "--verbose"])
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("error: ")


def test_process_ends_with_the_code():
    args = [sys.executable, "-c", "from plkd.cli import main; main()", "annotate"]
    assert subprocess.run(args, capture_output=True, check=False).returncode == 2


def test_logging_and_warnings_are_left_as_they_were(tmp_path):
    logger = logging.getLogger("plkd")
    before = logger.level, logger.propagate, list(logger.handlers), list(warnings.filters)
    run(["annotate", str(tmp_path / "no.h5ad"), "--model", "x", "--out", "y.h5ad", "--verbose"])
    assert (logger.level, logger.propagate, list(logger.handlers), list(warnings.filters)) == before


def test_help_loads_no_heavy_library():
    heavy = {"torch", "scvi", "lightning", "scanpy", "matplotlib"}
    code = f"import sys; from plkd.cli._app import run; run([]); print(*({heavy} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
