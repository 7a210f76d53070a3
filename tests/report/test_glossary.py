"""Terms: each is explained where it stands, once a text, and nothing of a text becomes markup."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup, escape

from rust_tuner.report.glossary import TERMS, explained, terms_in


def test_every_term_has_an_anchor_of_its_own_and_a_sentence() -> None:
    assert len({term.anchor for term in TERMS}) == len(TERMS)
    assert [term.name.lower() for term in TERMS] == sorted(term.name.lower() for term in TERMS)
    assert all(term.meaning.endswith(".") for term in TERMS)


def test_a_term_links_to_its_entry_where_it_first_stands() -> None:
    html = explained("A selection score; selection scores are tied.")
    assert html.count('href="#term-selection-score"') == 1
    assert html.count('href="#term-tied"') == 1
    assert ">selection score</a>" in html
    assert Markup(html).striptags() == "A selection score; selection scores are tied."


@pytest.mark.parametrize("text", ["folder", "hp_fold_size", "untied", "estimated"])
def test_a_part_of_a_word_is_no_term(text: str) -> None:
    assert explained(text) == text


def test_the_longest_form_counts() -> None:
    assert "term-nested-cross-validation" in explained("Nested cross-validation")
    assert "term-icc" in explained("ICC(2,1) with its interval")


@pytest.mark.parametrize(
    "command", ["rust-tuner final study", "rust-tuner regime1 '/my data/study'"]
)
def test_a_command_is_set_as_code(command: str) -> None:
    html = explained(f"It is sealed: {command}")
    assert html == f"It is sealed: <code>{escape(command)}</code>"


def test_figures_are_emphasised() -> None:
    assert explained("off by **1.20 points**") == "off by <strong>1.20 points</strong>"


def test_markup_of_a_text_is_escaped_wherever_it_stands() -> None:
    html = explained("<b>tied</b> **<i>** rust-tuner final '<script>'")
    assert "<b>" not in html
    assert "<i>" not in html
    assert "<script>" not in html


@given(st.text())
def test_no_text_is_lost(text: str) -> None:
    plain = text.replace("**", "")
    assert Markup(explained(plain)).unescape().count("<script") == plain.count("<script")


def test_terms_of_a_heading_are_listed_once() -> None:
    assert [term.name for term in terms_in(["tied", "AUROC, 18 labels", "auroc"])] == [
        "AUROC",
        "tied",
        "visible cortices",
    ]
