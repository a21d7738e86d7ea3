"""Audio codes from a `Gpt`, one after the other, greedily or sampled.

D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from voicekiln.families.gpt import Gpt, TextStop

if TYPE_CHECKING:
    from transformers import LogitsProcessorList

# The ids that upstream's generation holds in place of the conditions and the text: the repetition
# penalty counts this code as said from the beginning, as it does the start of the audio.
PLACEHOLDER = 1


@dataclass(frozen=True)
class Sampling:
    """How the next code is chosen; the order of the fields is that of their application.

    Attributes:
        repetition_penalty: divides positive and multiplies negative logits of codes that have
            occurred; 1 for none.
        temperature: divides the logits; 0 takes the most probable code.
        top_k: number of most probable codes to sample from; 0 for all.
        top_p: sample from the most probable codes that have this probability together; 1 for all.
    """

    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0

    def processors(self) -> LogitsProcessorList:
        """What changes the logits before a code is chosen."""
        from transformers import (
            LogitsProcessorList,
            RepetitionPenaltyLogitsProcessor,
            TemperatureLogitsWarper,
            TopKLogitsWarper,
            TopPLogitsWarper,
        )

        steps = LogitsProcessorList()
        if self.repetition_penalty != 1:
            steps.append(RepetitionPenaltyLogitsProcessor(self.repetition_penalty))
        if self.greedy:
            return steps
        if self.temperature != 1:
            steps.append(TemperatureLogitsWarper(self.temperature))
        if self.top_k:
            steps.append(TopKLogitsWarper(self.top_k))
        if self.top_p < 1:
            steps.append(TopPLogitsWarper(self.top_p))
        return steps


GREEDY = Sampling(temperature=0)


@dataclass(frozen=True)
class Generated:
    """Codes of one text.

    Attributes:
        codes: `[M]` int64, without the stop.
        hidden: `[M + 1, D]`, what each code and the stop were predicted from, for a vocoder that
            takes them instead of codes; `[M, D]` if not stopped.
        stopped: whether the model ended the audio, and not the limit.
    """

    codes: torch.Tensor
    hidden: torch.Tensor
    stopped: bool


@torch.inference_mode()
def generate(
    model: Gpt,
    conditions: torch.Tensor,
    text: torch.Tensor,
    *,
    sampling: Sampling = GREEDY,
    rng: torch.Generator | None = None,
    text_stop: TextStop = "seen",
    max_codes: int | None = None,
    cached: bool = True,
) -> Generated:
    """Codes of a text, as upstream's inference generates them.

    Args:
        model: in eval mode, otherwise dropout is applied.
        conditions: `[1, C, D]`.
        text: `[N]` ids without start and stop.
        sampling: how codes are chosen.
        rng: for the draws, on the CPU, so that they are the same for each device; None for torch's
            own.
        text_stop: whether the codes attend to the text's STOP; upstream's inference lets them.
        max_codes: stop after so many codes; None for as many as upstream, 3 fewer than the model's
            `max_audio_tokens`.
        cached: keep the keys and values of earlier positions.

    Raises:
        UserError: the text is longer than the model has positions for.
    """
    limit = model.max_audio_tokens - 3 if max_codes is None else max_codes
    processors = sampling.processors()
    said = torch.tensor([[PLACEHOLDER, model.start_audio]])
    states = _states(model, conditions, text, text_stop, cached)
    state, hidden, stopped = next(states), [], False
    while len(hidden) < limit and not stopped:
        hidden.append(state)
        scores = processors(said, model.mel_head(state).float().cpu())  # [1, n_audio_tokens]
        if sampling.greedy:
            code = scores.argmax(-1)
        else:
            code = torch.multinomial(scores.softmax(-1), 1, generator=rng)[:, 0]
        said = torch.cat([said, code[:, None]], 1)
        stopped = int(code) == model.stop_audio
        if len(hidden) < limit and not stopped:
            state = states.send(code[:, None].to(text.device))
    codes = said[0, 2:]
    return Generated(
        codes[:-1] if stopped else codes,
        torch.cat(hidden) if hidden else conditions.new_zeros(0, conditions.shape[2]),
        stopped,
    )


def _states(
    model: Gpt, conditions: torch.Tensor, text: torch.Tensor, text_stop: TextStop, cached: bool
) -> Iterator[torch.Tensor]:
    """Yield what the next code is predicted from, `[1, D]`; takes the code, `[1, 1]`."""
    from transformers import DynamicCache

    ends = [model.stop_text] if text_stop == "seen" else []
    ids = torch.cat([text.new_tensor([model.start_text]), text, text.new_tensor(ends)])
    start = text.new_tensor([[model.start_audio]])
    new = torch.cat([conditions, model.embed_text(ids[None]), model.embed_codes(start)], 1)
    cache = DynamicCache(config=model.gpt.config) if cached else None
    at = 1
    while True:
        code = yield model.hidden(new, cache)[:, -1]
        following = model.embed_codes(code, at)
        new = following if cached else torch.cat([new, following], 1)
        at += 1
