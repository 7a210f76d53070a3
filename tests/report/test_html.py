"""The page: self-contained, whole, honest, and there also where the study is not."""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from narrowing import as_json, not_none
from PIL import Image
from report_studies import (
    make_predictions,
    study_record,
    write_baselines,
    write_json,
    write_out_of_fold,
    write_project,
    write_regime_1,
    write_regime_2,
    write_study,
    write_unrendered_report,
)

from rust_tuner.analysis.noise import noise_spread
from rust_tuner.errors import ResumeError, StorageError
from rust_tuner.files import read_json
from rust_tuner.labels import CORTICES
from rust_tuner.records.folder import read_study
from rust_tuner.records.noise import read_noise
from rust_tuner.records.project import read_project
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
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Elements with their attributes, the text outside scripts, and whether tags are balanced."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read_page(index: Path) -> Page:
    return Page(index.read_text())


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


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The least study with a search."""
    study = tmp_path / "study"
    write_json(study / "study.json", study_record())
    write_regime_2(study / "regime_2")
    return study


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
        for name in (
            "initial_evaluation",
            "regime_1",
            "regime_2",
            "final_model_kfold",
        )
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


@pytest.mark.slow
def test_text_of_records_shows_as_text(small: Path) -> None:
    path = small / "regime_2" / "trial_0003" / "trial.json"
    hostile = "TrialError: <img src=x onerror=alert(1)> & \"'"
    failed = {"status": "FAILED", "score": None, "best_step": None, "message": hostile}
    write_json(path, read_json(path) | failed)
    record = study_record(manifest="<b>m</b>.csv")
    record["protocol"]["weights"] = "</td><script>x</script>"
    write_json(small / "study.json", record)
    page = read_page(write_unrendered_report(small))
    assert hostile in page.text
    assert "<b>m</b>.csv" in page.text
    assert "</td><script>x</script>" in page.text
    assert not page.all("img")
    assert not page.all("b")
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


@pytest.mark.slow
def test_without_repeats_no_noise_floor_is_told(small: Path) -> None:
    source = write_unrendered_report(small).read_text()
    assert "The band is" not in source
    assert "Noise floor:" not in source


@pytest.mark.slow
def test_the_gallery_shows_the_radiographs_that_the_manifest_names(tmp_path: Path) -> None:
    study = tmp_path / "study"
    rows = make_predictions()
    (study / "final").mkdir(parents=True)
    rows.to_csv(study / "final" / "predictions.csv", index=False)
    (tmp_path / "moved" / "images").mkdir(parents=True)
    for number, image in enumerate(rows["image"]):
        pixels = np.full((40, 20), 50 + 2 * number, dtype=np.uint8)
        pixels[0, number // 10], pixels[1, number % 10] = 255, 0
        Image.fromarray(pixels).save(tmp_path / "moved" / image)
    names = ["image", "patient_id", "visit", "view", *CORTICES]
    rows[names].to_csv(tmp_path / "moved" / "manifest.csv", index=False)
    write_json(study / "study.json", study_record(manifest="../moved/manifest.csv"))
    page = read_page(write_unrendered_report(study, rendered=["holdout_worst"]))
    assert "restrict access to this file" in page.text
    assert "not found" not in page.text
    svg = (study / "report" / "figures" / "holdout_worst.svg").read_text()
    assert svg.count("data:image/png;base64,") == 9
    (tmp_path / "moved" / "manifest.csv").unlink()
    assert "9 image files were not found." in read_page(write_unrendered_report(study)).text


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


@pytest.mark.slow
def test_sites_have_a_table_where_they_are_told(small: Path) -> None:
    write_project(small / "final" / "cross_validation", [{"batch_size": 16}], num_folds=4)
    sites = ["Oslo" if number // 2 % 2 else "<b>Bergen</b>" for number in range(90)]
    write_out_of_fold(small / "final" / "cross_validation", site=sites)
    make_predictions().assign(site=sites[:60]).to_csv(
        small / "final" / "predictions.csv", index=False
    )
    page = read_page(write_unrendered_report(small))
    for name in ("holdout", "out_of_fold"):
        table = pd.read_csv(small / "report" / "tables" / f"{name}_sites.csv")
        assert list(table["site"].unique()) == ["<b>Bergen</b>", "Oslo"]
    assert "<b>Bergen</b>" in page.text
    assert not page.all("b")


@pytest.mark.slow
def test_an_older_record_without_out_of_fold_rows_says_what_to_do(small: Path) -> None:
    write_project(small / "final" / "cross_validation", [{"batch_size": 16}], num_folds=4)
    page = read_page(write_unrendered_report(small))
    assert "rows.csv is missing or was changed" in page.text


@pytest.mark.slow
def test_ties_and_intervals_of_a_search_stand_in_its_section(tmp_path: Path) -> None:
    write_regime_1(tmp_path / "regime_1", count=4)
    write_out_of_fold(tmp_path / "regime_1", trial=0)
    page = read_page(write_unrendered_report(tmp_path))
    project = read_project(tmp_path / "regime_1")
    interval = not_none(project.best).interval("cortex_auroc")
    assert f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})" in page.text
    num_tied = sum(tie.tied for tie in project.ties.values())
    assert (num_tied > 1) == ("trials are statistically tied for the best" in page.text)
    table = pd.read_csv(tmp_path / "report" / "tables" / "regime_1.csv")
    assert table["tied_with_best"].sum() == num_tied
    assert table["p_against_best"].notna().all()


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


@pytest.mark.slow
def test_equal_records_give_an_equal_report_but_for_the_studys_name(
    small: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(small, moved)
    pages = [write_report(small), write_report(moved)]
    files = [
        sorted(path for path in page.parent.rglob("*.*") if path.name != ".lock") for page in pages
    ]
    assert len(files[0]) == 2 + 13 * 3 + 3
    for one, other in zip(*files, strict=True):
        assert one.name == other.name
        if one.name == "claim.md":
            named = "# Reporting checklists: {}"
            text = one.read_text().replace(named.format("study"), named.format("moved"))
            assert text == other.read_text()
        elif one.name != "index.html":
            assert one.read_bytes() == other.read_bytes(), one
    first, second = (page.read_text() for page in pages)
    assert first.count("study: report") == first.count("Report of study") == 1
    named = first.replace("study: report", "moved: report").replace(str(small), str(moved))
    assert named.replace("Report of study", "Report of moved") == second


def test_a_study_that_is_only_prepared_has_a_page(tmp_path: Path) -> None:
    write_json(tmp_path / "study.json", study_record())
    page = read_page(write_report(tmp_path))
    for text in (
        "split.json is missing",
        f"The first models have not been run: rust-tuner baselines {tmp_path}",
        f"Regime I has not been run, or cannot be read: rust-tuner regime1 {tmp_path}",
        f"Regime II has not been run, or cannot be read: rust-tuner regime2 {tmp_path}",
        f"The final model has not been cross-validated: rust-tuner final {tmp_path}",
        f"The hold-out set has not been evaluated; it is sealed: rust-tuner final {tmp_path}",
        "120 radiographs of 60 patients are prepared",
        "There is nothing to rely on yet",
        "nothing here says how well the model performs on new patients",
        f"Not run yet: First models (rust-tuner baselines {tmp_path}), Regime I (",
    ):
        assert text in page.text
    assert "120 radiographs of 60 patients" in page.text


def test_a_search_that_has_just_begun_has_a_page(tmp_path: Path) -> None:
    write_regime_1(tmp_path / "regime_1", count=0, num_trials=100)
    page = read_page(write_report(tmp_path))
    assert "0 of 100 trials have a score" in page.text
    assert "No trial has a score yet, so nothing is drawn." in page.text
    assert "study.json is missing or damaged" in page.text


@pytest.mark.slow
def test_a_single_trial_of_two_folds_and_one_epoch_is_drawn(tmp_path: Path) -> None:
    write_regime_1(tmp_path / "regime_1", count=1, num_folds=2, epochs=1)
    page = read_page(write_report(tmp_path))
    assert len(page.all("figure")) == 13
    assert "could not be made" not in page.text


def test_a_damaged_part_is_named_and_the_rest_is_drawn(small: Path) -> None:
    write_regime_1(small / "regime_1", count=2)
    (small / "regime_1" / "search.json").write_text('{"format": 1')
    (small / "regime_2" / "trial_0001" / "fold_0.json").write_text("")
    page = read_page(write_unrendered_report(small))
    assert "Damaged: regime_1: " in page.text
    assert "Damaged: regime_2: trial_0001: " in page.text
    assert "Regime I has not been run, or cannot be read: rust-tuner regime1" in page.text
    assert "5 of 6 trials have a score" in page.text
    assert len(page.all("figure")) == 13


def test_first_models_on_different_data_are_not_drawn_side_by_side(tmp_path: Path) -> None:
    write_baselines(tmp_path / "baselines", ("lenet1998", "inceptionv3_imagenet"), epochs=2)
    path = tmp_path / "baselines" / "lenet1998" / "search.json"
    run = read_json(path)
    run["subject"]["targets"] = "cd" * 32
    write_json(path, run)
    page = read_page(write_unrendered_report(tmp_path))
    assert "so their figures cannot be compared" in page.text
    drawn = {path.stem for path in (tmp_path / "report" / "figures").glob("*.png")}
    assert not {"baselines_auroc", "published_baselines"} & drawn
    # Their curves are drawn, each by itself, and the summary.
    assert len(page.all("figure")) == len(drawn) == 6


def test_predictions_that_cannot_be_drawn_leave_the_page_whole(tmp_path: Path) -> None:
    blind = make_predictions(rows=4).assign(**dict.fromkeys(CORTICES, None))
    (tmp_path / "final").mkdir()
    blind.to_csv(tmp_path / "final" / "predictions.csv", index=False)
    page = read_page(write_report(tmp_path))
    assert "ROC curves could not be made: no radiograph has a visible cortex" in page.text


def test_a_report_that_cannot_be_written_is_an_error_and_no_page(small: Path) -> None:
    (small / "report").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be used"):
        write_report(small)


def test_a_folder_without_a_study_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="is not a study folder"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_report_needs_no_tensorflow(small: Path) -> None:
    code = (
        "import sys; from rust_tuner.report.html import write_report; "
        f"write_report({str(small)!r}); "
        "print(sorted({'tensorflow', 'keras', 'keras_tuner', 'torch', 'jax'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_what_a_killed_report_left_aside_is_removed_by_the_next(small: Path) -> None:
    leftovers = [
        small / "report" / ".123-0a1b2c3d.part",
        small / "report" / "figures" / ".regime_1.123-0a1b2c3d.part.png",
        small / "report" / "tables" / ".123-0a1b2c3e.part",
    ]
    for path in leftovers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    write_unrendered_report(small)
    assert not any(path.exists() for path in leftovers)
    assert not list((small / "report").rglob("*.part*"))
