"""Every benchmark runs to its end at a tiny size, as its users start it: in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import COLOURS, MakePhoto
from deployment import Deployment

from benchmarks.plan import EXPERIMENTS, SIZES
from benchmarks.tables import BEGIN, END
from pipeline.embed.backbone import Backbone

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
CANDIDATES = {candidate.module for experiment in EXPERIMENTS for candidate in experiment.candidates}
BY_HARNESS = CANDIDATES | {"__main__", "graphs", "tables"}
ALONE = {
    "backfill",
    "cache",
    "compare_lakes",  # test_compare_lakes.py
    "decoding",
    "drift",
    "end_to_end",
    "explain",
    "fit_choice",
    "fits",
    "growing_day",
    "jobs",
    "many_labels",
    "mutations",
    "neighbours",
    "passes",
    "planted",
    "promise",
    "quality",
    "resent",
    "similar",
    "versions",
}


def run(module: str, *arguments: object, **environment: str) -> str:
    """Runs a benchmark and returns what it printed."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("DAYLIGHT_")}
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks{'.' * bool(module)}{module}", *map(str, arguments)],
        cwd=PROJECT,
        env=settings | {"PYTHONPATH": str(PROJECT)} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def lay_out(root: Path, make_photo: MakePhoto, count: int) -> Path:
    """Makes a training folder with a number of images in each of three classes."""
    for colour in COLOURS:
        (root / colour).mkdir()
        for seed in range(count):
            (root / colour / f"{seed}.jpg").write_bytes(make_photo(colour, seed))
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, make_photo: MakePhoto) -> Path:
    return lay_out(tmp_path_factory.mktemp("photos"), make_photo, 110)


def test_every_command_among_the_benchmarks_is_run_here() -> None:
    commands = {
        file.stem
        for file in (PROJECT / "benchmarks").glob("*.py")
        if '\nif __name__ == "__main__":' in file.read_text()
    }
    assert commands == BY_HARNESS | ALONE


def test_the_harness_runs_every_experiment_and_its_tables_have_them_all(photos: Path, tmp_path: Path) -> None:
    peer_python = PROJECT / ".venv-bench" / "bin" / "python"
    assert peer_python.exists(), "Ray Data and Daft are missing: run `make .venv-bench/installed`"
    results, page = tmp_path / "results.json", tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    offline = {"HOME": str(tmp_path), "KERAS_HOME": str(tmp_path / "keras"), "https_proxy": "http://127.0.0.1:9"}
    sizes = [f"{name}={4 if name != 'peers' else '4,6'}" for name in SIZES]
    options = ["--photos", photos, "--out", results, "--work", tmp_path, "--rounds", 1, "--no-warm-up"]
    run("", *options, "--sizes", *sizes, **offline)
    assert "0 runs in 1 rounds" in run("", *options, "--resume", "--sizes", *sizes, **offline)
    run("tables", "--results", results, "--page", page)
    text = page.read_text()
    assert all(f"### {experiment.title}" in text for experiment in EXPERIMENTS)
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    measured = json.loads(results.read_text())["runs"]
    assert {candidate["candidate"].split()[0] for candidate in measured} == {m.rstrip("_") for m in CANDIDATES}
    assert all(run["cpu_seconds"] > 0 and run["wall_seconds"] > 0 for run in measured)


def test_many_days_are_compared_with_one(photos: Path, tmp_path: Path, make_photo: MakePhoto) -> None:
    deployment = Deployment(tmp_path / "deployment")
    deployment.root.mkdir()
    deployment.lay_out(make_photo, labelled=30)
    training = deployment.run("training")
    assert training.is_good, training.text[-4000:]
    output = run(
        "backfill", photos, deployment.lake, "--days", 2, "--photos", 20, "--rounds", 1, **deployment.environment
    )
    assert "median ratio" in output
    assert "one run of one day:" in output


def test_a_growing_day_is_timed_while_a_reader_counts_its_rows(
    photos: Path, tmp_path: Path, make_photo: MakePhoto
) -> None:
    deployment = Deployment(tmp_path / "deployment")
    deployment.root.mkdir()
    deployment.lay_out(make_photo, labelled=30)
    training = deployment.run("training")
    assert training.is_good, training.text[-4000:]
    output = run("growing_day", photos, deployment.lake, "--runs", 2, "--files", 20, **deployment.environment)
    assert "40 files: " in output
    assert "40 rows in the last, never fewer than before" in output


