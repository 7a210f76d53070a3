"""The files of a study, each written and read in one place."""
