"""Reads a Hugging Face checkpoint directory into a network."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from decoding.errors import WeightsError
from decoding.jsonfile import read_json_object
from decoding.network.config import NetworkConfig
from decoding.network.numerics import ChooseNumerics, Numerics, plain_numerics
from decoding.network.transformer import LayerParameters, Parameters, Transformer
from decoding.weights.adapter import NO_DRAFT, read_adapter
from decoding.weights.files import open_tensors, read_tensor

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PREFIXES = ("model.", "encoder.", "", "language_model.model.", "model.language_model.")
_HEADS = ("lm_head.weight", "diffusion_head.weight", "language_model.lm_head.weight")
_HEAD_BESIDE = {"encoder.": _HEADS[1], "language_model.model.": _HEADS[2]}  # else the first
# Computed rather than read, or scales of a quantised cache that we do not have.
_IGNORED = re.compile(r".*(rotary_emb\.inv_freq|self_attn\.[kv]_scale)")
# The other half of a vision model, where its names begin like those of the text model.
_VISION = re.compile(r"(vision_tower|vision_model|visual|multi_modal_projector)\.")


def read_network(
    directory: Path,
    *,
    dtype: torch.dtype | None,
    device: torch.device,
    name: str,
    adapter: Path | None = None,
    numerics: ChooseNumerics = plain_numerics,
) -> Transformer:
    """The network of a directory as `save_pretrained` writes it, safetensors only.

    `dtype` None is the checkpoint's own, float32 where it does not say. Files of sub-folders are
    never read; `adapter` names the folder of one by its full path. A
    mask token that an adapter brings gets the first id beyond the vocabulary. Raises
    `WeightsError` naming the file and the key, also for tensors the network has no use for:
    it would not be the network that was trained.
    """
    config = _read_config(directory / "config.json")
    dtype = dtype or config.dtype or torch.float32
    draft = NO_DRAFT
    if adapter is not None:
        draft = read_adapter(adapter, config, dtype=dtype, device=device)
    tensors = _Tensors(directory, dtype, device)
    prefix = tensors.prefix()
    chosen = numerics(dtype, device)
    parameters = _parameters(config, tensors, prefix, draft.mask_embedding_E, chosen)
    tensors.refuse_unused(prefix)
    if draft.mask_embedding_E is not None:
        config = replace(config, mask_token_id=config.vocab_size)
    low_rank = None if draft.adapter is None else draft.adapter.prepared(chosen.prepare)
    return Transformer(config, parameters, name, low_rank, chosen)


def _read_config(file: Path) -> NetworkConfig:
    try:
        return NetworkConfig.from_hf(read_json_object(file))
    except WeightsError as error:
        if error.file is not None:
            raise
        raise WeightsError(error.reason, file, error.key) from None


class _Tensors:
    """The tensors of a checkpoint by name, checked for presence and shape as they are taken.

    What is taken is a copy: the network does not depend on its files staying as they are.
    """

    def __init__(self, directory: Path, dtype: torch.dtype, device: torch.device) -> None:
        self._directory = directory
        self._dtype = dtype
        self._device = device
        self._files: dict[Path, Any] = {}
        self._file_of = self._places()
        self._unused = set(self._file_of)

    def take(self, keys: Sequence[str], widths: Sequence[int], *columns: int) -> Tensor:
        """The tensors stacked along their first axis, in the wanted dtype on the device."""
        stacked = torch.empty((sum(widths), *columns), dtype=self._dtype, device=self._device)
        self.fill(stacked, keys, widths)
        return stacked

    def fill(self, stacked: Tensor, keys: Sequence[str], widths: Sequence[int]) -> None:
        """Writes the tensors one below the other, converted. Mutates."""
        for key, part, width in zip(keys, torch.split(stacked, list(widths)), widths, strict=True):
            part.copy_(self._read(key, (width, *stacked.shape[1:])))

    def close(self) -> None:
        """Gives back the memory that the files read so far are mapped to."""
        self._files.clear()

    def prefix(self) -> str:
        """What stands before the names of the network's tensors."""
        name = "embed_tokens.weight"
        prefix = self._only_present([each + name for each in _PREFIXES]).removesuffix(name)
        for key in sorted(self._file_of):
            for other in _PREFIXES:
                twin = prefix + key.removeprefix(other)
                if key.startswith(other) and twin != key and twin in self._file_of:
                    raise self._two(twin, key)
        return prefix

    def head(self, prefix: str) -> str:
        """The name of the output head; that of the layout where the checkpoint has none."""
        usual = _HEAD_BESIDE.get(prefix, _HEADS[0])
        return self._only_present([usual, *(key for key in _HEADS if key != usual)])

    def check_copy(self, key: str, embedding_VE: Tensor) -> None:
        """Raises `WeightsError` for an output head that is no copy of the embedding it is said to
        be tied to: which of the two was trained?"""
        if key not in self._file_of:
            return
        head_VE = self.take([key], [len(embedding_VE)], *embedding_VE.shape[1:])
        if not torch.equal(head_VE, embedding_VE):
            raise WeightsError(
                "config.json says that the output head is the embedding, and the checkpoint has "
                "another; set tie_word_embeddings to false to use it, or remove the tensor",
                self._file_of[key],
                key,
            )

    def refuse_unused(self, prefix: str) -> None:
        """Raises `WeightsError` if a tensor of the network was not taken.

        An output head beside a tied embedding may be there: `_parameters` has compared them.
        """
        for key in sorted(self._unused.difference(_HEADS)):
            name = key.removeprefix(prefix)
            spare = key.startswith(prefix) and not _VISION.match(name)
            if spare and not _IGNORED.fullmatch(key):
                raise WeightsError(
                    "the network its config.json describes has no place for the tensor; "
                    "correct the config, or use the unquantised checkpoint of a supported family",
                    self._file_of[key],
                    key,
                )

    def _only_present(self, keys: Sequence[str]) -> str:
        """The one of the names that the checkpoint has, or the first of all."""
        present = [key for key in keys if key in self._file_of]
        if len(present) > 1:
            raise self._two(present[0], present[1])
        return present[0] if present else keys[0]

    def _two(self, key: str, other: str) -> WeightsError:
        return WeightsError(
            f"the checkpoint holds two tensors for one place, {key!r} and {other!r}; "
            "remove the one that was not trained",
            self._file_of[other],
            other,
        )

    def _read(self, key: str, shape: tuple[int, ...]) -> Tensor:
        file = self._file_of.get(key)
        if file is None:
            raise WeightsError(
                "the checkpoint lacks a tensor that its config.json calls for; "
                "fetch the checkpoint again, or correct the config",
                self._directory,
                key,
            )
        tensor = read_tensor(self._open(file), file, key, shape, "config.json")
        self._unused.discard(key)
        return tensor

    def _open(self, file: Path) -> Any:
        if file not in self._files:
            self._files[file] = open_tensors(file)
        return self._files[file]

    def _places(self) -> Mapping[str, Path]:
        """The file of each tensor."""
        single = self._directory / _SINGLE
        if single.exists():  # an index beside it may be of what it replaced
            return dict.fromkeys(self._open(single).keys(), single)
        if (self._directory / _INDEX).exists():
            return _indexed(self._directory / _INDEX)
        if any(self._directory.glob("*.bin")):
            raise WeightsError(
                "the checkpoint has pickled weights (.bin) only, which are not read; "
                "save it again with safe_serialization",
                self._directory,
            )
        raise WeightsError(
            f"there is no {_SINGLE} and no {_INDEX}; "
            "give a directory as transformers' save_pretrained writes it",
            self._directory,
        )


