"""The networks and their training: backbones, heads, hypermodels, frozen features and folds."""
