"""The pages of one queue: what its addresses answer, each a few lines around the desk; the addresses are `site.py`."""

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from pipeline.images.label_sets import list_labels
from pipeline.reviews.answers import Answer, AnswerError, Key, parse_key, parse_label, parse_name
from pipeline.reviews.desk import Desk, View
from pipeline.reviews.set_answers import parse_set_answer
from resources.review.answer_log import AnswerLog
from resources.review.gate import read_body
from resources.review.images import SIDES, Images
from resources.review.similar_images import SimilarImages

SCRIPTS: Final = ("api.js", "card.js", "dialogs.js", "dom.js", "members.js", "review.js", "search.js")
STATIC: Final = dict.fromkeys(SCRIPTS, "text/javascript") | {"review.css": "text/css", "icon.svg": "image/svg+xml"}
MONTH_SECONDS: Final = 2_592_000
FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True)
class Pages:
    """Everything that the addresses need.

    Attributes:
        desk: the work.
        log: where answers go; None in the read-only mode.
        images: images by the name of their size.
        similar: finds images like one.
        root: path below which all pages lie.
        name: question of the queue; empty for that of the deployment.
        names: questions between which the page switches.
        is_multi_label: whether answers are sets of labels.
    """

    desk: Desk
    log: AnswerLog | None
    images: dict[str, Images]
    similar: SimilarImages
    root: str = ""
    name: str = ""
    names: tuple[str, ...] = ("",)
    is_multi_label: bool = False

    @property
    def prefix(self) -> str:
        """Path below which the pages of this question lie."""
        return f"{self.root}/{self.name}" if self.name else self.root

    async def page(self, request: Request) -> Response:
        """The page, or for a stranger the form that asks for the token."""
        name = "login.html.j2" if request.scope.get("is_stranger") else "review.html.j2"
        values = {"prefix": self.prefix, "csrf": request.app.state.csrf, "is_read_only": self.log is None}
        names = {"root": self.root, "name": self.name, "names": self.names}
        html = _ENVIRONMENT.get_template(name).render(values, **names, is_wrong="wrong" in request.query_params)
        return HTMLResponse(html)

    async def home(self, request: Request) -> Response:
        """The page at the root, where the question of the deployment has no queue."""
        return await self.page(request) if request.scope.get("is_stranger") else RedirectResponse(f"{self.prefix}/")

    async def static(self, request: Request) -> Response:
        """A file of the page; only those in `STATIC` exist."""
        name = request.path_params["name"]
        if name not in STATIC:
            raise HTTPException(404, "there is no such file")
        return Response((FOLDER / "static" / name).read_bytes(), media_type=STATIC[name])

    async def queue(self, request: Request) -> Response:
        """The next cards, and how far the work is."""
        return JSONResponse(self._show(_parse_view(request.query_params)))

    async def labels(self, request: Request) -> Response:
        """All labels, the most frequent first, and the days of the queue; of sets, also the labels in them."""
        members = {"members": list_labels(self.desk.labels)} if self.is_multi_label else {}
        return JSONResponse({"labels": self.desk.labels, "days": [*map(str, self.desk.days)], **members})

    async def answer(self, request: Request) -> Response:
        """Stores what a reviewer said about one or many images; the answer comes after it is durable."""
        fields = await _read_fields(request)
        view, label = _parse_view(fields), parse_label(_text(fields, "label"))
        label = parse_set_answer(label) if self.is_multi_label else label
        answers = self.desk.answer(_parse_keys(fields), label, view.reviewer, datetime.now(UTC), uuid4().hex)
        settles = fields.get("settles") is True
        return await self._store(view, [replace(each, settles=settles) for each in answers])

    async def undo(self, request: Request) -> Response:
        """Takes the last action of a reviewer back."""
        view = _parse_view(await _read_fields(request))
        answers = self.desk.book.undo(view.reviewer, datetime.now(UTC), uuid4().hex)
        if not answers:
            raise AnswerError("there is nothing to undo")
        return await self._store(view, answers)

    async def skip(self, request: Request) -> Response:
        """Puts images at the end of a reviewer's queue."""
        fields = await _read_fields(request)
        view = _parse_view(fields)
        self.desk.skip(_parse_keys(fields), view.reviewer)
        return JSONResponse(self._show(view))

    async def disagreements(self, request: Request) -> Response:
        """Images on which reviewers differ, and who said what."""
        found = self.desk.book.disagreements().values()
        shown = [
            {
                "key": str(given[0].key),
                "answers": [{"reviewer": each.reviewer, "label": each.label, "at": str(each.at)} for each in given],
            }
            for given in found
        ]
        return JSONResponse({"disagreements": shown})

    async def similar_to(self, request: Request) -> Response:
        """The images most like one, except for an image of the audit that is not answered yet."""
        key = parse_key(f"{request.path_params['day']}/{request.path_params['image_id']}")
        found = await run_in_threadpool(self.similar.find, key)
        return JSONResponse({"similar": [match.to_json() for match in found]})

    async def image(self, request: Request) -> Response:
        """An image, re-encoded as JPEG."""
        parts = request.path_params
        images, key = self.images.get(parts["size"]), parse_key(f"{parts['day']}/{parts['image_id']}")
        if images is None:
            raise HTTPException(404, f"a size is one of {', '.join(SIDES)}")
        content = await run_in_threadpool(images.get, key)
        if not content:
            raise HTTPException(404, "the image is unknown, was purged, or cannot be decoded")
        headers = {"cache-control": f"private, max-age={MONTH_SECONDS}, immutable"}
        return Response(content, media_type="image/jpeg", headers=headers)

    async def _store(self, view: View, answers: Sequence[Answer]) -> Response:
        if self.log is None:
            raise HTTPException(403, "this server is read-only: nothing is saved")
        try:
            self.log.append(answers)
        except OSError as error:
            raise HTTPException(507, f"the answer could not be stored: {error.strerror or error}") from error
        self.desk.add(answers)
        if self.desk.take_done_window():
            group_beside(self.desk)
        return JSONResponse(self._show(view) | {"stored": len(answers)})

    def _show(self, view: View) -> dict[str, Any]:
        progress = {day: asdict(each) | {"is_known": each.is_known} for day, each in self.desk.progress().items()}
        disagreements = len(self.desk.book.disagreements())
        counts = {"waiting": self.desk.count_waiting(view), "disagreements": disagreements}
        return {"cards": self.desk.next_cards(view), "progress": progress, **counts}


def group_beside(desk: Desk) -> threading.Thread:
    """Groups the front of the queue beside the server."""
    thread = threading.Thread(target=desk.prepare_groups, daemon=True)
    thread.start()
    return thread


async def _read_fields(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise AnswerError("send JSON")
    with suppress(ValueError, RecursionError):
        fields = json.loads(await read_body(request))
        if isinstance(fields, dict):
            return fields
    raise AnswerError("this is not a JSON object")


def _parse_view(fields: Any) -> View:
    day = fields.get("day") or None
    try:
        parsed = date.fromisoformat(day) if day else None
    except (TypeError, ValueError):
        raise AnswerError("a day is written as 2026-11-27") from None
    options = {name: fields.get(name) in (True, "1") for name in ("is_grouped", "is_second")}
    return View(parse_name(_text(fields, "reviewer")), day=parsed, **options)


def _parse_keys(fields: dict[str, Any]) -> list[Key]:
    keys = fields.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise AnswerError("`keys` is a list of images")
    return [parse_key(key) for key in keys]


def _text(fields: Any, name: str) -> str:
    text = fields.get(name)
    if not isinstance(text, str):
        raise AnswerError(f"`{name}` is missing")
    return text


_ENVIRONMENT: Final = Environment(
    loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
