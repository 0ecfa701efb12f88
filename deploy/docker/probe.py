"""A container's health check: exit 0 when the given path of this container answers 200."""

import http.client
import sys


def main(port: str, path: str) -> int:
    """Return 0 when ``path`` on loopback answers 200 within 3 s; print why not otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=3)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status == http.client.OK:
            return 0
        sys.stdout.write(f"{answer.status} {answer.read(500).decode(errors='replace')}\n")
    except (OSError, http.client.HTTPException) as error:
        sys.stdout.write(f"{type(error).__name__}: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
