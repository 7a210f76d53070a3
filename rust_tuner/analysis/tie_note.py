"""Why a trial may be tied with the best one where another of a better rank is not."""

import pandas as pd


def tie_note(
    table: pd.DataFrame,
    *,
    name: str = "trial",
    score: str = "score",
    spread: str = "score_std",
) -> str:
    """The explanation, with the numbers of one such pair; empty where ties follow the ranks.

    A trial is set aside only where its own folds show that it differs from the best one (see
    `metrics.tied_with_best`). One whose folds differ widely may keep its tie for that, below others
    of a better mean. Dropping the second test would set noisy trials aside for their noise alone,
    and calling all of a better rank tied would tie nearly all where one trial is noisy.

    Args:
        table: one row a trial or model, with `tied_with_best`.
        name: the column of its name.
        score: the column of its mean.
        spread: the column of its standard deviation over folds.
    """
    known = table.dropna(subset=["tied_with_best", score, spread])
    ranked = known.sort_values(score, ascending=False, kind="stable")
    tied = ranked["tied_with_best"].to_numpy(dtype=bool)
    if tied.all() or not tied.any() or not tied[tied.argmin() :].any():
        return ""
    first_untied = int(tied.argmin())
    later = first_untied + int(tied[first_untied:].argmax())
    one, other = (ranked.iloc[place] for place in (later, first_untied))
    return (
        f"{one[name]} (rank {later + 1}) is tied and {other[name]} (rank {first_untied + 1}) is "
        f"not, since the folds of the former differ more (SD {one[spread]:.3f}, "
        f"{other[spread]:.3f}): it may be worse by chance alone."
    )
