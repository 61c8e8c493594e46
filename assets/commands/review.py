"""The command `make review`: serves the labelling page on loopback until Ctrl-C."""

import argparse
import socket
import sys
from datetime import date

import uvicorn
from deltalake.exceptions import DeltaError

from assets.commands.dev import HOST, check_port
from pipeline.reviews.answer_files import read_answers
from pipeline.reviews.answers import AnswerError
from pipeline.reviews.desk import Desk
from resources.lake.commits import LakeError
from resources.lake.lake import Lake
from resources.review.answer_log import AnswerLog
from resources.review.images import SIDES, Images
from resources.review.queue_tables import QueueTables
from resources.review.server import Pages, group_beside
from resources.review.similar_images import SimilarImages
from resources.review.site import build_app
from resources.settings import SettingError, Settings, read_settings

RECENT_DAYS = 30  # days of the queue without --days


def main() -> None:
    """Serves the page."""
    parser = argparse.ArgumentParser(prog="make review", description=__doc__)
    parser.add_argument("--days", default="", help="days such as 2026-11-27,2026-11-28; by default the last thirty")
    parser.add_argument("--port", default=3002, type=int)
    parser.add_argument("--read-only", action="store_true", help="show images and save nothing")
    parser.add_argument("--prefix", default="", help="path below which a proxy serves the page, such as /review")
    parser.add_argument("--host-name", action="append", default=[], help="name under which a proxy serves the page")
    options = parser.parse_args()
    check_port(options.port)
    try:
        settings = read_settings()
        site = open_site(settings, options.days, options.prefix.rstrip("/"), options.read_only)
    except (SettingError, LakeError, AnswerError, DeltaError) as error:
        sys.exit(str(error))
    gate = build_app(site, settings.review_token.get_secret_value(), options.port, options.host_name)
    for pages in site:
        group_beside(pages.desk)
    config = uvicorn.Config(
        gate, HOST, options.port, log_level="warning", access_log=False, server_header=False, lifespan="off"
    )
    try:
        Server(config, f"http://{HOST}:{options.port}{site[0].root}/?token={gate.token}").run()
    finally:
        for images in (each for pages in site for each in pages.images.values()):
            images.close()


class Server(uvicorn.Server):
    """A server that prints its address once it listens."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:  # noqa: D107
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, and prints the address."""
        await super().startup(sockets)
        print(f"Review: {self._address} (Ctrl-C stops it)", flush=True)


def open_site(settings: Settings, days: str, root: str, is_read_only: bool) -> list[Pages]:
    """Opens the queue of some days of each question that has one, that of the deployment first.

    Raises:
        LakeError: if there is no queue, or one of the days has none.
    """
    names = list_queues(settings.lake) or ("",)
    wanted = {name: choose_days(QueueTables(settings.lake, name), days) for name in names}
    return [open_pages(settings, wanted[name], root, is_read_only, name, names) for name in names]


def open_pages(
    settings: Settings,
    days: list[date],
    root: str,
    is_read_only: bool,
    name: str = "",
    names: tuple[str, ...] = ("",),
) -> Pages:
    """Opens the queue of some days of one question; `names` are the questions between which the page switches."""
    images = {size: Images(settings.lake, side, settings.limits, name) for size, side in SIDES.items()}
    lake = Lake(root=settings.lake, prefix=name)
    tables, book = QueueTables(settings.lake, name), read_answers(lake.home)
    desk = Desk(tables.read_items(days), tables.read_labels(), book, tables.read_features)
    log = None if is_read_only else AnswerLog(lake.home)
    similar = SimilarImages(settings.lake, book, name)
    return Pages(desk, log, images, similar, root, name, names, tables.is_multi_label)


def list_queues(lake: str) -> tuple[str, ...]:
    """Lists the questions that have a review queue."""
    tables = (table.rpartition("/") for table in Lake(root=lake).list_tables())
    return tuple(sorted(name for name, _, table in tables if table == "review_queue"))


def choose_days(tables: QueueTables, text: str) -> list[date]:
    """Chooses the days of a text, or the last `RECENT_DAYS` with a queue.

    Raises:
        LakeError: if there is no queue, or one of the days has none.
    """
    known = tables.list_days()
    if not text:
        return known[-RECENT_DAYS:]
    wanted = [day.strip() for day in text.split(",")]
    if missing := [day for day in wanted if day not in map(str, known)]:
        raise LakeError(
            f"{missing[0]!r:.40} has no review queue: choose from {', '.join(map(str, known[-RECENT_DAYS:]))}"
        )
    return [date.fromisoformat(day) for day in wanted]


if __name__ == "__main__":
    main()
