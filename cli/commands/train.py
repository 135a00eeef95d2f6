"""``sightline train``: data, networks, engines, scores, the papers' tables."""

import typer

from cli.commands import train_bundle, train_data, train_eval, train_fit, train_table

train = typer.Typer(
    help="Make worlds, train networks, score engines, run the papers' tables.",
    no_args_is_help=True,
)
for _commands in (train_data, train_fit, train_bundle, train_eval, train_table):
    _commands.add_to(train)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(train, name="train", rich_help_panel="Train")
