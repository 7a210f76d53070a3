"""Where scores are high: every trial stands at its values; rings and bands mark the known ones."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from narrowing import is_a
from report_figures import NAMES, lines_of, with_ties, write_tables

from rust_tuner.analysis.tables import trials_table
from rust_tuner.errors import RustTunerError
from rust_tuner.figures.regimes import draw_regime_1, draw_regime_2
from rust_tuner.figures.rings import TIED
from rust_tuner.figures.slices import draw_slices
from rust_tuner.figures.style import BLACK_INK, WHITE_INK, new_axes, new_figure
from rust_tuner.records.project import Project


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    return write_tables(tmp_path_factory.mktemp("projects")).projects


@pytest.fixture
def first(projects: dict[str, Project]) -> pd.DataFrame:
    """Regime I; the first trial is the best."""
    return trials_table(projects["regime_1"])


@pytest.fixture
def second(projects: dict[str, Project]) -> pd.DataFrame:
    """Regime II, whose best is neither in a corner nor in the first row."""
    table = trials_table(projects["regime_2"])
    best = (table["learning_rate"] == 0.001) & (table["epsilon"] == 1e-7)
    table.loc[best, "score"] = 0.9
    return table.drop(columns="tied_with_best")


def test_every_trial_stands_at_its_values_and_the_best_is_ringed(first: pd.DataFrame) -> None:
    first.loc[[3, 4], "score"] = np.nan
    axes = new_axes()
    draw_regime_1(first, axes=axes)
    (done,) = axes.collections
    expected = first.dropna(subset=["score"]).sort_values("score")
    np.testing.assert_allclose(
        np.asarray(done.get_offsets()), expected[["dropout_rate", "batch_size"]]
    )
    np.testing.assert_allclose(done.get_array(), expected["score"])  # type: ignore[arg-type]
    failed = lines_of(axes, "no score (2)")
    np.testing.assert_allclose(
        np.asarray(failed.get_xydata()), first.loc[[3, 4], list(NAMES[::-1])]
    )
    best = lines_of(axes, f"best: {first['score'].max():.3f}")
    np.testing.assert_allclose(
        np.asarray(best.get_xydata()), expected.iloc[[-1]][list(NAMES[::-1])]
    )
    assert axes.get_title(loc="left") == "n = 10 trials"
    assert not [line for line in axes.get_lines() if "tied" in str(line.get_label())]


def test_trials_tied_with_the_best_are_ringed_otherwise_than_it(first: pd.DataFrame) -> None:
    axes = new_axes()
    draw_regime_1(with_ties(first, count=4), axes=axes)
    tied, best = lines_of(axes, "tied with the best (3)"), lines_of(axes, "best: ")
    expected = first[first["rank"].isin([2, 3, 4])]
    assert {tuple(xy) for xy in np.asarray(tied.get_xydata())} == {
        (row["dropout_rate"], row["batch_size"]) for row in expected.to_dict("records")
    }
    assert tied.get_markeredgecolor() != best.get_markeredgecolor()
    assert tied.get_markersize() < best.get_markersize()


@pytest.mark.parametrize("known", [None, pd.array([pd.NA] * 12, dtype="boolean"), [False] * 12])
def test_no_trial_is_ringed_where_ties_are_not_known(
    known: pd.arrays.BooleanArray | list[bool] | None, first: pd.DataFrame
) -> None:
    table = first if known is None else first.assign(**{TIED: known})
    axes = new_axes()
    draw_regime_1(table, axes=axes)
    assert [str(line.get_label())[:4] for line in axes.get_lines()] == ["best"]


def test_colours_can_be_those_of_another_figure(first: pd.DataFrame) -> None:
    axes = new_axes()
    draw_regime_1(first, axes=axes, limits=(0.2, 0.9))
    assert axes.collections[0].get_clim() == (0.2, 0.9)


def test_no_finished_trial_makes_an_empty_figure(first: pd.DataFrame) -> None:
    axes = new_axes()
    draw_regime_1(first.assign(score=np.nan), axes=axes)
    assert axes.get_title(loc="left") == "n = 0 trials"
    lines_of(axes, "no score (12)")


def test_a_panel_for_each_hyperparameter_has_every_trial(first: pd.DataFrame) -> None:
    first.loc[[3, 4], "score"] = np.nan
    figure = new_figure()
    draw_slices(with_ties(first), figure=figure, names=NAMES, view_only=0.7)
    done = first.dropna(subset=["score"])
    for axes, name in zip(figure.axes, NAMES, strict=True):
        drawn = {tuple(xy) for xy in np.asarray(lines_of(axes, "trial").get_xydata())}
        assert drawn == {(row[name], row["score"]) for row in done.to_dict("records")}
        assert list(np.asarray(lines_of(axes, "best: ").get_ydata())) == [done["score"].max()]
        assert set(np.asarray(lines_of(axes, "view only: 0.700").get_ydata())) == {0.7}
    assert figure.axes[0].get_title(loc="left") == "n = 10 trials"


def test_the_band_reaches_from_the_best_as_far_as_the_noise(first: pd.DataFrame) -> None:
    figure = new_figure()
    draw_slices(first, figure=figure, names=NAMES, noise=0.03)
    best = first["score"].max()
    for axes in figure.axes:
        (band,) = axes.patches
        assert band.get_label() == "noise floor: 0.030"
        bounds = band.get_extents().transformed(axes.transData.inverted())
        assert (bounds.y0, bounds.y1) == pytest.approx((best - 0.03, best))
        assert list(np.asarray(lines_of(axes, "best: ").get_ydata())) == [best]


def test_without_a_known_noise_there_is_no_band(first: pd.DataFrame) -> None:
    figure = new_figure()
    draw_slices(first, figure=figure, names=NAMES)
    assert not [patch for axes in figure.axes for patch in axes.patches]


def test_the_chosen_trial_is_ringed_where_it_is_not_the_best_by_the_score(
    first: pd.DataFrame,
) -> None:
    figure = new_figure()
    draw_slices(first, figure=figure, names=NAMES, best=5)
    table = first.loc[5]
    assert np.asarray(lines_of(figure.axes[0], "chosen: ").get_xydata()).tolist() == [
        [table["batch_size"], table["score"]]
    ]
    axes = new_axes()
    draw_regime_1(first, axes=axes, best=5)
    assert np.asarray(lines_of(axes, "chosen: ").get_xydata()).tolist() == [
        [table["dropout_rate"], table["batch_size"]]
    ]


def test_hyperparameters_of_many_magnitudes_have_a_logarithmic_axis(second: pd.DataFrame) -> None:
    figure = new_figure()
    draw_slices(second, figure=figure, names=("learning_rate", "epsilon"))
    for axes, values in zip(figure.axes, (second["learning_rate"], second["epsilon"]), strict=True):
        assert axes.get_xscale() == "log"
        ticks = list(axes.get_xticks())
        assert len(ticks) == 4
        assert set(ticks) <= set(values)
        assert "(log)" in axes.get_xlabel()


def cell_texts(axes: Axes) -> dict[tuple[float, float], str]:
    """(x, y) of the cell's middle -> text."""
    return {text.get_position(): text.get_text() for text in axes.texts}


