"""RUST scores: views, cortices, the scores of a cortex, and the range of their total.

Without NumPy, so that the command line can name ranges before it computes; label vectors belong to
`labels`.
"""

VIEWS = ("ap", "lateral")
CORTICES = ("medial", "lateral", "anterior", "posterior")
SCORES = (1, 2, 3, 4)
# The range of the RUST total, which is the sum of the four cortices' scores.
LOWEST_TOTAL = min(SCORES) * len(CORTICES)
HIGHEST_TOTAL = max(SCORES) * len(CORTICES)
# By default, a total of at least this is union.
UNION_THRESHOLD = 13.0
