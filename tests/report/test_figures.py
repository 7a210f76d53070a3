"""Figures: what is drawn is the table, and nothing of it is cut off or too small.

Long because every figure of three modules is drawn here once and looked at from several sides.
"""

import matplotlib
import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image
from report_studies import make_predictions, write_baselines, write_regime_1, write_regime_2

from rust_tuner.errors import StorageError
from rust_tuner.report.figures import (
    COLUMN_WIDTH,
    SMALLEST_TEXT,
    draw_baselines,
    draw_curve_grid,
    draw_curves,
    new_axes,
    new_figure,
    power_number,
    save_figure,
    short_number,
)
from rust_tuner.report.figures_final import (
    draw_calibration,
    draw_confusion,
    draw_precision_recall,
    draw_roc,
)
from rust_tuner.report.figures_search import (
    draw_fold_boxes,
    draw_regime_1,
    draw_regime_2,
    draw_search_progress,
)
from rust_tuner.report.predictions import (
    calibration_table,
    confusion_table,
    label_table,
    precision_recall_table,
    roc_table,
)
from rust_tuner.report.tables import curves_table, fold_scores, ranked_curves, trials_table
from rust_tuner.search.records import read_project

NAMES = ("batch_size", "dropout_rate")


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    place = tmp_path_factory.mktemp("projects")
    write_baselines(place, ("lenet1998", "inceptionv3_radimagenet"), num_folds=10, epochs=40)
    return {
        "regime_1": read_project(write_regime_1(place / "regime_1")),
        "regime_2": read_project(
            write_regime_2(
                place / "regime_2",
                rates=tuple(10.0**-n for n in range(1, 5)),
                epsilons=tuple(10.0**-n for n in range(1, 9)),
            )
        ),
        "lenet1998": read_project(place / "lenet1998"),
        "inceptionv3_radimagenet": read_project(place / "inceptionv3_radimagenet"),
    }


@pytest.fixture(scope="module")
def predictions():
    return make_predictions(rows=80)


def baseline_scores(projects, metric="auroc"):
    return pd.concat(
        [
            fold_scores(projects[name], metric).assign(model=name)
            for name in ("lenet1998", "inceptionv3_radimagenet")
        ]
    )


def curves_figure(projects, predictions):
    axes = new_axes(height=2.9)
    curves = curves_table(projects["lenet1998"], model="lenet1998", metric="cortex_auroc")
    draw_curves(curves, axes=axes, metric="cortex_auroc", view_only=0.5, title="LeNet")
    return axes.figure


def grid_figure(projects, predictions):
    figure = new_figure(height=4)
    curves = ranked_curves(projects["regime_1"])
    draw_curve_grid(curves, figure=figure, names=NAMES, num_trials=12, view_only=0.7)
    return figure


def baselines_figure(projects, predictions):
    axes = new_axes(height=1.9)
    names = {"inceptionv3_radimagenet": "InceptionV3, RadImageNet"}
    scores = baseline_scores(projects, "cortex_auroc")
    draw_baselines(scores, axes=axes, metric="cortex_auroc", view_only=0.5, names=names)
    return axes.figure


def regime_1_figure(projects, predictions):
    axes = new_axes(height=2.6)
    draw_regime_1(trials_table(projects["regime_1"]), axes=axes, num_folds=6)
    return axes.figure


def regime_2_figure(projects, predictions):
    axes = new_axes(height=2.6)
    draw_regime_2(trials_table(projects["regime_2"]), axes=axes, num_folds=6, metric="cortex_auroc")
    return axes.figure


def progress_figure(projects, predictions):
    axes = new_axes()
    draw_search_progress(trials_table(projects["regime_1"]), axes=axes, view_only=0.7)
    return axes.figure


def boxes_figure(projects, predictions):
    axes = new_axes(height=3.1)
    scores = fold_scores(projects["regime_1"], "auroc")
    draw_fold_boxes(scores, axes=axes, names=NAMES, view_only=0.7)
    return axes.figure


def roc_figure(projects, predictions):
    figure = new_figure(height=4)
    draw_roc(roc_table(label_table(predictions)), figure=figure)
    return figure


def precision_recall_figure(projects, predictions):
    figure = new_figure(height=4.7)
    draw_precision_recall(precision_recall_table(label_table(predictions)), figure=figure)
    return figure


def confusion_figure(projects, predictions):
    figure = new_figure(height=3.4)
    draw_confusion(confusion_table(predictions), figure=figure)
    return figure


def calibration_figure(projects, predictions):
    axes = new_axes(height=3.3)
    draw_calibration(calibration_table(label_table(predictions)), axes=axes)
    return axes.figure


