"""Components: what a deployment declares in YAML below `assets/defs`, for `dg scaffold`, `dg check` and `dg list`."""

from assets.components.image_classifier import ImageClassifier, build, list_questions

__all__ = ["ImageClassifier", "build", "list_questions"]
