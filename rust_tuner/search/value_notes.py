"""What a user must know about values: those that are not finite, of which losses become NaN.

A model may mask them, so they are reported and not refused.
"""

import numpy as np

from rust_tuner.data.structures import AnyRows, leaves, tree_of


def not_finite_notes(rows: AnyRows, name: str) -> list[str]:
    """For each array, how many rows have values that are NaN or infinite; nothing if none has.

    Args:
        rows: arrays (n, ...).
        name: how messages call them, such as `x`.
    """
    notes = []
    for part, array in leaves(tree_of(rows)):
        if array.dtype.kind not in "fc" or not array.size:
            continue
        # A sum is not finite where any value is not, and takes no memory; it may also overflow.
        flat = array.reshape(len(array), -1)
        with np.errstate(over="ignore", invalid="ignore"):
            sums = flat.sum(axis=1, dtype=np.result_type(array, np.float64))
        suspects = np.flatnonzero(~np.isfinite(sums))
        faulty = suspects[~np.isfinite(flat[suspects]).all(axis=1)]
        if len(faulty):
            verb = "has" if len(faulty) == 1 else "have"
            notes.append(
                f"WARNING: {len(faulty)} of {len(array)} rows of {f'{name} {part}'.strip()} {verb} "
                f"values that are NaN or infinite, row {faulty[0]} first; unless the model masks "
                "them, every trial fails: leave these rows out, or fill the values in"
            )
    return notes