FIGURES = (
    curves_figure,
    grid_figure,
    baselines_figure,
    regime_1_figure,
    regime_2_figure,
    progress_figure,
    boxes_figure,
    roc_figure,
    precision_recall_figure,
    confusion_figure,
    calibration_figure,
)


@pytest.mark.parametrize("make", FIGURES)
def test_text_is_no_smaller_than_7_points_and_none_is_cut_off(make, projects, predictions):
    before = dict(matplotlib.rcParams)
    figure = make(projects, predictions)
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.pyplot.get_fignums() == []
    assert figure.get_figwidth() == COLUMN_WIDTH
    figure.draw_without_rendering()
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    drawn = [t for t in texts if t.get_window_extent().width > 0]
    assert len(drawn) > 8
    for text in drawn:
        assert text.get_fontsize() >= SMALLEST_TEXT, text
        # Raised digits of mathematical text would be smaller than the text itself.
        assert "$" not in text.get_text()
        inside = figure.bbox.padded(1).get_points()
        corners = text.get_window_extent().get_points()
        if text.get_text() in in_view(figure, text):
            assert (corners[0] >= inside[0]).all(), text
            assert (corners[1] <= inside[1]).all(), text


def in_view(figure, text):
    """Tick labels beyond the limits of their axis exist, but are not drawn."""
    shown = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [t for t in axis.get_major_ticks() if low <= t.get_loc() <= high]
            labels = {id(label) for t in axis.get_major_ticks() for label in (t.label1, t.label2)}
            visible = {id(label) for t in ticks for label in (t.label1, t.label2)}
            if id(text) in labels and id(text) not in visible:
                return shown
    return {text.get_text()}


@pytest.mark.parametrize("make", FIGURES)
def test_no_two_texts_overlap(make, projects, predictions):
    figure = make(projects, predictions)
    figure.draw_without_rendering()
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    texts = [t for t in texts if t.get_text() in in_view(figure, t)]
    boxes = [t.get_window_extent() for t in texts]
    for place, (one, box) in enumerate(zip(texts, boxes, strict=True)):
        for other, beside in zip(texts[place + 1 :], boxes[place + 1 :], strict=True):
            if one.axes is other.axes and one.get_text() == other.get_text():
                continue
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            along = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            overlap = across > 1 and along > 1
            assert not overlap, f"{one.get_text()!r} and {other.get_text()!r}"


def test_a_saved_figure_is_a_300_dpi_png_an_svg_and_its_table(tmp_path, projects):
    figure = progress_figure(projects, None)
    data = trials_table(projects["regime_1"])
    files = save_figure(figure, tmp_path / "deep" / "v1.5 progress", data)
    assert [file.name for file in files] == [
        f"v1.5 progress.{end}" for end in ("png", "svg", "csv")
    ]
    with Image.open(files[0]) as image:
        assert image.size == (1005, 750)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert "<svg" in files[1].read_text()
    written = pd.read_csv(files[2], dtype={"trial": str})
    assert list(written["score"]) == list(data["score"])
    assert sorted(path.name for path in files[0].parent.iterdir()) == sorted(
        file.name for file in files
    )


