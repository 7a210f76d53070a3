"""The best hyperparameters of a search as a file for people and programs.

Needs only the project folder: no model code, no data and no TensorFlow.
"""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

from rust_tuner.data.formulas import safe_text
from rust_tuner.errors import SearchError
from rust_tuner.files import refuse_other_content, write_text
from rust_tuner.records.best import BestHyperparameters, EndedTrials
from rust_tuner.records.model import Json
from rust_tuner.records.project import Project, read_project
from rust_tuner.records.trials import PRUNED

SUFFIXES = (".json", ".yaml", ".yml", ".csv")
# An earlier file, which a later one may replace, of any search and in each form.
_EARLIER = re.compile(r'\{\n  "hyperparameters": |hyperparameters:|[^\n]*\bobjective,score,')


def export_best_hyperparameters(project_directory: str | Path, path: str | Path) -> Json:
    """Write the best completed trial of a project folder.

    Args:
        project_directory: a KerasTuner project folder of this package, such as STUDY/regime_1.
        path: the file to write; its suffix decides: `.json`, `.yaml`, `.yml` or `.csv`.

    Returns:
        What was written: `hyperparameters`, `objective`, `score` (averaged over the folds; a
        selection score, which the best of many trials exceeds by chance), `score_std` (over
        folds), `score_interval` (95 %, over folds; null if it is not known), `tied_trials`
        (those that are statistically tied with the best one, itself among them; null if that
        is not known), `epoch` (from 0), `trial`, the other metrics, the view-only baseline, the
        number of trials, the weights really used, seed, protocol and versions.

    Raises:
        SearchError: for another suffix, if no trial has completed, or if a trial cannot be read.
        StorageError: if the file exists and is something else than such a file.
        ResumeError: if the folder has no search.

    Examples:
        >>> best = export_best_hyperparameters("STUDY/regime_2", "best.yaml")
        >>> list(best["hyperparameters"])
        ['batch_size', 'dropout_rate', 'learning_rate', 'epsilon']
    """
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise SearchError(f"{target.name}: expected a file that ends in {', '.join(SUFFIXES)}")
    best = best_hyperparameters(read_project(project_directory)).to_json()
    refuse_other_content(target, _EARLIER, what="the best hyperparameters")
    if target.suffix == ".json":
        write_text(target, json.dumps(best, indent=2, allow_nan=False) + "\n")
    elif target.suffix == ".csv":
        write_text(target, _as_csv(best))
    else:
        write_text(target, _as_yaml(best))
    return best


def best_hyperparameters(project: Project) -> BestHyperparameters:
    """What `export_best_hyperparameters` writes.

    Raises:
        SearchError: if no trial has completed, or a trial cannot be read.
    """
    if project.problems:
        # A damaged trial may be the best; the second best must not replace it silently.
        raise SearchError(
            f"{project.folder}: {'; '.join(project.problems)}; run the search again to "
            "repair what is damaged, then export"
        )
    best = project.best
    if best is None:
        raise SearchError(f"{project.folder}: no trial has completed, so there is no best trial")
    run = project.run
    interval = best.interval(project.objective.removeprefix("val_"))
    compared = project.ties
    statuses = [trial.status for trial in project.trials]
    return BestHyperparameters(
        hyperparameters=best.values,
        objective=project.objective,
        score=best.score,
        score_std=best.spread(project.objective.removeprefix("val_")),
        score_interval=None if math.isnan(interval.low) else [interval.low, interval.high],
        tied_trials=[name for name, tie in compared.items() if tie.tied] or None,
        score_kind="selection score: the best of several trials, not an estimate for new patients",
        epoch=best.epoch,
        trial=best.trial,
        metrics=best.metrics,
        view_only_baseline=run.view_only_baseline or None,
        num_folds=run.subject.num_folds,
        epochs=run.epochs_of(best.values),
        trials=EndedTrials.of(
            {"completed": statuses.count("COMPLETED"), "failed": statuses.count("FAILED")}
            | ({} if run.stop_hopeless is None else {"stopped": statuses.count(PRUNED)})
        ),
        weights=run.subject.weights,
        seed=run.seed,
        protocol=run.protocol,
        versions=run.versions,
    )


def _as_yaml(best: Json) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes ids such as 0008, which YAML 1.2 reads as a number."""

        def represent_str(self, text: str) -> yaml.ScalarNode:
            return self.represent_scalar(
                "tag:yaml.org,2002:str", text, style="'" if text.isdigit() else None
            )

    Dumper.add_representer(str, Dumper.represent_str)
    content: str = yaml.dump(best, Dumper=Dumper, sort_keys=False)
    return content


def _as_csv(best: Json) -> str:
    """A header and one row; nested values get dotted names, lists are JSON."""
    hyperparameters = best["hyperparameters"]
    assert isinstance(hyperparameters, dict)
    rest = _flatten({k: v for k, v in best.items() if k != "hyperparameters"}, "")
    # Hyperparameters keep their plain names, which most readers look for.
    flat = {f"hyperparameters.{k}" if k in rest else k: v for k, v in hyperparameters.items()}
    flat |= rest
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(safe_text(name) for name in flat)
    writer.writerow(_cell(value) for value in flat.values())
    return buffer.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps(value)
    return safe_text(value) if isinstance(value, str) else "" if value is None else value


def _flatten(values: Json, prefix: str) -> Json:
    flat: Json = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
