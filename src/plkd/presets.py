"""Named sets of settings: what :class:`plkd.PLKD` and its ``train`` use where nothing else is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Literal

__all__ = [
    "ConfidenceSettings",
    "PatternSettings",
    "Preset",
    "ScalingSettings",
    "StudentSettings",
    "StudentTraining",
    "TeacherSettings",
    "TeacherTraining",
    "default",
    "paper",
]


@dataclass(frozen=True)
class PatternSettings:
    """Which patterns are kept and learned (:meth:`plkd.PatternSet.for_features`, :func:`plkd.patterns.learn`).

    Attributes
    ----------
    min_size, max_size, max_patterns, max_overlap
        Filters of given patterns after matching to the reference's features.
    max_set_size
        Largest set as given, before matching; None sets no limit.
    learned
        Learn patterns for the features that no given pattern covers.
    n_learned
        Learned patterns to start from; None chooses by the number of features.
    max_learned_size
        Most features of a learned pattern.
    """

    min_size: int = 5
    max_size: int | None = 500
    max_patterns: int | None = 300
    max_overlap: float = 0.8
    max_set_size: int | None = None
    learned: bool = True
    n_learned: int | None = None
    max_learned_size: int = 500


@dataclass(frozen=True)
class ScalingSettings:
    """How the input is scaled beyond log1p of counts per 10,000.

    Attributes
    ----------
    weight_power
        Features are weighted by the spread of the labels' means to this power (:func:`plkd.train.feature_weights`); 0
        weighs all features of a modality alike.
    """

    weight_power: float = 1.0


@dataclass(frozen=True)
class TeacherSettings:
    """Arguments of :class:`plkd.nn.Teacher`."""

    n_free: int = 4
    width: int = 48
    depth: int = 2
    n_heads: int = 4
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    pattern_dropout: float = 0.5
    drop_path: float = 0.0
    tokenizer_bound: Literal["all"] | float | None = None
    init_std: float | None = None


@dataclass(frozen=True)
class StudentSettings:
    """Arguments of :class:`plkd.nn.Student`."""

    n_hidden: tuple[int, ...] = (256, 128)
    dropout: float = 0.5

    def __post_init__(self) -> None:
        # JSON and users give lists.
        if isinstance(self.n_hidden, list):
            object.__setattr__(self, "n_hidden", tuple(self.n_hidden))


@dataclass(frozen=True)
class _PhaseTraining:
    max_epochs: int | None = None
    batch_size: int | None = None
    lr: float = 1e-3
    weight_decay: float = 0.01
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    balance: float = 0.5
    hide_rate: float | None = None
    label_smoothing: float = 0.0
    unlabeled_ratio: float = 1.0
    clip_norm: float | None = 1.0
    keep_best: bool = True
    patience: int = 100


@dataclass(frozen=True)
class TeacherTraining(_PhaseTraining):
    """How the Teacher is trained (:class:`plkd.train.TeacherPlan`).

    Attributes
    ----------
    max_epochs
        None chooses by the number of cells.
    batch_size
        Cells of a mini-batch; None: 128, and more from 51,200 training cells on, where an epoch has 400 mini-batches, up to 1,024.
    balance
        Class balance of the training mini-batches, 0 (as in the data) to 1 (every label equally often).
    hide_rate
        Mean share of the features hidden from each training cell. None: 0.1 for the Teacher, 0.25 for the Student, and 0 where the
        model reads RNA alone, of at most 500 genes.
    unlabeled_ratio
        Unlabelled cells, of the reference and of ``train(unlabeled=)``, that join a training mini-batch for each labelled
        one; 0 leaves them out. The Teacher sees none of batches without a labelled training cell, such as those of
        ``train(unlabeled=)``; they teach the Student alone.
    divergence_weight, alignment_weight
        Weights of the divergence of labels and of the alignment of batches; with ``schedule="one_cycle"`` they set in over the first
        twentieth of the steps.
    modality_dropout
        Share of the training cells with several modalities from which some of them are hidden.
    clip_norm
        Largest norm of the gradient; None sets no limit.
    keep_best, patience
        Keep the best epoch's weights (after a whole run the last ones, unless their macro-F1 is over one standard error
        below the best); epochs without improvement before an early stop.
    """

    lr: float = 3e-3
    label_smoothing: float = 0.1
    divergence: Literal["probabilities", "released"] = "probabilities"
    divergence_weight: float = 0.1
    alignment_weight: float = 0.1
    modality_dropout: float = 0.5


@dataclass(frozen=True)
class StudentTraining(_PhaseTraining):
    """How the Student is distilled (:class:`plkd.train.DistillationPlan`); what both phases have as in :class:`~plkd.presets.TeacherTraining`.

    Attributes
    ----------
    kd_weight, temperature
        Share of the distillation in the loss, the labels have the rest; temperature of its probabilities. None: all of it, or
        nothing where labels have fewer than seven training cells on average, of which a Teacher learns less than they say (all of it
        where ``self_training`` calls cells). With ``kd_weight=0`` no Teacher is trained.
    mixup
        The Teacher teaches on mixtures of two cells whose shares are drawn from a beta distribution of this alpha. 0: on the cells
        themselves, its answers computed once.
    alignment_weight, modality_alignment_weight
        Weights of the alignment of batches, used where there are unlabelled cells or no labels at all, and of modalities.
    self_training
        Probability from which on what the Teacher calls an unlabelled cell, calibrated on held-out cells, trains the
        Student as a label would (in its loss where ``kd_weight`` is below 1), called labels drawn by ``balance``; None: no
        call does.
    """

    label_smoothing: float = 0.1
    patience: int = 200
    kd_weight: float | None = None
    temperature: float = 1.0
    mixup: float = 1.0
    entropy: Literal["prior", "released"] = "prior"
    entropy_weight: float = 0.0
    alignment_weight: float = 1.0
    modality_alignment_weight: float = 0.1
    self_training: float | None = None


@dataclass(frozen=True)
class ConfidenceSettings:
    """How the model learns how far it, and the labels it is given, can be trusted (:func:`plkd.train.cross_fit`).

    Attributes
    ----------
    n_folds
        Parts of the reference that are left out in turn, at least 2; each costs a training of the Student. 0: probabilities
        are the softmax as it is, there is no novelty, and no label is doubted.
    drop_doubtful
        Keep cells from training whose labels are contradicted by Students that did not see them and by their neighbours
        (:func:`plkd.confidence.doubtful_labels`).
    """

    n_folds: int = 5
    drop_doubtful: bool = True

    def __post_init__(self) -> None:
        if (
            isinstance(self.n_folds, bool)
            or not isinstance(self.n_folds, Integral)
            or self.n_folds < 0
            or self.n_folds == 1
        ):
            raise ValueError(
                f"confidence: n_folds={self.n_folds!r}; expected a whole number of at least 2, or 0 for no calibration. Fix: "
                "`n_folds=5`."
            )


@dataclass(frozen=True)
class Preset:
    """All settings of a model and its training.

    Examples
    --------
    >>> plkd.presets.paper.teacher.depth
    2
    >>> plkd.presets.default.replace(teacher={"depth": 3}).teacher.depth
    3
    """

    patterns: PatternSettings = field(default_factory=PatternSettings)
    scaling: ScalingSettings = field(default_factory=ScalingSettings)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    student: StudentSettings = field(default_factory=StudentSettings)
    teacher_training: TeacherTraining = field(default_factory=TeacherTraining)
    student_training: StudentTraining = field(default_factory=StudentTraining)
    confidence: ConfidenceSettings = field(default_factory=ConfidenceSettings)

    def replace(self, **parts: Mapping[str, Any] | None) -> Preset:
        """Return a preset with some settings changed.

        Parameters
        ----------
        **parts
            By part (``patterns``, ``scaling``, ``teacher``, ``student``, ``teacher_training``, ``student_training``,
            ``confidence``) the settings to change.

        Raises
        ------
        TypeError
            If a part or a setting does not exist; the message lists those that do.

        Examples
        --------
        >>> settings = plkd.presets.default.replace(student={"n_hidden": (512, 256)})
        >>> settings.student.n_hidden
        (512, 256)
        """
        changed = {}
        for part, settings in parts.items():
            if part not in (names := [f.name for f in dataclasses.fields(self)]):
                raise TypeError(f"{part!r} is no part of a preset; expected one of {names}.")
            if not isinstance(settings, Mapping | None):
                raise TypeError(f"The settings for {part} are {settings!r}; expected a dict, e.g. {{...}}, or None.")
            known = {f.name for f in dataclasses.fields(getattr(self, part))}
            unknown = sorted(map(str, set(settings or {}) - known))
            if unknown:
                raise TypeError(f"Unknown settings {unknown} for {part}; expected some of {sorted(known)}.")
            changed[part] = dataclasses.replace(getattr(self, part), **(settings or {}))
        return dataclasses.replace(self, **changed)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return plain dicts, JSON-able; :meth:`from_dict` reads them back.

        Examples
        --------
        >>> plkd.presets.paper.to_dict()["teacher_training"]["batch_size"]
        8
        """
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, parts: Mapping[str, Mapping[str, Any]]) -> Preset:
        """Read the result of :meth:`to_dict`.

        Parameters
        ----------
        parts
            Settings by part; those that are left out are the default's.

        Raises
        ------
        TypeError
            If a part or a setting does not exist.

        Examples
        --------
        >>> settings = plkd.presets.Preset.from_dict({"teacher_training": {"max_epochs": 20}})
        >>> settings.teacher_training.max_epochs
        20
        """
        if not isinstance(parts, Mapping) or not all(isinstance(part, str) for part in parts):
            raise TypeError(
                f"A preset is read from a dict of its parts, found {parts!r}; expected what to_dict() returns."
            )
        return cls().replace(**parts)


