"""The tables of `docs/benchmarks.md`, between its two markers: `python -m benchmarks.tables`."""

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
    """Puts the tables of some results into the page."""
    parser = argparse.ArgumentParser(prog="benchmarks.tables", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results.json"))
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8"))
    before, _, rest = options.page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n\n".join([_tell_about(results["about"]), *_tell_all(results)])
    options.page.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")
    print(f"{options.page} has the tables of {options.results}")


def _tell_about(about: dict[str, Any]) -> str:
    machine = about["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    peers = ", ".join(f"{name} {version}" for name, version in about["peer_versions"].items())
    weights = ", ".join(f"{name.replace(':', ' ')} {kind}" for name, kind in about["weights"].items())
    rows = [
        ["date", about["date"]],
        ["machine", f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB"],
        ["instructions", machine["flags"]],
        ["system", f"{machine['system']}, Python {machine['python']}"],
        ["Daylight, bare, original", versions],
        ["Ray Data, Daft", peers],
        ["weights", weights],
    ]
    return markdown_table(["", ""], rows)


def _tell_all(results: Mapping[str, Any]) -> Iterator[str]:
    judged = [
        [
            judgement.bar.sentence,
            f"at {'least' if judgement.bar.is_least else 'most'} {judgement.bar.limit:g}",
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
                ["contestant", "pictures", "CPU-ms a picture", "pictures a second", "largest process, MiB", "said"],
                [row for contestant in rounds[0].contestants for row in _tell_contestant(rounds, contestant)],
            )


def _tell_contestant(rounds: Sequence[Round], contestant: str) -> Iterator[list[object]]:
    """A row for each size, and one for what one more picture costs where there are several."""
    for position, run in enumerate(rounds[0].sizes(contestant)):
        runs = [each.sizes(contestant)[position] for each in rounds]
        if "inference_seconds" in run["facts"]:
            seconds = median(each["facts"]["inference_seconds"] for each in runs)
            yield [contestant, "", f"{seconds * 1000:.2f}", f"{1 / seconds:.0f}", "", _tell_facts(run)]
            return
        yield [
            contestant,
            run["pictures"],
            f"{median(each['cpu_seconds'] for each in runs) / run['pictures'] * 1000:.2f}",
            f"{run['pictures'] / median(each['wall_seconds'] for each in runs):.0f}",
            _tell_peaks(run),
            _tell_facts(run),
        ]
    if len(rounds[0].sizes(contestant)) > 1:
        cpu, wall = (
            median(values) for values in ([r.cpu(contestant) for r in rounds], [r.wall(contestant) for r in rounds])
        )
        yield [contestant, "one more", f"{cpu * 1000:.2f}", f"{1 / wall:.0f}", "", ""]


def _tell_peaks(run: Measured) -> str:
    return ", ".join(f"{kind} {peak:.0f}" for kind, peak in sorted(run["peak_mebibytes"].items()) if kind != "daemon")


def _tell_facts(run: Measured) -> str:
    facts, told = run["facts"], []
    if "features_bytes" in facts:
        told.append(f"{facts['features_bytes'] / run['pictures']:,.0f} bytes a picture")
    if "batch_size" in facts:
        told.append(f"batches of {facts['batch_size']}")
    if "again_featurization_seconds" in facts:
        told.append(f"{facts['featurization_seconds']:.1f} s, then {facts['again_featurization_seconds']:.1f} s")
    return ", ".join(told)


if __name__ == "__main__":
    main()
