"""How to reproduce a study: the commands, notes on them, and what to cite."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from rust_tuner.labels import UNION_THRESHOLD
from rust_tuner.protocol import ANATOMICAL_VIEWS, PUBLISHED_VIEWS, Protocol
from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.nested import NestedManifest
from rust_tuner.records.private import KEY_PATH
from rust_tuner.records.project import REGIME_1, Project
from rust_tuner.records.run import RunManifest
from rust_tuner.records.study_record import StudyRecord

# The fields in which the presets of `--protocol` differ.
_PRESET_FIELDS = ("objective", "resize", "flips", "masked_loss")


@dataclass(frozen=True)
class Reproduction:
    """Commands that reproduce the study, notes on them, and what to cite."""

    commands: list[str]
    notes: list[str]
    cite: list[str]


def reproduction(records: StudyRecords) -> Reproduction:
    """How to reproduce the study, and what to cite."""
    protocol = {} if records.study is None else records.study.protocol
    notes = [
        "The same seed gives the same trials and scores: bitwise with the same machine, versions "
        "and thread count, else within 0.001."
    ]
    hashes = {
        weights.sha256: weights.file or weights.asked
        for project in records.projects.values()
        if (weights := project.run.subject.weights) is not None
    }
    notes += [f"Weights {name} had the SHA-256 {sha256}." for sha256, name in hashes.items()]
    if records.study is None:
        notes.append("study.json is missing, so the commands are unknown.")
        return Reproduction([], notes, _cite(records))
    odd = _without_option(protocol)
    if odd:
        notes.append(
            f"{', '.join(odd)} cannot be set on the command line. From Python: "
            'Study("STUDY", "MANIFEST.csv", Protocol.from_json(protocol)), with the protocol of '
            "study.json."
        )
    return Reproduction(_commands(records, records.study), notes, _cite(records))


def preset_of(protocol: Mapping[str, Any]) -> str | None:
    """The preset of `--protocol` that a protocol follows: `study`, `clinical` or None."""
    for name, choices in (("study", Protocol.study()), ("clinical", Protocol.clinical())):
        preset = choices.to_json()
        if all(protocol.get(item) == preset[item] for item in _PRESET_FIELDS):
            return name
    return None


def _views(protocol: Mapping[str, Any]) -> str | None:
    given = {view: tuple(names) for view, names in (protocol.get("view_cortices") or {}).items()}
    presets = {"anatomical": ANATOMICAL_VIEWS, "published": PUBLISHED_VIEWS}
    return next((name for name, views in presets.items() if views == given), None)


def _without_option(protocol: Mapping[str, Any]) -> list[str]:
    """Choices that differ from the defaults and have no option."""
    odd = []
    if preset_of(protocol) is None:
        odd += list(_PRESET_FIELDS)
    if _views(protocol) is None:
        odd.append("view_cortices")
    defaults = Protocol.study().to_json()
    names = ["score_epoch", "baseline_batch_size", "baseline_dropout_rate"]
    if protocol.get("scale") == "small":
        names = names[:1]
    if protocol.get("fit_batch_sizes") and protocol.get("scale") != "small":
        names.append("batch_size_range")
    return odd + [name for name in names if protocol.get(name, defaults[name]) != defaults[name]]


def _commands(records: StudyRecords, study: StudyRecord) -> list[str]:
    protocol = study.protocol
    # Where patients have keyed names, the manifest is named in the key alone.
    is_private = PurePath(study.manifest) == PurePath(KEY_PATH)
    shared = ["--manifest", "MANIFEST" if is_private else PurePath(study.manifest).name]
    for option, value in (
        ("--protocol", preset_of(protocol)),
        ("--views", _views(protocol)),
        ("--weights", protocol.get("weights")),
        ("--seed", protocol.get("seed")),
        ("--holdout-fraction", protocol.get("holdout_fraction")),
        ("--image-size", protocol.get("image_size")),
        ("--crop", _unless(protocol.get("crop"), "none")),
        ("--precision", protocol.get("precision")),
        ("--extractor", _unless(protocol.get("extractor"), "keras")),
        ("--folds-by", _unless(protocol.get("folds_by"), "patient")),
        ("--union-threshold", _unless(protocol.get("union_threshold"), UNION_THRESHOLD)),
    ):
        if value is not None:
            shared += [option, str(value)]
    flags = {
        "--remove-borders": protocol.get("remove_borders"),
        "--distinct-patients": study.distinct_patients,
        "--plain-ids": study.patient_ids == "plain",
    }
    shared += [flag for flag, is_on in flags.items() if is_on]
    # Whoever repeats a study whose hold-out set is sealed must not unseal it.
    has_final = records.holdout is not None or bool(records.looks)
    if study.is_small:
        skip = [] if has_final else ["--skip", "final"]
        return [_line("study", "--scale", "small", *shared, *skip), *_repeats(records, study)]
    lines = [_line("prepare", *shared)]
    if records.baselines:
        run = next(iter(records.baselines.values())).run
        lines.append(_line("baselines", *_scale(run)))
    if records.regime_1 is not None:
        run = records.regime_1.run
        ranges = _ranges(run, ("batch_size_range", "dropout_rate_range"))
        stopping = _stopping(study, run)
        scale = ["--trials", run.num_trials, *_scale(run)]
        lines.append(_line("regime1", *scale, *ranges, *stopping))
    if records.regime_2 is not None:
        run = records.regime_2.run
        fixed = _fixed_otherwise(records.regime_1, records.regime_2)
        ranges = _ranges(run, ("learning_rates", "epsilons"))
        stopping = _stopping(study, run)
        lines.append(_line("regime2", *fixed, *_scale(run), *ranges, *stopping))
    lines += _repeats(records, study)
    if has_final:
        project = records.cross_validation
        lines.append(_line("final", *([] if project is None else _scale(project.run))))
    return [*lines, _line("report")]


def _stopping(study: StudyRecord, run: RunManifest | NestedManifest) -> list[str]:
    """The option that stops hopeless trials or not, where it is not that of the preset."""
    preset = Protocol.clinical() if preset_of(study.protocol) == "clinical" else Protocol.study()
    stops = run.stop_hopeless is not None
    if stops == preset.stop_hopeless:
        return []
    return ["--stop-hopeless" if stops else "--no-stop-hopeless"]


def _repeats(records: StudyRecords, study: StudyRecord) -> list[str]:
    """The commands of nested cross-validation and noise floor, if they have been run."""
    lines = []
    if records.nested is not None:
        nested = records.nested.run
        protocol = nested.protocol
        by_site = protocol.get("folds_by") == "site"
        scale = [] if by_site else ["--folds", protocol["num_folds"]]
        scale += ["--epochs", protocol["epochs"]]
        names = ("batch_size_range", "dropout_rate_range", "learning_rates", "epsilons")
        outer = [] if by_site else ["--outer-folds", nested.outer_folds]
        outer += ["--trials", nested.trials[REGIME_1]]
        stopping = _stopping(study, nested)
        lines.append(_line("nested", *outer, *scale, *_ranges(nested, names), *stopping))
    if records.noise is not None:
        lines.append(_line("noise", "--repeats", records.noise.run.repeats))
    return lines


def _unless(value: object, default: object) -> object:
    return None if value == default else value


def _line(command: str, *options: object) -> str:
    return shlex.join(["rust-tuner", command, "STUDY", *map(str, options)])


def _scale(run: RunManifest) -> list[object]:
    folds = ["--folds", run.subject.num_folds]
    if (run.protocol or {}).get("folds_by") == "site":
        folds = []  # There are as many as sites.
    return [*folds, "--epochs", run.epochs]


def _ranges(run: RunManifest | NestedManifest, names: tuple[str, ...]) -> list[str]:
    options = []
    for name in names:
        values = (run.protocol or {}).get(name)
        if name == "batch_size_range" and run.fit_batch_sizes:
            continue  # A range given by the option would be used without fitting it.
        if isinstance(values, list):
            option = f"--{name.removesuffix('_range').replace('_', '-')}"
            option += "s" if name.endswith("_range") else ""
            options += [option, ",".join(map(str, values))]
    return options


def _fixed_otherwise(first: Project | None, second: Project) -> list[object]:
    """Regime II's fixed values, if they are not those of Regime I's best."""
    taken = second.best or (second.trials[0] if second.trials else None)
    if taken is None:
        return []
    names = ("batch_size", "dropout_rate")
    values = [taken.values.get(name) for name in names]
    best = first.best if first is not None else None
    if best is not None and [best.values.get(name) for name in names] == values:
        return []
    return ["--batch-size", values[0], "--dropout-rate", values[1]]


def _cite(records: StudyRecords) -> list[str]:
    versions = next((item.run.versions for item in records.projects.values()), None)
    if not versions and records.study is not None:
        versions = records.study.versions
    software = ", ".join(f"{name} {version}" for name, version in (versions or {}).items())
    cite = [
        f"Software: {software or 'rust_tuner'}.",
        "RUST score: Whelan et al., J Trauma 2010, doi:10.1097/TA.0b013e3181a7c16d.",
        "InceptionV3: Szegedy et al., CVPR 2016, doi:10.1109/CVPR.2016.308.",
    ]
    if "inceptionv3_radimagenet" in records.baselines:
        cite.append(
            "RadImageNet: Mei et al., Radiology: Artificial Intelligence 2022, "
            "doi:10.1148/ryai.210315."
        )
    return cite
