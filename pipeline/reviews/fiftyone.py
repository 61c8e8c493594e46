"""Exchange with FiftyOne: its `FiftyOneImageClassificationDataset`, a folder of images and one JSON file of labels.

Format: https://docs.voxel51.com/user_guide/import_datasets.html, as of FiftyOne 1.22.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.reviews.answers import AnswerError
from pipeline.reviews.exchange import Said
from pipeline.reviews.items import Item


def write_labels(items: Sequence[Item]) -> dict[str, Any]:
    """Writes `labels.json`: the predictions by the names of the image files; null for images of the audit."""
    labels: dict[str, Any] = {}
    for item in items:
        predicted = None
        if not item.is_blind and item.predicted_label:
            share = dict(item.likely).get(item.predicted_label, 0.0)
            attributes = {"path": item.path, "reason": item.reason, "classifier": item.classifier}
            predicted = {"label": item.predicted_label, "confidence": share, "attributes": attributes}
        labels[name_of(item)] = predicted
    return {"labels": labels}


def name_of(item: Item) -> str:
    """Name of an item's image file, without its ending; file names of users never become names of files."""
    return str(item.key).replace("/", "_")


def read_labels(content: Any) -> Iterator[Said]:
    """Reads a `labels.json` that FiftyOne exported; null says nothing.

    Raises:
        AnswerError: if it is no such file.
    """
    try:
        classes, labels = content.get("classes"), content["labels"]
        for name, label in labels.items():
            found = label.get("label") if isinstance(label, dict) else label
            if isinstance(found, int) and classes is not None:
                found = classes[found]
            if found is not None:
                yield Said(name.replace("_", "/", 1), found, None)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise AnswerError(f"this is no labels.json of FiftyOne ({error!r})") from error
