"""Exchange with FiftyOne and Label Studio: labels come back equal, hostile ones too, and the audit stays blind."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import MakePhoto
from review_lake import HOSTILE, LABELS, ReviewLake

from assets.commands.exchange import export_queue, import_answers
from pipeline.reviews.answer_files import read_answers
from pipeline.reviews.answers import AnswerError
from resources.review.exchange_files import FIFTYONE, LABEL_STUDIO
from resources.settings import Settings, read_settings

SAID = ("apple", "<b>quince</b>", 'a "new" & <label/>', "(none)", "(bad image)", "=1+1", "ö/ä")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, make_photo: MakePhoto) -> ReviewLake:
    return ReviewLake(tmp_path_factory.mktemp("lake"), make_photo)


@pytest.fixture
def settings(lake: ReviewLake) -> Iterator[Settings]:
    yield read_settings().replace(lake=str(lake.root))
    for file in lake.root.glob("review_answers/*"):
        file.unlink()


def stored(lake: ReviewLake) -> dict[str, tuple[str, str | None]]:
    answers = read_answers(str(lake.root)).standing()
    return {str(answer.key): (answer.reviewer, answer.label) for answer in answers}


def read(file: Path) -> Any:
    return json.loads(file.read_text())


def save(file: Path, content: Any) -> Path:
    file.write_text(json.dumps(content))
    return file


def test_label_studio_gets_predictions_except_of_the_audit_and_its_answers_come_back(
    lake: ReviewLake, settings: Settings, tmp_path: Path
) -> None:
    assert "21 images" in export_queue(settings, LABEL_STUDIO, tmp_path / "out", "")
    tasks = read(tmp_path / "out" / "tasks.json")
    audited = {lake.key(number) for number in (0, 1, 2, 10, 11, 12)}
    for task in tasks:
        assert bool(task["predictions"]) == (task["data"]["reason"] not in ("audit", "label issue"))
        assert (task["data"]["reason"] == "audit") == (task["data"]["key"] in audited)
        assert (tmp_path / "out" / "data" / Path(task["data"]["image"]).name).read_bytes()[:3] == b"\xff\xd8\xff"
    assert HOSTILE in {task["data"]["path"] for task in tasks}
    values = [choice.get("value") for choice in ET.parse(tmp_path / "out" / "interface.xml").iter("Choice")]
    assert set(LABELS) < set(values)
    expected = {}
    for number, task in enumerate(tasks[:-1]):
        label, who = SAID[number % len(SAID)], {"email": "anna@example.org"} if number % 2 else None
        result = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
        task["annotations"] = [{"result": [result], "completed_by": who}]
        expected[task["data"]["key"]] = ("label studio anna@example.org" if who else "ben", label)
    tasks[-1]["annotations"] = [{"result": [], "completed_by": 1}, {"result": [result], "was_cancelled": True}]
    assert "20 answers" in import_answers(settings, save(tmp_path / "back.json", tasks), "ben")
    assert stored(lake) == expected
    predicted = {str(answer.key): answer.predicted_label for answer in read_answers(str(lake.root)).standing()}
    assert predicted[lake.key(0)] == LABELS[0], "the estimate of the accuracy needs what was predicted"


def test_fiftyone_gets_predictions_except_of_the_audit_and_its_labels_come_back(
    lake: ReviewLake, settings: Settings, tmp_path: Path
) -> None:
    export_queue(settings, FIFTYONE, tmp_path / "out", "2026-11-27")
    labels = read(tmp_path / "out" / "labels.json")["labels"]
    names = {file.stem for file in (tmp_path / "out" / "data").iterdir()}
    assert names == labels.keys()
    blind = {name for name, label in labels.items() if label is None and not name.startswith("labelled")}
    assert blind == {lake.key(number).replace("/", "_") for number in (0, 1, 2)}
    given = {name: SAID[number % len(SAID)] for number, name in enumerate(labels)}
    classes = sorted(set(SAID))
    for number, back in enumerate(
        (
            {"classes": None, "labels": given},
            {"classes": classes, "labels": {name: classes.index(label) for name, label in given.items()}},
            {"classes": classes, "labels": {name: {"label": label} for name, label in given.items()}},
        )
    ):
        import_answers(settings, save(tmp_path / f"{number}.json", back), "ben")
        assert stored(lake) == {name.replace("_", "/", 1): ("ben", label) for name, label in given.items()}


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"labels": {"../../etc_passwd": "x"}},
        {"labels": {"labelled_" + "a" * 64: {"label": ["x"]}}},
        {"labels": {"labelled_" + "a" * 64: ""}},
        {"labels": 1},
        [{"data": {}}],
        [{"data": {"key": "x"}, "annotations": [{"result": [{"from_name": "label"}]}]}],
        [1],
    ],
)
def test_an_unusable_file_stores_nothing(lake: ReviewLake, settings: Settings, tmp_path: Path, content: Any) -> None:
    good = {"labels": {lake.key(3).replace("/", "_"): "apple"}}
    if isinstance(content, dict) and isinstance(content["labels"], dict):
        content = {"labels": good["labels"] | content["labels"]}
    if content:
        with pytest.raises(AnswerError):
            import_answers(settings, save(tmp_path / "bad.json", content), "ben")
    else:
        import_answers(settings, save(tmp_path / "bad.json", content), "ben")
    assert stored(lake) == {}


def test_an_export_never_mixes_with_another(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        export_queue(settings, FIFTYONE, tmp_path, "")
