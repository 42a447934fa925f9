"""``sms completion``: what a shell reads to complete our commands."""

from enum import StrEnum
from typing import Annotated

import typer
from typer._completion_shared import get_completion_script


class Shell(StrEnum):
    """One that can."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print what your shell reads to complete commands, options and values.

    bash, in ~/.bashrc: eval "$(sms completion bash)". zsh, in ~/.zshrc behind compinit: eval "$(sms completion zsh)".
    fish: sms completion fish > ~/.config/fish/completions/sms.fish. sms --install-completion does it by itself for
    the shell that it runs in.

    Exit code 0: printed. 2: another shell.
    """
    typer.echo(get_completion_script(prog_name="sms", complete_var="_SMS_COMPLETE", shell=shell.value))
