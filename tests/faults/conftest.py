"""A deployment that is trained once, and copies of it for the faults."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import COLOURS, MakePhoto
from deployment import DAY, NEXT_DAY, Deployment


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder for `make test-faults`, except those for `make test-ui`."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("ui"):
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder shared by all workers of this test run."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@contextmanager
def first_of_all_workers(root: Path) -> Iterator[bool]:
    """Lets one worker in at a time; yields whether it is the first."""
    root.mkdir(exist_ok=True)
    done = root / "done"
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not done.exists()
        done.touch()


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory, make_photo: MakePhoto) -> Deployment:
    """Labelled images and two days that were not read yet."""
    deployment = Deployment(tmp_path_factory.mktemp("untrained"))
    deployment.lay_out(make_photo, labelled=20)
    for number in range(60):
        colour = list(COLOURS)[number % 3]
        (deployment.folder(DAY) / f"{number:03} {colour}.jpg").write_bytes(make_photo(colour, 1000 + number))
        (deployment.folder(NEXT_DAY) / f"{number:03} {colour}.jpg").write_bytes(make_photo(colour, 2000 + number))
    return deployment


@pytest.fixture(scope="session")
def trained(untrained: Deployment, shared: Path) -> Deployment:
    """The deployment with a classifier."""
    root = shared / "trained"
    with first_of_all_workers(shared / "training") as is_first:
        if is_first:
            shutil.rmtree(root, ignore_errors=True)
            run = untrained.copy(root).run("training")
            assert run.is_good, run.text
    return Deployment(root)


@pytest.fixture(scope="session")
def expected(trained: Deployment, shared: Path) -> dict[str, dict]:
    """Rows of both days without a fault."""
    root = shared / "expected"
    with first_of_all_workers(shared / "expecting") as is_first:
        if is_first:
            shutil.rmtree(root, ignore_errors=True)
            run = trained.copy(root).run("daily", DAY, NEXT_DAY)
            assert run.is_good, run.text
    return {day: Deployment(root).all_rows(day) for day in (DAY, NEXT_DAY)}


@pytest.fixture
def deployment(trained: Deployment, tmp_path: Path) -> Iterator[Deployment]:
    """A copy of the trained deployment, to break."""
    yield trained.copy(tmp_path)
    shutil.rmtree(tmp_path, ignore_errors=True)
