"""Cures: what to do about a failed check or error, in one sentence each; docs/operations.md has the details."""

from typing import Final

DEFAULT: Final = "Read the error on the page; docs/operations.md, “When something is red”, lists the cures"
_CANDIDATE: Final = (
    "The classifier in use stays. Look at label_issues and the confusion matrix; correct labels or add images, and"
    " train again"
)
_DRIFT: Final = "Look at the examples on the page of drift; label some of the new images and train"
_NETWORK: Final = "Check DAYLIGHT_PIXEL_SCALING and DAYLIGHT_FEATURES_TENSOR of your own network; else report a bug"
_MESSAGE: Final = "Follow the message, and launch the job again"

CURES: Final = {
    "every_file_has_a_prediction_or_a_reason": "Launch the day again from images; if it stays red, report a bug",
    "rejected_files_are_few": (
        "Look at the errors on the page of predictions; launch the day again once its upload is complete, or raise"
        " DAYLIGHT_MAX_REJECTED_SHARE if its files really are broken"
    ),
    "every_due_day_has_predictions": (
        "Put the day's images into the landing zone and launch the job daily for it; list days without images in"
        " DAYLIGHT_QUIET_DAYS"
    ),
    "days_are_as_easy_as_the_training_set": (
        "Nothing must be done: fewer predictions are answered. Label images of such days and train, so that more are"
    ),
    "images_resemble_the_training_set": _DRIFT,
    "labels_are_distributed_as_on_the_holdout": f"{_DRIFT}; do nothing if the business explains the shift",
    "end_to_end_graph_matches_the_classifier": "Materialize classifier_candidate again; if it stays red, report a bug",
    "backbone_matches_its_network": _NETWORK,
    "backbone_recognises_known_photos": _NETWORK,
    "int8_costs_little": "Set DAYLIGHT_PRECISION=auto, and measure_again in the launchpad of precision_measurement",
    "every_answer_is_used": "Correct the form and line that the message names, and train",
    "LandingError": "Wait for the upload, or mark the day as one without images; then launch the day",
    "Interrupted": "Launch it again: finished tables and embeddings are stored, and unfinished tables are as before",
    "RunCrashed": "Nothing if Dagster's retry is green; else give Spark more memory",
    **dict.fromkeys(
        (
            "LabelError",
            "TrainingError",
            "HeadError",
            "LakeError",
            "ModelError",
            "ReviewError",
            "PromotionError",
            "SparkStartError",
        ),
        _MESSAGE,
    ),
}
"""By the name of a check or an error."""


def find_cure(name: str) -> str:
    """Finds the cure for a check or an error."""
    return _CANDIDATE if name.startswith("candidate_") else CURES.get(name, DEFAULT)
