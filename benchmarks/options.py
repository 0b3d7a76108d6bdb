"""What the benchmarks share on the command line."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from decoding import DecodingError
from decoding.weights import EMBEDDED, EMBEDDED_TOOLS
from decoding.weights.embedded import embedded_directory, tools_directory


def positive(text: str) -> int:
    """A whole number of at least 1, as an argparse type."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def seconds(text: str) -> float:
    """A finite number above 0, as an argparse type."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0.0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be finite and above 0, not {text}")
    return number


def device(text: str) -> str:
    """The name of a device that torch knows, as an argparse type."""
    try:
        torch.device(text)
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text!r} is no device; take cpu or cuda") from None
    return text


def directory_of(model: str) -> str | Path:
    """Where others than our engine find the weights that it knows by this name; all else but an
    embedded name is what they take themselves."""
    if model == EMBEDDED:
        return embedded_directory(None, None)
    return tools_directory(None, None) if model == EMBEDDED_TOOLS else model


@contextmanager
def told_as_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Tells what was refused inside in one sentence, and exits with code 2."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (DecodingError, ValueError, OSError) as error:
        parser.error(str(error) or type(error).__name__)
