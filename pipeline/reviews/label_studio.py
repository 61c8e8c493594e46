"""Exchange with Label Studio: its tasks with predictions, its labelling interface, and its annotations as answers.

Format: https://labelstud.io/guide/task_format and `.../guide/predictions`, as read by label-studio-sdk 2.1.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from pipeline.reviews.answers import BAD_IMAGE, CANNOT_TELL, NONE, AnswerError
from pipeline.reviews.exchange import Said
from pipeline.reviews.items import Item

FROM: Final = "label"
TO: Final = "image"


def write_tasks(items: Sequence[Item], addresses: Sequence[str]) -> list[dict[str, Any]]:
    """Writes one task per item; an image of the audit has no prediction.

    Args:
        items: the items.
        addresses: of their images, as Label Studio should read them.
    """
    tasks = []
    for item, address in zip(items, addresses, strict=True):
        data = {TO: address, "key": str(item.key), "path": item.path, "reason": item.reason}
        task: dict[str, Any] = {"data": data, "predictions": []}
        if not item.is_blind and item.predicted_label:
            result = {"from_name": FROM, "to_name": TO, "type": "choices", "value": {"choices": [item.predicted_label]}}
            score = dict(item.likely).get(item.predicted_label, 0.0)
            task["predictions"] = [{"model_version": item.classifier or "", "score": score, "result": [result]}]
        tasks.append(task)
    return tasks


def write_interface(labels: Sequence[str]) -> str:
    """Writes the labelling interface: one choice per label, and those that are no label."""
    choices = "".join(f"<Choice value={quoteattr(label)}/>" for label in [*labels, NONE, CANNOT_TELL, BAD_IMAGE])
    return f'<View><Image name="{TO}" value="${TO}"/><Choices name="{FROM}" toName="{TO}">{choices}</Choices></View>'


def read_annotations(tasks: Any) -> Iterator[Said]:
    """Reads the annotations of an export (JSON); cancelled and empty ones say nothing.

    Raises:
        AnswerError: if it is no export of such tasks.
    """
    if not isinstance(tasks, list):
        raise AnswerError("this is no export of Label Studio: export as JSON, not as JSON-MIN or CSV")
    for number, task in enumerate(tasks, 1):
        try:
            key = task["data"]["key"]
            for annotation in task.get("annotations", ()):
                results = [each for each in annotation["result"] if each.get("from_name") == FROM]
                if results and not annotation.get("was_cancelled"):
                    who = annotation.get("completed_by")
                    name = who.get("email") if isinstance(who, dict) else who
                    yield Said(
                        key, results[-1]["value"]["choices"][0], None if name is None else f"label studio {name}"
                    )
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise AnswerError(f"task {number} is none that Daylight exported ({error!r})") from error
