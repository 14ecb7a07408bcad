"""What are an image and a model? Decoding, preprocessing, the network, its file, and the way to a score."""