def test_equal_tables_give_equal_files(tmp_path, projects, predictions):
    for folder in ("one", "two"):
        figure = boxes_figure(projects, predictions)
        save_figure(figure, tmp_path / folder / "boxes", fold_scores(projects["regime_1"], "auroc"))
    for suffix in ("png", "svg", "csv"):
        first, second = (tmp_path / name / f"boxes.{suffix}" for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()


def test_a_figure_that_cannot_be_written_names_its_file(tmp_path, projects):
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(StorageError, match=r"curves\.png cannot be written"):
        save_figure(
            curves_figure(projects, None), tmp_path / "figures" / "curves", pd.DataFrame({"a": [1]})
        )


def lines_of(axes, label):
    (line,) = [line for line in axes.get_lines() if str(line.get_label()).startswith(label)]
    return line


def test_the_mean_curves_and_the_best_epoch_are_those_of_the_table(projects):
    curves = curves_table(projects["lenet1998"], model="m")
    axes = new_axes()
    draw_curves(curves, axes=axes)
    for split, label in (("train", "training"), ("validation", "validation")):
        mean = curves[curves["split"] == split].groupby("epoch")["auroc"].mean()
        np.testing.assert_allclose(lines_of(axes, label).get_ydata(), mean)
        np.testing.assert_array_equal(lines_of(axes, label).get_xdata(), np.arange(1, 41))
    marker = lines_of(axes, "epoch 3")
    assert list(marker.get_xdata()) == [3]
    assert len(axes.get_lines()) == 2 * 10 + 2 + 2


def test_a_chosen_epoch_is_marked_instead_of_the_best(projects):
    curves = curves_table(projects["lenet1998"], model="m")
    axes = new_axes()
    draw_curves(curves, axes=axes, epoch=7)
    mean = curves[(curves["split"] == "validation") & (curves["epoch"] == 7)]["auroc"].mean()
    assert list(lines_of(axes, "epoch 7").get_ydata()) == [pytest.approx(mean)]


def test_the_best_epoch_of_a_loss_is_its_lowest(projects):
    curves = curves_table(projects["lenet1998"], model="m", metric="loss")
    axes = new_axes()
    draw_curves(curves, axes=axes, metric="loss")
    means = curves[curves["split"] == "validation"].groupby("epoch")["loss"].mean()
    assert list(lines_of(axes, "epoch").get_xdata()) == [means.idxmin()]
    assert means.idxmin() == 40


def test_training_and_validation_differ_without_colour(projects):
    axes = new_axes()
    draw_curves(curves_table(projects["lenet1998"], model="m"), axes=axes)
    training, validation = (lines_of(axes, label) for label in ("training", "validation"))
    assert training.get_linestyle() != validation.get_linestyle()


def test_a_single_epoch_can_be_seen(projects):
    curves = curves_table(projects["lenet1998"], model="m")
    axes = new_axes()
    draw_curves(curves[curves["epoch"] == 1], axes=axes)
    assert lines_of(axes, "validation").get_marker() == "o"


@pytest.mark.parametrize(("shown", "panels"), [(1, 1), (4, 6), (9, 9)])
def test_each_panel_is_one_trial_from_the_best_to_the_worst(shown, panels, projects):
    figure = new_figure(height=4)
    curves = ranked_curves(projects["regime_1"], count=shown)
    draw_curve_grid(curves, figure=figure, names=NAMES)
    used = [axes for axes in figure.axes if axes.axison]
    assert len(figure.axes) == panels
    assert len(used) == shown
    firsts = curves.drop_duplicates("rank")
    for axes, row in zip(used, firsts.to_dict("records"), strict=True):
        title = axes.get_title(loc="left")
        assert title.startswith(f"#{row['rank']}: {row['score']:.3f}")
        assert f"{row['batch_size']}, " in title


def test_every_trial_stands_at_its_values_and_the_best_is_ringed(projects):
    table = trials_table(projects["regime_1"])
    table.loc[[3, 4], "score"] = np.nan
    axes = new_axes()
    draw_regime_1(table, axes=axes)
    done, failed, best = axes.collections
    expected = table.dropna(subset=["score"]).sort_values("score")
    np.testing.assert_allclose(done.get_offsets(), expected[["dropout_rate", "batch_size"]])
    np.testing.assert_allclose(done.get_array(), expected["score"])
    np.testing.assert_allclose(failed.get_offsets(), table.loc[[3, 4], list(NAMES[::-1])])
    np.testing.assert_allclose(best.get_offsets(), expected.iloc[[-1]][list(NAMES[::-1])])
    title = axes.get_title(loc="left")
    assert title.startswith("n = 10 trials; x no score (2); ")
    assert title.endswith(f"best {table['score'].max():.3f}")


def test_cells_hold_their_scores_both_axes_ascend_and_the_best_is_framed(projects):
    table = trials_table(projects["regime_2"])
    table.loc[5, "score"] = np.nan
    # The best is neither in a corner nor in the first row.
    best = (table["learning_rate"] == 0.001) & (table["epsilon"] == 1e-7)
    table.loc[best, "score"] = 0.9
    axes = new_axes()
    draw_regime_2(table, axes=axes)
    columns = [float(label.get_text()) for label in axes.get_xticklabels()]
    rows = [float(label.get_text()) for label in axes.get_yticklabels()]
    assert columns == sorted(table["epsilon"].unique())
    # The first row is drawn at the top.
    assert rows == sorted(table["learning_rate"].unique(), reverse=True)
    assert axes.yaxis_inverted()
    cells = {
        (rows[int(t.get_position()[1])], columns[int(t.get_position()[0])]): t.get_text()
        for t in axes.texts
    }
    assert len(cells) == 32
    for row in table.to_dict("records"):
        told = "-" if np.isnan(row["score"]) else f"{row['score']:.3f}"
        assert cells[row["learning_rate"], row["epsilon"]] == told
    (frame,) = axes.patches
    assert (rows[frame.get_y()], columns[frame.get_x()]) == (0.001, 1e-7)


def test_what_is_written_in_a_cell_contrasts_with_it(projects):
    axes = new_axes()
    draw_regime_2(trials_table(projects["regime_2"]), axes=axes)
    mesh = axes.collections[0]
    colours = mesh.get_facecolor()[:, :3].reshape(4, 8, 3)
    for text in axes.texts:
        x, y = text.get_position()
        behind = luminance(colours[int(y), int(x)])
        own = {"black": 0.0, "white": 1.0}[text.get_color()]
        contrast = (max(own, behind) + 0.05) / (min(own, behind) + 0.05)
        assert contrast >= 4.5


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("lower", [False, True])
def test_the_step_line_is_the_best_so_far(lower, projects):
    table = trials_table(projects["regime_1"])
    table["score"] = [0.5, 0.4, np.nan, 0.6, 0.3, 0.6, 0.7, 0.2, 0.7, 0.1, 0.8, 0.75]
    axes = new_axes()
    draw_search_progress(table, axes=axes, lower_is_better=lower, view_only=0.65)
    fold = np.minimum if lower else np.maximum
    expected = fold.accumulate(np.where(table["score"].isna(), 0.4 + lower, table["score"]))
    expected[2] = expected[1]
    np.testing.assert_array_equal(lines_of(axes, "best so far").get_ydata(), expected)
    np.testing.assert_array_equal(lines_of(axes, "trial").get_ydata(), table["score"])
    assert set(lines_of(axes, "view only: 0.650").get_ydata()) == {0.65}
    assert axes.get_title(loc="left") == "n = 11 trials"


def test_only_the_best_ten_have_a_box_and_every_fold_a_point(projects):
    scores = fold_scores(projects["regime_1"], "auroc")
    axes = new_axes()
    draw_fold_boxes(scores, axes=axes, names=NAMES)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert [label.split(":")[0] for label in labels] == [f"#{rank}" for rank in range(1, 11)]
    points = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert len(points) == 10
    for rank, line in enumerate(points, 1):
        np.testing.assert_array_equal(line.get_ydata(), scores.loc[scores["rank"] == rank, "value"])


def test_models_stand_from_the_top_with_mean_and_deviation(projects):
    scores = baseline_scores(projects)
    axes = new_axes()
    draw_baselines(scores, axes=axes, view_only=0.8, names={"lenet1998": "LeNet"})
    labels = [label.get_text() for label in axes.get_yticklabels()]
    values = scores.loc[scores["model"] == "lenet1998", "value"]
    assert labels[0] == f"LeNet\n{values.mean():.3f} ± {values.std():.3f}"
    assert labels[1].startswith("inceptionv3_radimagenet\n")
    assert axes.yaxis_inverted()
    assert set(lines_of(axes, "view only: 0.800").get_xdata()) == {0.8}
    assert set(lines_of(axes, "chance").get_xdata()) == {0.5}


def test_counts_and_agreement_are_written_into_the_matrices(predictions):
    table = confusion_table(predictions)
    figure = new_figure(height=3.4)
    draw_confusion(table, figure=figure)
    for axes, (cortex, rows) in zip(figure.axes, table.groupby("cortex", sort=False), strict=False):
        counts = rows["count"].to_numpy().reshape(4, 4)
        written = {t.get_position(): t.get_text() for t in axes.texts}
        for true in range(4):
            for predicted in range(4):
                assert written[predicted + 0.5, true + 0.5] == str(counts[true, predicted])
        told = f"{cortex}: {np.trace(counts)} of {counts.sum()}"
        assert axes.get_title(loc="left") == told


def test_each_curve_of_a_cortex_has_a_style_of_its_own_and_its_figure(predictions):
    points = roc_table(label_table(predictions))
    figure = new_figure(height=4)
    draw_roc(points, figure=figure)
    for axes, (_, rows) in zip(figure.axes, points.groupby("cortex", sort=False), strict=True):
        curves = axes.get_lines()[1:]
        assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in curves}) == 4
        for line, (score, own) in zip(curves, rows.groupby("score"), strict=True):
            assert line.get_label() == f"{score}: {own['auroc'].iloc[0]:.2f}"
            np.testing.assert_array_equal(line.get_ydata(), own["true_positive_rate"])


def test_an_undefined_figure_is_no_number(predictions):
    changed = predictions.assign(medial=predictions["medial"].replace(4, 3))
    figure = new_figure(height=4)
    draw_roc(roc_table(label_table(changed)), figure=figure)
    assert figure.axes[0].get_lines()[-1].get_label() == "4: -"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1382, "1382"),
        (0.06812, "0.0681"),
        (1e-7, "1e-7"),
        (2.5e-10, "2.5e-10"),
        (0.0, "0"),
        (123456.0, "1.23e5"),
    ],
)
def test_hyperparameters_are_told_in_three_digits(value, told):
    assert short_number(value) == told


@pytest.mark.parametrize(
    ("value", "told"), [(0.1, "1e-1"), (1e-8, "1e-8"), (0.0025, "2.5e-3"), (1.0, "1e0")]
)
def test_logarithmic_axes_count_in_powers_of_ten(value, told):
    assert power_number(value) == told
