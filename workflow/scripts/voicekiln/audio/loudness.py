"""Streaming loudness and true peak meters (ITU-R BS.1770-4)."""

import numpy as np
from scipy import signal

SUB_BLOCKS_PER_S = 10  # gating blocks of 400 ms overlap by 75 %: each is four sub-blocks of 100 ms
SUB_BLOCKS_PER_BLOCK = 4
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
FULL_SCALE_LUFS = -0.691  # loudness of mean square 1 after the K-weighting

# BS.1770-4 gives its two filters as coefficients at 48 kHz. These are the analogue prototypes
# behind them (B. De Man, "Evaluation of Implementations of the EBU R128 Loudness Measurement",
# AES 145, 2018), from which the bilinear transform gives the coefficients at any rate.
SHELF_HZ, SHELF_Q, SHELF_DB = 1681.9744509555319, 0.7071752369554193, 3.99984385397
SHELF_BAND_EXPONENT = 0.499666774155
HIGH_PASS_HZ, HIGH_PASS_Q = 38.13547087613982, 0.5003270373253953

OVERSAMPLING = 4
PHASE_TAPS = 12  # as in BS.1770-4 annex 2: 12 taps for each of the four phases
PEAK_BLOCK = 64  # samples that are oversampled or skipped together


def k_weighting(rate_hz: int) -> np.ndarray:
    """`[2, 6]` second-order sections of the K-weighting at `rate_hz`."""
    k = np.tan(np.pi * SHELF_HZ / rate_hz)
    high = 10 ** (SHELF_DB / 20)
    band = high**SHELF_BAND_EXPONENT * k / SHELF_Q
    shelf = [
        *(high + band + k * k, 2 * (k * k - high), high - band + k * k),
        *(1 + k / SHELF_Q + k * k, 2 * (k * k - 1), 1 - k / SHELF_Q + k * k),
    ]
    k = np.tan(np.pi * HIGH_PASS_HZ / rate_hz)
    # The standard's numerator is 1, -2, 1 at 48 kHz: not quite unit gain. Kept at every rate.
    k48 = np.tan(np.pi * HIGH_PASS_HZ / 48_000)
    gain = 1 + k48 / HIGH_PASS_Q + k48 * k48
    high_pass = [
        *(gain, -2 * gain, gain),
        *(1 + k / HIGH_PASS_Q + k * k, 2 * (k * k - 1), 1 - k / HIGH_PASS_Q + k * k),
    ]
    sections = np.array([shelf, high_pass])
    return sections / sections[:, 3:4]


class LoudnessMeter:
    """Integrated loudness of a mono signal that arrives in blocks of any size.

    Stores one energy per 100 ms; the result does not depend on the block sizes.
    """

    def __init__(self, rate_hz: int):
        self._rate_hz = rate_hz
        self._sections = k_weighting(rate_hz)
        self._state = np.zeros((len(self._sections), 2))
        self._squares = np.zeros(0)  # of the incomplete sub-block
        self._energies = []

    def update(self, samples: np.ndarray) -> None:
        """Add `[n]` samples, full scale 1."""
        if len(samples) == 0:
            return
        weighted, self._state = signal.sosfilt(
            self._sections, samples.astype(np.float64), zi=self._state
        )
        squares = np.concatenate([self._squares, np.square(weighted, out=weighted)])
        # sub-block i starts at floor(i * rate / 10): no drift if rate / 10 is not an integer
        first = len(self._energies)
        origin = self._bound(first)
        last = (origin + len(squares)) * SUB_BLOCKS_PER_S // self._rate_hz
        bounds = [self._bound(i) - origin for i in range(first, last + 1)]
        if last > first:
            self._energies.extend(np.add.reduceat(squares[: bounds[-1]], bounds[:-1]))
        self._squares = squares[bounds[-1] :]

    def _bound(self, sub_block):
        return sub_block * self._rate_hz // SUB_BLOCKS_PER_S

    def loudness_lufs(self) -> float | None:
        """Gated loudness of all samples so far; None if all blocks are below the absolute gate.

        A signal shorter than one gating block counts as one block; the standard leaves this open.
        """
        energies = np.array(self._energies)
        if len(energies) < SUB_BLOCKS_PER_BLOCK:
            n_samples = self._bound(len(energies)) + len(self._squares)
            blocks = np.array([(energies.sum() + self._squares.sum()) / max(n_samples, 1)])
        else:
            ones = np.ones(SUB_BLOCKS_PER_BLOCK)
            block_samples = self._rate_hz * SUB_BLOCKS_PER_BLOCK / SUB_BLOCKS_PER_S
            blocks = np.convolve(energies, ones, "valid") / block_samples
        above_gate = blocks[blocks > _mean_square(ABSOLUTE_GATE_LUFS)]
        if len(above_gate) == 0:
            return None
        gate = _mean_square(_lufs(above_gate.mean()) + RELATIVE_GATE_LU)
        return _lufs(above_gate[above_gate > gate].mean())


