"""The component: a few lines of YAML make a question, and wrong ones get a sentence with the key and the line."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets.components import ImageClassifier, list_questions
from assets.components.scaffolder import ImageClassifierScaffolder
from resources.question import Question
from resources.settings import SettingError, read_settings

TYPE = "type: assets.components.ImageClassifier"
HEAD = f"{TYPE}\nattributes:\n  name: damage\n"


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Writes files below the folder of definitions of a project, and loads their questions."""
    name = f"project_{tmp_path.name}".replace("-", "_")
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{name}"\n'
    )
    monkeypatch.syspath_prepend(tmp_path)

    def load(*texts: str) -> list[Question]:
        for number, text in enumerate(texts):
            folder = tmp_path / name / "defs" / f"question{number}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "defs.yaml").write_text(text)
        for folder in (tmp_path / name, tmp_path / name / "defs"):
            (folder / "__init__.py").touch()
        return list_questions(dg.ComponentTree.for_project(tmp_path), read_settings())

    return load


def test_three_lines_are_enough(load: Iterator) -> None:
    (question,) = load(HEAD)
    settings = read_settings()
    assert question.key("predictions") == dg.AssetKey(["damage", "predictions"])
    assert question.settings.training == f"{settings.landing}/damage/training"
    assert question.settings.thresholds == settings.thresholds


def test_several_labels_an_image_are_one_key(load: Iterator) -> None:
    (question,) = load(f"{HEAD}  manifest: damage.csv\n  multi_label: true\n")
    assert question.is_multi_label
    assert question.defaults == {"classifier_candidate": {"head": "yes_no"}}


def test_what_a_component_names_is_its_own(load: Iterator) -> None:
    (question,) = load(
        f"{HEAD}  training: /photos\n  labels: {{orange: citrus}}\n  head: naive_bayes\n  grid: {{smoothing: [1, 2]}}\n"
        "  accuracy_floor: 0.6\n  audit_min: 7\n  schedule: 0 6 * * *\n  owners: [team:fruit]\n"
    )
    assert question.settings.training == "/photos"
    assert question.settings.accuracy_floor == 0.6
    assert question.settings.audit_size.min_count == 7
    assert question.labels == {"orange": "citrus"}
    assert question.defaults == {"classifier_candidate": {"head": "naive_bayes", "grid": {"smoothing": [1.0, 2.0]}}}
    assert (question.schedule, question.owners) == ("0 6 * * *", ("team:fruit",))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("accuracy_flor: 0.6", r"accuracy_flor in line 4 of .*defs.yaml is no key .*: did you mean accuracy_floor\?"),
        ("colour: 1", "colour in line 4 of .*defs.yaml is no key of ImageClassifier: the keys are name, training"),
        ("accuracy_floor: 6", "accuracy_floor in line 4 of .* cannot be used: input should be less than .* it is 6"),
        ("head: yes_no", "attributes in line 2 of .*: the head yes_no is that of multi_label: set multi_label: true"),
        (
            "multi_label: true\n  labels: {a: b}",
            "attributes in line 2 .*: multi_label and labels exclude each other",
        ),
        ("head: svm", "head in line 4 of .* cannot be used: input should be 'auto', .* it is 'svm'"),
        ("review_flags: nice", "review_flags in line 4 of .*: 'nice' is not a quality flag"),
        ("manifest: a.csv\n  label_pattern: b", "attributes in line 2 of .*: manifest and label_pattern both"),
        ("owners: [team", "line 5 of .*defs.yaml is not YAML: "),
        ("audit_min: 5000", "audit_min of damage is 5000, above audit_max"),
    ],
)
def test_a_wrong_line_gets_a_sentence(load: Iterator, line: str, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        load(f"{HEAD}  {line}\n")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"{TYPE}\nattributes:\n  training: photos\n", "name is missing in line 2 of"),
        (f"{TYPE}\nattributes:\n  name: Damage!\n", "name in line 3 of .*: 'Damage!' is no name"),
        (f"{TYPE}\nattributes:\n  name: models\n", "name in line 3 of .*: models is a name that the deployment uses"),
        (
            HEAD.replace("ImageClassifier", "Classifier"),
            "type in line 1 of .*defs.yaml is assets.components.Classifier, which does not exist: dg list components",
        ),
        (f"# later\n{HEAD.replace('assets.components', 'nowhere')}", "type in line 2 of .*: dg list components"),
        ("", "type is missing in line 1 of .*defs.yaml: start with type: assets.components.ImageClassifier"),
        ("# later\n", "type is missing in line 1 of "),
        ("attributes:\n  name: damage\n", "type is missing in line 1 of "),
        (f"{HEAD}---\n- a\n", "type is missing in line 5 of "),
        ("type: \x07", "is not YAML in UTF-8: "),
        ("\tname: damage", "line 1 of .* is not YAML: found character"),
    ],
)
def test_a_wrong_file_gets_a_sentence(load: Iterator, text: str, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        load(text)


def test_two_files_with_one_name_are_refused(load: Iterator) -> None:
    with pytest.raises(SettingError, match="two files in assets/defs have the name damage"):
        load(HEAD, HEAD)


def test_the_scaffold_can_be_loaded_as_it_is(load: Iterator, tmp_path: Path) -> None:
    folder = tmp_path / "damage"
    folder.mkdir()
    ImageClassifierScaffolder().scaffold(
        dg.ScaffoldRequest("assets.components.ImageClassifier", folder, "yaml", tmp_path, None)
    )
    (question,) = load((folder / "defs.yaml").read_text())
    assert question.name == "damage"


def test_every_key_is_described() -> None:
    keys = ImageClassifier.model().model_json_schema()["properties"]
    assert keys.keys() == ImageClassifier.model_fields.keys()
    for name, key in keys.items():
        assert key["description"].endswith("."), name
