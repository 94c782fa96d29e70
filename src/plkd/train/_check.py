"""Refuse settings that a phase cannot be trained with, before any work."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_origin, get_type_hints

_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_epochs": (lambda v: v is None or _whole(v, 1), "a whole number of at least 1, or None to choose it"),
    "batch_size": (lambda v: _whole(v, 1), "a whole number of at least 1"),
    "patience": (lambda v: _whole(v, 1), "a whole number of at least 1"),
    "lr": (lambda v: _within(v, 0) and v > 0, "a number above 0"),
    "temperature": (lambda v: _within(v, 0) and v > 0, "a number above 0"),
    "balance": (lambda v: _within(v, 0, 1), "a number in [0, 1]"),
    "hide_rate": (lambda v: _within(v, 0, 1), "a number in [0, 1]"),
    "modality_dropout": (lambda v: _within(v, 0, 1), "a number in [0, 1]"),
    "kd_weight": (lambda v: _within(v, 0, 1), "a number in [0, 1]"),
    "label_smoothing": (lambda v: _within(v, 0, 1) and v < 1, "a number in [0, 1)"),
    "weight_decay": (lambda v: _within(v, 0), "a number of at least 0"),
    "divergence_weight": (lambda v: _within(v, 0), "a number of at least 0"),
    "alignment_weight": (lambda v: _within(v, 0), "a number of at least 0"),
    "unlabeled_ratio": (lambda v: _within(v, 0), "a number of at least 0"),
    "entropy_weight": (lambda v: _within(v, 0), "a number of at least 0"),
}


def check_settings(phase: str, settings: Any) -> None:
    """Check the values of one phase's settings.

    Parameters
    ----------
    phase
        ``"teacher"`` or ``"student"``, for the message.
    settings
        :class:`~plkd.presets.TeacherTraining` or :class:`~plkd.presets.StudentTraining`.

    Raises
    ------
    ValueError
        Naming the setting, its value and what was expected.
    """
    hints = get_type_hints(type(settings))
    for name, value in vars(settings).items():
        if get_origin(hints.get(name)) is Literal:
            if value not in get_args(hints[name]):
                _refuse(phase, name, value, f"one of {list(get_args(hints[name]))}")
        elif name in _CHECKS and not _CHECKS[name][0](value):
            _refuse(phase, name, value, _CHECKS[name][1])


def _refuse(phase: str, name: str, value: Any, expected: str) -> None:
    raise ValueError(f"{phase}: {name}={value!r}; expected {expected}.")


def _whole(value: Any, lowest: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= lowest


def _within(value: Any, lowest: float, highest: float = float("inf")) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and lowest <= float(value) <= highest
