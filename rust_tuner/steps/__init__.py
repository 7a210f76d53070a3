"""The steps of a study other than its searches: prepare, plan, refit, evaluate, repeat and check."""
