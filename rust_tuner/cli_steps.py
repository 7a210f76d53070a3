"""The commands that are steps of a study: from `prepare` to `final`, one by one or all in order.

It is long because the help of every option of every step stands here, and nothing else.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from rust_tuner.cli_options import (
    BatchSizes,
    Cache,
    DropoutRates,
    Epochs,
    Epsilons,
    FoldsByOption,
    Holdout,
    ImageSize,
    LearningRates,
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
    Trials,
    UnionThreshold,
    ViewsOption,
    Weights,
)
from rust_tuner.cli_support import (
    baseline_choices,
    fetch_weights,
    final_choices,
    nested_choices,
    open_study,
    out,
    parse_numbers,
    reporting,
    say,
    say_next,
    start_tensorflow,
)
from rust_tuner.noise import best_project
from rust_tuner.plan import plan_nested, plan_noise, plan_study
from rust_tuner.protocol import SMALL_SCALE
from rust_tuner.report.noise import begun_repeats
from rust_tuner.report.terminal import (
    baselines_table,
    best_trials_table,
    holdout_table,
    plan_table,
)
from rust_tuner.report.terminal_repeats import nested_table, noise_table
from rust_tuner.search.baseline_table import BASELINES, IMAGENET, available_baselines
from rust_tuner.search.nested_records import NESTED, read_nested
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
    folds_by: FoldsByOption = None,
    union_threshold: UnionThreshold = None,
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
            folds_by=None if folds_by is None else folds_by.value,
            union_threshold=union_threshold,
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
    folds_by: FoldsByOption = None,
    union_threshold: UnionThreshold = None,
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
            begun_with=baseline_choices(study),
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
            folds_by=None if folds_by is None else folds_by.value,
            union_threshold=union_threshold,
        )
        start_tensorflow()
        _run_baselines(opened, model, radimagenet_weights)
        say_next(f"rust-tuner regime1 {shlex.quote(str(study))}")


def regime1(
    study: StudyDirectory,
    manifest: Manifest = None,
    trials: Trials = None,
    folds: NumFolds = None,
    epochs: Epochs = None,
    batch_sizes: BatchSizes = None,
    dropout_rates: DropoutRates = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    folds_by: FoldsByOption = None,
    union_threshold: UnionThreshold = None,
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
            folds_by=None if folds_by is None else folds_by.value,
            union_threshold=union_threshold,
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
    learning_rates: LearningRates = None,
    epsilons: Epsilons = None,
    folds: NumFolds = None,
    epochs: Epochs = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    folds_by: FoldsByOption = None,
    union_threshold: UnionThreshold = None,
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
            folds_by=None if folds_by is None else folds_by.value,
            union_threshold=union_threshold,
        )
        start_tensorflow()
        opened.prepare()
        fetch_weights(opened.protocol.weights)
        opened.regime_2(batch_size, dropout_rate)
        out.print(best_trials_table(read_project(study / REGIME_2)))
        say_next(f"rust-tuner export {shlex.quote(str(study))} best.json")


def nested(
    study: StudyDirectory,
    manifest: Manifest = None,
    outer_folds: Annotated[
        int | None,
        typer.Option(min=2, help="Each holds both searches.  [default: 5]"),
    ] = None,
    trials: Trials = None,
    folds: Annotated[
        int | None, typer.Option("--folds", min=2, help="Inner folds of a trial.  [default: 6]")
    ] = None,
    epochs: Epochs = None,
    batch_sizes: BatchSizes = None,
    dropout_rates: DropoutRates = None,
    learning_rates: LearningRates = None,
    epsilons: Epsilons = None,
    protocol: ProtocolOption = None,
    views: ViewsOption = None,
    weights: Weights = None,
    seed: Seed = None,
    holdout_fraction: Holdout = None,
    image_size: ImageSize = None,
    precision: PrecisionOption = None,
    cache: Cache = None,
) -> None:
    """Nested cross-validation: selection score against estimate.

    Both regimes inside every outer fold of the development set, on its training patients alone.
    What they promise is a selection score; what they choose is scored once on the fold's own
    patients: an estimate. What lies between is the optimism of the search. Choices that are not
    given are those of the study's own searches, where they have been run. Interrupted, it goes on
    where it stopped when it is typed again.
    """
    with reporting():
        opened = open_study(
            study,
            manifest,
            cache=cache,
            begun_with=nested_choices(study),
            outer_folds=outer_folds,
            trials=trials,
            num_folds=folds,
            epochs=epochs,
            batch_size_range=parse_numbers("--batch-sizes", batch_sizes, int, count=2),
            dropout_rate_range=parse_numbers("--dropout-rates", dropout_rates, float, count=2),
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
        sites = opened.count_sites()
        planned = plan_nested(opened.protocol, opened.count_radiographs(), num_sites=sites)
        out.print(plan_table(planned))
        start_tensorflow()
        opened.prepare()
        fetch_weights(opened.protocol.weights)
        opened.nested()
        out.print(nested_table(read_nested(study / NESTED)))
        say_next(f"rust-tuner report {shlex.quote(str(study))}")


def noise(
    study: StudyDirectory,
    repeats: Annotated[
        int | None,
        typer.Option(min=2, help="How many of each kind; may grow later.  [default: 10]"),
    ] = None,
    cache: Cache = None,
) -> None:
    """Noise floor: repeat the best configuration of the searches.

    Under other seeds on the same folds, and under other assignments of the patients to folds. What
    its score then varies by is what a difference has to exceed. Interrupted, it goes on where it
    stopped when it is typed again.
    """
    with reporting():
        begun = (best_project(study).folder.name,)
        opened = open_study(study, None, cache=cache, begun=begun, protocol=None, views=None)
        steps = plan_noise(
            opened.protocol,
            opened.count_radiographs(),
            begun_repeats(study) if repeats is None else repeats,
            num_sites=opened.count_sites(),
        )
        out.print(plan_table(steps))
        start_tensorflow()
        fetch_weights(opened.protocol.weights)
        out.print(noise_table(opened.noise(repeats)))
        say_next(f"rust-tuner report {shlex.quote(str(study))}")


def final(
    study: StudyDirectory,
    folds: Annotated[
        int | None, typer.Option("--folds", min=2, help="Of its cross-validation.  [default: 10]")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Of each fold, and the most of the refit.  [default: 40]"),
    ] = None,
    tensorboard: TensorBoard = False,
    cache: Cache = None,
) -> None:
    """Fit the tuned model, and look at the hold-out set once.

    It is cross-validated first, which decides for how many epochs it is fitted on all
    development data. Typed again, it shows what was found, with its date.
    """
    with reporting():
        opened = open_study(
            study,
            None,
            cache=cache,
            tensorboard=tensorboard,
            begun_with=final_choices(study),
            final_folds=folds,
            final_epochs=epochs,
            protocol=None,
            views=None,
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
    folds_by: FoldsByOption = None,
    union_threshold: UnionThreshold = None,
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
            "folds_by": None if folds_by is None else folds_by.value,
            "union_threshold": union_threshold,
        }
        shared |= _scaled(scale) | ({} if image_size is None else {"image_size": image_size})
        begun_with = baseline_choices(study) | final_choices(study)
        opened = open_study(
            study, manifest, cache=cache, tensorboard=tensorboard, begun_with=begun_with, **shared
        )
        models = available_baselines(
            opened.protocol.weights, has_radimagenet=radimagenet_weights is not None
        )
        planned = plan_study(
            opened.protocol, opened.count_radiographs(), models, num_sites=opened.count_sites()
        )
        out.print(plan_table(planned))
        start_tensorflow()
        _run_baselines(opened, None, radimagenet_weights)
        say("Regime I: random search over batch size and dropout rate")
        again: dict[str, Any] = {
            "cache": cache,
            "weights": weights,
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
    has_radimagenet = radimagenet_weights is not None
    weights = study.protocol.weights
    if IMAGENET in (models or available_baselines(weights, has_radimagenet=has_radimagenet)):
        fetch_weights("imagenet")
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
