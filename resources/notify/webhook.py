"""A program that posts one body to one URL, both read as JSON from standard input.

It runs in its own process, which can be stopped whatever the network does, and imports the standard library only. It
follows no redirect, prints the reason of a failure, and never the URL.
"""

import json
import sys
import urllib.error
import urllib.request
from typing import Any

TIMEOUT_SECONDS = 10


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def main() -> None:
    """Posts, and exits with 0 if the receiver accepted the body."""
    order = json.load(sys.stdin)
    body = json.dumps(order["body"]).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "daylight", **order["headers"]}
    try:
        request = urllib.request.Request(order["url"], body, headers, method="POST")  # noqa: S310 scheme is checked
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_SECONDS):
            return
    except urllib.error.HTTPError as error:
        reason = f"HTTP {error.code}"
    except urllib.error.URLError as error:
        reason = f"no connection ({type(error.reason).__name__})"
    except (OSError, ValueError) as error:
        reason = f"no connection ({type(error).__name__})"
    sys.stdout.write(reason)
    sys.exit(1)


if __name__ == "__main__":
    main()
