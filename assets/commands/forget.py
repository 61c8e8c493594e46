"""The command `make forget`: erases one image from the lake and from Dagster's instance.

It first shows all that is stored about the image and the classifiers that learned from it; YES=1 erases it.
"""

import hashlib
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import dagster as dg
from pyarrow import fs

from assets.commands.named_image import exit_with_reason, make_parser, read_settings_of_lake
from assets.components import list_questions
from pipeline.daily.trace_text import format_trace
from pipeline.daily.traces import Trace, UnknownImageError, is_image_id
from pipeline.reports.markdown import escape_invisible
from pipeline.storage.files import list_files, open_folder
from resources.image_traces import ImageTraces
from resources.instance.forgetting import delete_sheets, erase_texts, list_unended
from resources.lake.commits import LakeError
from resources.lake.documents import forget_in_documents
from resources.lake.forgetting import forget_in_tables
from resources.lake.lake import Lake
from resources.review.answer_log import erase_answers
from resources.settings import Settings

HERE: Final = Path(__file__)
EPILOG: Final = """\
Name the image as for make explain: by its path, its day and path, its image_id, or a local file with the same bytes.
Without --yes nothing is erased. No run may be in progress, since files that contain the image are deleted at once.

Exit status: 0 if it was shown or erased, 1 if it was not, 2 for wrong arguments."""


def main() -> None:
    """Shows what is stored about an image and, with `--yes`, erases it."""
    parser = make_parser("forget", __doc__, EPILOG)
    parser.add_argument("--yes", action="store_true", help="erase it (make forget IMAGE=… YES=1)")
    options = parser.parse_args()
    with exit_with_reason(LakeError, sqlite3.OperationalError):
        settings = read_settings_of_lake()
        trace = find_image(settings.lake, options.image)
        print(format_trace(trace))
        try:
            for line in forget(settings, trace) if options.yes else propose(settings, trace):
                print(escape_invisible(line))
        except dg.DagsterError as error:
            reason = str(error).partition("\n")[0].strip()
            sys.exit(f"Dagster's instance cannot be opened ({reason}): use make forget, or set DAGSTER_HOME")


def find_image(lake: str, text: str) -> Trace:
    """Finds an image; a whole `image_id` is taken at its word, so that an erasure that was interrupted can go on.

    Raises:
        UnknownImageError: if no image matches, several do, or its bytes could not be read.
    """
    try:
        trace = ImageTraces(lake).find(text)
    except UnknownImageError:
        for prefix in Lake(root=lake).list_prefixes():  # one that only a further classifier learned from
            with suppress(UnknownImageError):
                return ImageTraces(lake, prefix).find(text)
        if not is_image_id(text):
            raise
        return Trace(text)
    if trace.image_id is None:
        raise UnknownImageError(f"the bytes of {text!r} could not be read, so nothing but its path is stored")
    return trace


def list_traces(settings: Settings, trace: Trace) -> dict[str, Trace]:
    """Lists what the tables of each question say about an image, by the prefix of the question."""
    traces = {"": trace}
    for prefix in Lake(root=settings.lake).list_prefixes():
        with suppress(UnknownImageError):
            traces[prefix] = ImageTraces(settings.lake, prefix).find(str(trace.image_id))
    return traces


def propose(settings: Settings, trace: Trace) -> Iterator[str]:
    """Says what `forget` would do."""
    days, traces = ", ".join(map(str, list_days(trace))) or "no day", list_traces(settings, trace)
    sheets = "all pages" if any(map(is_labelled, traces.values())) else f"the pages of {days}"
    yield ""
    yield "WOULD BE ERASED (nothing is yet: make forget IMAGE=… YES=1)"
    yield f"  all rows above, in all versions of all tables; lines of review forms and answers; reports of {days};"
    yield f"  contact sheets on {sheets};"
    yield "  the id and the paths in training sets of classifiers and in events and logs of runs"
    yield from describe_rest(settings, traces)


