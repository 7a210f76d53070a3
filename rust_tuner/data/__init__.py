"""Radiographs: manifest, pixels, phantoms, splits and tf.data pipelines."""