#: What measured best over the project's tasks (benchmarks/annotation).
default = Preset()

#: The released mathematics and hyper-parameters with plkd's loaders (split first, balance by sampler, nothing dropped).
paper = Preset(
    patterns=PatternSettings(
        min_size=5, max_size=None, max_patterns=299, max_overlap=1.0, max_set_size=300, learned=False
    ),
    scaling=ScalingSettings(weight_power=0.0),
    teacher=TeacherSettings(
        n_free=1,
        width=48,
        depth=2,
        n_heads=4,
        dropout=0.5,
        attention_dropout=0.5,
        pattern_dropout=0.0,
        drop_path=0.5,
        tokenizer_bound="all",
        init_std=0.01,
    ),
    student=StudentSettings(n_hidden=(256, 128), dropout=0.1),
    teacher_training=TeacherTraining(
        max_epochs=10,
        batch_size=8,
        lr=1e-3,
        weight_decay=5e-5,
        optimizer="sgd",
        schedule="cosine",
        balance=1.0,
        hide_rate=0.0,
        label_smoothing=0.0,
        clip_norm=None,
        keep_best=False,
        divergence="released",
        divergence_weight=1.0,
        alignment_weight=0.0,
        unlabeled_ratio=0.0,
    ),
    student_training=StudentTraining(
        max_epochs=10,
        batch_size=8,
        lr=1e-3,
        weight_decay=0.0,
        optimizer="adam",
        schedule="constant",
        balance=1.0,
        hide_rate=0.0,
        label_smoothing=0.0,
        clip_norm=None,
        keep_best=False,
        kd_weight=0.5,
        temperature=4.0,
        mixup=0.0,
        entropy="released",
        entropy_weight=1.0,
        alignment_weight=0.0,
        modality_alignment_weight=0.0,
        unlabeled_ratio=0.0,
    ),
    confidence=ConfidenceSettings(n_folds=0),
)
