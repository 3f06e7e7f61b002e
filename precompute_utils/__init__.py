"""What is worked out about a dataset before generation: captions, text features, image features."""
