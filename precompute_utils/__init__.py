"""Scripts that prepare a dataset: captions, text features, image features."""
