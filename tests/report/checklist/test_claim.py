"""The checklists: every item there, facts of the records alone, blanks visible, nothing met."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
from narrowing import not_none
from report_predictions import holdout_record, make_predictions
from report_searches import write_json, write_regime_1
from report_studies import study_record, write_study

from rust_tuner.analysis.assessment import as_predictions, figures_table
from rust_tuner.files import read_json
from rust_tuner.records.folder import read_study
from rust_tuner.report.checklist.claim import checklists, write_claim
from rust_tuner.report.checklist.facts import facts_of
from rust_tuner.report.checklist.items import CLAIM_ITEMS, TRIPOD_ITEMS, Item
from rust_tuner.report.checklist.registry import FACTS, one_line
from rust_tuner.report.checklist.result_facts import of_any_study
from rust_tuner.report.page import Room

ITEMS = {"claim": CLAIM_ITEMS, "tripod": TRIPOD_ITEMS}


def numbers(sections: dict[str, tuple[Item, ...]]) -> list[int]:
    """Item numbers as whole numbers, ranges of letters counted once a number."""
    return [int(re.findall(r"^\d+", item.number)[0]) for part in sections.values() for item in part]


def written(folder: Path) -> str:
    records = read_study(folder)
    write_claim(records, Room(folder / "report"), name=folder.name, version="1.2.3")
    return (folder / "report" / "claim.md").read_text()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("claim") / "study")


def test_each_checklist_has_all_its_items_in_order() -> None:
    assert numbers(CLAIM_ITEMS) == list(range(1, 45))
    found = numbers(TRIPOD_ITEMS)
    assert sorted(set(found)) == list(range(1, 28))
    assert found == sorted(found)


def test_every_item_asks_for_facts_that_there_are_and_every_fact_is_asked_for() -> None:
    asked = {
        name
        for sections in ITEMS.values()
        for part in sections.values()
        for item in part
        for name in item.facts
    }
    assert asked == set(FACTS)


def test_a_finished_study_has_every_fact_but_those_of_several_sites_and_machines(
    study: Path,
) -> None:
    facts = facts_of(read_study(study))
    assert set(FACTS) - set(facts) == {"sites", "machines", "robustness", "external"}
    best = not_none(not_none(read_study(study).regime_2).best).values
    assert f"learning rate {best['learning_rate']:g}" in facts["best"][0]
    sealed = "15 of 45 patients sealed at random as the hold-out set"
    assert facts["partitions"][0].startswith(sealed)
    figures = figures_table(as_predictions(make_predictions()))
    (row,) = figures[
        (figures["figure"] == "auroc")
        & (figures["of"] == "cortices")
        & (figures["average"] == "macro")
    ].to_dict("records")
    expected = f"{row['value']:.3f} (95 % interval {row['low']:.3f} to {row['high']:.3f})"
    assert expected in facts["headline"][4]
    assert facts["headline"][0].startswith("hold-out accuracy, most likely scores: ")


def limits_in(study: Path, named: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The limitations of a study whose folder is typed so, in the folder above it or in itself."""
    monkeypatch.chdir(study if named == "." else study.parent)
    if named not in (".", study.name, str(study)):
        study.rename(study.parent / named)
    return facts_of(read_study(Path(named)))["limitations"]


