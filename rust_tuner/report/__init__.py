"""What is told of a search, from its records alone and without TensorFlow."""
