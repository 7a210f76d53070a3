"""The times in names of visits; how they stand on an axis is tested with totals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rust_tuner.data.visit_times import VisitTime, in_order_of_time, number_of_visit, time_of_visit


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("Baseline", VisitTime(0.0, None)),
        ("6 weeks", VisitTime(42.0, "week")),
        ("6w", VisitTime(42.0, "week")),
        ("3_months_arm_1", VisitTime(91.3125, "month")),
        ("6 weeks left", VisitTime(42.0, "week")),
        ("3_months_arm_1 right", VisitTime(91.3125, "month")),
        ("week 6", None),
        ("left", None),
        ("2", None),
    ],
)
def test_a_name_tells_its_time_with_or_without_arm_and_side(
    name: str, time: VisitTime | None
) -> None:
    assert time_of_visit(name) == time


@pytest.mark.parametrize(
    ("name", "number"), [("2", 2.0), ("visit 2", 2.0), ("V1.5", 1.5), ("2 left", 2.0), ("x", None)]
)
def test_a_name_tells_its_number(name: str, number: float | None) -> None:
    assert number_of_visit(name) == number


@given(
    st.lists(
        st.sampled_from(["baseline", "2 weeks", "6 weeks", "3 months", "6 months", "1 year"]),
        unique=True,
    )
)
def test_the_order_does_not_depend_on_the_order_of_the_table(names: list[str]) -> None:
    usual = ["baseline", "2 weeks", "6 weeks", "3 months", "6 months", "1 year"]
    assert in_order_of_time(names) == sorted(names, key=usual.index)


def test_visits_at_one_time_have_no_order() -> None:
    assert in_order_of_time(["6 weeks left", "6 weeks right"]) is None
    assert in_order_of_time(["6 weeks left"]) == ["6 weeks left"]
