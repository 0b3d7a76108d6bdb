"""What a mode needs of a network, checked before any work."""

from decoding.errors import UnsupportedMode
from decoding.network.base import Network


def check_block_length(block_length: int) -> None:
    if type(block_length) is not int or block_length < 1:
        raise ValueError(
            f"block_length must be at least 1, not {block_length}: it counts tokens, the one that "
            "is known included"
        )


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
            "it knows no mask token, so it has no diffusion pathway; take a checkpoint whose "
            "config.json names mask_token_id or an adapter with a mask embedding, decode "
            "autoregressively, or speculate with LookupDrafter()",
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
