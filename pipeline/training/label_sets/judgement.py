"""The judgement of a classifier of sets: temperatures, thresholds and scores, as `evaluation.json` records them."""

from collections.abc import Sequence
from typing import Any, cast

from pipeline.evaluation.calibration import Calibration
from pipeline.evaluation.labelled_predictions import LabelledPredictions
from pipeline.evaluation.mixture import calibrate_mixture, choose_thresholds, mix
from pipeline.evaluation.set_calibration import keep_answers, soften_sets
from pipeline.evaluation.set_predictions import SetPredictions
from pipeline.evaluation.set_scores import evaluate_sets


def judge_sets(
    levels: Sequence[LabelledPredictions], holdout: LabelledPredictions, target_precision: float
) -> tuple[Calibration, dict[str, Any], tuple[LabelledPredictions, ...]]:
    """Calibrates by the mixture that is as hard as the holdout, keeps the promises on its labels, and evaluates on it.

    Args:
        levels: sets predicted by the cross-fits, not calibrated, the easiest first.
        holdout: sets predicted by the classifier, not calibrated.
        target_precision: required precision of each answer, 0 to 1.

    Returns:
        A calibration that leaves probabilities as they are, what `evaluation.json` records, and the levels, calibrated.
    """
    fitted, found = cast("Sequence[SetPredictions]", levels), cast("SetPredictions", holdout)
    temperatures = {label: _fit_temperature(fitted, found, label, target_precision) for label in found.classes}
    calm, softened = tuple(soften_sets(each, temperatures) for each in fitted), soften_sets(found, temperatures)
    mixture = mix(calm, float(softened.confidence.mean()))
    calibration, _ = calibrate_mixture(calm, mixture, target_precision)
    thresholds = choose_thresholds(calm, mixture, calibration).labels
    report = evaluate_sets(softened, keep_answers(thresholds, softened, target_precision))
    return calibration, {**report, "temperatures": temperatures}, calm


def _fit_temperature(
    levels: Sequence[SetPredictions], holdout: SetPredictions, label: str, target_precision: float
) -> float:
    answers = [level.about(label) for level in levels]
    mixture = mix(answers, float(holdout.about(label).confidence.mean()))
    return calibrate_mixture(answers, mixture, target_precision)[0].temperature
