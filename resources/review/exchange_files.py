"""Files for other labelling tools: a folder with re-encoded images and one JSON file, and the way back as answers."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from pipeline.reviews.answers import Answer, AnswerError, parse_key, parse_label, parse_name
from pipeline.reviews.desk import Desk
from pipeline.reviews.exchange import Said
from pipeline.reviews.fiftyone import name_of, read_labels, write_labels
from pipeline.reviews.items import Item
from pipeline.reviews.label_studio import read_annotations, write_interface, write_tasks
from resources.review.images import Images

FIFTYONE: Final = "fiftyone"
LABEL_STUDIO: Final = "label-studio"
FORMATS: Final = (FIFTYONE, LABEL_STUDIO)
MAX_BYTES: Final = 2**28  # of a file to import


def export(desk: Desk, images: Images, tool: str, folder: Path) -> Counter[str]:
    """Writes the images and the file of a tool; counts images written and those that have no bytes any more.

    Raises:
        FileExistsError: if the folder exists: an export never mixes with another.
    """
    folder.mkdir(parents=True)
    data, counts, written = folder / "data", Counter[str](), list[Item]()
    data.mkdir()
    for item in desk.items.values():
        content = images.get(item.key)
        counts["written" if content else "missing"] += 1
        if content:
            (data / f"{name_of(item)}.jpg").write_bytes(content)
            written.append(item)
    if tool == FIFTYONE:
        _write_json(folder / "labels.json", write_labels(written))
    else:
        addresses = [f"/data/local-files/?d={folder.name}/data/{name_of(item)}.jpg" for item in written]
        _write_json(folder / "tasks.json", write_tasks(written, addresses))
        (folder / "interface.xml").write_text(write_interface(desk.labels))
    return counts


def read_answers_of(file: Path, reviewer: str, desk: Desk) -> list[Answer]:
    """Reads the file that a tool exported as answers, one action each.

    Args:
        file: JSON of either tool.
        reviewer: who answered, where the file does not say.
        desk: the queue, which knows what was predicted.

    Raises:
        AnswerError: if the file, an image, a label or a name cannot be used; nothing of it is stored then.
    """
    answers: list[Answer] = []
    for said in _read(file):
        name, at = parse_name(said.reviewer or reviewer), datetime.now(UTC)
        if not isinstance(said.label, str) or not isinstance(said.key, str):
            raise AnswerError(f"{file} has a label or a key that is no text: {said.label!r:.60}")
        answers += desk.answer([parse_key(said.key)], parse_label(said.label), name, at, uuid4().hex)
    return answers


def _read(file: Path) -> Iterator[Said]:
    if file.stat().st_size > MAX_BYTES:
        raise AnswerError(f"{file} is larger than {MAX_BYTES} bytes: split it")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"{file} is no JSON ({error})") from error
    return read_labels(content) if isinstance(content, dict) else read_annotations(content)


def _write_json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1))
