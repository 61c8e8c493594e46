"""What Dagster's pages ask their web server, in its own words: launch, look at a run, look at an asset."""

from collections.abc import Callable
from typing import Any

Ask = Callable[..., dict[str, Any]]
"""From a GraphQL query, and its variables by name, to its data."""

LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PipelineNotFoundError { message }
    ... on UnauthorizedError { message }
  }
}
"""

RUNS = "{ runsOrError { ... on Runs { results { runId status pipelineName parentRunId tags { key value } } } } }"

EVENTS = """
query($id: ID!) {
  logsForRun(runId: $id) {
    ... on EventConnection {
      events {
        __typename
        ... on MessageEvent { message }
        ... on MaterializationEvent {
          assetKey { path } partition
          metadataEntries {
            label
            ... on IntMetadataEntry { intValue }
            ... on FloatMetadataEntry { floatValue }
            ... on MarkdownMetadataEntry { mdStr }
          }
        }
        ... on AssetCheckEvaluationEvent { evaluation { checkName success description } }
        ... on ExecutionStepFailureEvent { error { message } }
      }
    }
  }
}
"""


class WebPages:
    """The pages of one web server."""

    def __init__(self, ask: Ask, location: str = "daylight") -> None:
        self.ask = ask
        self.location = location

    def launch(
        self, *assets: str, day: str | None = None, job: str = "__ASSET_JOB", config: dict | None = None
    ) -> dict[str, Any]:
        """Launches assets as the button does, or a whole job, with what the launchpad says; gives the answer."""
        selector: dict[str, Any] = {
            "jobName": job,
            "repositoryName": "__repository__",
            "repositoryLocationName": self.location,
        }
        if assets:
            selector["assetSelection"] = [{"path": [asset]} for asset in assets]
        tags = [{"key": "dagster/partition", "value": day}] if day else []
        params = {
            "selector": selector,
            "mode": "default",
            "runConfigData": config or {},
            "executionMetadata": {"tags": tags},
        }
        return self.ask(LAUNCH, params=params)["launchPipelineExecution"]

    def launch_run(self, *assets: str, **more: Any) -> str:
        """Launches, and gives the id of the run."""
        answer = self.launch(*assets, **more)
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def list_runs(self) -> list[dict[str, Any]]:
        """All runs, the newest first."""
        return self.ask(RUNS)["runsOrError"]["results"]

    def status_of(self, run_id: str) -> str:
        (status,) = [run["status"] for run in self.list_runs() if run["runId"] == run_id]
        return status

    def events_of(self, run_id: str, kind: str) -> list[dict[str, Any]]:
        """The events of a run of one kind, such as MaterializationEvent."""
        events = self.ask(EVENTS, id=run_id)["logsForRun"]["events"]
        return [event for event in events if event["__typename"] == kind]

    def maker_of(self, asset: str) -> str:
        """The run that materialized an asset last."""
        query = "query($path: [String!]!) { assetOrError(assetKey: {path: $path}) { ... on Asset {"
        answer = self.ask(f"{query} assetMaterializations(limit: 1) {{ runId }} }} }} }}", path=[asset])
        (last,) = answer["assetOrError"]["assetMaterializations"]
        return last["runId"]