def _lufs(mean_square):
    return float(FULL_SCALE_LUFS + 10 * np.log10(mean_square))


def _mean_square(lufs):
    return 10 ** ((lufs - FULL_SCALE_LUFS) / 10)


def _between_samples():
    """Interpolation matrix `[PEAK_BLOCK + PHASE_TAPS, 3 * PEAK_BLOCK]` float32: samples times this
    are the values at 1/4, 2/4 and 3/4 between the middle samples."""
    half = OVERSAMPLING * PHASE_TAPS // 2
    # interpolator: keeps the samples and adds three between every two
    kernel = OVERSAMPLING * signal.firwin(2 * half + 1, 1 / OVERSAMPLING, window=("kaiser", 5.0))
    matrix = np.zeros((PEAK_BLOCK + PHASE_TAPS, 3 * PEAK_BLOCK), np.float32)
    for phase in range(1, OVERSAMPLING):
        taps = kernel[phase::OVERSAMPLING][::-1]  # [PHASE_TAPS]
        for i in range(PEAK_BLOCK):
            matrix[i : i + PHASE_TAPS, (phase - 1) * PEAK_BLOCK + i] = taps
    return matrix


class TruePeakMeter:
    """True peak of a mono signal, by 4x oversampling.

    Oversampling everything would dominate the cost of normalisation. A value between samples cannot
    exceed the largest sample nearby times the interpolator's sum of magnitudes, so only the few
    stretches that could exceed the current peak are oversampled.
    """

    _matrix = _between_samples()
    _growth = float(np.abs(_matrix).sum(axis=0).max())

    def __init__(self):
        self._peak = 0.0
        self._pending = np.zeros(PHASE_TAPS // 2, np.float32)  # silence before the first sample

    def update(self, samples: np.ndarray) -> None:
        """Add `[n]` float32 samples."""
        if len(samples) == 0:
            return
        self._peak = max(self._peak, float(samples.max()), -float(samples.min()))
        pending = np.concatenate([self._pending, samples.astype(np.float32, copy=False)])
        n_blocks = max(0, (len(pending) - PHASE_TAPS) // PEAK_BLOCK)
        if n_blocks:
            used = n_blocks * PEAK_BLOCK
            self._oversample(pending[: used + PHASE_TAPS], n_blocks)
            pending = pending[used:]
        self._pending = pending

    def _oversample(self, samples, n_blocks):
        stretches = np.lib.stride_tricks.sliding_window_view(samples, PEAK_BLOCK + PHASE_TAPS)
        stretches = stretches[::PEAK_BLOCK]  # [n_blocks, PEAK_BLOCK + PHASE_TAPS], a view
        blocks = samples[: n_blocks * PEAK_BLOCK].reshape(n_blocks, PEAK_BLOCK)
        highest = np.maximum(blocks.max(axis=1), -blocks.min(axis=1))
        tail = float(np.abs(samples[n_blocks * PEAK_BLOCK :]).max())
        nearby = np.maximum(highest, np.append(highest[1:], tail))
        candidates = stretches[nearby * self._growth > self._peak]
        if len(candidates):
            self._peak = max(self._peak, float(np.abs(candidates @ self._matrix).max()))

    def true_peak(self) -> float:
        """Peak of all samples so far, full scale 1."""
        end = TruePeakMeter()
        end._peak, end._pending = self._peak, self._pending
        end.update(np.zeros(PEAK_BLOCK + PHASE_TAPS, np.float32))
        return end._peak
