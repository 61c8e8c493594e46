"""Heads: the MLlib classifiers that can be fitted on the features, by name, with their default parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pyspark.ml import Estimator
from pyspark.ml.classification import (
    GBTClassifier,
    LinearSVC,
    LogisticRegression,
    MultilayerPerceptronClassifier,
    NaiveBayes,
    OneVsRest,
    RandomForestClassifier,
)
from pyspark.ml.param import Param

from pipeline.training.discriminant_head import LinearDiscriminant

HeadName = Literal[
    "auto",
    "logistic_regression",
    "linear_discriminant",
    "random_forest",
    "gradient_boosted_trees",
    "linear_svc",
    "naive_bayes",
    "multilayer_perceptron",
    "yes_no",
]
Normalization = Literal["l2", "standard", "none"]
Number = float | int
AUTO: Final = "auto"
YES_NO: Final = "yes_no"
"""One logistic regression for each label of sets of labels; `label_sets/model.py` fits them."""
HIDDEN: Final = "hidden"


class HeadError(ValueError):
    """A head that cannot be built; the message names the request and the choices."""


@dataclass(frozen=True)
class Head:
    """An unfitted head.

    Attributes:
        name: one of `HeadName`.
        estimator: estimator to fit, including one-vs-rest.
        core: classifier with the parameters: the estimator itself, or the one that one-vs-rest copies.
        layers: outer layers of a perceptron: length of the vector and number of labels.
    """

    name: str
    estimator: Estimator
    core: Estimator
    layers: tuple[int, int]

    def setting(self, param: str, value: Number) -> tuple[Param, object]:
        """Translates a named value into a parameter of MLlib.

        Raises:
            HeadError: if the head has no such parameter, or the value does not fit it.
        """
        if param == HIDDEN and self.core.hasParam("layers"):
            return self.core.getParam("layers"), [self.layers[0], int(value), self.layers[1]]
        if not self.core.hasParam(param):
            known = ", ".join(sorted(each.name for each in self.core.params if not each.name.endswith("Col")))
            raise HeadError(f"the head {self.name} has no parameter {param!r}; its parameters are {known}")
        try:
            return self.core.getParam(param), self.core.getParam(param).typeConverter(value)
        except TypeError as error:
            raise HeadError(f"the head {self.name} cannot have {param} = {value!r}: {error}") from error


@dataclass(frozen=True)
class _Kind:
    classifier: Callable[..., Any]
    defaults: Mapping[str, Number]
    one_vs_rest: bool = False


_KINDS: Final[dict[str, _Kind]] = {
    "logistic_regression": _Kind(LogisticRegression, {"regParam": 0.05, "maxIter": 50}),
    "linear_discriminant": _Kind(LinearDiscriminant, {"shrinkage": 0.3}),
    "random_forest": _Kind(RandomForestClassifier, {"numTrees": 200, "maxDepth": 10}),
    "gradient_boosted_trees": _Kind(GBTClassifier, {"maxIter": 20, "maxDepth": 4, "stepSize": 0.2}, one_vs_rest=True),
    "linear_svc": _Kind(LinearSVC, {"regParam": 0.1, "maxIter": 50}, one_vs_rest=True),
    "naive_bayes": _Kind(NaiveBayes, {"smoothing": 0.01}),
    "multilayer_perceptron": _Kind(MultilayerPerceptronClassifier, {HIDDEN: 128, "maxIter": 100}),
    YES_NO: _Kind(LogisticRegression, {"regParam": 0.05, "maxIter": 50}),
}


def build_head(name: str, params: Mapping[str, Number], *, dimension: int, class_count: int, seed: int) -> Head:
    """Builds a head that reads the columns `vector` and `label_index`.

    Args:
        name: one of `HeadName`.
        params: MLlib parameters by name, which override the defaults; `hidden` is the width of a perceptron's layer.
        dimension: length of the vector.
        class_count: number of labels.
        seed: random seed.

    Raises:
        HeadError: if there is no such head or parameter.
    """
    settings, kind = head_params(name, params), _KINDS[name]
    core = kind.classifier(featuresCol="vector", labelCol="label_index")
    estimator = core
    if kind.one_vs_rest:
        estimator = OneVsRest(classifier=core, featuresCol="vector", labelCol="label_index", parallelism=2)
    head = Head(name, estimator, core, (dimension, class_count))
    if core.hasParam("seed"):
        core.set(core.getParam("seed"), seed)
    for param, value in settings.items():
        core.set(*head.setting(param, value))
    return head


def head_params(name: str, params: Mapping[str, Number]) -> dict[str, Number]:
    """Merges parameters with the defaults of a head; 100 and 100.0 are equal.

    Raises:
        HeadError: if there is no such head.
    """
    if name not in _KINDS:
        raise HeadError(f"there is no head {name!r}; the heads are {', '.join(_KINDS)}")
    settings = {**_KINDS[name].defaults, **params}
    return {param: int(value) if float(value).is_integer() else value for param, value in settings.items()}
