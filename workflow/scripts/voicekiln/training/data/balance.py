"""Sampling balanced by speaker: each speaker has about as much audio in an epoch as the largest.

Clips of smaller speakers are repeated. How often a speaker's clips of about one length occur is the
same in every epoch; which of them occur once more than the others is drawn anew.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence


def repeated(n_steps: Sequence[int], ids: Sequence[str], speakers: Sequence[str]) -> list[int]:
    """Indices of an epoch's clips; each at least once, ascending.

    Args:
        n_steps: length of each clip.
        ids: their ids, which order clips of equal length.
        speakers: speaker of each.
    """
    clips_of = defaultdict(list)
    for i in sorted(range(len(n_steps)), key=lambda i: (n_steps[i], ids[i])):
        clips_of[speakers[i]].append(i)
    total = {name: sum(n_steps[i] for i in clips) for name, clips in clips_of.items()}
    most = max(total.values())
    found = []
    for name, clips in clips_of.items():
        whole, rest = divmod(most, total[name])
        n_more = round(len(clips) * rest / total[name])
        # evenly over the lengths, so that their sum comes close to the rest
        more = [clips[int((k + 0.5) * len(clips) / n_more)] for k in range(n_more)]
        found += clips * whole + more
    return sorted(found)


def draw(
    clips: Sequence[int], kinds: Sequence[tuple[str, int]], rng: random.Random
) -> dict[tuple[str, int], list[int]]:
    """The clips that take an epoch's places, by speaker and length, as many as there are places.

    Args:
        clips: from `repeated`.
        kinds: speaker and grid length of each clip of the data set.
        rng: of the epoch.
    """
    places = Counter(kinds[i] for i in clips)
    alike = defaultdict(list)
    for i in range(len(kinds)):
        alike[kinds[i]].append(i)
    found = {}
    for kind in sorted(places):
        whole, rest = divmod(places[kind], len(alike[kind]))
        found[kind] = alike[kind] * whole + rng.sample(alike[kind], rest)
    return found
