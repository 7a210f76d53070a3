"""A contact sheet of radiographs with their scores, to see at a glance what a manifest holds.

python experiments/contact_sheet.py MANIFEST.csv SHEET.png
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rust_tuner import load_manifest
from rust_tuner.labels import CORTICES

COLUMNS, ROWS, WIDTH, HEIGHT, CAPTION = 8, 2, 150, 300, 40


def main() -> None:
    """Draw the first radiographs of a manifest in rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("sheet", type=Path)
    arguments = parser.parse_args()

    table = load_manifest(arguments.manifest).table.head(COLUMNS * ROWS)
    sheet = Image.new("L", (COLUMNS * WIDTH, ROWS * (HEIGHT + CAPTION)), 0)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, (_, row) in enumerate(table.iterrows()):
        left, top = place % COLUMNS * WIDTH, place // COLUMNS * (HEIGHT + CAPTION)
        pixels = np.asarray(Image.open(row["image"]), dtype=np.float32)
        shown = Image.fromarray((255 * pixels / max(pixels.max(), 1)).astype(np.uint8))
        shown.thumbnail((WIDTH - 4, HEIGHT), Image.Resampling.LANCZOS)
        sheet.paste(shown, (left + (WIDTH - shown.width) // 2, top))
        scores = ", ".join(f"{name} {row[name]:.0f}" for name in CORTICES if row[name] == row[name])
        title = f"{row['patient_id']} {row['view']}, visit {row['visit']}"
        pen.text((left + 4, top + HEIGHT + 2), f"{title}\n{scores or 'no score'}", 255, font)
    sheet.save(arguments.sheet)


if __name__ == "__main__":
    main()
