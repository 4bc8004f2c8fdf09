"""What a project holds: classes, inputs, attributions, analyses, annotations, and a model to ask."""
