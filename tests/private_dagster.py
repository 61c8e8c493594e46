"""Private APIs of Dagster that tests need, all in this file, for the version it names."""

from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.loader import LoadingContextForTest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget

DAGSTER_VERSION = "1.13.27"

__all__ = [
    "DAGSTER_VERSION",
    "CachingStaleStatusResolver",
    "InProcessCodeLocationOrigin",
    "InProcessWorkspaceLoadTarget",
    "LaunchRunContext",
    "LoadableTargetOrigin",
    "LoadingContextForTest",
    "StaleStatus",
    "SyncInMemoryRunLauncher",
    "WorkspaceProcessContext",
]
