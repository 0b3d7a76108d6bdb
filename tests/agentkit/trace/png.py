"""Reads the pixels of a PNG with 8 bits per channel."""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
_CHANNELS = {2: 3, 6: 4}


def read_png(path: Path) -> Pixels:
    """Red, green and blue of each pixel [height, width, 3]."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, packed, header = 8, b"", b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        header = body if kind == b"IHDR" else header
        packed += body if kind == b"IDAT" else b""
        at += length + 12
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    assert (depth, interlace) == (8, 0)
    channels = _CHANNELS[colour]
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, -1)
    pixels = np.zeros((height, width * channels), np.uint8)
    before = np.zeros(width * channels, np.uint8)
    for row, line in enumerate(lines):
        before = _unfiltered(int(line[0]), line[1:], before, channels)
        pixels[row] = before
    return pixels.reshape(height, width, channels)[:, :, :3]


def _unfiltered(kind: int, line: Pixels, before: Pixels, channels: int) -> Pixels:
    """One row; the kinds are those of the PNG specification, section 9."""
    if kind == 0:
        return line.copy()
    if kind == 1:
        summed: Pixels = np.cumsum(line.reshape(-1, channels), axis=0, dtype=np.uint8).reshape(-1)
        return summed
    if kind == 2:
        return line + before
    if kind == 3:
        return _averaged(line.tolist(), before.tolist(), channels)
    return _paeth(line.tolist(), before.tolist(), channels)


def _averaged(line: list[int], above: list[int], channels: int) -> Pixels:
    done = [0] * channels
    for index, value in enumerate(line):
        done.append((value + (done[index] + above[index]) // 2) & 255)
    return np.array(done[channels:], np.uint8)


def _paeth(line: list[int], above: list[int], channels: int) -> Pixels:
    # Written out, without calls: this runs for every byte of a picture.
    done = [0] * channels
    corner = [0] * channels + above
    for index, value in enumerate(line):
        left, up, diagonal = done[index], above[index], corner[index]
        to_left, to_up = up - diagonal, left - diagonal
        to_diagonal = abs(to_left + to_up)
        to_left, to_up = abs(to_left), abs(to_up)
        if to_left <= to_up and to_left <= to_diagonal:
            guess = left
        else:
            guess = up if to_up <= to_diagonal else diagonal
        done.append((value + guess) & 255)
    return np.array(done[channels:], np.uint8)
