"""No caller yet (for IndexTTS2): extension of SentencePiece models for another language.

All pieces of the base keep their ids and scores; new ones follow them. A candidate model of the
same type is trained on the new text; what it found is taken over in three steps:

1. every character that the base lacks, most frequent first (SentencePiece itself lists single
   characters last, and a list cut short has none of them);
2. the candidate's longer pieces in its order, only those that contain a character the base
   lacks: texts in the base's own characters are then tokenised as before;
3. of these, the ones that the encoder can reach from characters with the pieces that are there.

New scores lie below all of the base's. Text must come as the model will see it later: normalised,
in the upper case and with the spaces that its front end makes.
"""

import io
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import sentencepiece

# Not the top-level sentencepiece_model_pb2: some versions of transformers bring one that collides.
from sentencepiece import sentencepiece_model_pb2 as model_pb2

from voicekiln.errors import UserError
from voicekiln.tokenizers.characters import describe

log = logging.getLogger(__name__)

MAX_BYTES = 32 << 20  # XTTS's and IndexTTS2's models have less than 1 MB
SPACE = "\u2581"  # SentencePiece writes a space as this
NORMAL = model_pb2.ModelProto.SentencePiece.NORMAL
BPE = model_pb2.TrainerSpec.BPE
UNIGRAM = model_pb2.TrainerSpec.UNIGRAM
TYPE_NAMES = {BPE: "bpe", UNIGRAM: "unigram"}
# Settings of the base's training that decide which pieces can exist.
SHARED_SETTINGS = (
    "max_sentencepiece_length",
    "split_by_unicode_script",
    "split_by_number",
    "split_by_whitespace",
    "split_digits",
    "treat_whitespace_as_suffix",
)


def extend(
    base_model: bytes,
    texts: Sequence[str],
    base_texts: Sequence[str],
    n_new: int,
    only_new_characters: bool = True,
) -> tuple[bytes, dict]:
    """An extended model and a report on it.

    Args:
        base_model: content of the base's `.model` file.
        texts: lines of the new language.
        base_texts: lines of the base's languages, to prove that they come out as before.
        n_new: most pieces to add; fewer where the text does not give so many.
        only_new_characters: step 2 above. False also takes pieces of characters that the base
            knows, for a language in its script; the report says what that does to `base_texts`.

    Returns:
        the extended model's content, and the report: pieces and characters added, share of
        unknown tokens and tokens per word before and after, share of `base_texts` whose ids
        changed (0 if only_new_characters).

    Raises:
        UserError: not a BPE or unigram model, or `n_new` has no room for the missing characters.
    """
    base = parse(base_model)
    encoder = sentencepiece.SentencePieceProcessor(model_proto=base_model)
    lines = sorted({line for line in (normalized(encoder, text) for text in texts) if line})
    characters = missing_characters(base, texts, encoder)
    if len(characters) > n_new:
        raise UserError(
            f"tokenizer: {len(characters)} characters are missing in the base, but only {n_new}"
            " pieces may be added; allow more"
        )
    candidates = train_candidates(base, lines, 2 * n_new) if lines and n_new else {}
    known = {piece.piece for piece in base.pieces}
    new_characters = set(characters)
    merges, foreign = [], 0
    for piece in candidates:
        if len(piece) == 1 or piece in known:
            continue
        if only_new_characters and not new_characters.intersection(piece):
            foreign += 1
        else:
            merges.append(piece)
    room = n_new - len(characters)
    extended, unreachable = assemble(base, characters, merges, candidates, room)
    content = extended.SerializeToString()
    report = describe_extension(base_model, content, texts, base_texts, characters)
    report |= {
        "wanted": n_new,
        "rejected": {"known characters only": foreign, "unreachable": unreachable},
    }
    if only_new_characters and report["base_texts_changed"]:
        raise RuntimeError(f"base text is tokenised differently: {report}")
    log.info(
        "%d pieces added, %d of them characters; unknown tokens %.4f -> %.4f",
        report["pieces"] - report["base_pieces"],
        len(characters),
        report["unknown_share"]["before"],
        report["unknown_share"]["after"],
    )
    return content, report


def parse(content: bytes) -> model_pb2.ModelProto:
    """The model, checked for a type that can be extended."""
    if len(content) > MAX_BYTES:
        raise UserError(f"tokenizer: a model of {len(content)} bytes, at most {MAX_BYTES} are read")
    model = model_pb2.ModelProto()
    try:
        model.ParseFromString(content)
        sentencepiece.SentencePieceProcessor(model_proto=content)
    except Exception as error:
        raise UserError(f"tokenizer: not a SentencePiece model ({error})") from error
    if model.trainer_spec.model_type not in TYPE_NAMES or not model.pieces:
        raise UserError("tokenizer: only BPE and unigram SentencePiece models can be extended")
    return model


def normalized(encoder: sentencepiece.SentencePieceProcessor, text: str) -> str:
    """The text as the base's normaliser gives it to the base's pieces, spaces as spaces."""
    return encoder.Normalize(text).replace(SPACE, " ").strip()


def missing_characters(
    base: model_pb2.ModelProto,
    texts: Sequence[str],
    encoder: sentencepiece.SentencePieceProcessor,
) -> list[str]:
    """Characters of the text that are no piece of the base; most frequent first."""
    known = {piece.piece for piece in base.pieces if len(piece.piece) == 1}
    counts = Counter("".join(normalized(encoder, text) for text in texts))
    missing = [c for c in counts if c not in known and c != " "]
    return sorted(missing, key=lambda c: (-counts[c], c))


