"""What a mode needs of a network, checked before any work."""

from decoding.errors import UnsupportedMode
from decoding.network.base import Network


def check_count(name: str, value: int) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


def check_record(name: str, value: object, method: str, example: str) -> None:
    """Raises `TypeError` for a class, or for what lacks the method that makes it one."""
    if isinstance(value, type) or not callable(getattr(value, method, None)):
        raise TypeError(f"{name} must be a record such as {example}, not {value!r}")


def check_block_fits(block_length: int, network: Network) -> None:
    if block_length > network.max_positions:
        raise ValueError(
            f"block_length {block_length} is beyond the context of {network.name}, "
            f"{network.max_positions} positions"
        )


def check_denoises(mode: str, network: Network) -> None:
    """Raises `UnsupportedMode` for a network without a diffusion pathway."""
    if network.mask_token_id is None:
        raise UnsupportedMode(
            mode,
            network.name,
            "it has no diffusion pathway, for it knows no mask token; load a "
            "Nemotron-Labs-Diffusion checkpoint (its config.json names mask_token_id) or an "
            "adapter with a mask embedding, or use self-speculation that copies (LookupDrafter)",
        )


def check_adapter(mode: str, network: Network) -> None:
    """Raises `UnsupportedMode` for a network without a draft adapter."""
    if not network.has_adapter:
        raise UnsupportedMode(
            mode, network.name, "it has no draft adapter; leave adapter open, or load one"
        )


def needs_adapter(network: Network) -> bool:
    """Whether the mask token is the adapter's own: the weights alone never saw a mask."""
    return network.mask_token_id is not None and network.mask_token_id >= network.vocab_size
