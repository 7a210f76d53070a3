"""The steps of a study around its searches: prepare, plan, refit, evaluate, repeat and check."""
