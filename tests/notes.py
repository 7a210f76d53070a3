"""What a run says, kept for a test; and the files that it leaves."""

from pathlib import Path

from rust_tuner.progress import Silent


class Notes(Silent):
    """A progress that keeps what is said."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)


def contents(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Every file of a folder but the locks and those of the given names, by its path in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".lock" not in path.name and path.name not in without
    }