def train_candidates(
    base: model_pb2.ModelProto, lines: Sequence[str], n_pieces: int
) -> dict[str, float]:
    """Pieces of a new model of the base's type, best first, with their scores."""
    out = io.BytesIO()
    n_characters = len(set("".join(lines))) + 1
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=out,
        model_type=TYPE_NAMES[base.trainer_spec.model_type],
        vocab_size=n_pieces + n_characters + 3,  # <unk>, <s>, </s>
        hard_vocab_limit=False,  # less text makes fewer pieces and is no error
        character_coverage=1.0,
        normalization_rule_name="identity",  # the lines went through the base's normaliser
        add_dummy_prefix=base.normalizer_spec.add_dummy_prefix,
        num_threads=1,  # the result would depend on it
        minloglevel=2,
        **{name: getattr(base.trainer_spec, name) for name in SHARED_SETTINGS},
    )
    model = parse(out.getvalue())
    return {piece.piece: piece.score for piece in model.pieces if piece.type == NORMAL}


def assemble(
    base: model_pb2.ModelProto,
    characters: Sequence[str],
    merges: Sequence[str],
    candidates: Mapping[str, float],
    room: int,
) -> tuple[model_pb2.ModelProto, int]:
    """The extended model, and how many pieces had to be left out as unreachable."""
    is_bpe = base.trainer_spec.model_type == BPE
    reachable = reachable_by_merges if is_bpe else reachable_by_score
    base_scores = {p.piece: p.score for p in base.pieces if p.type == NORMAL}
    kept, left_out = list(merges[:room]), 0
    waiting = list(merges[room:])
    while True:
        scores = base_scores | new_scores(base_scores, characters, kept, candidates, is_bpe)
        good = [piece for piece in kept if reachable(piece, scores)]
        if len(good) == len(kept):
            break
        # One that cannot be reached makes room for the next; those before it are tried again,
        # for it may have been a part of them.
        left_out += len(kept) - len(good)
        free = len(kept) - len(good)
        kept, waiting = good + waiting[:free], waiting[free:]

    extended = model_pb2.ModelProto()
    extended.CopyFrom(base)
    for piece in (*characters, *kept):
        extended.pieces.add(piece=piece, score=scores[piece], type=NORMAL)
    extended.trainer_spec.vocab_size = len(extended.pieces)
    return extended, left_out


def new_scores(
    base_scores: Mapping[str, float],
    characters: Sequence[str],
    merges: Sequence[str],
    candidates: Mapping[str, float],
    is_bpe: bool,
) -> dict[str, float]:
    """Scores of the new pieces, all below the base's.

    BPE: by rank, characters below merges. Unigram: the candidate's log probabilities, moved down
    by one amount; that keeps their differences, which decide between the new pieces.
    """
    lowest = min(base_scores.values())
    if is_bpe:
        return {piece: lowest - 1 - i for i, piece in enumerate((*merges, *characters))}
    floor = min(candidates.values(), default=0.0)
    probabilities = {p: candidates.get(p, floor) for p in (*merges, *characters)}
    shift = lowest - 1 - max(probabilities.values(), default=0.0)
    return {piece: p + shift for piece, p in probabilities.items()}


def reachable_by_merges(piece: str, scores: Mapping[str, float]) -> bool:
    """Whether BPE, always merging the best neighbours, makes the piece from its characters."""
    parts = list(piece)
    if any(part not in scores for part in parts):
        return False
    while len(parts) > 1:
        pairs = [a + b for a, b in zip(parts, parts[1:], strict=False)]
        known = [(-scores[pair], i) for i, pair in enumerate(pairs) if pair in scores]
        if not known:
            return False
        _, i = min(known)
        parts[i : i + 2] = [pairs[i]]
    return True


def reachable_by_score(piece: str, scores: Mapping[str, float]) -> bool:
    """Whether unigram takes the piece and not a chain of shorter ones."""
    best = [0.0] + [float("-inf")] * len(piece)
    for end in range(1, len(piece) + 1):
        for start in range(end):
            part = piece[start:end]
            if part in scores and len(part) < len(piece):
                best[end] = max(best[end], best[start] + scores[part])
    return scores[piece] > best[-1]


def describe_extension(
    before: bytes,
    after: bytes,
    texts: Sequence[str],
    base_texts: Sequence[str],
    characters: Sequence[str],
) -> dict:
    """Figures for the report, from encoding the texts with both models."""
    old = sentencepiece.SentencePieceProcessor(model_proto=before)
    new = sentencepiece.SentencePieceProcessor(model_proto=after)
    changed = sum(old.encode(text) != new.encode(text) for text in base_texts)
    return {
        "type": TYPE_NAMES[parse(before).trainer_spec.model_type],
        "base_pieces": len(old),
        "pieces": len(new),
        "characters": [describe(character) for character in characters],
        "unknown_share": before_and_after(unknown_share, old, new, texts),
        "tokens_per_word": before_and_after(tokens_per_word, old, new, texts),
        "base_texts": len(base_texts),
        "base_texts_changed": round(changed / len(base_texts), 6) if base_texts else 0.0,
    }


def before_and_after(measure: Callable, old, new, texts: Sequence[str]) -> dict[str, float]:
    """One measure of both models."""
    return {"before": round(measure(old, texts), 6), "after": round(measure(new, texts), 6)}


def unknown_share(encoder, texts: Sequence[str]) -> float:
    """Share of unknown tokens among all tokens of the texts."""
    ids = [i for text in texts for i in encoder.encode(text)]
    return sum(i == encoder.unk_id() for i in ids) / max(len(ids), 1)


def tokens_per_word(encoder, texts: Sequence[str]) -> float:
    """Tokens by words between spaces: the fertility."""
    n_words = sum(len(text.split()) for text in texts)
    return sum(len(encoder.encode(text)) for text in texts) / max(n_words, 1)
