"""GGUF files of the same weights in other formats, made once and kept."""

import os
from pathlib import Path

import gguf
import numpy as np

from benchmarks.peers.base import fingerprint

SHIPPED = "shipped"
FORMATS = {
    "Q8_0": gguf.GGMLQuantizationType.Q8_0,
    "Q4_0": gguf.GGMLQuantizationType.Q4_0,
}
_FILE_TYPES = {"Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0, "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0}
# The writer fills these in.
_OWN = ("GGUF.", "general.architecture", "general.file_type", "general.quantization_version")


def quantised(source: Path, form: str, cache: Path) -> Path:
    """The file itself for `SHIPPED`, else a copy with every matrix in that format."""
    if form == SHIPPED:
        return source
    target = cache / f"{source.stem}-{fingerprint(source)}-as-{form}.gguf"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(f".{os.getpid()}")
        _write(source, form, draft)
        draft.replace(target)
    return target


def _write(source: Path, form: str, target: Path) -> None:
    reader = gguf.GGUFReader(source)
    architecture = str(reader.fields["general.architecture"].contents())
    writer = gguf.GGUFWriter(target, architecture)
    writer.add_file_type(_FILE_TYPES[form])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for key, field in reader.fields.items():
        if not key.startswith(_OWN):
            sub_type = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type)
    for tensor in reader.tensors:
        if len(tensor.shape) < 2:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        data = gguf.quants.quantize(values.astype(np.float32), FORMATS[form])
        writer.add_tensor(tensor.name, data, raw_dtype=FORMATS[form])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
