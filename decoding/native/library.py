"""The compiled forward (`kernels/forward.cpp`): which build of it this processor runs, and its
structures as `ctypes` sees them.

Building it needs a C++ compiler when the package is installed. Without one everything else works;
`library` then says what is missing.
"""

import ctypes
import hashlib
from collections.abc import Sequence
from ctypes import POINTER, c_double, c_float, c_int32, c_int64, c_uint64, c_void_p
from enum import IntEnum
from functools import cache
from pathlib import Path

_BUILDS = ("_avx512vnni", "_avxvnni", "_avx2", "_portable")  # the quickest first
_HERE = Path(__file__).parent
_VERSION = 11  # of what Python and the builds say to each other; also in forward.cpp


class Linear(ctypes.Structure):
    _fields_ = (
        ("outputs", c_int32),
        ("inputs", c_int32),
        ("bits", c_int32),
        ("unused", c_int32),
        ("weight", c_void_p),
        ("bias", c_void_p),
    )


class LowRank(ctypes.Structure):
    _fields_ = (("down", Linear), ("up", Linear))


class Layer(ctypes.Structure):
    _fields_ = (
        ("attention_norm", c_void_p),
        ("mlp_norm", c_void_p),
        ("qk_norm", c_void_p),
        ("window", c_int64),
        ("qkv", Linear),
        ("output", Linear),
        ("gate_up", Linear),
        ("down", Linear),
        ("qkv_extra", LowRank),
        ("output_extra", LowRank),
        ("gate_up_extra", LowRank),
        ("down_extra", LowRank),
    )


class Network(ctypes.Structure):
    _fields_ = (
        ("num_layers", c_int32),
        ("hidden", c_int32),
        ("num_heads", c_int32),
        ("num_kv_heads", c_int32),
        ("head_dim", c_int32),
        ("feed_forward", c_int32),
        ("planes", c_int32),
        ("half_cache", c_int32),
        ("norm_eps", c_float),
        ("num_embeddings", c_int32),
        ("layers", POINTER(Layer)),
        ("embedding", c_void_p),
        ("norm", c_void_p),
        ("head", Linear),
        ("rough_head", Linear),
        ("cosine", c_void_p),
        ("sine", c_void_p),
        ("query_scale", c_void_p),
    )


class Segment(ctypes.Structure):
    _fields_ = (
        ("first_row", c_int64),
        ("num_rows", c_int64),
        ("start", c_int64),
        ("is_block", c_int64),
        ("first_page", c_int64),
        ("shared_page", c_int64),
    )


class Forward(ctypes.Structure):
    _fields_ = (
        ("num_rows", c_int64),
        ("num_read", c_int64),
        ("num_segments", c_int64),
        ("num_slots", c_int64),
        ("threads", c_int64),
        ("tokens", c_void_p),
        ("positions", c_void_p),
        ("slots", c_void_p),
        ("read", c_void_p),
        ("reach", c_void_p),
        ("masks", c_void_p),
        ("adapted", c_void_p),
        ("segments", c_void_p),
        ("pages", c_void_p),
        ("keys", c_void_p),
        ("values", c_void_p),
        ("logits", c_void_p),
        ("normed", c_void_p),
    )


class Ask(ctypes.Structure):
    _fields_ = (
        ("logits", c_void_p),
        ("mask", c_void_p),
        ("temperature", c_double),
        ("key", c_uint64),
    )


class Best(ctypes.Structure):
    _fields_ = (("token", c_int64), ("logprob", c_double))


class DraftHead(ctypes.Structure):
    _fields_ = (
        ("hidden", Linear),
        ("token", Linear),
        ("state", Linear),
        ("output", Linear),
        ("norm", c_void_p),
        ("embedding", c_void_p),
        ("candidates", c_void_p),
        ("count", c_int64),
    )


class Refusal(IntEnum):
    """What a forward returns; NONE where it was computed."""

    NONE = 0
    NO_MEMORY = 1
    NO_TOKEN = 2
    NO_SLOT = 3
    NO_PAGE = 4
    NO_ROW = 5


_STRUCTURES = (Linear, Layer, Network, Segment, Forward, Ask, Best, DraftHead)


class NativeUnavailable(Exception):
    """No build of the compiled forward runs here."""


@cache
def library() -> ctypes.CDLL:
    """The quickest build that this processor runs. Raises `NativeUnavailable`."""
    found = builds()
    if found:
        return found[0]
    built = [path.name for name in _BUILDS for path in _HERE.glob(f"{name}.*")]
    raise NativeUnavailable(
        f"of the compiled forward, {', '.join(built)} are of another version of the package or for "
        "other processors: install the package again"
        if built
        else "the compiled forward was not built: install a C++ compiler (on Debian: apt-get "
        "install g++), then install the package again"
    )


@cache
def build_id() -> str:
    """Tells the build that runs here from any other, of the same version too; empty for none.

    Raises `OSError` where its file is gone since it was loaded.
    """
    try:
        path = Path(library()._name)
    except NativeUnavailable:
        return ""
    return hashlib.blake2b(path.read_bytes(), digest_size=12).hexdigest()


@cache
def builds(directory: Path = _HERE) -> Sequence[ctypes.CDLL]:
    """All builds in the directory that this processor runs, the quickest first."""
    paths = [path for name in _BUILDS for path in sorted(directory.glob(f"{name}.*"))]
    return [each for path in paths if (each := _load(path)) is not None]


def _load(path: Path) -> ctypes.CDLL | None:
    """None where the build is of another version, or for another processor."""
    try:
        lib = ctypes.CDLL(str(path))
    except OSError:
        return None
    if not hasattr(lib, "trimode_version") or lib.trimode_version() != _VERSION:
        return None
    if not lib.trimode_supported():
        return None
    lib.trimode_workspace_new.restype = c_void_p
    lib.trimode_workspace_delete.argtypes = [c_void_p]
    lib.trimode_forward.argtypes = [POINTER(Network), POINTER(Forward), c_void_p]
    lib.trimode_forward.restype = c_int32
    lib.trimode_packed_bytes.argtypes = [c_int64] * 3
    lib.trimode_packed_bytes.restype = c_int64
    lib.trimode_pack.argtypes = [c_void_p, *[c_int64] * 4, c_void_p]
    lib.trimode_pack.restype = c_int32
    lib.trimode_pick.argtypes = [c_void_p, *[c_int64] * 4, c_void_p]
    lib.trimode_pick.restype = None
    lib.trimode_guess.argtypes = [
        *(POINTER(DraftHead), c_void_p, c_int64, c_int64, c_float),
        *(c_void_p, c_void_p),
    ]
    lib.trimode_guess.restype = c_int64
    lib.trimode_size.argtypes = [c_int64]
    lib.trimode_size.restype = c_int64
    sizes = [lib.trimode_size(index) for index in range(len(_STRUCTURES))]
    assert sizes == [ctypes.sizeof(each) for each in _STRUCTURES], f"{path}: sizes are {sizes}"
    return lib
