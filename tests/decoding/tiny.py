"""A byte-level BPE tokenizer of 270 tokens, built offline."""

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from transformers import PreTrainedTokenizerFast

from decoding.detokenizer import BYTE_OF_LETTER
from decoding.tokenizer import Tokenizer

MERGES = ["th", "in", "er", "Ġa", "Ġt", "the", "Ġthe", '":', '{"', "Ã©", "ðŁ"]
SPECIALS = ["<|im_start|>", "<|im_end|>", "<|mask|>"]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer(chat_template: str | None = CHATML) -> Tokenizer:
    """Ids 0..255 are the bytes, then `MERGES`, then `SPECIALS`; `<|im_end|>` ends a text."""
    return Tokenizer(byte_tokenizer_hf(chat_template))


def byte_tokenizer_hf(chat_template: str | None = CHATML) -> PreTrainedTokenizerFast:
    vocab = dict(BYTE_OF_LETTER)
    splits = []
    for merged in MERGES:
        cut = max(at for at in range(1, len(merged)) if {merged[:at], merged[at:]} <= vocab.keys())
        splits.append((merged[:cut], merged[cut:]))
        vocab[merged] = len(vocab)
    backend = Backend(models.BPE(vocab=vocab, merges=splits))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in SPECIALS])
    hf = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, eos_token="<|im_end|>", mask_token="<|mask|>"
    )
    hf.chat_template = chat_template
    return hf


def metaspace_tokenizer() -> Tokenizer:
    """Spells like Llama 2: spaces as letters, unknown characters as runs of byte tokens."""
    pieces = ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "▁the", "é", "日", "�"]
    pieces += [f"<0x{byte:02X}>" for byte in range(256)]
    vocab = {piece: index for index, piece in enumerate(pieces)}
    merges = [("▁", "a")]
    backend = Backend(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    backend.add_special_tokens([AddedToken(each, special=True) for each in ("<s>", "</s>")])
    hf = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>")  # type: ignore[no-untyped-call]
    return Tokenizer(hf)
