"""The building: imports go downwards only, TensorFlow starts late, the public names are there."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

import rust_tuner

PACKAGE = Path(rust_tuner.__file__).parent
# From the ground floor up; rooms on one floor may use each other, but not in a circle.
FLOORS = (
    ("errors", "interrupts", "notice_filter", "onednn", "tensorflow_notices"),
    ("extras", "folder_kinds", "redacted", "rust_scores", "standard_error", "visible_text"),
    ("labels",),
    ("scope",),
    ("batch_range",),
    ("protocol", "protocol_ranges", "words"),
    ("files", "seeds", "progress", "environment"),
    ("console_progress",),
    ("last_run",),
    ("locks",),
    ("metrics",),
    ("data",),
    ("models",),
    ("records",),
    ("analysis",),
    ("search",),
    ("steps",),
    ("figures",),
    ("report",),
    ("terminal",),
    ("tensorboard",),
    ("study_data",),
    ("study",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))

# The printed signatures: what may be passed by position, with defaults.
SIGNATURES = {
    "load_manifest": "path",
    "load_onehot_manifest": "labels_csv, filenames_csv, image_dir",
    "split_holdout": "radiographs, fraction=0.15, seed=0",
    "make_folds": "radiographs, num_folds, seed",
    "k_fold_dataset": "ds, k=10",
    "calculate_mean_metrics": "histories",
    "CrossValidationTuner": "hypermodel, oracle, cv=6, seed=1, directory=None, project_name=None",
    "CrossValidationTuner.search": "self, x, y=None, groups=None, epochs=20",
    "CrossValidationTuner.results": "self",
    "CrossValidationTuner.history": "self",
    "regime_1": "development, directory",
    "regime_2": "development, directory, batch_size=None, dropout_rate=None",
    "export_best_hyperparameters": "project_directory, path",
    "Study": "directory, manifest=None, protocol=None",
    "Study.prepare": "self",
    "Study.regime_1": "self",
    "metrics.auroc": "y_true, y_score, mask=None",
    "metrics.macro_auroc": "y_true, y_score, mask=None",
    "Radiographs.subset": "self, indices",
}
NAMES = {
    "CrossValidationTuner",
    "Development",
    "Folds",
    "GridSearchOracle",
    "HoldOut",
    "Protocol",
    "Radiographs",
    "RandomSearchOracle",
    "RustTunerError",
    "Study",
    "SuccessiveHalvingOracle",
    "TransferLearningModel",
    "calculate_mean_metrics",
    "cross_validate",
    "export_best_hyperparameters",
    "k_fold_dataset",
    "load_manifest",
    "load_onehot_manifest",
    "make_folds",
    "metrics",
    "regime_1",
    "regime_2",
    "split_holdout",
}


@dataclass(frozen=True)
class Import:
    """One imported name of the package, wherever in a file the import stands."""

    source: str
    line: int
    module: str
    name: str | None


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


ALL_NAMES = {module_name(path) for path in MODULES}


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text())))


def imports_of(path: Path) -> Iterator[Import]:
    source = module_name(path)
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "rust_tuner":
                    yield Import(source, node.lineno, alias.name, None)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source} line {node.lineno}: a relative import"
            if node.module is None or node.module.split(".")[0] != "rust_tuner":
                continue
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                if below in ALL_NAMES:
                    yield Import(source, node.lineno, below, None)
                elif node.module == "rust_tuner" and alias.name in rust_tuner._HOMES:
                    home = rust_tuner._HOMES[alias.name]
                    yield Import(source, node.lineno, home, alias.name)
                else:
                    yield Import(source, node.lineno, node.module, alias.name)


@cache
def all_imports() -> tuple[Import, ...]:
    # The package's own __init__ names everything, lazily.
    return tuple(
        item
        for path in MODULES
        if path.parent != PACKAGE or path.name != "__init__.py"
        for item in imports_of(path)
    )


def room_of(module: str) -> str:
    return module.split(".")[1]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_stands_in_a_known_room() -> None:
    rooms = {room_of(name) for name in ALL_NAMES if name != "rust_tuner"}
    assert rooms <= set(FLOOR_OF)
    assert {"errors", "data", "models", "search", "study", "cli"} <= rooms


@pytest.mark.slow
def test_imports_go_downwards_only() -> None:
    imports = all_imports()
    assert len(imports) > 100
    upwards = [
        f"{item.source} line {item.line} imports {item.module}"
        for item in imports
        if item.module != "rust_tuner"
        and FLOOR_OF[room_of(item.module)] > FLOOR_OF[room_of(item.source)]
    ]
    assert upwards == []


@pytest.mark.slow
def test_of_the_package_itself_only_the_version_is_imported() -> None:
    names = {item.name for item in all_imports() if item.module == "rust_tuner"}
    assert names <= {"__version__"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for item in all_imports():
        # A room's front door and the rooms behind it are one thing to who comes through it.
        if item.source != item.module:
            graph.setdefault(item.source, set()).add(item.module)
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("rust_tuner.errors") < order.index("rust_tuner.study")


def test_no_module_uses_a_name_of_another_that_begins_with_an_underscore() -> None:
    taken = [
        f"{item.source} line {item.line} imports {item.module}.{item.name}"
        for item in all_imports()
        if (item.name or item.module.split(".")[-1]).startswith("_") and item.name != "__version__"
    ]
    for path in MODULES:
        if module_name(path) == "rust_tuner":
            continue
        modules = {
            alias.asname or alias.name.split(".")[0 if isinstance(node, ast.Import) else -1]
            for node in nodes_of(path)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
            if f"{getattr(node, 'module', None) or ''}.{alias.name}".lstrip(".") in ALL_NAMES
        }
        taken += [
            f"{module_name(path)} line {node.lineno} uses {ast.unparse(node)}"
            for node in nodes_of(path)
            if isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and ast.unparse(node.value).split(".")[0] in modules
        ]
    assert taken == []


def test_the_number_18_has_one_home() -> None:
    places = [
        f"{module_name(path)} line {node.lineno}"
        for path in MODULES
        for node in nodes_of(path)
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value == 18
    ]
    assert places == []


# What is sent to workers, which the engine transports and no file contains.
TRANSPORT = "rust_tuner.search.executors.shipping"


@pytest.mark.slow
def test_no_pickle_is_ever_read() -> None:
    for path in MODULES:
        if module_name(path) == TRANSPORT:
            continue
        for node in nodes_of(path):
            place = f"{module_name(path)} line {getattr(node, 'lineno', 0)}"
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] not in ("pickle", "joblib", "shelve", "dill"), place
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            options = {item.arg: ast.unparse(item.value) for item in node.keywords}
            if called in ("np.load", "numpy.load"):
                assert options.get("allow_pickle") == "False", place
            assert called not in ("pd.read_pickle", "read_pickle"), place
            assert options.get("safe_mode", "True") == "True", place


@pytest.mark.slow
def test_importing_does_not_start_tensorflow() -> None:
    # In one process, since each takes seconds to import NumPy and pandas.
    modules = (
        "rust_tuner",
        "rust_tuner.metrics",
        "rust_tuner.data.manifest",
        "rust_tuner.data.phantoms",
        "rust_tuner.data.pipeline",
        "rust_tuner.data.splits",
        "rust_tuner.records.project",
        "rust_tuner.analysis.export",
        "rust_tuner.report.html",
        "rust_tuner.study",
        "rust_tuner.cli.app",
    )
    code = f"""
