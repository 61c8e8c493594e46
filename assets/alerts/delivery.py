"""The sensor `delivery`: takes messages from the outbox to the receiver."""

import time
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from resources.instance.alerts import open_outbox
from resources.notify.outbox import UNDELIVERED, WAITING
from resources.settings import Settings

SENDING_SECONDS: Final = 30  # of a tick, which Dagster gives up after 60; one attempt more may be under way


class DeliveryError(RuntimeError):
    """Messages that were not accepted; the text gives their number and the reason, never the receiver."""


def deliver_messages(context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]) -> dg.SkipReason:
    """Delivers the messages of the outbox to DAYLIGHT_NOTIFY, at least once each, and tries again for three days.

    A tick in which the receiver refused a message is red, so that a dead receiver shows in the UI.
    """
    receiver, outbox, started = settings.receiver, open_outbox(context.instance), time.monotonic()
    if receiver is None:
        return dg.SkipReason("DAYLIGHT_NOTIFY is not set")
    outbox.forget(datetime.now(UTC))
    delivered, failures = 0, []
    for parcel in outbox.list_due(datetime.now(UTC)):
        failure = receiver.send(parcel.message)
        outbox.record(parcel, failure, datetime.now(UTC))
        delivered += failure is None
        failures += [failure] if failure else []
        if time.monotonic() - started > SENDING_SECONDS:
            break
    waiting, lost = (len(outbox.list_parcels(state)) for state in (WAITING, UNDELIVERED))
    state = f"{delivered} delivered, {waiting} waiting, {lost} given up"
    if failures:
        raise DeliveryError(
            f"the receiver of DAYLIGHT_NOTIFY did not accept a message: {failures[-1]} ({state}). They lie in"
            f" {outbox.folder}; correct the setting, or start the receiver: each is tried again within an hour"
        )
    return dg.SkipReason(state)
