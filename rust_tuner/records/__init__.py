"""What the files of a study hold: each is written and read in one place."""
