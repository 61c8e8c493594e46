"""Texts are erased from every file of a Dagster instance, whose runs and materializations stay readable."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from resources.instance.forgetting import ERASED, delete_sheets, erase_texts, list_unended

PATH, OTHER = 'cam 7/portrait of "Ms Smith" é.jpg', "cam 7/another portrait of Ms Jones.jpg"
DIGEST = "ab" * 32


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


@dg.asset
def page(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    context.log.warning(f"the file {PATH} is broken, {OTHER} is not")
    print(f"printed {PATH}")  # noqa: T201 goes into a compute log
    metadata = {"path": PATH, "list": dg.MetadataValue.json({"paths": [PATH, OTHER]}), "id": f"/files/{DIGEST}.jpg"}
    return dg.MaterializeResult(metadata=metadata)


@dg.asset_check(asset=page)
def names_are_short() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, description=f"{PATH} is long", severity=dg.AssetCheckSeverity.WARN)


def search(root: Path, *texts: bytes) -> list[str]:
    return [
        str(file) for file in root.rglob("*") if file.is_file() and any(text in file.read_bytes() for text in texts)
    ]


def test_texts_are_erased_from_events_checks_and_logs(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    job = dg.Definitions([page], asset_checks=[names_are_short]).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance)
    (tmp_path / "storage" / "alerts").mkdir(parents=True, exist_ok=True)
    (tmp_path / "storage" / "alerts" / "message.json").write_text(f'{{"text": "see {OTHER} and {DIGEST}"}}')
    wanted = (b"portrait of", DIGEST.encode())
    assert len({Path(file).suffix for file in search(tmp_path, *wanted)} & {".db", ".json"}) == 2
    assert erase_texts(instance, [PATH, DIGEST]) > 2
    assert search(tmp_path, b"Ms Smith", DIGEST.encode()) == []
    event = instance.get_latest_materialization_event(page.key)
    assert event is not None
    materialization = event.asset_materialization
    assert materialization is not None
    metadata = {name: value.value for name, value in materialization.metadata.items()}
    assert (metadata["path"], metadata["id"]) == (ERASED, f"/files/{ERASED}.jpg")
    assert metadata["list"] == {"paths": [ERASED, OTHER]}, "other names stay"
    logged = [record.event_log_entry.user_message for record in instance.get_records_for_run(result.run_id).records]
    assert f"the file {ERASED} is broken, {OTHER} is not" in logged
    check = instance.get_latest_asset_check_evaluation_record(next(iter(names_are_short.check_keys)))
    assert check is not None
    assert check.event.dagster_event.event_specific_data.description == f"{ERASED} is long"
    assert erase_texts(instance, [PATH, DIGEST]) == 0, "once is enough"


def test_a_name_that_ends_in_the_path_stays(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    note = tmp_path / "storage" / "note.txt"
    note.parent.mkdir(exist_ok=True)
    note.write_bytes(b"1.jpg 11.jpg x-1.jpg cam/1.jpg 1.jpg-2 '1.jpg' \xff")
    erase_texts(instance, ["1.jpg"])
    erased = ERASED.encode()
    assert note.read_bytes() == b"%b 11.jpg x-1.jpg cam/%b 1.jpg-2 '%b' \xff" % (erased, erased, erased)


def test_sheets_of_days_or_all_sheets_are_deleted(instance: dg.DagsterInstance) -> None:
    manager = instance.compute_log_manager
    keys = {name: [f"run{name}", "predictions", *name.split(), "sheet"] for name in ("2026-11-20", "2026-11-21", "")}
    files = {name: Path(manager.get_captured_local_path(key, "jpg")) for name, key in keys.items()}
    for file in files.values():
        file.parent.mkdir(parents=True)
        file.write_bytes(b"a sheet")
    assert delete_sheets(instance, ["2026-11-20"]) == 1
    assert [name for name, file in files.items() if file.exists()] == ["2026-11-21", ""]
    assert delete_sheets(instance, None) == 2


def test_runs_that_wait_or_are_in_progress_are_listed(instance: dg.DagsterInstance) -> None:
    job = dg.define_asset_job("job").resolve(asset_graph=dg.Definitions([page]).resolve_asset_graph())
    assert list_unended(instance) == []
    run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert list_unended(instance) == [run.run_id]
    instance.report_run_canceled(run)
    assert list_unended(instance) == []
