"""Trainings of Rover Descent: ``python -m agents.rover.train direction`` and ``... policy``."""

from __future__ import annotations

import sys

import tyro
from rich.console import Console

from agents.rover.direction import DirectionConfig, train_direction
from agents.rover.policy import PolicyConfig, train_policy
from agents.training.command_line import command

console = Console()


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    what, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    with command(console):
        if what == "direction":
            config = tyro.cli(DirectionConfig, args=rest)
            train_direction(config, console)
            console.print(f"The direction network is in {config.folder}")
        elif what == "policy":
            policy = tyro.cli(PolicyConfig, args=rest)
            score = train_policy(policy, console)
            console.print(f"The policy is in {policy.folder}: {score:.2f} decades on validation landscapes")
        else:
            raise ValueError(f"name what to train, direction or policy, got {what!r}")


if __name__ == "__main__":
    main()