def test_cells_hold_their_scores_on_logarithmic_axes_and_the_best_is_framed(
    second: pd.DataFrame,
) -> None:
    second.loc[5, "score"] = np.nan
    axes = new_axes()
    draw_regime_2(second, axes=axes)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert not axes.yaxis_inverted()
    assert not axes.xaxis_inverted()
    assert sorted(second["epsilon"].unique()) == list(axes.get_xticks())
    assert sorted(second["learning_rate"].unique()) == list(axes.get_yticks())
    cells = cell_texts(axes)
    assert len(cells) == 32
    for row in second.to_dict("records"):
        (note,) = [
            text
            for (x, y), text in cells.items()
            if np.isclose(x, row["epsilon"]) and np.isclose(y, row["learning_rate"])
        ]
        assert note == ("-" if np.isnan(row["score"]) else f"{row['score']:.3f}")
    (patch,) = axes.patches
    frame = is_a(Rectangle, patch)
    low, left = frame.get_y(), frame.get_x()
    assert low < 0.001 < low + frame.get_height()
    assert left < 1e-7 < left + frame.get_width()
    assert np.log10((low + frame.get_height()) / low) == pytest.approx(1)
    assert axes.get_title(loc="left") == "n = 31 trials; □ best 0.900; - no score"


def test_the_chosen_cell_is_framed_where_it_is_not_the_best_by_the_score(
    second: pd.DataFrame,
) -> None:
    axes = new_axes()
    draw_regime_2(second, axes=axes, best=5)
    table = second.loc[5]
    (patch,) = axes.patches
    frame = is_a(Rectangle, patch)
    low, left = frame.get_y(), frame.get_x()
    assert low < table["learning_rate"] < low + frame.get_height()
    assert left < table["epsilon"] < left + frame.get_width()
    assert f"□ chosen {table['score']:.3f}" in axes.get_title(loc="left")


