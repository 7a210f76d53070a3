"""The cross-validated search: oracles, subjects, tuner, trials and regimes; where trials run."""
