"""The commands `cache list` and `cache clear`, for the features that studies share."""

from pathlib import Path
from typing import Annotated

import typer

from rust_tuner.cli.command import App
from rust_tuner.cli.exit_codes import ExitCode
from rust_tuner.cli.options import Cache
from rust_tuner.cli.support import err, out, reporting, say

_MOST_NAMED = 10

cache_app = App(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Show or clear the cache of features that studies share.",
)


@cache_app.command("list", examples=("rust-tuner cache list",))
def list_cache(cache: Cache = None) -> None:
    """Show the content of the feature cache, with sizes.

    One row for each backbone and preprocessing, the most recently used first, with the studies that
    used it last. Nothing is changed.
    """
    with reporting():
        from rust_tuner.files import cache_folder
        from rust_tuner.models.feature_cache import read_cache
        from rust_tuner.terminal.cache import cache_table, size_text

        base = cache_folder(cache)
        contents = read_cache(base)
        if not contents.items:
            out.print(f"the cache {base} is empty", markup=False, highlight=False, soft_wrap=True)
        else:
            out.print(cache_table(contents.items))
            total = f"{size_text(contents.size)} in {base}"
            out.print(total, markup=False, highlight=False, soft_wrap=True)
        _say_unknown(contents.unknown)


@cache_app.command(
    "clear",
    examples=(
        "rust-tuner cache clear --older-than 90 --dry-run",
        "rust-tuner cache clear --older-than 90 --yes",
    ),
)
def clear_cache(
    *,
    older_than: Annotated[
        float | None,
        typer.Option(
            "--older-than",
            min=0,
            metavar="DAYS",
            help="Clear only features not used for this many days.  [default: everything]",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be cleared; clear nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    cache: Cache = None,
) -> None:
    """Clear the feature cache. No results are lost.

    Features that a running process uses are kept, and so is every file that is not part of the
    cache. Features that are needed again are extracted again.
    """
    with reporting():
        from rust_tuner.files import cache_folder
        from rust_tuner.models.feature_cache import clear_items, read_cache
        from rust_tuner.terminal.cache import cache_table, size_text

        base = cache_folder(cache)
        contents = read_cache(base)
        items = [
            item for item in contents.items if older_than is None or item.is_older_than(older_than)
        ]
        if not items:
            say(f"nothing to clear in {base}")
            _say_unknown(contents.unknown)
            return
        out.print(cache_table(items))
        size = size_text(sum(item.size for item in items if not item.is_held))
        if dry_run:
            say(f"would clear {size} in {base}; nothing was cleared")
            _say_unknown(contents.unknown)
            return
        if not yes and not _confirm(f"clear {size} in {base}?"):
            say("nothing was cleared")
            raise typer.Exit(ExitCode.FAILED)
        freed = 0
        for cleared in clear_items(items):
            freed += cleared.freed
            if cleared.kept is not None:
                say(f"kept: {cleared.kept}", style="yellow")
        say(f"cleared {size_text(freed)} in {base}")
        _say_unknown(read_cache(base).unknown)


def _confirm(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        err.print()
        say("no answer; give --yes to clear without a question", style="yellow")
        return False


def _say_unknown(paths: tuple[Path, ...]) -> None:
    for path in paths[:_MOST_NAMED]:
        say(f"not part of the cache, so kept: {path}", style="yellow")
    if len(paths) > _MOST_NAMED:
        say(f"and {len(paths) - _MOST_NAMED} more", style="yellow")