import importlib, sys
for name in {modules}:
    importlib.import_module(name)
    found = {{"tensorflow", "keras", "keras_tuner", "torch", "jax"}} & set(sys.modules)
    print(name, sorted(found))
"""
    assert run(code).splitlines() == [f"{name} []" for name in modules]


def test_help_does_not_start_tensorflow() -> None:
    code = """
import sys
from rust_tuner.cli.app import main
sys.argv = ["rust-tuner", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(sorted({"tensorflow", "keras", "keras_tuner"} & set(sys.modules)))
"""
    shown = run(code)
    assert "regime1" in shown
    assert shown.endswith("[]\n")


def test_importing_the_package_takes_less_than_half_a_second() -> None:
    code = (
        "import time; start = time.process_time(); import rust_tuner; "
        "print(time.process_time() - start)"
    )
    # Of processor time, which other processes slow down too; the quickest is the package's own.
    assert min(float(run(code)) for _ in range(3)) < 0.5


def test_every_public_name_resolves() -> None:
    assert set(rust_tuner.__all__) <= set(dir(rust_tuner))
    for name in rust_tuner.__all__:
        value = getattr(rust_tuner, name)
        assert inspect.getdoc(value), name
        if not inspect.ismodule(value):
            assert value.__module__.startswith("rust_tuner."), name


def test_the_promised_names_are_public() -> None:
    assert set(rust_tuner.__all__) >= NAMES


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'rust_tuner' has no attribute 'Radiograph'"):
        _ = rust_tuner.Radiograph  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_the_printed_signatures_hold(name: str) -> None:
    value: Any = rust_tuner
    for part in name.split("."):
        value = getattr(value, part)
    positional = [
        parameter
        for parameter in inspect.signature(value).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    printed = ", ".join(
        item.name if item.default is item.empty else f"{item.name}={item.default!r}"
        for item in positional
    )
    assert printed == SIGNATURES[name]
