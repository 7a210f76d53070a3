"""Speed and memory as ratios measured in one run; each script prints one table."""
