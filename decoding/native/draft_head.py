"""The draft head on the compiled kernels."""

from ctypes import CDLL, byref

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from decoding.draft_head import HeadParameters, scores_weight
from decoding.native import library
from decoding.native.packing import Arena, PackedLinear, pack, padded


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
            num_tokens=len(self._embedding_VE),
        )
        self._hidden_width = self._embedding_VE.shape[1]

    def guess(self, hidden_E: Tensor, token: int, count: int) -> tuple[int, ...]:
        """See `DraftHead.guess`. Raises `IndexError` for a token without an embedding."""
        if not 0 <= token < len(self._embedding_VE):
            raise IndexError(f"token {token} has no embedding")
        padded_E = F.pad(hidden_E, (0, self._hidden_width - len(hidden_E)))
        found = torch.empty(count, dtype=torch.int64)
        self._library.trimode_guess(
            byref(self._structure), padded_E.data_ptr(), token, count, found.data_ptr()
        )
        return tuple(found.tolist())

    def _pack(self, weight: Tensor, bias: Tensor | None) -> PackedLinear:
        return pack(weight, bias, self._arena, widths=(8,))
