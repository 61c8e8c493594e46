"""Model files: a draft takes its final name, and nothing that another process may be reading is deleted."""

from pathlib import Path

import pytest

from resources.lake.model_files import draft_name, settle


def make_model(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(folder.name)
    return folder


def test_a_complete_model_of_another_process_stays_and_the_draft_is_removed(tmp_path: Path) -> None:
    path, draft = make_model(tmp_path / "model", "whole"), make_model(tmp_path / draft_name("model"), "whole")
    settle(draft, path, "whole")
    assert [each.name for each in tmp_path.iterdir()] == ["model"]
    assert (path / "whole").read_text() == "model"


def test_an_incomplete_model_becomes_a_draft_for_housekeeping(tmp_path: Path) -> None:
    path, draft = make_model(tmp_path / "model", "part"), make_model(tmp_path / draft_name("model"), "whole")
    settle(draft, path, "whole")
    assert (path / "whole").read_text() == draft.name
    (remnant,) = [each for each in tmp_path.iterdir() if each != path]
    assert remnant.name.startswith(".model.")
    assert (remnant / "part").exists()


def test_a_file_that_cannot_be_renamed_fails_with_the_cause(tmp_path: Path) -> None:
    draft = tmp_path / draft_name("graph.onnx")
    draft.write_text("a graph")
    with pytest.raises(FileNotFoundError, match=r"no folder/graph\.onnx"):
        settle(draft, tmp_path / "no folder" / "graph.onnx")
    assert not draft.exists()
