"""GraphQL queries of Dagster's pages: launch a run, look at a run, look at an asset."""

from collections.abc import Callable
from typing import Any

Ask = Callable[..., dict[str, Any]]
"""Runs a GraphQL query with its variables, and returns the data."""

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
    """The pages of one webserver."""

    def __init__(self, ask: Ask, location: str = "daylight") -> None:
        self.ask = ask
        self.location = location

    def launch(
        self, *assets: str, day: str | None = None, job: str = "__ASSET_JOB", config: dict | None = None
    ) -> dict[str, Any]:
        """Launches assets or a job, with the launchpad's config, and returns the reply."""
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
        """Launches a run and returns its id."""
        reply = self.launch(*assets, **more)
        assert reply["__typename"] == "LaunchRunSuccess", reply
        return reply["run"]["runId"]

    def list_runs(self) -> list[dict[str, Any]]:
        """Lists all runs, newest first."""
        return self.ask(RUNS)["runsOrError"]["results"]

    def status_of(self, run_id: str) -> str:
        (status,) = [run["status"] for run in self.list_runs() if run["runId"] == run_id]
        return status

    def events_of(self, run_id: str, kind: str) -> list[dict[str, Any]]:
        """Lists the events of one kind, such as MaterializationEvent."""
        events = self.ask(EVENTS, id=run_id)["logsForRun"]["events"]
        return [event for event in events if event["__typename"] == kind]

    def maker_of(self, asset: str) -> str:
        """Returns the id of the run that last materialized an asset."""
        query = "query($path: [String!]!) { assetOrError(assetKey: {path: $path}) { ... on Asset {"
        reply = self.ask(f"{query} assetMaterializations(limit: 1) {{ runId }} }} }} }}", path=[asset])
        (last,) = reply["assetOrError"]["assetMaterializations"]
        return last["runId"]
