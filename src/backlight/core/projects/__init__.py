"""What a project holds beside its arrays: samples, annotations, folders it may read, a model to ask."""
