"""Updates the tables of `docs/benchmarks.md` between its two markers: `python -m benchmarks.tables`."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.bars import judge
from benchmarks.costs import Round, rounds_of
from benchmarks.plan import EXPERIMENTS
from benchmarks.results import Measured
from pipeline.reports.markdown import markdown_table

BEGIN: Final = "<!-- tables: made by python -m benchmarks.tables -->"
END: Final = "<!-- end of tables -->"


def main() -> None:
    """Writes the tables of a results file into the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.tables", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results.json"), help="file of the results")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"), help="page to update")
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8"))
    before, _, rest = options.page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n\n".join([_describe_launches(results["launches"]), *_list_sections(results)])
    options.page.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")
    print(f"Updated {options.page} from {options.results}")


def _describe_launches(launches: Sequence[Mapping[str, Any]]) -> str:
    columns = [list(_describe_launch(launch)) for launch in launches]
    names = ["date", "machine", "instructions", "system", "Daylight, bare, original", "Ray Data, Daft", "weights"]
    rows = [[name, *cells] for name, *cells in zip(names, *columns, strict=True)]
    return markdown_table(["experiments", *(", ".join(launch["run_counts"]) for launch in launches)], rows)


def _describe_launch(launch: Mapping[str, Any]) -> Iterator[str]:
    machine = launch["machine"]
    yield launch["date"]
    yield f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    yield machine["flags"]
    yield f"{machine['system']}, Python {machine['python']}"
    for versions in (launch["versions"], launch["peer_versions"]):
        yield ", ".join(f"{name} {version}" for name, version in versions.items())
    yield ", ".join(f"{name.replace(':', ' ')} {kind}" for name, kind in launch["weights"].items())


def _list_sections(results: Mapping[str, Any]) -> Iterator[str]:
    judged = [
        [
            judgement.bar.sentence,
            f"at {'least' if judgement.bar.is_minimum else 'most'} {judgement.bar.limit:g}",
            f"{judgement.median:.2f}",
            f"{judgement.ratios[0]:.2f} to {judgement.ratios[-1]:.2f}",
            len(judgement.ratios),
            "yes" if judgement.holds else "NO",
        ]
        for judgement in judge(results)
    ]
    yield "### The bars"
    yield markdown_table(["ratio", "bar", "median", "range", "rounds", "holds"], judged)
    for experiment in EXPERIMENTS:
        rounds = list(rounds_of(results, experiment.name))
        if rounds:
            yield f"### {experiment.title}"
            yield markdown_table(
                ["candidate", "images", "CPU-ms per image", "images per second", "largest process, MiB", "details"],
                [row for candidate in rounds[0].candidates for row in _list_rows(rounds, candidate)],
            )


def _list_rows(rounds: Sequence[Round], candidate: str) -> Iterator[list[object]]:
    """One row per size, and one for the marginal cost if there are several sizes."""
    for position, run in enumerate(rounds[0].sizes(candidate)):
        runs = [each.sizes(candidate)[position] for each in rounds]
        if "inference_seconds" in run["facts"]:
            seconds = median(each["facts"]["inference_seconds"] for each in runs)
            yield [candidate, "", f"{seconds * 1000:.2f}", f"{1 / seconds:.0f}", "", _list_facts(run)]
            return
        yield [
            candidate,
            run["images"],
            f"{median(each['cpu_seconds'] for each in runs) / run['images'] * 1000:.2f}",
            f"{run['images'] / median(each['wall_seconds'] for each in runs):.0f}",
            _list_peaks(run),
            _list_facts(run),
        ]
    if len(rounds[0].sizes(candidate)) > 1:
        cpu, wall = median(each.cpu(candidate) for each in rounds), median(each.wall(candidate) for each in rounds)
        yield [candidate, "marginal", f"{cpu * 1000:.2f}", f"{1 / wall:.0f}", "", ""]


def _list_peaks(run: Measured) -> str:
    return ", ".join(f"{kind} {peak:.0f}" for kind, peak in sorted(run["peak_mebibytes"].items()) if kind != "daemon")


def _list_facts(run: Measured) -> str:
    facts, details = run["facts"], []
    if "features_bytes" in facts:
        details.append(f"{facts['features_bytes'] / run['images']:,.0f} bytes per image")
    if "images_bytes" in facts:
        details.append(f"{facts['images_bytes'] / run['images']:,.0f} in `images`")
    if "batch_size" in facts:
        details.append(f"batches of {facts['batch_size']}")
    if "again_featurization_seconds" in facts:
        details.append(f"{facts['featurization_seconds']:.1f} s, then {facts['again_featurization_seconds']:.1f} s")
    return ", ".join(details)


if __name__ == "__main__":
    main()
