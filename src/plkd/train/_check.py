"""Refuse settings that no network can be made or trained with, before any work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from plkd._arguments import is_number, is_whole

_WIDEST = 65_536

_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    # patterns
    "min_size": (lambda v: is_whole(v, 1), "a whole number of at least 1"),
    "max_size": (lambda v: v is None or is_whole(v, 1), "a whole number of at least 1, or None"),
    "max_patterns": (lambda v: v is None or is_whole(v, 1), "a whole number of at least 1, or None"),
    "max_overlap": (lambda v: is_number(v, 0, 1), "a number in [0, 1]"),
    "max_set_size": (lambda v: v is None or is_whole(v, 1), "a whole number of at least 1, or None"),
    "n_learned": (lambda v: v is None or is_whole(v, 1), "a whole number of at least 1, or None to choose it"),
    "max_learned_size": (lambda v: is_whole(v, 1), "a whole number of at least 1"),
    "learned": (lambda v: isinstance(v, bool), "True or False"),
    "weight_power": (lambda v: is_number(v, 0), "a number of at least 0"),
    # networks
    "n_free": (lambda v: is_whole(v, 0, 1000), "a whole number from 0 to 1000"),
    "width": (lambda v: is_whole(v, 1, _WIDEST), f"a whole number from 1 to {_WIDEST}"),
    "depth": (lambda v: is_whole(v, 0, 1000), "a whole number from 0 to 1000"),
    "n_heads": (lambda v: is_whole(v, 1, _WIDEST), "a whole number of at least 1 that divides width"),
    "mlp_ratio": (lambda v: is_number(v, 0, 1000) and v > 0, "a number above 0"),
    "dropout": (lambda v: is_number(v, 0, 1) and v < 1, "a number in [0, 1)"),
    "attention_dropout": (lambda v: is_number(v, 0, 1) and v < 1, "a number in [0, 1)"),
    "pattern_dropout": (lambda v: is_number(v, 0, 1) and v < 1, "a number in [0, 1)"),
    "drop_path": (lambda v: is_number(v, 0, 1) and v < 1, "a number in [0, 1)"),
    "tokenizer_bound": (
        lambda v: v is None or (isinstance(v, str) and v == "all") or (is_number(v, 0, 1000) and v > 0),
        "a number above 0, 'all' or None",
    ),
    "init_std": (lambda v: v is None or (is_number(v, 0, 1000) and v > 0), "a number above 0, or None"),
    "n_hidden": (
        lambda v: isinstance(v, tuple) and len(v) > 0 and all(is_whole(n, 1, _WIDEST) for n in v),
        "some whole numbers of at least 1, e.g. (256, 128)",
    ),
    # training
    "max_epochs": (lambda v: v is None or is_whole(v, 1), "a whole number of at least 1, or None to choose it"),
    "batch_size": (lambda v: v is None or is_whole(v, 1), "a whole number of at least 1, or None to choose it"),
    "patience": (lambda v: is_whole(v, 1), "a whole number of at least 1"),
    "lr": (lambda v: is_number(v, 0) and v > 0, "a number above 0"),
    "temperature": (lambda v: is_number(v, 0) and v > 0, "a number above 0"),
    "balance": (lambda v: is_number(v, 0, 1), "a number in [0, 1]"),
    "hide_rate": (lambda v: v is None or is_number(v, 0, 1), "a number in [0, 1], or None to choose it"),
    "modality_dropout": (lambda v: is_number(v, 0, 1), "a number in [0, 1]"),
    "mixup": (lambda v: is_number(v, 0, 1000), "a number from 0 to 1000"),
    "kd_weight": (lambda v: v is None or is_number(v, 0, 1), "a number in [0, 1], or None to choose it"),
    "label_smoothing": (lambda v: is_number(v, 0, 1) and v < 1, "a number in [0, 1)"),
    "weight_decay": (lambda v: is_number(v, 0), "a number of at least 0"),
    "divergence_weight": (lambda v: is_number(v, 0), "a number of at least 0"),
    "alignment_weight": (lambda v: is_number(v, 0), "a number of at least 0"),
    "modality_alignment_weight": (lambda v: is_number(v, 0), "a number of at least 0"),
    "unlabeled_ratio": (lambda v: is_number(v, 0), "a number of at least 0"),
    "self_training": (lambda v: v is None or (is_number(v, 0, 1) and v > 0), "a probability in (0, 1], or None"),
    "entropy_weight": (lambda v: is_number(v, 0), "a number of at least 0"),
    "clip_norm": (lambda v: v is None or (is_number(v, 0) and v > 0), "a number above 0, or None"),
    "keep_best": (lambda v: isinstance(v, bool), "True or False"),
}


def check_settings(part: str, settings: Any) -> None:
    """Check the values of one part of a preset.

    Parameters
    ----------
    part
        What it is about, e.g. ``"teacher"``, for the message.
    settings
        One of the parts of :class:`~plkd.presets.Preset`.

    Raises
    ------
    ValueError
        Naming the setting, its value and what was expected.
    """
    hints = get_type_hints(type(settings))
    for name, value in vars(settings).items():
        if get_origin(hints.get(name)) is Literal:
            if not isinstance(value, str) or value not in get_args(hints[name]):
                _refuse(part, name, value, f"one of {list(get_args(hints[name]))}")
        elif not _CHECKS[name][0](value):
            _refuse(part, name, value, _CHECKS[name][1])


def check_split(train_size: Any, validation_size: Any, datasplitter_kwargs: Any) -> None:
    """Check how the reference is to be split.

    Raises
    ------
    TypeError, ValueError
        Naming the argument.
    """
    if not (is_number(train_size, 0, 1) and train_size > 0):
        raise ValueError(f"train_size={train_size!r}; expected a share of the cells in (0, 1], e.g. train_size=0.9.")
    if validation_size is not None and not is_number(validation_size, 0, 1):
        raise ValueError(f"validation_size={validation_size!r}; expected a share of the cells in [0, 1), or None.")
    if datasplitter_kwargs is not None and not isinstance(datasplitter_kwargs, Mapping):
        raise TypeError(
            f"datasplitter_kwargs is a {type(datasplitter_kwargs).__name__}; expected "
            '{"external_indexing": [train, validation]}, or None.'
        )
    if unknown := sorted(map(str, set(datasplitter_kwargs or {}) - {"external_indexing"})):
        raise TypeError(f"Unknown datasplitter_kwargs {unknown}; expected external_indexing.")


def _refuse(part: str, name: str, value: Any, expected: str) -> None:
    raise ValueError(f"{part}: {name}={value!r}; expected {expected}.")
