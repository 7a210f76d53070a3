"""Shared by all tests: a few phantoms, their features, and one finished study on them.

TensorFlow is imported only by the fixtures that need it.
"""

import dataclasses
import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import filelock
import hypothesis
import pytest
from studies import StudyFolder

from rust_tuner import Protocol, Study
from rust_tuner.data.manifest import load_manifest
from rust_tuner.data.phantoms import write_phantoms

# As the package sets it, but also where another test runs TensorFlow's first operation.
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


# A shell's background starts with Ctrl-C ignored, and so would the processes that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# CI draws as many examples as Hypothesis does by default; while thinking, a quarter is enough. A
# machine that does other work is no fault of the code that is tested.
for profile, examples in (("quick", 25), ("thorough", 100)):
    hypothesis.settings.register_profile(
        profile,
        max_examples=examples,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

TESTS = Path(__file__).parent
# What takes longest stands first, so that no process waits for another's last file. The first
# makes the studies that many share, and the next needs none of them, nor do those up to
# `steps/test_final.py`, which adds the third: no process waits at their locks. Those after
# `models/test_features.py` are long in the slow run alone.
FIRST_FILES = (
    "steps/test_noise.py",
    "test_packaging.py",
    "search/executors/test_sent.py",
    "search/test_pruning.py",
    "steps/test_final.py",
    "search/test_after_search.py",
    "search/test_learning_oracles.py",
    "search/test_tuner.py",
    "search/test_fault_matrix.py",
    "search/test_kill.py",
    "steps/test_nested.py",
    "steps/test_nested_resumed.py",
    "cli/test_steps_commands.py",
    "steps/checks/test_false_alarms.py",
    "search/test_guides.py",
    "report/test_html.py",
    "search/test_failed_trials.py",
    "search/test_resuming.py",
    "search/test_baselines_at_length.py",
    "search/test_baselines.py",
    "cli/test_app.py",
    "steps/checks/test_training.py",
    "steps/checks/test_run.py",
    "steps/test_holdout.py",
    "data/test_phantoms.py",
    "data/test_phantom_pixels.py",
    "models/test_backbones.py",
    "models/test_fold_parallel.py",
    "models/test_fold_parallel_cost.py",
    "models/test_fold_training.py",
    "models/test_fold_crashes.py",
    "models/test_features.py",
    "search/test_baselines_on_devices.py",
    "models/test_cached_features.py",
    "test_signal.py",
    "test_tutorial.py",
    "test_experiments.py",
    "cli/test_demo.py",
    "report/test_partial_studies.py",
    "tensorboard/test_served.py",
    "tensorboard/test_logged_searches.py",
    "tensorboard/test_logs.py",
    "metrics/test_comparison.py",
    "metrics/test_uncertainty.py",
    "models/test_architectures.py",
    "search/test_clinical.py",
    "test_docs.py",
    "test_benchmarks.py",
    "test_main.py",
    "records/test_fuzz.py",
    "report/test_browser.py",
    "report/live/test_live_browser.py",
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Search for garbage once after the collection, which leaves little, and not during it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files as above, and the others after them by name."""
    rank = {TESTS / name: number for number, name in enumerate(FIRST_FILES)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


# Not by the environment, which processes that tests start inherit.
_is_a_worker = False


def pytest_configure(config: pytest.Config) -> None:
    """Note whether this is one of pytest-xdist's processes."""
    global _is_a_worker
    _is_a_worker = hasattr(config, "workerinput")


def pytest_sessionfinish() -> None:
    """Remove what the tests of reports kept for this process."""
    # Most sessions of a few files never import it.
    report_studies = sys.modules.get("report_studies")
    if report_studies is not None:
        report_studies.remove_written_study()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The folder of a small written study."""
    from report_studies import write_study

    return write_study(tmp_path / "study")


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Tests write and rename files as ever, but do not wait until the disk has them.

    Syncing guards against a power cut. A killed process, which tests do kill, loses nothing that
    it has written, and processes that tests start sync as always.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """A copy of a folder that only one of pytest-xdist's processes makes.

    As in https://pytest-xdist.readthedocs.io/en/stable/how-to.html; each process has its own copy,
    so that they never meet at a lock.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if _is_a_worker else base
    original, aside = shared / f"made-once-{name}", shared / f"making-{name}"
    with filelock.FileLock(shared / f"{name}.lock"):
        if not original.exists():
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            make(aside)
            aside.rename(original)
    copy = tmp_path_factory.mktemp(name) / "copy"
    shutil.copytree(original, copy)
    return copy


@pytest.fixture(scope="session")
def phantom_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """28 synthetic radiographs of 12 patients; not to be written to."""
    folder = made_once(
        tmp_path_factory, "phantoms", lambda folder: write_phantoms(folder, patients=12, seed=0)
    )
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def many_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of hundreds of radiographs of 180 patients; not to be written to.

    The first patients of a set are those of a smaller one: a test takes as many as it needs.
    """
    folder = made_once(
        tmp_path_factory, "many", lambda folder: write_phantoms(folder, patients=180, seed=3)
    )
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def tiny_protocol() -> Protocol:
    """The study's choices but for scale: random backbone, smallest images, a trial in a second."""
    return Protocol.study(
        weights="random",
        image_size=75,
        num_folds=3,
        epochs=2,
        trials=2,
        batch_size_range=(4, 16),
        learning_rates=(1e-2, 1e-3),
        epsilons=(1e-7,),
        baseline_folds=3,
        baseline_epochs=2,
        baseline_batch_size=8,
        final_folds=3,
        final_epochs=2,
        outer_folds=2,
    )


@pytest.fixture(scope="session")
def feature_cache(
    tmp_path_factory: pytest.TempPathFactory, phantom_manifest: Path, tiny_protocol: Protocol
) -> Path:
    """Features of all the phantoms as `tiny_protocol` makes them."""

    def extract(cache: Path) -> None:
        from rust_tuner.models.backbones import find_weights
        from rust_tuner.models.features import FeatureRecipe, extract_features

        recipe = FeatureRecipe(
            find_weights(tiny_protocol.weights),
            tiny_protocol.image_size,
            tiny_protocol.resize,
            tiny_protocol.flips,
        )
        extract_features(load_manifest(phantom_manifest).images, recipe, cache=cache)

    return made_once(tmp_path_factory, "features", extract)


@pytest.fixture(scope="session")
def finished_study(
    tmp_path_factory: pytest.TempPathFactory,
    phantom_manifest: Path,
    tiny_protocol: Protocol,
    feature_cache: Path,
) -> StudyFolder:
    """Both regimes, run in a folder whose name is not a plain one; not to be written to."""
    name = "Tibia [1] (größer) 脛骨 *"
    manifest = Path("radiographs") / phantom_manifest.name

    def run(folder: Path) -> None:
        root = folder / name
        shutil.copytree(phantom_manifest.parent, root / manifest.parent)
        study = Study(root / "a study", root / manifest, tiny_protocol, cache=feature_cache)
        study.regime_1()
        study.regime_2()

    root = made_once(tmp_path_factory, "finished", run) / name
    return StudyFolder(root / "a study", root / manifest, feature_cache)


@pytest.fixture(scope="session")
def repeated_study(
    tmp_path_factory: pytest.TempPathFactory, finished_study: StudyFolder, tiny_protocol: Protocol
) -> StudyFolder:
    """The finished study, nested and with its noise floor; not to be written to."""
    name, manifest = finished_study.directory.name, finished_study.manifest.name

    def repeat(root: Path) -> None:
        shutil.copytree(finished_study.directory.parent, root / "moved")
        folder = StudyFolder(
            root / "moved" / name, root / "moved" / "radiographs" / manifest, finished_study.cache
        )
        # Three inner folds of five patients would leave one with nothing to score.
        folder.open(dataclasses.replace(tiny_protocol, num_folds=2)).nested()
        folder.open().noise(repeats=2)

    root = made_once(tmp_path_factory, "repeated", repeat) / "moved"
    return StudyFolder(root / name, root / "radiographs" / manifest, finished_study.cache)


@pytest.fixture(scope="session")
def evaluated_study(
    tmp_path_factory: pytest.TempPathFactory, finished_study: StudyFolder
) -> StudyFolder:
    """The finished study after its one look at the hold-out set; not to be written to.

    The backbone of its final model is a stand-in for InceptionV3.
    """
    name, manifest = finished_study.directory.name, finished_study.manifest.name

    def evaluate(root: Path) -> None:
        from stand_ins import backbone_stand_in

        shutil.copytree(finished_study.directory.parent, root / "moved")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rust_tuner.models.backbones.build_backbone", backbone_stand_in)
            Study(root / "moved" / name, cache=finished_study.cache).final()

    root = made_once(tmp_path_factory, "evaluated", evaluate) / "moved"
    return StudyFolder(root / name, root / "radiographs" / manifest, finished_study.cache)


@pytest.fixture
def repeated_copy(tmp_path: Path, repeated_study: StudyFolder) -> StudyFolder:
    """The repeated study, moved elsewhere; may be written to."""
    root = tmp_path / "repeats moved here"
    shutil.copytree(repeated_study.directory.parent, root)
    return StudyFolder(
        root / repeated_study.directory.name,
        root / "radiographs" / repeated_study.manifest.name,
        repeated_study.cache,
    )


@pytest.fixture
def finished_copy(tmp_path: Path, finished_study: StudyFolder) -> StudyFolder:
    """The finished study and its manifest, moved elsewhere; may be written to."""
    root = tmp_path / "moved here"
    shutil.copytree(finished_study.directory.parent, root)
    return StudyFolder(
        root / finished_study.directory.name,
        root / "radiographs" / finished_study.manifest.name,
        finished_study.cache,
    )


@pytest.fixture
def radiographs(tmp_path: Path, phantom_manifest: Path) -> Path:
    """A manifest with its images that a test may change."""
    shutil.copytree(phantom_manifest.parent, tmp_path / "radiographs")
    return tmp_path / "radiographs" / "manifest.csv"


@pytest.fixture(scope="session")
def prepared_study(
    tmp_path_factory: pytest.TempPathFactory, phantom_manifest: Path, tiny_protocol: Protocol
) -> Path:
    """A folder with a prepared `study` beside its `radiographs`; not to be written to."""

    def prepare(root: Path) -> None:
        shutil.copytree(phantom_manifest.parent, root / "radiographs")
        Study(root / "study", root / "radiographs" / "manifest.csv", tiny_protocol).prepare()

    return made_once(tmp_path_factory, "prepared", prepare)


@pytest.fixture
def prepared(tmp_path: Path, radiographs: Path, prepared_study: Path) -> Path:
    """A study of those radiographs that is prepared, and no more; may be written to."""
    assert radiographs.parent == tmp_path / "radiographs"
    shutil.copytree(prepared_study / "study", tmp_path / "study")
    return tmp_path / "study"
