"""The cross-validated search: records, oracles, tuner and regimes."""
