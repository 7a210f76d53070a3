"""Numbers and verdicts from records alone; nothing is drawn, and TensorFlow is not used."""
