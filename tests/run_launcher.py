"""A launcher for tests: a run ends before its launch returns, in this process, beside the loop that serves pages."""

from threading import Thread

from private_dagster import LaunchRunContext, SyncInMemoryRunLauncher


class ThreadRunLauncher(SyncInMemoryRunLauncher):
    """A thread of its own, since a run has an event loop of its own."""

    def launch_run(self, context: LaunchRunContext) -> None:
        run = Thread(target=super().launch_run, args=(context,))
        run.start()
        run.join()
