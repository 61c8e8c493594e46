"""The site: the addresses of the pages of each question, below one gate, and errors as sentences."""

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from pipeline.reviews.answers import AnswerError
from resources.review.gate import Gate, TooLargeError
from resources.review.images import ImageError
from resources.review.server import Pages

Handler = Callable[[Request], Awaitable[Response]]


def build_app(site: Sequence[Pages], token: str, port: int, hosts: Sequence[str] = ()) -> Gate:
    """Builds the server's app from the pages of each question."""
    first, own = site[0], [pages for pages in site if not pages.name]
    routes: list[BaseRoute] = [Mount(f"/{pages.name}", routes=_list_routes(pages)) for pages in site if pages.name]
    routes += _list_routes(own[0]) if own else [Route("/", first.home), Route("/static/{name}", first.static)]
    app = Starlette(
        routes=[Mount(first.root, routes=routes)] if first.root else routes,
        exception_handlers={HTTPException: _show_error},
    )
    gate = Gate(app, token, port, first.root, hosts)
    app.state.csrf = gate.csrf
    return gate


def _list_routes(pages: Pages) -> list[BaseRoute]:
    return [
        Route("/", pages.page),
        Route("/static/{name}", pages.static),
        Route("/api/queue", _explain(pages.queue)),
        Route("/api/labels", pages.labels),
        Route("/api/answers", _explain(pages.answer), methods=["POST"]),
        Route("/api/undo", _explain(pages.undo), methods=["POST"]),
        Route("/api/skip", _explain(pages.skip), methods=["POST"]),
        Route("/api/disagreements", pages.disagreements),
        Route("/api/similar/{day}/{image_id}", _explain(pages.similar_to)),
        Route("/images/{size}/{day}/{image_id}", _explain(pages.image)),
    ]


def _explain(handler: Handler) -> Handler:
    """Turns errors of a request into a sentence."""

    @wraps(handler)
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except AnswerError as error:
            return JSONResponse({"error": str(error)}, 400)
        except TooLargeError as error:
            return JSONResponse({"error": str(error)}, 413)
        except ImageError as error:
            return JSONResponse({"error": str(error)}, 503)

    return handle


async def _show_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 registered for it alone
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
