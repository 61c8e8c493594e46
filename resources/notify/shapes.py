"""Shapes of a message for webhooks: plain JSON, Slack and Teams. Text stays text: nothing is read as markup."""

from dataclasses import asdict
from typing import Any, Final
from urllib.parse import urlsplit

from resources.notify.message import Message

SLACK_HOSTS: Final = ("hooks.slack.com", "hooks.slack-gov.com")
TEAMS_HOSTS: Final = (".webhook.office.com", ".logic.azure.com", ".powerplatform.com")

Body = dict[str, Any]


def choose_shape(url: str) -> str:
    """Chooses the shape that the host of a webhook understands: slack, teams or json."""
    host = urlsplit(url).hostname or ""
    if host in SLACK_HOSTS:
        return "slack"
    return "teams" if host.endswith(TEAMS_HOSTS) else "json"


def shape(message: Message, name: str) -> Body:
    """Shapes a message as json, slack or teams."""
    if name == "slack":
        return _shape_for_slack(message)
    return _shape_for_teams(message) if name == "teams" else asdict(message)


def _list_facts(message: Message) -> list[tuple[str, str]]:
    facts = {"Day": message.day, "When": message.when, "Cure": message.cure, "Report": message.report}
    return [(name, text) for name, text in facts.items() if text]


def _shape_for_slack(message: Message) -> Body:
    lines = "\n".join([message.what, *(f"{name}: {text}" for name, text in _list_facts(message))])
    title = message.title.replace("&", "&amp;")  # brackets are gone already
    return {
        "text": title,
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": message.title}},
            {"type": "section", "text": {"type": "plain_text", "text": lines, "emoji": False}},
            {
                "type": "actions",
                "elements": [
                    {"type": "button", "text": {"type": "plain_text", "text": "Open the page"}, "url": message.page}
                ],
            },
            {"type": "context", "elements": [{"type": "plain_text", "text": f"Daylight {message.id}"}]},
        ],
    }


def _shape_for_teams(message: Message) -> Body:
    def run(text: str, **style: object) -> Body:
        return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}

    facts = [run(f"{name}: {text}") for name, text in _list_facts(message)]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            run(message.title, weight="Bolder", size="Medium"),
            run(message.what),
            *facts,
            run(f"Daylight {message.id}", isSubtle=True, size="Small"),
        ],
        "actions": [{"type": "Action.OpenUrl", "title": "Open the page", "url": message.page}],
    }
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }
