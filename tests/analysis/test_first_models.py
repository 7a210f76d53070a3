"""All that names a best first model names the same one."""

import dataclasses
from pathlib import Path

import pytest
from narrowing import not_none
from report_searches import write_baselines
from report_studies import study_record

from rust_tuner.analysis.answer import answer
from rust_tuner.analysis.first_models import best_first_model
from rust_tuner.analysis.summary_scores import summary_scores
from rust_tuner.analysis.verdict import MODEL_NAMES, summary
from rust_tuner.files import json_text
from rust_tuner.records.folder import StudyRecords, read_study


@pytest.fixture
def records(tmp_path: Path) -> StudyRecords:
    """LeNet has the better AUROC of 18 labels, the other one that of visible cortices."""
    (tmp_path / "study.json").write_text(json_text(study_record()))
    write_baselines(tmp_path / "baselines", ("lenet1998", "inceptionv3_imagenet"))
    found = read_study(tmp_path)
    name = "inceptionv3_imagenet"
    project = found.baselines[name]
    best = not_none(project.best)
    better = dataclasses.replace(best, metrics={**best.metrics, "val_cortex_auroc": 0.99})
    changed = dataclasses.replace(project, trials=(better,))
    return dataclasses.replace(found, baselines={**found.baselines, name: changed})


def test_it_is_the_best_by_the_score_that_was_searched_for(records: StudyRecords) -> None:
    assert not_none(records.baselines["inceptionv3_imagenet"].best).metrics[
        "val_cortex_auroc"
    ] > max(
        not_none(item.best).metrics["val_cortex_auroc"]
        for name, item in records.baselines.items()
        if name == "lenet1998"
    )
    assert best_first_model(records) == "lenet1998"
    title = MODEL_NAMES["lenet1998"]
    assert f"first models by AUROC, 18 labels is {title}" in answer(records).sentence
    assert any(row.what == f"Best first model: {title}" for row in summary(records).rows)
    scores = summary_scores(records)
    (value,) = scores[scores["metric"] == "auroc"]["value"]
    assert value == not_none(records.baselines["lenet1998"].best).metrics["val_auroc"]


def test_without_first_models_there_is_none(records: StudyRecords) -> None:
    assert best_first_model(dataclasses.replace(records, baselines={})) is None