@pytest.mark.parametrize("named", [".", "rust", "t", "un", "0.5", "0", "baselines", "S", "x y"])
def test_limitations_do_not_depend_on_the_name_of_the_folder(
    named: str, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Path(shutil.copytree(study, tmp_path / "copied"))
    # Not finished, so that commands are among them.
    shutil.rmtree(study / "final")
    expected = limits_in(study, str(study), monkeypatch)
    assert any("rust-tuner " in line and " STUDY" in line for line in expected)
    assert str(study) not in " ".join(expected)
    assert limits_in(study, named, monkeypatch) == expected


def test_a_folder_is_named_in_commands_and_paths_alone() -> None:
    text = "begin/x in/split.json: rust-tuner check in. In all, in 0.506 in-depth"
    expected = "begin/x STUDY/split.json: rust-tuner check STUDY. In all, in 0.506 in-depth"
    assert of_any_study(text, Path("in")) == expected
    longer = "/data/in2 /data/in/split.json, rust-tuner check /data/in"
    assert of_any_study(longer, Path("/data/in")) == (
        "/data/in2 STUDY/split.json, rust-tuner check STUDY"
    )


def test_the_figures_of_the_record_are_taken_where_it_has_them(study: Path) -> None:
    records = read_study(study)
    own = [{"figure": "kappa", "of": "cortices", "average": "macro", "value": 0.5, "low": None}]
    records = dataclasses.replace(
        records, holdout=not_none(records.holdout).with_changes(figures=own)
    )
    facts = facts_of(records)
    assert "weighted kappa, mean of the cortices: 0.500" in facts["agreement"]
    # What the record does not have is computed from its predictions, where these are there.
    assert len(facts["agreement"]) == 7
    facts = facts_of(dataclasses.replace(records, predictions=None))
    assert facts["agreement"] == ["weighted kappa, mean of the cortices: 0.500"]
    assert "union" not in facts


def test_every_item_stands_in_the_file_with_facts_or_a_blank(study: Path) -> None:
    text = written(study)
    for checklist in checklists(read_study(study)):
        assert f"## {checklist.title}" in text
        for section in checklist.sections:
            assert f"### {section.title}" in text
            for item in section.items:
                assert item.facts or item.left
                start = text.index(f"**{item.number}. {item.asks}**")
                own = text[start:].split("\n\n")[0]
                for fact in item.facts:
                    assert f"- {fact}\n" in f"{own}\n"
                assert ("- [ ] authors:" in own) == bool(item.left)
                assert ("____" in own) == bool(item.left)
    assert text.count("____________________\n") == sum(
        checklist.blank for checklist in checklists(read_study(study))
    )


def test_what_the_records_do_not_know_stays_blank(tmp_path: Path) -> None:
    write_json(tmp_path / "study.json", study_record())
    claim, tripod = checklists(read_study(tmp_path))
    items = {item.number: item for section in claim.sections for item in section.items}
    for number in ("3", "19", "20", "27", "32", "38", "44"):
        assert items[number].facts == []
        assert items[number].left
    assert items["19"].left == "not in the records yet"
    assert "120 radiographs of 60 patients" in items["7"].facts[0]
    full = checklists(read_study(write_study(tmp_path / "full")))
    assert claim.filled < full[0].filled
    assert tripod.filled < full[1].filled
    assert "____" in written(tmp_path)


def test_sites_and_machines_are_told_where_they_are_known(study: Path, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study")
    machine = {"processor": "Fast", "usable_cores": 2, "memory_gib": 8.0, "inter_op_threads": 1}
    write_json(
        folder / "study.json",
        study_record(environments={"prepare": [machine], "regime_1": [machine]}),
    )
    make_predictions().assign(site=["Oslo", "Bergen"] * 30).to_csv(
        folder / "final" / "predictions.csv", index=False
    )
    facts = facts_of(read_study(folder))
    assert facts["machines"] == ["Fast, 2 cores, 8.0 GiB, 1 inter-op thread (prepare, regime_1)"]
    assert facts["sites"] == ["sites of the hold-out set: Bergen, Oslo"]
    assert facts["robustness"] == ["figures by site: report/tables/holdout_sites.csv"]


def test_it_never_says_that_a_checklist_is_met(study: Path, tmp_path: Path) -> None:
    write_regime_1(tmp_path / "regime_1", count=1)
    for text in (written(study), written(tmp_path)):
        assert "Nothing here says" in text
        found = re.findall(r"(?i)\b(compl(?:y|ies|iant|iance)|adher\w+|fulfil\w*|satisf\w+)", text)
        assert found == []
        assert not re.search(r"\[x\]", text)


def test_text_of_records_is_harmless(tmp_path: Path) -> None:
    record = study_record()
    record["protocol"]["weights"] = "x"
    record["versions"] = {"<script>": "[a](javascript:alert(1))\n# heading `x` *b* | c"}
    write_json(tmp_path / "study.json", record)
    text = written(tmp_path)
    assert "<script>" not in text
    assert "&lt;script&gt; \\[a\\](javascript:alert(1)) # heading \\`x\\` \\*b\\* \\| c" in text
    assert one_line('it\'s 5 % "so"') == 'it\'s 5 % "so"'


def test_a_damaged_record_leaves_its_blanks_and_the_rest_is_filled_in(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study")
    record = read_json(folder / "study.json")
    del record["protocol"]["masked_loss"]
    write_json(folder / "study.json", record)
    write_json(folder / "final" / "holdout.json", holdout_record(format=9))
    facts = facts_of(read_study(folder))
    assert not {"missing", "training", "headline", "view_only"} & set(facts)
    assert {"data", "best", "partitions"} <= set(facts)


def test_sites_are_told_only_where_their_table_is_written(tmp_path: Path) -> None:
    for sites in (["Oslo"], ["Oslo", None], [None]):
        folder = write_study(tmp_path / str(sites))
        table = make_predictions()
        table.assign(site=(sites * len(table))[: len(table)]).to_csv(  # type: ignore[arg-type]
            folder / "final" / "predictions.csv", index=False
        )
        assert "robustness" not in facts_of(read_study(folder))


def test_random_weights_are_not_called_pretrained(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_json(folder / "study.json", study_record())
    write_regime_1(folder / "regime_1", count=1, weights="random")
    facts = facts_of(read_study(folder))
    assert "pretrained" not in " ".join(facts["technology"] + facts["model"])
    assert "randomly initialised InceptionV3" in facts["model"][0]
    write_regime_1(folder / "regime_1", count=1, weights="imagenet")
    assert facts_of(read_study(folder))["model"][0].startswith("pretrained InceptionV3")
