"""The page of a finished study: self-contained, whole and honest."""

import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from html_pages import Page
from narrowing import as_json, not_none
from report_studies import write_study, write_unrendered_report

from rust_tuner.analysis.noise import noise_spread
from rust_tuner.records.folder import read_study
from rust_tuner.records.noise import read_noise
from rust_tuner.report.html import write_report

NAME = "<script>alert(1)<script>"
RENDERED = (
    *(
        "summary",
        "baselines_auroc",
        "regime_1",
        "regime_1_slices",
        "regime_2",
        "published_regime_1",
    ),
    *("holdout_roc", "holdout_confusion", "holdout_calibration", "holdout_worst"),
)


@pytest.fixture(
    scope="module", params=["some pictures", pytest.param("all", marks=pytest.mark.slow)]
)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of an unfriendly name, and its report; not to be written to.

    Two thirds of a report's time go into the pictures. Quickly there is one of each kind; all of
    them are there in the slow run.
    """
    study = write_study(tmp_path_factory.mktemp("reports") / NAME)
    if request.param == "all":
        write_report(study)
    else:
        write_unrendered_report(study, rendered=RENDERED)
    return study


@pytest.fixture(scope="module")
def source(finished: Path) -> str:
    return (finished / "report" / "index.html").read_text()


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_the_answer_stands_first_and_nothing_is_missing(page: Page) -> None:
    assert [a["id"] for a in page.all("section")] == [
        "answer",
        "warnings",
        "summary",
        "rust",
        "cortices",
        "regime-1",
        "regime-2",
        "final",
        "baselines",
        "noise",
        "nested",
        "data",
        "split",
        "checks",
        "appendix",
        "published",
        "provenance",
        "reproduce",
        "glossary",
    ]
    assert not [a for a in page.all("p") if a.get("class") == "missing"]
    assert page.open == []


def test_every_link_of_the_page_leads_somewhere(finished: Path, page: Page) -> None:
    anchors = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [attributes["href"] for attributes in page.all("a")]
    assert len(links) > 50
    for link in links:
        if not_none(link).startswith("#"):
            assert not_none(link)[1:] in anchors
        else:
            assert (finished / "report" / not_none(link)).is_file(), link


def test_every_written_file_is_linked_or_named(finished: Path, page: Page) -> None:
    written = {
        str(path.relative_to(finished / "report"))
        for path in (finished / "report").rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    linked = {attributes["href"] for attributes in page.all("a")} | {"index.html"}
    published = {
        f"tables/as_published_{name}.csv"
        for name in ("initial_evaluation", "regime_1", "regime_2", "final_model_kfold")
    }
    assert written - linked == published
    assert "Files that begin with as_published" in page.text


def test_nothing_is_loaded_from_a_network_or_another_file(page: Page, source: str) -> None:
    assert not page.all("link")
    assert not page.all("img")
    assert not page.all("iframe")
    assert not [a for tag, a in page.elements if "src" in a]
    assert "@import" not in source
    for target in re.findall(r"url\(([^)]*)\)", source):
        assert target.startswith("#")
    for name in re.findall(r'(?:xlink:)?href="([^"]*)"', source):
        # Colour bars are pictures within the page itself.
        assert name.startswith("data:image/png;base64,") or not re.match(r"[a-z]+:|//", name)


def test_only_its_own_script_may_run(page: Page, source: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", source, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [
        a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert f"script-src 'sha256-{digest}'" in not_none(policy)
    assert not_none(policy).startswith("default-src 'none'")
    assert "img-src data:;" in not_none(policy)
    assert not [a for _, a in page.elements if any(name.startswith("on") for name in a)]


def test_a_study_named_as_a_script_shows_as_text(page: Page, source: str) -> None:
    assert f"Report of {NAME}" in page.text
    assert "<script>alert" not in source
    assert len(page.all("script")) == 1


def test_every_figure_has_words_with_figures_for_who_cannot_see_it(page: Page) -> None:
    papers = [a for a in page.all("div") if a.get("role") == "img"]
    assert len(papers) == len(page.all("figure")) == 42
    for paper in papers:
        assert re.search(r"\d", not_none(paper["aria-label"])), paper
        assert "nan" not in not_none(paper["aria-label"]).lower()
    labels = " ".join(not_none(paper["aria-label"]) for paper in papers)
    assert "12 trials, the best 0.754 at batch_size 16, dropout_rate 0" in labels


def test_ids_are_unique_and_references_within_a_figure_resolve(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) > 100
    assert len(set(ids)) == len(ids)
    for _, attributes in page.elements:
        for name, value in attributes.items():
            for target in re.findall(r"url\(#([^)]*)\)", value or ""):
                assert target in ids, (name, value)
            if name == "xlink:href" and not_none(value).startswith("#"):
                assert not_none(value).removeprefix("#") in ids


def test_the_files_of_figures_are_whole_svg_and_the_tables_behind(finished: Path) -> None:
    svg = (finished / "report" / "figures" / "regime_1.svg").read_text()
    assert svg.startswith("<?xml")
    table = pd.read_csv(finished / "report" / "figures" / "regime_1.csv")
    assert len(table) == 12
    assert {"batch_size", "dropout_rate", "score", "rank"} <= set(table)


def test_the_published_layouts_lie_among_the_tables(finished: Path) -> None:
    heads = {
        "regime_1": "batch_size,dropout_rate,max_val_auroc",
        "regime_2": "learning_rate,epsilon,max_val_auroc",
        "initial_evaluation": "model,split,epoch,fold,auroc",
        "final_model_kfold": "model,split,epoch,fold,auroc",
    }
    for name, head in heads.items():
        path = finished / "report" / "tables" / f"as_published_{name}.csv"
        assert path.read_text().splitlines()[0] == head
    final = pd.read_csv(finished / "report" / "tables" / "as_published_final_model_kfold.csv")
    assert set(final["model"]) == {"final"}


def section_of(source: str, name: str) -> str:
    start = source.index(f'<section id="{name}">')
    return source[start : source.index("</section>", start)]


@pytest.mark.parametrize("regime", ["regime_1", "regime_2"])
def test_search_figures_lead_with_visible_cortices_and_fold_the_18_labels_away(
    regime: str, finished: Path, source: str
) -> None:
    section = section_of(source, regime.replace("_", "-"))
    folded = "".join(re.findall(r'<details class="beside">.*?</details>', section, flags=re.DOTALL))
    for end in ("", "_slices", "_progress", "_folds", "_curves"):
        lead, beside = f'"figures/{regime}{end}.svg"', f'"figures/{regime}_labels{end}.svg"'
        assert lead in section
        assert lead not in folded
        assert beside in folded
    folder = finished / "report" / "figures"
    for name, column in ((regime, "val_cortex_auroc"), (f"{regime}_labels", "val_auroc")):
        table = pd.read_csv(folder / f"{name}.csv")
        np.testing.assert_allclose(table["score"], table[column])
    head = not_none(re.search(r"<thead>.*?</thead>", section, flags=re.DOTALL))[0]
    assert head.index("AUROC, visible cortices") < head.index("AUROC, 18 labels")


def test_worst_errors_name_file_and_patient(finished: Path, source: str) -> None:
    worst = pd.read_csv(finished / "report" / "tables" / "holdout_worst.csv", dtype=str)
    section = section_of(source, "cortices")
    for row in worst.to_dict("records"):
        assert f"<td>{row['image']}</td>" in section
        assert f"<td>{row['patient_id']}</td>" in section


def test_what_was_predicted_stands_in_sections_of_its_own(source: str) -> None:
    rust, cortices, appendix = (
        section_of(source, name) for name in ("rust", "cortices", "appendix")
    )
    assert "RUST total: mean absolute error" in rust
    assert "union: sensitivity" in rust
    assert "quadratic-weighted kappa" not in rust
    assert "quadratic-weighted kappa" in cortices
    assert "union: sensitivity" not in cortices
    assert "AUROC of the" in appendix
    assert "two ways" in appendix


def test_figures_take_the_colours_of_the_page(finished: Path, source: str) -> None:
    for name in ("ink", "sheet", "figure-blue"):
        assert f": var(--{name})" in source
        assert source.count(f"--{name}: #") == 2
    svg = (finished / "report" / "figures" / "holdout_confusion.svg").read_text()
    assert "var(" not in svg


def test_a_selection_score_is_called_so_and_never_an_estimate(source: str) -> None:
    for name in ("baselines", "regime-1", "regime-2"):
        section = section_of(source, name)
        assert "selection score" in section
        assert "estimate" not in section
    rows = re.findall(r"<tr>.*?</tr>", section_of(source, "final"), flags=re.DOTALL)
    kept = [row for row in rows if "cross-validation" in row]
    assert kept
    assert all("selection score" in row and "estimate" not in row for row in kept)
    kept = [row for row in rows if "hold-out set" in row]
    assert kept
    assert all("estimate" in row and "selection score" not in row for row in kept)


def test_nested_cross_validation_shows_both_and_the_gap(source: str) -> None:
    section = section_of(source, "nested")
    for figure in ("selection score", "estimate", "optimism", "view only", "95 %"):
        assert figure in section
    for figure in ("0.810", "0.762", "0.048", "0.775", "0.035"):
        assert f">{figure}<" in section
    assert "on the patients that the outer fold left out" in section


def test_the_noise_floor_shows_its_standard_deviations(source: str) -> None:
    section = section_of(source, "noise")
    assert "other seeds, same folds" in section
    # Four scores that fall by 0.01 each.
    assert ">0.0129<" in section


def test_the_noise_floor_is_the_band_of_both_searches_slices(finished: Path, source: str) -> None:
    spread = noise_spread(read_noise(finished / "noise").values)
    of_seeds = spread[(spread["kind"] == "seed") & (spread["metric"] == "auroc")]
    expected = f"{of_seeds['difference'].item():.4f} (95 %)"
    for name in ("regime-1", "regime-2"):
        assert expected in section_of(source, name)
        assert "The band is the noise floor at the best." in section_of(source, name)


def test_checks_stand_with_their_verdicts(source: str) -> None:
    section = section_of(source, "checks")
    assert section.count('<td class="passed">passed</td>') == 11
    assert "11 checks of the records: 11 passed." in section


def test_figures_lie_beside_those_of_the_published_study(source: str) -> None:
    section = section_of(source, "published")
    for words in ("published 0.784", "the best of 110 published trials is 0.811, of 12 here 0.754"):
        assert words in section
    assert "0.806 for the published study" in section


def test_hold_out_and_view_only_figures_stand_in_the_summary(finished: Path, page: Page) -> None:
    start = page.text.index("What came out")
    html = page.text[start : page.text.index("Macro averages")]
    metrics = as_json(read_study(finished).holdout)["metrics"]
    own = (f"{metrics[name]:.3f}" for name in ("auroc", "cortex_auroc"))
    for figure in (*own, "0.720", "0.754 ± 0.004", "0.700"):
        assert figure in html


def test_every_figure_stands_on_the_page_with_its_interval(
    finished: Path, page: Page, source: str
) -> None:
    tables = finished / "report" / "tables"
    for name, rows in (("holdout", 60), ("out_of_fold", 90)):
        figures = pd.read_csv(tables / f"{name}_figures.csv")
        assert {"auroc", "average_precision", "kappa", "mae", "icc", "sensitivity", "brier"} <= set(
            figures["figure"]
        )
        row = figures[(figures["figure"] == "auroc") & (figures["of"] == "cortices")].iloc[0]
        cells = [f"{row[item]:.3f}" for item in ("value", "low", "high")]
        expected = "".join(f'<td class="number" data-value="[^"]*">{cell}</td>\n' for cell in cells)
        assert re.search(expected, source)
        bins = pd.read_csv(tables / f"{name}_reliability.csv")
        assert bins.loc[bins["label"] == "all", "rows"].sum() == rows * 2 * 4
    assert "Union: a true total of at least 13, a predicted one of at least 13" in page.text
    assert "Kera" in page.text


def test_the_two_aurocs_stand_side_by_side_with_what_makes_them_differ(
    finished: Path, page: Page
) -> None:
    table = pd.read_csv(finished / "report" / "tables" / "auroc_two_ways.csv")
    assert list(table["evaluation"]) == [
        "Hold-out set (estimate)",
        "Tuned model, out of fold (selection score)",
    ]
    for row in table.to_dict("records"):
        for name in ("exact", "keras", "difference"):
            assert f"{row[name]:.4f}" in page.text
    assert "treats scores within one of 199 bins as tied" in page.text


def test_epochs_count_from_1_on_the_page(source: str) -> None:
    rows = re.findall(r"<tr>(?:(?!</tr>).)*?>0000</td>.*?</tr>", source, flags=re.DOTALL)
    assert len(rows) == 2
    for row in rows:
        cells = re.findall(r'data-value="([^"]*)">([^<]*)<', row)
        assert ("2.0", "3") in cells


def test_every_heading_of_a_sortable_table_is_a_button(page: Page, source: str) -> None:
    heads = re.findall(r"<thead>.*?</thead>", source, flags=re.DOTALL)
    assert len(heads) == 30
    for head in heads[2:]:
        assert head.count('scope="col"><button type="button">') == head.count("<th ")
