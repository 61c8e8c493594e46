"""Early work: begun in a thread, awaited where it is needed, and forgotten if it fails."""

import threading
from pathlib import Path

import dagster as dg
import pytest

from pipeline.networks.pretrained import PretrainedError
from resources.lake.lake import Lake
from resources.models.catalogue import BackboneCatalogue
from resources.models.early_work import await_early, make_early


def test_early_work_is_done_once_and_awaited() -> None:
    go, done = threading.Event(), []

    def make() -> None:
        go.wait()
        done.append("made")

    make_early("work", make)
    make_early("work", make)
    assert not done
    go.set()
    await_early("work")
    assert done == ["made"]


def test_work_that_was_not_begun_is_not_awaited() -> None:
    await_early("no such work")


def test_an_early_export_that_fails_fails_where_the_graph_is_needed(tmp_path: Path) -> None:
    catalogue = BackboneCatalogue(weights=str(tmp_path / "none.pth"), lake=Lake(root=str(tmp_path)))
    catalogue.setup_for_execution(dg.build_init_resource_context())
    with pytest.raises(PretrainedError, match="do not exist"):
        catalogue.export()