def test_an_uneven_grid_has_uneven_cells_and_no_text_where_it_would_not_fit(
    projects: dict[str, Project],
) -> None:
    table = trials_table(projects["regime_2"])
    close = table["epsilon"].replace({1e-1: 1.2e-3, 1e-2: 1.1e-3, 1e-3: 1e-3})
    axes = new_axes()
    draw_regime_2(table.assign(epsilon=close), axes=axes)
    edges = np.unique(axes.collections[0].get_coordinates()[0, :, 0])  # type: ignore[attr-defined]
    widths = np.log10(edges[1:] / edges[:-1])
    assert widths[-2] < 0.1 < 0.9 < widths[0]
    columns = {x for x, _ in cell_texts(axes)}
    # 1e-8 to 1e-4; the cell of 1e-3 reaches half a decade down and hardly up.
    assert len(columns) == 5
    assert max(columns) == pytest.approx(1e-4)


def test_cells_tied_with_the_best_have_a_dot(second: pd.DataFrame) -> None:
    axes = new_axes()
    ranked = second.assign(rank=second["score"].rank(ascending=False))
    draw_regime_2(with_ties(ranked, count=3), axes=axes)
    dotted = [text for text in cell_texts(axes).values() if text.endswith("\n•")]
    assert len(dotted) == 2
    assert "0.900" not in "".join(dotted)
    assert "• tied with it (2)" in axes.get_title(loc="left")


def test_a_single_value_makes_a_cell(second: pd.DataFrame) -> None:
    axes = new_axes()
    draw_regime_2(second[second["epsilon"] == 1e-7], axes=axes)
    assert len(axes.texts) == 4


def test_what_has_no_logarithm_is_refused(second: pd.DataFrame) -> None:
    table = second.assign(epsilon=second["epsilon"].replace(1e-8, 0.0))
    with pytest.raises(RustTunerError, match="0 on a logarithmic axis"):
        draw_regime_2(table, axes=new_axes())
    with pytest.raises(RustTunerError, match="0 on a logarithmic axis"):
        draw_slices(table, figure=new_figure(), names=("epsilon",))


def test_what_is_written_in_a_cell_contrasts_with_it(second: pd.DataFrame) -> None:
    axes = new_axes()
    draw_regime_2(second, axes=axes)
    assert {text.get_color() for text in axes.texts} == {BLACK_INK, WHITE_INK}
    mesh = axes.collections[0]
    scores = [float(text.get_text()) for text in axes.texts]
    for text, score in zip(axes.texts, scores, strict=True):
        red, green, blue, _ = mesh.to_rgba(score)  # type: ignore[arg-type]
        is_light = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.18
        assert text.get_color() == (BLACK_INK if is_light else WHITE_INK)


def test_the_band_of_the_noise_floor_stays_where_aurocs_are(first: pd.DataFrame) -> None:
    figure = new_figure(height=2.6)
    draw_slices(first, figure=figure, names=NAMES, noise=1.0)
    assert figure.axes[0].get_ylim()[0] > -0.2
