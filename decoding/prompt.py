"""From a prompt in any of its forms to token ids that a network can read."""

from collections.abc import Mapping
from operator import index
from typing import SupportsIndex

from decoding.network.base import Network
from decoding.request import Prompt
from decoding.tokenizer import Tokenizer


def read_prompt(prompt: Prompt, tokenizer: Tokenizer, network: Network) -> tuple[int, ...]:
    """Raises `ValueError` for a prompt of no token or of tokens that may not stand in one, and
    `TypeError` for what is no prompt."""
    if isinstance(prompt, str):
        ids = tuple(tokenizer.encode(prompt, add_special_tokens=True))
    elif all(isinstance(item, Mapping) for item in prompt):
        ids = tuple(tokenizer.encode_chat([each for each in prompt if isinstance(each, Mapping)]))
    else:
        ids = tuple(_token_id(item) for item in prompt)
    if not ids:
        raise ValueError("the prompt encodes to no token; give at least one")
    bad = next((token for token in ids if not 0 <= token < network.vocab_size), None)
    if bad is not None:
        raise ValueError(f"token id {bad} is outside the vocabulary of {network.vocab_size}")
    if network.mask_token_id in ids:
        place = ids.index(network.mask_token_id)
        raise ValueError(
            f"the prompt has the mask token (id {ids[place]}) at place {place}: it stands for "
            "text that is not decided yet; take it out"
        )
    return ids


def _token_id(item: object) -> int:
    """Takes the whole numbers of other libraries, too; a truth value is none."""
    # A check against the protocol would take longer than all else that a token of a prompt needs.
    if type(item) is int:
        return item
    if isinstance(item, SupportsIndex) and not isinstance(item, bool):
        return index(item)
    raise TypeError(
        "a prompt is text, a list of token ids, or a list of chat messages; "
        f"it holds a {type(item).__name__}"
    )
