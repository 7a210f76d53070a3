"""The sections of the page on data, split and provenance."""

import pandas as pd

from rust_tuner.records.folder import StudyRecords
from rust_tuner.records.nested import NESTED, NestedManifest
from rust_tuner.records.run import RunManifest
from rust_tuner.report.page import PageTable, Section, facts_table, text, whole
from rust_tuner.words import counted


def data_section(records: StudyRecords) -> Section:
    """Which radiographs, and how they are prepared."""
    section = Section("data", "Data")
    study = records.study
    if study is None:
        section.missing.append("study.json is missing or cannot be read.")
        return section
    protocol = study.protocol
    hashed = study.patient_ids == "hashed"
    source = "with keyed hashes instead of patient ids" if hashed else f"from {study.manifest}"
    radiographs = counted(study.radiographs, "radiograph")
    section.lead.append(f"{radiographs} of {counted(study.patients, 'patient')}, {source}.")
    cortices = protocol.get("view_cortices")
    expected = {
        f"cortices expected on {view}": ", ".join(map(str, names))
        for view, names in (cortices.items() if isinstance(cortices, dict) else ())
        if isinstance(names, list)
    }
    facts = {
        "radiographs": study.radiographs,
        "patients": study.patients,
        "image size": protocol.get("image_size"),
        "resize": protocol.get("resize"),
        "flips": protocol.get("flips"),
        **expected,
        "SHA-256 of patients, views and scores": study.radiographs_sha256,
        "SHA-256 of the images": study.images_sha256,
    }
    section.tables.append(facts_table("The radiographs", facts))
    return section


def split_section(records: StudyRecords) -> Section:
    """The number of sealed patients, and the folds of the others."""
    section = Section("split", "Split")
    split = records.split
    if split is None:
        section.missing.append("split.json is missing or cannot be read.")
        return section
    development, holdout = len(split.development), len(split.holdout)
    were = "was" if holdout == 1 else "were"
    section.lead.append(
        f"{holdout} of {development + holdout} patients {were} sealed before anything was trained; "
        f"{development} patients are the development set. No patient is on both sides."
    )
    rows = []
    for number, record in sorted(split.folds.items(), key=lambda item: int(item[0])):
        sizes = pd.Series(record.patients).value_counts()
        size = f"{sizes.min()} to {sizes.max()}"
        rows.append([whole(int(number)), (size, float(sizes.min())), whole(record.seed)])
    if rows:
        section.tables.append(
            PageTable("Folds of the development set", ("folds", "patients per fold", "seed"), rows)
        )
    if split.site_folds is not None:
        of_fold = pd.Series(split.site_folds.patients).value_counts()
        rows = [
            [whole(number), text(site), whole(int(of_fold[number]))]
            for number, site in enumerate(split.site_folds.sites)
        ]
        header = ("fold (from 0)", "site that it leaves out", "patients")
        section.tables.append(PageTable("Folds of the development set", header, rows))
    facts = {"seed": split.seed, "fraction": split.fraction}
    section.tables.append(facts_table("The hold-out set", facts | {"SHA-256": split.sha256}))
    return section


def _on_or_off(enabled: object) -> str:
    return "-" if enabled is None else "on" if enabled else "off"


def provenance_section(records: StudyRecords) -> Section:
    """Versions, choices, seeds and hashes."""
    section = Section("provenance", "Provenance")
    study = records.study
    if study is not None:
        section.tables.append(
            facts_table("Versions when the study was prepared", study.versions or {})
        )
        choices = dict(study.protocol)
        if choices.get("folds_by") == "site":
            # There are as many folds as sites; their numbers have no effect.
            choices = {k: value for k, value in choices.items() if not k.endswith("_folds")}
        section.tables.append(facts_table("Protocol", choices))
        ran_on = {
            f"{step}{f', machine {number}' if number > 1 else ''}": {
                name: value for name, value in machine.items() if name != "versions"
            }
            for step, machines in (study.environments or {}).items()
            for number, machine in enumerate(machines, 1)
        }
        hashes = {"SHA-256 of the split": study.split_sha256}
        section.tables.append(facts_table("Machine and threads of each step", ran_on | hashes))
    runs: dict[str, RunManifest | NestedManifest] = {
        name: project.run for name, project in records.projects.items()
    }
    if records.nested is not None:
        runs[NESTED] = records.nested.run
    rows = []
    for name, run in runs.items():
        weights = run.subject.weights
        rows.append(
            [
                text(name),
                whole(run.seed),
                text("-" if weights is None else weights.asked),
                text("-" if weights is None else weights.sha256),
                text(run.subject.inputs or "-"),
                text(run.subject.folds or "-"),
                text(", ".join(f"{k} {v}" for k, v in run.versions.items())),
                text(_on_or_off(run.onednn)),
            ]
        )
    header = (
        "records",
        "seed",
        "requested weights",
        "SHA-256 of the used weights",
        "SHA-256 of the inputs",
        "SHA-256 of the folds",
        "versions",
        "oneDNN",
    )
    if rows:
        section.tables.append(PageTable("Inputs and versions of each part", header, rows))
    if records.holdout is not None:
        facts = {"SHA-256 of the final model": records.holdout.model_sha256}
        section.tables.append(facts_table("Final model", facts))
    if not section.tables:
        section.missing.append("Nothing is recorded.")
    return section
