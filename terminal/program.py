"""The command line: which commands there are, what each takes, and what `--help` tells of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Coroutine
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from terminal.address import DEFAULT_URL, Address
from terminal.characters import escape
from terminal.trouble import PIPE_CLOSED, STOPPED, Misuse, Trouble

FAULT = "This program has a fault; SWITCHBOARD_TRACE=1 in the environment shows where."

program = typer.Typer(
    name="switchboard",
    help="Chat with the models of a Switchboard server, from the terminal.\n\nStart a server with serve, then: chat.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Server = Annotated[str, typer.Option("--server", envvar="SWITCHBOARD_URL", help="Where the server is.")]
Key = Annotated[str, typer.Option("--key", envvar="SWITCHBOARD_KEY", help="The API key, if it wants one.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="The model to ask; else the server's current one.")]
System = Annotated[str | None, typer.Option("--system", "-s", help="The system prompt; else the server's.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", min=1, help="The most tokens of an answer.")]
Temperature = Annotated[float | None, typer.Option("--temperature", min=0, max=2, help="0: the likeliest words.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="The same seed, the same answer.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@program.command()
def chat(
    session: Annotated[str | None, typer.Option("--session", help="A conversation to go on with.")] = None,
    model: Model = None,
    system: System = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    seed: Seed = None,
    think: Annotated[bool | None, typer.Option("--think/--no-think", help="Whether to reason first.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="No Markdown, no colours, nothing drawn over.")] = False,
    server: Server = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Talk with a model.

    Answers stream, formatted. Ctrl-C stops one and keeps it. A connection that breaks, or a server that is started
    anew, loses nothing: the answer goes on where it was. /help, while you talk, lists the commands.
    """
    from terminal.asking import Asking
    from terminal.talking import talk

    asking = Asking(model, system, think, max_tokens, temperature, seed)
    _run(lambda: talk(Address.read(server, key), session, asking, plain=plain))


@program.command()
def generate(
    words: Annotated[list[str] | None, typer.Argument(metavar="[PROMPT]...", help="What is asked.")] = None,
    model: Model = None,
    system: System = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = None,
    seed: Seed = None,
    stop: Annotated[list[str] | None, typer.Option("--stop", help="End before this text; may be repeated.")] = None,
    as_json: AsJson = False,
    server: Server = DEFAULT_URL,
    key: Key = "",
) -> None:
    """Ask once, and print the answer as plain text, as it comes.

    What comes through a pipe is added below the prompt: git diff | switchboard generate "Summarize this:".
    Exit status: 0 answered, 1 failed, 2 wrong usage, 3 no server, 130 stopped.
    """
    from terminal.generate import Question, prompt_of
    from terminal.generate import generate as ask

    async def answer() -> None:
        prompt = prompt_of(words or ())
        if not prompt:
            raise Misuse('There is nothing to answer. Ask with generate "…", or through a pipe.')
        question = Question(prompt, system, model, max_tokens, temperature, seed, stop or ())
        await ask(Address.read(server, key), question, as_json=as_json)

    _run(answer)


models = typer.Typer(no_args_is_help=True, help="List, fetch, load and delete the server's models.")
program.add_typer(models, name="models")
Name = Annotated[str, typer.Argument(help="The model, as it is listed, or by its bare name.")]


@models.command("list")
def list_models(as_json: AsJson = False, server: Server = DEFAULT_URL, key: Key = "") -> None:
    """List the models and what state they are in."""
    from terminal import models as doing

    _run(lambda: doing.list_models(Address.read(server, key), as_json=as_json))


@models.command()
def pull(name: Name, as_json: AsJson = False, server: Server = DEFAULT_URL, key: Key = "") -> None:
    """Fetch a model, such as ollama/gemma3:270m. One that was begun goes on where it was."""
    from terminal import models as doing

    _run(lambda: doing.pull(Address.read(server, key), name, as_json=as_json))


@models.command()
def load(name: Name, as_json: AsJson = False, server: Server = DEFAULT_URL, key: Key = "") -> None:
    """Make a model ready, and the one that new answers come from."""
    from terminal import models as doing

    _run(lambda: doing.load(Address.read(server, key), name, as_json=as_json))


@models.command()
def rm(name: Name, as_json: AsJson = False, server: Server = DEFAULT_URL, key: Key = "") -> None:
    """Delete a model where it is kept, if the server can."""
    from terminal import models as doing

    _run(lambda: doing.remove(Address.read(server, key), name, as_json=as_json))


@program.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on; else HOST of .env.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port; else PORT of .env.")] = None,
) -> None:
    """Start the server. Settings are in .env; see SETUP.md."""
    from terminal import programs

    given = {"HOST": host, "PORT": None if port is None else str(port)}
    programs.serve({name: value for name, value in given.items() if value is not None})


@program.command()
def doctor(
    server: Annotated[
        str | None, typer.Option("--server", envvar="SWITCHBOARD_URL", help="Where a server is; else as in .env.")
    ] = None,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Tell what works, what is missing, and what to do about it.

    Looks at this installation, at what is around it, and at the server, if one runs. Exit status: 0 well, 1 not.
    """
    from terminal.doctor import report

    _guarded(lambda: report.doctor(server, key, as_json=as_json))


PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@program.command(context_settings=PASSED_ON)
def bench(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Which one; peer is the comparison.")] = ""
) -> None:
    """Start a measuring program of bench/; without a name, list them."""
    from terminal import programs

    def start() -> None:
        if name in ("", "-h", "--help"):
            sys.stdout.write("\n".join(programs.benches()) + "\n")
        else:
            programs.bench(name, context.args)

    _guarded(start)


@program.command(context_settings=PASSED_ON)
def keys(context: typer.Context) -> None:
    """Make, list and remove API keys: add NAME, list, remove NAME."""
    from terminal import programs

    _guarded(lambda: programs.keys(context.args))


def _run(command: Callable[[], Coroutine[Any, Any, int | None]]) -> None:
    _guarded(lambda: asyncio.run(command()))


def _guarded(command: Callable[[], int | None]) -> None:
    """Run a command; whatever stops it becomes a sentence and an exit status."""
    try:
        status = command() or 0
    except Trouble as trouble:
        _complain(escape(str(trouble)))
        status = trouble.status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would try to flush, and complain
        status = PIPE_CLOSED
    except KeyboardInterrupt:
        status = STOPPED
    except Exception as error:  # the last resort: whatever it is, a person is told in a sentence
        if os.environ.get("SWITCHBOARD_TRACE"):
            raise
        _complain(escape(f"{FAULT} {type(error).__name__}: {error}"))
        status = Trouble.status
    raise typer.Exit(status)


def _complain(sentence: str) -> None:
    """Say it on standard error; at a terminal, without breaking words."""
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else len(sentence) + 1
    sys.stderr.write("\n".join(textwrap.wrap(sentence, width)) + "\n")


def main() -> None:
    """What the console script `switchboard` runs."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal's encoding does not have
    program()
