"""A deployment that was trained once, and copies of it in which each fault is injected."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import COLOURS, MakePhoto
from deployment import DAY, NEXT_DAY, Deployment


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder is behind its own make target, but for what is behind that of the UI."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("ui"):
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, make_photo: MakePhoto) -> Deployment:
    """Trained, and with a day that nobody has read yet."""
    deployment = Deployment(tmp_path_factory.mktemp("trained"))
    deployment.lay_out(make_photo, labelled=20)
    for number in range(60):
        colour = list(COLOURS)[number % 3]
        (deployment.folder(DAY) / f"{number:03} {colour}.jpg").write_bytes(make_photo(colour, 1000 + number))
        (deployment.folder(NEXT_DAY) / f"{number:03} {colour}.jpg").write_bytes(make_photo(colour, 2000 + number))
    run = deployment.run("training")
    assert run.is_good, run.text
    return deployment


@pytest.fixture(scope="session")
def expected(trained: Deployment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """The rows of both days where nothing goes wrong."""
    deployment = trained.copy(tmp_path_factory.mktemp("expected"))
    run = deployment.run("daily", DAY, NEXT_DAY)
    assert run.is_good, run.text
    return {day: deployment.all_rows(day) for day in (DAY, NEXT_DAY)}


@pytest.fixture
def deployment(trained: Deployment, tmp_path: Path) -> Iterator[Deployment]:
    """A copy to break."""
    yield trained.copy(tmp_path)
    shutil.rmtree(tmp_path, ignore_errors=True)
