"""What a pipeline is made of: steps that are not ours, cache keys, files, pictures, where it runs."""
