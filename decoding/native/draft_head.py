"""The draft head on the compiled kernels."""

from ctypes import CDLL, byref, c_float, c_int64

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from decoding.draft_head import HeadParameters, scores_weight
from decoding.native import library
from decoding.native.packing import Arena, PackedLinear, pack, padded
from decoding.ngrams import Continuation


class NativeDraftHead:
    """A `decoding.draft_head.DraftHead` in products of 8 bits. Guesses, so rounding is free."""

    def __init__(
        self, parameters: HeadParameters, embedding_VE: Tensor, build: CDLL | None = None
    ) -> None:
        """`embedding_VE` is the network's. Raises `ValueError` for what cannot be packed."""
        self._library = build or library.library()
        self._arena = Arena(1 << 22)
        embedding_VE = embedding_VE.detach().to("cpu", torch.float32).contiguous()
        short = padded(embedding_VE.shape[1]) - embedding_VE.shape[1]
        self._embedding_VE = F.pad(embedding_VE, (0, short)) if short else embedding_VE
        self._num_embeddings, self._width = self._embedding_VE.shape
        self._norm_K = parameters.norm_K.contiguous()
        self._tokens_C = parameters.tokens_C.contiguous()
        self._hidden = self._pack(parameters.hidden_KE, parameters.hidden_bias_K)
        self._token = self._pack(parameters.token_KE, None)
        self._state = self._pack(parameters.state_KK, parameters.state_bias_K)
        output_CK = scores_weight(parameters, embedding_VE)
        self._output = self._pack(output_CK, parameters.output_bias_C)
        self._structure = library.DraftHead(
            hidden=self._hidden.structure(),
            token=self._token.structure(),
            state=self._state.structure(),
            output=self._output.structure(),
            norm=self._norm_K.data_ptr(),
            embedding=self._embedding_VE.data_ptr(),
            candidates=self._tokens_C.data_ptr(),
            count=len(self._tokens_C),
        )
        self._last: tuple[NDArray[np.float32] | None, int, int, float, tuple[Continuation, ...]]
        self._last = (None, 0, 0, 0.0, ())

    def guess(
        self, hidden_E: NDArray[np.float32], token: int, count: int, least: float = 0.0
    ) -> tuple[Continuation, ...]:
        """See `DraftHead.guess`. Raises `IndexError` for a token without an embedding.

        The last answer is kept: who weighs a draft asks first, who makes it asks again.
        """
        last_E, last_token, *asked, known = self._last
        is_last = last_E is hidden_E and last_token == token
        if is_last and (len(known) >= count or asked == [count, least]):
            return known[:count]
        if not 0 <= token < self._num_embeddings:
            raise IndexError(f"token {token} has no embedding")
        padded_E = np.ascontiguousarray(hidden_E, dtype=np.float32)
        if len(padded_E) < self._width:
            padded_E = np.zeros(self._width, dtype=np.float32)
            padded_E[: len(hidden_E)] = hidden_E
        tokens, shares = (c_int64 * count)(), (c_float * count)()
        num_guessed = self._library.trimode_guess(
            byref(self._structure), padded_E.ctypes.data, token, count, least, tokens, shares
        )
        found = tuple(Continuation.of(tokens[at], shares[at]) for at in range(num_guessed))
        self._last = (hidden_E, token, count, least, found)
        return found

    def _pack(self, weight: Tensor, bias: Tensor | None) -> PackedLinear:
        return pack(weight, bias, self._arena, widths=(8,))
