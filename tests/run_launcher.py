"""A run launcher for tests: runs in this process and ends before the launch returns."""

from threading import Thread

from private_dagster import LaunchRunContext, SyncInMemoryRunLauncher


class ThreadRunLauncher(SyncInMemoryRunLauncher):
    """Runs in a separate thread, because a run has its own event loop."""

    def launch_run(self, context: LaunchRunContext) -> None:
        run = Thread(target=super().launch_run, args=(context,))
        run.start()
        run.join()
