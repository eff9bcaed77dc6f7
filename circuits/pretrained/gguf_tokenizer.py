"""Build the tokenizer that a GGUF file describes, for byte-level BPE as in GPT-2 and SmolLM."""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from circuits import checks
from circuits.pretrained.gguf_file import GgufFile, Values, numbers, strings

PREFIX = "tokenizer.ggml."
CONTROL, USER_DEFINED = 3, 4
BYTE_LEVEL = {"gpt-2": False, "gpt2": False, "smollm": True}
"""Whether every digit is a separate word, by the name of the pre-tokenizer."""


def gguf_tokenizer(file: GgufFile, vocab: int) -> tuple[Tokenizer | None, str]:
    """Return the tokenizer, or None if its kind is not one of ``BYTE_LEVEL``, and its name in the file.

    Raises ValueError naming the key, for more than ``vocab`` tokens or duplicates, another number of token types than
    of tokens, a merge that does not join two tokens to a third, or an id without a token.
    """
    kind, rule = file.metadata.get(f"{PREFIX}model"), file.metadata.get(f"{PREFIX}pre", "gpt-2")
    name = f"{kind}, {rule}"
    if kind != "gpt2" or rule not in BYTE_LEVEL:
        return None, name
    tokens = strings(file, f"{PREFIX}tokens")
    ids = {token: i for i, token in enumerate(tokens)}
    checks.require(
        0 < len(tokens) <= vocab, f"{PREFIX}tokens", f"must be 1 to {vocab}, the rows of embeddings", len(tokens)
    )
    checks.require(len(ids) == len(tokens), f"{PREFIX}tokens", "must differ", f"{len(tokens) - len(ids)} that do not")
    built = Tokenizer(models.BPE(ids, _merges(file, ids)))
    built.pre_tokenizer = _words(each_digit=BYTE_LEVEL[str(rule)])
    built.decoder = decoders.ByteLevel()
    built.add_tokens(_added(file, tokens))
    start = _start(file, tokens)
    if start is not None:
        built.post_processor = processors.TemplateProcessing(
            single=[start, "$A"], pair=[start, "$A", start, "$B"], special_tokens=[(start, ids[start])]
        )
    return built, name


def _words(each_digit: bool) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level]) if each_digit else byte_level


def _merges(file: GgufFile, ids: dict[str, int]) -> list[tuple[str, str]]:
    merges = []
    for i, merge in enumerate(strings(file, f"{PREFIX}merges")):
        left, space, right = merge.partition(" ")
        whole = bool(space) and left in ids and right in ids and left + right in ids
        checks.require(whole, f"{PREFIX}merges[{i}]", "must be two tokens that join to a third", merge)
        merges.append((left, right))
    return merges


def _added(file: GgufFile, tokens: list[str]) -> list[AddedToken]:
    """Return the tokens that are matched literally in a text; decoding skips those of type control."""
    key = f"{PREFIX}token_type"
    if not isinstance(file.metadata.get(key), Values):
        return []
    types = numbers(file, key)
    checks.require(len(types) == len(tokens), key, f"must be as many as the tokens, {len(tokens)}", len(types))
    kinds = ((token, int(type)) for token, type in zip(tokens, types, strict=True))
    marked = [(token, type) for token, type in kinds if type in (CONTROL, USER_DEFINED) and token]
    return [AddedToken(token, special=type == CONTROL, normalized=False) for token, type in marked]


def _start(file: GgufFile, tokens: list[str]) -> str | None:
    """Return the token to prepend to every text, if any."""
    if file.metadata.get(f"{PREFIX}add_bos_token") is not True:
        return None
    start = file.metadata.get(f"{PREFIX}bos_token_id")
    checks.integer(f"{PREFIX}bos_token_id", start, min_value=0, max_value=len(tokens) - 1)
    return tokens[int(str(start))]
