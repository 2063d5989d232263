"""The image's health check: exit 0 when a role of this container answers on /health/live."""

import os
import sys
import urllib.error
import urllib.request

# The defaults of the roles and of the console: the image does not know which of them it runs.
DEFAULT_PORTS = ("9464", "9465", "9467", os.environ.get("TELLTALE_CONSOLE_PORT") or "8000")


def main() -> int:
    given = os.environ.get("TELLTALE_HTTP_PORT")
    told = []
    for port in (given,) if given else DEFAULT_PORTS:
        url = f"http://127.0.0.1:{port}/health/live"
        try:
            with urllib.request.urlopen(url, timeout=3) as answer:
                print(answer.read().decode())
                return 0
        except urllib.error.HTTPError as error:
            told.append(f"{url}: {error.code} {error.read().decode(errors='replace')}")
        except OSError as error:
            told.append(f"{url}: {error}")
    print("\n".join(told), file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
