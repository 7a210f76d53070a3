"""Scores of new radiographs by a saved model: the view, four cortices, and the total of a visit.

Research use only: it is not a medical device, and no treatment may depend on it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rust_tuner.data.images import load_image
from rust_tuner.data.row_record import sealed_images
from rust_tuner.errors import ImageError, SplitError
from rust_tuner.files import sha256_of_file
from rust_tuner.labels import CORTICES, NUM_VIEWS, SCORES, VIEWS, decode_probabilities
from rust_tuner.records.looks import FINAL
from rust_tuner.records.model_card import read_card
from rust_tuner.records.study import StudyFile
from rust_tuner.steps.final import load_final_model, predict_probabilities

NOTICE = "Research use only; not a medical device."


def predict_radiographs(
    model: str | Path, images: Sequence[str | Path], *, pairs: bool = False
) -> pd.DataFrame:
    """Read RUST scores from radiographs.

    Args:
        model: `model.keras` of a study, with `model.json` beside it.
        images: PNG or JPEG files.
        pairs: whether every two consecutive images are the two views of one visit.

    Returns:
        One row per image: `image`, `view` and `view_probability`; for each cortex its most likely
        score, that score's normalised probability among the four (`medial_probability`), whether
        the image's view is expected to show the cortex (`medial_shown`), and the four
        probabilities of the model (`medial_1` to `medial_4`). With `pairs` also `rust_total`
        (4-16), with each cortex from the view that shows it; missing where the model predicts the
        same view for both images of a pair.

    Raises:
        ImageError: for no images, an odd number of them with `pairs`, or a file that cannot be
            decoded.
        SplitError: for an image of the hold-out set of the model's study, where this model has not
            looked at that set; only `Study.final` looks at it, and records the look.
        ResumeError: where the model or its record is missing, or they do not match.
    """
    paths = [Path(image) for image in images]
    if not paths or (pairs and len(paths) % 2):
        expected = "an even number" if pairs else "at least one"
        raise ImageError(f"{len(paths)} images; expected {expected}")
    card = read_card(Path(model))
    _refuse_sealed(Path(model), card.model_sha256, paths)
    size, resize = card.input.image_size, card.input.resize
    # The images first: TensorFlow takes seconds to start, and a faulty image needs none of it.
    values = np.stack([load_image(path, size=size, resize=resize) for path in paths])
    loaded = load_final_model(Path(model), image_size=size)
    answers = predict_probabilities(loaded, values)
    table = _as_table(paths, answers, card.view_cortices)
    return _with_totals(table) if pairs else table


def _refuse_sealed(model: Path, sha256: str | None, images: Sequence[Path]) -> None:
    """Refuse to score sealed images with a model that has not looked at them.

    They are recognised by their bytes, and only where the model is in its study's folder.
    """
    folder = model.resolve().parent
    if folder.name != FINAL:
        return
    file = StudyFile(folder.parent)
    if not file.is_there:
        return
    if any(look.state == "finished" and look.model_sha256 == sha256 for look in file.looks):
        return
    sealed = sealed_images(file.rows)
    refused = [path for path in images if path.is_file() and sha256_of_file(path) in sealed]
    if refused:
        raise SplitError(
            f"{refused[0]} is in the sealed hold-out set of {file.directory} ({len(refused)} of "
            f"{len(images)} images are); `rust-tuner final` looks at it once, and records the look"
        )


def _as_table(
    paths: Sequence[Path], answers: Any, view_cortices: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    decoded = decode_probabilities(answers)
    blocks = answers[:, NUM_VIEWS:].reshape(len(answers), len(CORTICES), len(SCORES))
    totals = np.maximum(blocks.sum(axis=2), np.finfo(np.float32).tiny)
    rows = []
    for index, path in enumerate(paths):
        view = decoded.views[index]
        row: dict[str, Any] = {
            "image": str(path),
            "view": view,
            "view_probability": float(answers[index, VIEWS.index(view)]),
        }
        for column, cortex in enumerate(CORTICES):
            score = int(decoded.most_likely[index, column])
            share = blocks[index, column, score - SCORES[0]] / totals[index, column]
            row |= {
                cortex: score,
                f"{cortex}_probability": float(share),
                f"{cortex}_shown": cortex in view_cortices[view],
            }
            for offset, value in enumerate(SCORES):
                row[f"{cortex}_{value}"] = float(blocks[index, column, offset])
        rows.append(row)
    return pd.DataFrame(rows)


def _with_totals(table: pd.DataFrame) -> pd.DataFrame:
    """Add each pair's total to both of its rows."""
    totals: list[float] = []
    for start in range(0, len(table), 2):
        pair = table.iloc[start : start + 2]
        scores = [pair.loc[pair[f"{cortex}_shown"], cortex] for cortex in CORTICES]
        # Of two different views, exactly one shows a cortex; of two equal ones, both or neither.
        whole = all(len(shown) == 1 for shown in scores)
        total = float(sum(int(shown.iloc[0]) for shown in scores)) if whole else np.nan
        totals += [total, total]
    return table.assign(rust_total=pd.array(totals, dtype="Int64"))