def _indexed(index: Path) -> Mapping[str, Path]:
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError("the index lacks its weight_map; fetch it again", index)
    for key, file in weight_map.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise WeightsError(
                f"the index places a tensor outside the directory, in {file!r}", index, key
            )
    return {key: index.parent / file for key, file in weight_map.items()}


def _parameters(
    config: NetworkConfig,
    tensors: _Tensors,
    prefix: str,
    mask_embedding_E: Tensor | None,
    numerics: Numerics,
) -> Parameters:
    vocab, hidden = config.vocab_size, config.hidden_size
    embedding = f"{prefix}embed_tokens.weight"
    if mask_embedding_E is None:
        embedding_VE = tensors.take([embedding], [vocab], hidden)
    else:
        embedding_VE = mask_embedding_E.new_empty((vocab + 1, hidden))
        tensors.fill(embedding_VE[:vocab], [embedding], [vocab])
        embedding_VE[vocab] = mask_embedding_E
    head = tensors.head(prefix)
    if config.tied_head:
        tensors.check_copy(head, embedding_VE[:vocab])
    layers = []
    for index in range(config.num_layers):
        layers.append(_layer(config, tensors, f"{prefix}layers.{index}.", numerics))
        tensors.close()
    return Parameters(
        embedding_VE=embedding_VE,
        layers=tuple(layers),
        norm_E=tensors.take([f"{prefix}norm.weight"], [hidden]),
        head_VE=numerics.prepare(
            embedding_VE[:vocab] if config.tied_head else tensors.take([head], [vocab], hidden)
        ),
    )


def _layer(
    config: NetworkConfig, tensors: _Tensors, prefix: str, numerics: Numerics
) -> LayerParameters:
    hidden, inner, head_dim = config.hidden_size, config.feed_forward_size, config.head_dim
    queries, keys = config.num_heads * head_dim, config.num_kv_heads * head_dim
    qkv, qkv_widths = [f"{prefix}self_attn.{each}_proj" for each in "qkv"], [queries, keys, keys]
    gate_up = [f"{prefix}mlp.gate_proj", f"{prefix}mlp.up_proj"]
    output, down = [f"{prefix}self_attn.o_proj"], [f"{prefix}mlp.down_proj"]

    def weight(names: Sequence[str], widths: Sequence[int], columns: int) -> Tensor:
        return numerics.prepare(tensors.take([f"{name}.weight" for name in names], widths, columns))

    def bias(present: bool, names: Sequence[str], widths: Sequence[int]) -> Tensor | None:
        return tensors.take([f"{name}.bias" for name in names], widths) if present else None

    return LayerParameters(
        attention_norm_E=tensors.take([f"{prefix}input_layernorm.weight"], [hidden]),
        qkv=weight(qkv, qkv_widths, hidden),
        output=weight(output, [hidden], queries),
        mlp_norm_E=tensors.take([f"{prefix}post_attention_layernorm.weight"], [hidden]),
        gate_up=weight(gate_up, [inner, inner], hidden),
        down=weight(down, [hidden], inner),
        qkv_bias=bias(config.qkv_bias, qkv, qkv_widths),
        output_bias=bias(config.output_bias, output, [hidden]),
        gate_up_bias=bias(config.mlp_bias, gate_up, [inner, inner]),
        down_bias=bias(config.mlp_bias, down, [hidden]),
        qk_norm_XD=_qk_norm(config, tensors, prefix) if config.qk_norm else None,
    )


def _qk_norm(config: NetworkConfig, tensors: _Tensors, prefix: str) -> Tensor:
    """One row per query head, then one per key head."""
    query_D = tensors.take([f"{prefix}self_attn.q_norm.weight"], [config.head_dim])
    key_D = tensors.take([f"{prefix}self_attn.k_norm.weight"], [config.head_dim])
    return torch.cat((query_D.expand(config.num_heads, -1), key_D.expand(config.num_kv_heads, -1)))
