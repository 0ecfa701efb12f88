"""``python -m services.api.openapi`` prints the OpenAPI document; equal code, equal bytes."""

import json
import sys

from services.api.app import create_app, document
from services.api.options import ApiOptions
from services.api.reader import NoStore
from shared.runtime.clock import SystemClock


def printed() -> str:
    """Return the document with sorted keys, one space of indent and a newline at its end."""
    app = create_app(pool=NoStore(), clock=SystemClock(), options=ApiOptions())
    return json.dumps(document(app), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(printed())
