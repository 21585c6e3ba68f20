"""The command line: its commands, and how errors and warnings leave it."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from geofeat._plain_commands import print_demo, print_versions
from geofeat._sampling_commands import coverage, embed, sample
from geofeat._shown_tables import human_bytes, show_table

INTERRUPTED = 130
_MODEL_COLUMNS = ["embedder", "n_features", "megabytes", "licence", "reference"]

# Without markup, help and errors are plain text wherever they go.
app = typer.Typer(
    name="geofeat",
    help="Earth embeddings and coordinate encodings: sample, embed, look around.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
cache = typer.Typer(help="Show or remove what was downloaded.", rich_markup_mode=None)
app.add_typer(cache, name="cache")
app.command()(sample)
app.command()(embed)
app.command()(coverage)


@app.callback(invoke_without_command=True)
def geofeat(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from, before the command.")
    ] = False,
) -> None:
    """Earth embeddings and coordinate encodings: sample, embed, look around."""
    if version:
        import geofeat as package

        typer.echo(f"geofeat {package.__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def models() -> None:
    """List the models of `geofeat embed`."""
    from geofeat import list_models

    table = list_models()
    sizes = table["n_bytes"].astype("Float64") / 1e6
    table["megabytes"] = sizes.fillna(table["megabytes"]).round(1)
    show_table(table[_MODEL_COLUMNS])


@app.command("convert-weights")
def convert_weights(
    source: Annotated[Path, typer.Argument(help="File of torch: .ckpt, .pth, .pt or .bin.")],
    target: Annotated[Path, typer.Argument(help="File to write, .safetensors.")],
    overwrite: Annotated[bool, typer.Option(help="Replace the file if there is one.")] = False,
) -> None:
    """Turn a checkpoint into safetensors.

    Neither torch nor any code in the file is run.
    """
    from geofeat import convert_weights as convert

    typer.echo(f"written: {convert(source, target, overwrite=overwrite)}")


@cache.command("info")
def cache_info() -> None:
    """Tell where the cache lies and what it holds."""
    from geofeat.rasters._block_cache import cache_info as count

    info = count()
    typer.echo(f"folder       {info.folder}")
    typer.echo(
        f"blocks       {info.blocks}, {human_bytes(info.block_bytes)} of at most "
        f"{human_bytes(info.limit_bytes)}"
    )
    typer.echo(f"whole files  {info.files}, {human_bytes(info.file_bytes)}")


@cache.command("clear")
def cache_clear() -> None:
    """Remove what was downloaded of remote rasters; weights of models stay."""
    from geofeat.rasters._block_cache import clear_cache

    typer.echo(f"freed {human_bytes(clear_cache())}")


@app.command()
def versions() -> None:
    """Print versions for a bug report."""
    print_versions()


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder for table and figure.")] = Path("demo"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Classify SIMULATED tree species.

    Prints and draws the scores of every set of features.
    """
    print_demo(output, progress=not quiet)


def run(words: Sequence[str]) -> int:
    """Run a command; errors become one line on the error stream and a status.

    Parameters
    ----------
    words : sequence of str
        The command line without the program's name.

    Returns
    -------
    status : int
        0 on success, 1 after an error, 2 after a wrong use, `INTERRUPTED` after Ctrl-C.
    """
    debug = "--debug" in _before_command(words)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            status = typer.main.get_command(app)(
                args=list(words), prog_name="geofeat", standalone_mode=False
            )
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except BrokenPipeError:  # whoever read our lines has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if hasattr(error, "format_message"):  # of typer: a wrong use
            sys.stderr.write(f"geofeat: {_one_line(error.format_message())} (see geofeat --help)\n")
            return 2
        if debug:
            traceback.print_exc()
        sys.stderr.write(f"geofeat: {_described(error)}\n")
        return 1
    if status == INTERRUPTED:  # typer turns Ctrl-C into a status of its own in some versions
        sys.stderr.write("geofeat: interrupted\n")
    return status if isinstance(status, int) else 0


def _before_command(words: Sequence[str]) -> list[str]:
    """Options of the program itself."""
    first = next((i for i, word in enumerate(words) if not word.startswith("-")), len(words))
    return list(words[:first])


def _described(error: Exception) -> str:
    """One line about an error; its kind as well where the message may not tell enough."""
    from geofeat.exceptions import GeofeatError

    text = _one_line(str(error))
    if text and isinstance(error, GeofeatError | OSError | ValueError | TypeError | ImportError):
        return text
    return f"{type(error).__name__}: {text or 'no message'} (geofeat --debug ... shows where)"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _show_warning(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
    """Print a warning of ours in one line, without the place in the code; leave others out."""
    if category.__module__.split(".")[0] == "geofeat":
        sys.stderr.write(f"geofeat: warning: {_one_line(str(message))}\n")