def forget(settings: Settings, trace: Trace) -> Iterator[str]:
    """Erases the image and says what was erased.

    The tables come last: until they are done, the image is found again by its path.

    Raises:
        LakeError: if runs are in progress or write the image meanwhile.
    """
    image_id, days, lake = str(trace.image_id), list_days(trace), Lake(root=settings.lake)
    traces = list_traces(settings, trace)
    with dg.DagsterInstance.get() as instance:
        if unended := list_unended(instance):
            raise LakeError(f"{len(unended)} runs are in progress, such as {unended[0]}: wait for them or cancel them")
        sheet_count = delete_sheets(instance, None if any(map(is_labelled, traces.values())) else days)
        paths = dict.fromkeys(path for each in traces.values() for path in list_paths(each) if {".", "/"} & {*path})
        text_count = erase_texts(instance, [image_id, *paths])
    homes = [Lake(root=settings.lake, prefix=prefix).home for prefix in ("", *lake.list_prefixes())]
    documents = [*forget_in_documents(lake, image_id, days)]
    documents += [answers for home in homes for answers in erase_answers(home, image_id)]
    deleted = forget_in_tables(lake, image_id)
    yield ""
    yield "ERASED"
    yield f"  {sum(deleted.values())} files of tables: {', '.join(name for name, count in deleted.items() if count)}"
    yield f"  {len(documents)} documents: {', '.join(documents)}"
    yield f"  {sheet_count} contact sheets on pages, and texts in {text_count} files of Dagster's instance"
    yield from describe_rest(settings, traces)


def describe_rest(settings: Settings, traces: Mapping[str, Trace]) -> Iterator[str]:
    """Says what remains for a person to do: classifiers, and files of the landing zone."""
    seen_by = dict.fromkeys(f"{seen.version} ({seen.state})" for each in traces.values() for seen in each.seen_by)
    learned = list(seen_by)
    if learned:
        yield ""
        yield "LEARNED FROM IT OR WERE EVALUATED ON IT"
        yield f"  {', '.join(learned)}: train again, then delete their folders below {settings.lake}/models"
    folders = {
        each.name: each.settings.training for each in list_questions(dg.ComponentTree.for_project(HERE), settings)
    }
    if files := list_landed(settings.landing, {"": settings.training, **folders}, traces):
        yield ""
        yield "YOURS: delete these files, or the next run stores the image again"
        yield from (f"  {file}" for file in files)


def is_labelled(trace: Trace) -> bool:
    """Whether pages of the training may show the image."""
    return bool(trace.labelled or trace.seen_by)


def list_days(trace: Trace) -> list[str]:
    """The days on which the image arrived."""
    return sorted({str(row["day"]) for row in (*trace.arrivals, *trace.predictions, *trace.queued, *trace.reviews)})


def list_paths(trace: Trace) -> list[str]:
    """All paths that the image has or had."""
    members = [row for each in trace.classifiers for row in each.rows_of([trace.image_id])]
    return sorted({row["path"] for row in (*trace.arrivals, *trace.predictions, *trace.labelled, *members)})


def list_landed(landing: str, folders: Mapping[str, str], traces: Mapping[str, Trace]) -> list[str]:
    """Files of the landing zone that hold the image, or its answer in a filled form.

    Args:
        landing: folder or URI of the landing zone.
        folders: folder or URI of labelled images by the prefix of the question, "" for the deployment.
        traces: what is stored about the image, by the same prefixes.
    """
    image_id = str(traces[""].image_id)
    places = [f"{landing}/days/{row['day']}/{row['path']}" for each in traces.values() for row in each.arrivals]
    known = (prefix for prefix in traces if prefix in folders)
    places += [f"{folders[prefix]}/{row['path']}" for prefix in known for row in traces[prefix].labelled]
    found = [place for place in dict.fromkeys(places) if _holds(place, image_id)]
    forms = (f"{landing}/{prefix}/reviews" if prefix else f"{landing}/reviews" for prefix in traces)
    return found + [form for folder in forms for form in _list_forms(folder, image_id)]


def _holds(place: str, image_id: str) -> bool:
    """Whether there is a file with the bytes of the image; its place may hold another image by now."""
    folder, _, name = place.rpartition("/")
    filesystem, root = open_folder(folder)
    if not filesystem.get_file_info(f"{root}/{name}").is_file:
        return False
    with filesystem.open_input_stream(f"{root}/{name}") as stream:
        return hashlib.sha256(stream.read()).hexdigest() == image_id


def _list_forms(folder: str, image_id: str) -> Sequence[str]:
    filesystem, root = open_folder(folder)
    if filesystem.get_file_info(root).type != fs.FileType.Directory:
        return []
    found = []
    for row in list_files(folder).to_pylist():
        with filesystem.open_input_file(f"{root}/{row['path']}") as stream:
            if image_id.encode() in stream.read():
                found.append(f"{folder}/{row['path']}")
    return found


if __name__ == "__main__":
    main()
