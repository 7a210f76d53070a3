"""Why a trial may be tied with the best one although another of a better rank is not."""

import pandas as pd

from rust_tuner.words import p_value


def tie_note(table: pd.DataFrame, *, name: str = "trial", score: str = "score") -> str:
    """The explanation, with the numbers of one such pair; empty if ties follow the ranks.

    A trial loses its tie only if its folds show that it differs from the best one (see
    `metrics.tied_with_best`). A trial whose difference from the best one varies widely over the
    folds may therefore stay tied, below others with a better mean. Without the second test, noisy
    trials would lose their tie for their noise alone; if every trial of a better rank were tied,
    one noisy trial would tie nearly all.

    Args:
        table: one row per trial or model, with `tied_with_best` and `p_against_best`.
        name: the column of its name.
        score: the column of its mean.
    """
    compared = table.dropna(subset=["tied_with_best", score, "p_against_best"])
    ranked = compared.sort_values(score, ascending=False, kind="stable")
    tied = ranked["tied_with_best"].to_numpy(dtype=bool)
    if tied.all() or not tied.any() or not tied[tied.argmin() :].any():
        return ""
    first_untied = int(tied.argmin())
    later = first_untied + int(tied[first_untied:].argmax())
    one, other = (ranked.iloc[index] for index in (later, first_untied))
    return (
        f"{one[name]} (rank {later + 1}) is tied and {other[name]} (rank {first_untied + 1}) is "
        "not: the difference of the former from the best varies more from fold to fold, so it may "
        "be worse by chance alone (tested against the best by itself, "
        f"p = {p_value(one['p_against_best'])}, {p_value(other['p_against_best'])})."
    )
