"""What a study does beyond its searches: refit, evaluate, repeat, predict, plan and check."""
