"""The commands that are steps of a study: from `prepare` to `final`, one by one or all in order.

It is long because the help of every option of every step stands here, and nothing else.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rust_tuner.cli_options import (
    Cache,
    Epochs,
    Holdout,
    ImageSize,
    Manifest,
    NumFolds,
    PrecisionOption,
    ProtocolOption,
    RadImageNet,
    Scale,
    Scales,
    Seed,
    StudyDirectory,
    TensorBoard,
    ViewsOption,
    Weights,
)
from rust_tuner.cli_support import (
    fetch_weights,
    open_study,
    out,
    parse_numbers,
    reporting,
    say,
    say_next,
    start_tensorflow,
)
from rust_tuner.plan import plan_study
from rust_tuner.protocol import SMALL_SCALE
from rust_tuner.report.terminal import (
    baselines_table,
    best_trials_table,
    holdout_table,
    plan_table,
)
from rust_tuner.search.baseline_table import BASELINES
from rust_tuner.search.records import REGIME_1, REGIME_2, read_project
from rust_tuner.study import Study


def prepare(
    study: StudyDirectory,
    manifest: Manifest = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
) -> None:
    """Check the manifest and every image, and seal the hold-out set.

    What is chosen here stays as it is for the whole study.
    """
    with reporting():
        opened = open_study(
            study,
            manifest,
            protocol=protocol,
            views=views,
            weights=weights,
            seed=seed,
            holdout_fraction=holdout_fraction,
            image_size=image_size,
            precision=None if precision is None else precision.value,
        )
        development = opened.prepare()
        patients = len(set(development.radiographs.patient_ids))
        say(
            f"{study} is prepared: {len(development)} radiographs of {patients} patients to "
            "develop on; the rest is sealed"
        )
        say_next(f"rust-tuner regime1 {shlex.quote(str(study))}")


def baselines(
    study: StudyDirectory,
    manifest: Manifest = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(BASELINES)}; may be repeated.  [default: all]"),
    ] = None,
    radimagenet_weights: RadImageNet = None,
    folds: Annotated[
        int | None, typer.Option("--folds", min=2, help="Folds of each model.  [default: 10]")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="[default: 50]")] = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    tensorboard: TensorBoard = False,
    cache: Cache = None,
) -> None:
    """Cross-validate the study's first models.

    LeNet, InceptionV3 end to end, and frozen with pretrained weights. Prepares the study first
    where that is not done. Interrupted, it goes on where it stopped when it is typed again.
    """
    with reporting():
        opened = open_study(
            study,
            manifest,
            cache=cache,
            tensorboard=tensorboard,
            baseline_folds=folds,
            baseline_epochs=epochs,
            protocol=protocol,
            views=views,
            weights=weights,
            seed=seed,
            holdout_fraction=holdout_fraction,
            image_size=image_size,
            precision=None if precision is None else precision.value,
        )
        start_tensorflow()
        _run_baselines(opened, model, radimagenet_weights)
        say_next(f"rust-tuner regime1 {shlex.quote(str(study))}")


def regime1(
    study: StudyDirectory,
    manifest: Manifest = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="How many configurations.  [default: 100]")
    ] = None,
    folds: NumFolds = None,
    epochs: Epochs = None,
    batch_sizes: Annotated[
        str | None, typer.Option(help="Lowest and highest.  [default: 16,2048]")
    ] = None,
    dropout_rates: Annotated[
        str | None, typer.Option(help="Lowest and highest.  [default: 0,0.5]")
    ] = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    tensorboard: TensorBoard = False,
    cache: Cache = None,
) -> None:
    """Regime I: random search over batch size and dropout rate.

    Prepares the study first where that is not done. Interrupted, it goes on where it stopped
    when it is typed again.
    """
    with reporting():
        opened = open_study(
            study,
            manifest,
            cache=cache,
            tensorboard=tensorboard,
            begun=(REGIME_1,),
            trials=trials,
            num_folds=folds,
            epochs=epochs,
            batch_size_range=parse_numbers("--batch-sizes", batch_sizes, int, count=2),
            dropout_rate_range=parse_numbers("--dropout-rates", dropout_rates, float, count=2),
            protocol=protocol,
            views=views,
            weights=weights,
            seed=seed,
            holdout_fraction=holdout_fraction,
            image_size=image_size,
            precision=None if precision is None else precision.value,
        )
        start_tensorflow()
        opened.prepare()
        fetch_weights(opened.protocol.weights)
        opened.regime_1()
        out.print(best_trials_table(read_project(study / REGIME_1)))
        say_next(f"rust-tuner regime2 {shlex.quote(str(study))}")


def regime2(
    study: StudyDirectory,
    manifest: Manifest = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Fixed; Regime I's best where not given.")
    ] = None,
    dropout_rate: Annotated[
        float | None, typer.Option(help="Fixed; Regime I's best where not given.")
    ] = None,
    learning_rates: Annotated[
        str | None, typer.Option(help="Adam's, with commas.  [default: 0.1,0.01,0.001,0.0001]")
    ] = None,
    epsilons: Annotated[
        str | None, typer.Option(help="Adam's, with commas.  [default: 1e-1,1e-2,...,1e-8]")
    ] = None,
    folds: NumFolds = None,
    epochs: Epochs = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    tensorboard: TensorBoard = False,
    cache: Cache = None,
) -> None:
    """Regime II: grid search over Adam's learning rate and epsilon.

    Prepares the study first where that is not done. Interrupted, it goes on where it stopped
    when it is typed again.
    """
    if dropout_rate is not None and not 0 <= dropout_rate < 1:
        raise typer.BadParameter(
            f"{dropout_rate}; expected a number from 0 to below 1", param_hint="--dropout-rate"
        )
    with reporting():
        opened = open_study(
            study,
            manifest,
            cache=cache,
            tensorboard=tensorboard,
            begun=(REGIME_2, REGIME_1),
            num_folds=folds,
            epochs=epochs,
            learning_rates=parse_numbers("--learning-rates", learning_rates, float),
            epsilons=parse_numbers("--epsilons", epsilons, float),
            protocol=protocol,
            views=views,
            weights=weights,
            seed=seed,
            holdout_fraction=holdout_fraction,
            image_size=image_size,
            precision=None if precision is None else precision.value,
        )
        start_tensorflow()
        opened.prepare()
        fetch_weights(opened.protocol.weights)
        opened.regime_2(batch_size, dropout_rate)
        out.print(best_trials_table(read_project(study / REGIME_2)))
        say_next(f"rust-tuner export {shlex.quote(str(study))} best.json")


def final(study: StudyDirectory, tensorboard: TensorBoard = False, cache: Cache = None) -> None:
    """Fit the tuned model, and look at the hold-out set once.

    It is cross-validated first, which decides for how many epochs it is fitted on all
    development data. Typed again, it shows what was found, with its date.
    """
    with reporting():
        opened = open_study(
            study, None, cache=cache, tensorboard=tensorboard, protocol=None, views=None
        )
        start_tensorflow()
        _run_final(opened)
        say_next(f"rust-tuner report {shlex.quote(str(study))}")


def whole_study(
    study: StudyDirectory,
    manifest: Manifest = None,
    scale: Scale = None,
    radimagenet_weights: RadImageNet = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    tensorboard: TensorBoard = False,
    cache: Cache = None,
) -> None:
    """Run all steps in order, from prepare to report.

    Prints what it will do and about how long that takes. What is done is skipped; interrupted,
    it goes on where it stopped when it is typed again.
    """
    with reporting():
        shared: dict[str, Any] = {
            "protocol": protocol,
            "views": views,
            "weights": weights,
            "seed": seed,
            "holdout_fraction": holdout_fraction,
            "precision": None if precision is None else precision.value,
        }
        shared |= _scaled(scale) | ({} if image_size is None else {"image_size": image_size})
        opened = open_study(study, manifest, cache=cache, tensorboard=tensorboard, **shared)
        models = tuple(
            name for name in BASELINES if radimagenet_weights or not name.endswith("radimagenet")
        )
        out.print(plan_table(plan_study(opened.protocol, opened.count_radiographs(), models)))
        start_tensorflow()
        _run_baselines(opened, models, radimagenet_weights)
        say("Regime I: random search over batch size and dropout rate")
        again: dict[str, Any] = {
            "cache": cache,
            "tensorboard": tensorboard,
            "protocol": None,
            "views": None,
        }
        open_study(study, None, begun=(REGIME_1,), **again).regime_1()
        out.print(best_trials_table(read_project(study / REGIME_1)))
        say("Regime II: grid over Adam's learning rate and epsilon, Regime I's best fixed")
        open_study(study, None, begun=(REGIME_2, REGIME_1), **again).regime_2()
        out.print(best_trials_table(read_project(study / REGIME_2)))
        say("the tuned model")
        _run_final(opened)
        say(f"report -> {opened.report()}")
        say_next(f"rust-tuner status {shlex.quote(str(study))}")


def _run_baselines(
    study: Study, models: Sequence[str] | None, radimagenet_weights: Path | None
) -> None:
    study.prepare()
    if not models or any(name.endswith("imagenet") for name in models):
        fetch_weights(study.protocol.weights)
    say("first models")
    found = study.baselines(models or None, radimagenet_weights)
    out.print(baselines_table(found, study.protocol.objective))


def _run_final(study: Study) -> None:
    found = study.final()
    out.print(holdout_table(found))
    say(f"evaluated on {found['date']}; the hold-out set is looked at once")


def _scaled(scale: Scales | None) -> dict[str, Any]:
    if scale is None:
        return {}
    return dict(SMALL_SCALE) if scale is Scales.small else {"scale": "full"}
