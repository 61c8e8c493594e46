"""The reason why a run in this process failed."""

import dagster as dg

from pipeline.networks.pretrained import PretrainedError


def reason(result: dg.ExecuteInProcessResult) -> str:
    """Returns the message of the error about the backbone."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    while error.cls_name != PretrainedError.__name__:
        error = error.cause
    return error.message.strip()