def test_trainings_and_days_are_timed(photos: Path) -> None:
    output = run("jobs", photos, "--rounds", 1, "--added", 10, "--photos", 20)
    assert "median of unchanged training: " in output
    assert output.count("ratios 1.00") == 4, "of five jobs; one is compared with another"


def test_days_are_timed_against_caches_of_several_ages(tiny_backbone: Backbone, tmp_path: Path) -> None:
    sizes = ["--days", 1, 3, "--images", 20, "--rounds", 1, "--work", tmp_path]
    output = run("cache", tiny_backbone.path, *sizes)
    assert "| 20 |" in output
    assert "| 60 |" in output


def test_decoding_is_timed_and_judged(photos: Path, tiny_backbone: Backbone) -> None:
    assert run("decoding", photos, tiny_backbone.path).count("| scaled |") == 2


def test_passes_are_timed(photos: Path, tiny_backbone: Backbone) -> None:
    output = run("passes", photos, tiny_backbone.path, "--count", 20, "--rounds", 1)
    assert output.count("| in two threads |") == 5


def test_the_end_to_end_graph_is_timed(photos: Path, tiny_backbone: Backbone) -> None:
    assert "| tiny fp32 |" in run("end_to_end", photos, tiny_backbone.path, "--rounds", 1)


def test_explanations_are_timed() -> None:
    assert "| labelled path |" in run("explain", "--rows", 100, "--days", 4, "--rounds", 1)


def test_the_fit_that_labelled_images_prefer_is_judged(photos: Path) -> None:
    output = run("fit_choice", photos, "--days", photos, "--backbones", "efficientnet-lite0")
    assert [line.split(" | ")[1] for line in output.splitlines()[2:]] == ["letterbox", "crop"]


def test_fits_are_timed() -> None:
    sizes = ["--rows", 120, "--dimension", 16, "--labels", 3, "--rounds", 1]
    output = run("fits", *sizes)
    assert "120 x 16 features" in output
    assert "the driver takes" in output


def test_many_labels_are_compared_with_few() -> None:
    sizes = ["--labels", 210, "--few", 3, "--per-label", 15, "--dimension", 16, "--day", 60]
    output = run("many_labels", *sizes)
    assert output.count("| train |") == output.count("| day |") == 2
    assert "times the CPU-seconds" in output
    assert "scikit-learn" in output


def test_drift_is_judged(tmp_path: Path, make_photo: MakePhoto, tiny_backbone: Backbone) -> None:
    photos = lay_out(tmp_path, make_photo, 300)  # its days have up to 500 images
    assert "| the same photos |" in run("drift", photos, tiny_backbone.path)


def test_the_promise_is_judged_on_every_kind_of_day(photos: Path, tiny_backbone: Backbone) -> None:
    output = run("promise", photos, tiny_backbone.path, "--size", 30, "--count", 2, "--unseen", "red")
    kinds = [line.split(" | ")[0] for line in output.splitlines() if line.startswith("| ")]
    assert kinds[1:3] == ["| calm", "| half of the classes"]
    assert kinds[-1] == "| 20% red, never seen"


def test_planted_near_duplicates_and_flips_are_counted(photos: Path, tiny_backbone: Backbone) -> None:
    output = run("planted", photos, tiny_backbone.path)
    assert "flips: " in output
    assert "recall" in output


def test_the_quality_screen_is_judged_and_timed(photos: Path) -> None:
    output = run("quality", photos, "--count", 2)
    assert "| dark | 1.000 |" in output
    assert "microseconds of CPU an image" in output


def test_every_mutated_file_has_a_row(photos: Path, tiny_backbone: Backbone) -> None:
    output = run("mutations", photos, tiny_backbone.path, "--count", 60)
    assert "60 files" in output
    assert "damaged" in output


def test_neighbours_are_timed() -> None:
    assert "CPU-seconds grow with" in run("neighbours", 200, 400)


def test_photos_sent_again_are_recognised(photos: Path) -> None:
    output = run("resent", photos, "--count", 3, "--day", 40)
    assert "| PNG | 1.0000 |" in output
    assert "2 of 2 found" in output


def test_similar_images_are_found_and_timed() -> None:
    output = run("similar", "--count", 2500, "--dimension", 16, "--queries", 2)
    assert "recall 1.0000" in output
    assert "peak memory" in output


def test_the_tables_of_two_environments_are_compared(photos: Path) -> None:
    output = run("versions", photos, sys.executable, sys.executable, "--labelled", 20, "--arriving", 4)
    assert output.count(": images 12, training_images 60, ") == 2
    assert output.count("equal to the first") == 2
