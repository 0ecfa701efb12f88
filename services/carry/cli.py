"""``carry``: the one command line."""

import sys

import typer
from rich.console import Console

from services.backtest.cli import backtest, data
from shared.domain.errors import Misconfigured

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Carrydesk: funding-rate arbitrage on Bybit.",
)
app.add_typer(backtest, name="backtest")
app.add_typer(data, name="data")


@app.callback()
def _carry() -> None:
    """Carrydesk: funding-rate arbitrage on Bybit."""


def main() -> None:
    """Run the command line; a wrong setting is one sentence and exit code 2."""
    try:
        app()
    except Misconfigured as error:
        Console(stderr=True, highlight=False).print(f"carry: {error}", markup=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
