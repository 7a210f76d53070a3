"""What a folder holds that is not the one a command expects, and what to type instead.

It looks at names only, so that a wrong path is answered at once.
"""

import contextlib
import os
import shlex
from pathlib import Path

STUDY_FILE = "study.json"
SEARCH_FILE = "search.json"
LOG_FOLDER = "log"
LOG_FILE = "rust_tuner.log"
# What a study has from its first step on, even if `study.json` is lost.
STUDY_PARTS = (
    STUDY_FILE,
    "split.json",
    "baselines",
    "regime_1",
    "regime_2",
    "nested",
    "noise",
    "final",
)
_IMAGES = (".png", ".jpg", ".jpeg")
_MOST_SHOWN = 3
# Only so many names of a large folder are looked at.
_MOST_NAMES = 2000


def no_study(folder: Path) -> str:
    """The refusal of a folder where a study was expected."""
    reason = "is not a study folder" if folder.is_dir() else "is not a folder"
    return (
        f"{folder} {reason}; give the folder that `rust-tuner prepare` made, which contains "
        f"{STUDY_FILE}. {describe_folder(folder)}"
    )


def describe_folder(folder: Path) -> str:
    """One or two sentences: what a folder holds, and the command that fits it."""
    if folder.is_file():
        return _of_file(folder)
    if not folder.is_dir():
        return _of_nothing(folder)
    if (folder / STUDY_FILE).is_file():
        return f"It is a study: {_command('status', folder)}"
    above = next((path for path in _absolute(folder).parents if _is_study(path)), None)
    if above is not None:
        return f"It is a part of the study {above}: {_command('status', above)}"
    if (folder / SEARCH_FILE).is_file():
        return f"It is a search, without a study around it: {_command('status', folder)}"
    studies = studies_in(folder)
    if studies:
        is_one = len(studies) == 1
        text = "It contains the study " if is_one else f"It contains {len(studies)} studies: "
        names = [path.name for path in studies[:_MOST_SHOWN]]
        text += ", ".join(names) + (", ..." if len(studies) > _MOST_SHOWN else "")
        return f"{text}. Type: {_command('status', studies[0])}"
    return _of_other(folder)


def has_study_parts(folder: Path) -> bool:
    """Whether a folder has anything of a study."""
    return any((folder / name).exists() for name in STUDY_PARTS)


def is_lone_search(folder: Path) -> bool:
    """Whether a folder is a search without a study around it."""
    is_part = any(map(_is_study, _absolute(folder).parents))
    return (folder / SEARCH_FILE).is_file() and not has_study_parts(folder) and not is_part


def studies_in(folder: Path) -> list[Path]:
    """The studies directly within a folder, by name."""
    return [path for path in _inside(folder) if _is_study(path)]


def _of_file(path: Path) -> str:
    if path.suffix.lower() == ".csv":
        return f"It is a CSV file. If it is a manifest: {_prepare(path)}"
    if path.name == "model.keras":
        return f"It is a model: {_command('predict', path)} IMAGE"
    return "It is a file, not a folder"


def _of_nothing(folder: Path) -> str:
    text = "There is no such folder."
    near = studies_in(folder.parent)
    if near:
        names = ", ".join(str(path) for path in near[:_MOST_SHOWN])
        return f"{text} Studies beside it: {names}"
    return f"{text} To make a study there: {_command('prepare', folder)} --manifest M.csv"


def _of_other(folder: Path) -> str:
    files = _inside(folder)
    manifests = [path for path in files if path.suffix.lower() == ".csv"]
    if manifests:
        # `manifest.csv` is what `rust-tuner phantoms` writes.
        chosen = next((path for path in manifests if path.stem == "manifest"), manifests[0])
        return f"It contains {chosen.name}. To make a study of it: {_prepare(chosen)}"
    make = f"To make a study in it: {_command('prepare', folder)} --manifest M.csv"
    if not files:
        return f"It is empty. {make}"
    images = sum(path.suffix.lower() in _IMAGES for path in files)
    if images:
        return (
            f"It contains {images} images and no manifest. Write a CSV file of them (see "
            "`rust-tuner prepare --help`), then prepare a study from it"
        )
    kinds = "files and folders" if any(path.is_dir() for path in files) else "files"
    return f"It contains other {kinds}, such as {files[0].name}, and nothing of a study"


def _inside(folder: Path) -> list[Path]:
    paths: list[Path] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry, _ in zip(entries, range(_MOST_NAMES), strict=False):
            if not entry.name.startswith("."):
                paths.append(folder / entry.name)
    return sorted(paths)


def _is_study(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return (folder / STUDY_FILE).is_file()
    return False


def _absolute(folder: Path) -> Path:
    return Path(os.path.abspath(folder))


def _prepare(manifest: Path) -> str:
    return f"rust-tuner prepare STUDY --manifest {shlex.quote(str(manifest))}"


def _command(name: str, path: Path) -> str:
    return f"rust-tuner {name} {shlex.quote(str(path))}"
