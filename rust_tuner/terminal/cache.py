"""The table of `rust-tuner cache list`."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from rust_tuner.models.feature_cache import CacheItem

_UNITS = ("kB", "MB", "GB", "TB")


def cache_table(items: Iterable[CacheItem]) -> Table:
    """One row for each backbone and preprocessing, or file of decoded images."""
    table = Table(box=None, pad_edge=False)
    table.add_column("content", overflow="fold")
    table.add_column("images", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    table.add_column("by study", overflow="fold")
    for item in items:
        used = item.last_used.astimezone().strftime("%Y-%m-%d")
        table.add_row(
            Text(_content(item)),
            "" if item.rows is None else f"{item.rows:,}",
            size_text(item.size),
            "now" if item.is_held else used,
            Text(", ".join(item.studies) or "unknown"),
        )
    return table


def size_text(size: int) -> str:
    """A size for people, in units of 1000: `96.2 MB`."""
    if size < 1000:
        return f"{size} B"
    power = 1
    # What would be rounded up to 1000 belongs to the next unit.
    while power < len(_UNITS) and size / 1000**power >= 999.95:
        power += 1
    return f"{size / 1000**power:.1f} {_UNITS[power - 1]}"


def _content(item: CacheItem) -> str:
    if item.kind == "images":
        return f"decoded images {item.path.stem[:8]}"
    about = item.about
    if "backbone" not in about:
        return f"features {item.path.name[:8]}, of an earlier version"
    flips = str(about.get("flips")).replace("_", " ")
    parts = [
        f"{about['backbone']} with {about.get('weights')}",
        f"{about.get('image_size')} px",
        str(about.get("resize")),
        "no flips" if flips == "none" else f"{flips} flips",
        str(about.get("precision")),
    ]
    if "onnxruntime" in about:
        parts.append(f"by onnxruntime {about['onnxruntime']}")
    if about.get("onednn") is False:
        parts.append("without oneDNN")
    return ", ".join(parts)
