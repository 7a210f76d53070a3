"""The live page of `rust-tuner watch`: what it shows, and the server that shows it."""
