"""Settings of an acoustic model, read from its JSON files alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicekiln.asr.hugging_face import CONFIG, read_json
from voicekiln.ctc.vocabulary import TOKENIZER
from voicekiln.errors import UserError

PREPROCESSOR = "preprocessor_config.json"
# by the name in config.json: model_type, module and configuration below transformers.models
CLASSES = {
    "Wav2Vec2ForCTC": ("wav2vec2", "Wav2Vec2Config"),
    "HubertForCTC": ("hubert", "HubertConfig"),
    "Wav2Vec2BertForCTC": ("wav2vec2_bert", "Wav2Vec2BertConfig"),
}
MAX_LAYERS, MAX_NUMBER = 200, 1_000_000  # far above those of any model
RATES_HZ = (8000, 48000)  # lowest and highest sample rate
# what makes a model's inputs: samples, or filter bank energies
SAMPLES, BANDS = "Wav2Vec2FeatureExtractor", "SeamlessM4TFeatureExtractor"


def model(folder: Path) -> tuple[dict[str, Any], str]:
    """`config.json`, and the name of the model's class in it.

    Raises:
        UserError: another class, code of its own, or sizes that no model has.
    """
    path = folder / CONFIG
    found = read_json(path)
    for file in (CONFIG, PREPROCESSOR, TOKENIZER):
        if (folder / file).is_file() and "auto_map" in read_json(folder / file):
            raise UserError(
                f"{folder / file}: names code of its own (auto_map), which is never run; take a "
                f"model of the classes {', '.join(CLASSES)}"
            )
    named = found.get("architectures")
    name = named[0] if isinstance(named, list) and len(named) == 1 else None
    if not isinstance(name, str) or name not in CLASSES:
        raise UserError(
            f"{path}: architectures is {named!r}, expected one of {', '.join(CLASSES)}; take a "
            "model that was fine-tuned with CTC, not a pretrained encoder alone"
        )
    kind, expected = found.get("model_type"), CLASSES[name][0]
    if str(kind).replace("-", "_") != expected:
        raise UserError(
            f"{path}: model_type is {kind!r}, expected {expected} for {name}; take the config.json "
            "of the same model"
        )
    _check_numbers(path, found)
    return found, name


def audio(folder: Path, name: str) -> dict[str, Any]:
    """`preprocessor_config.json` of a model of the class `name`.

    Raises:
        UserError: without a sample rate, or for inputs of another kind.
    """
    path = folder / PREPROCESSOR
    found = read_json(path)
    rate_hz = found.get("sampling_rate")
    if type(rate_hz) is not int or not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise UserError(
            f"{path}: sampling_rate is {rate_hz!r}, expected Hz, such as 16000; take the "
            f"{PREPROCESSOR} of the same model"
        )
    kind = found.get("feature_extractor_type", SAMPLES)
    if kind != extractor(name):
        raise UserError(
            f"{path}: feature_extractor_type is {kind!r}, {name} needs {extractor(name)}; take the "
            f"{PREPROCESSOR} of the same model"
        )
    return found


def extractor(name: str) -> str:
    """The class that makes the inputs of a model of the class `name`."""
    return BANDS if name == "Wav2Vec2BertForCTC" else SAMPLES


def _check_numbers(path: Path, config: Mapping[str, Any]) -> None:
    """Stop at sizes that would fill memory before a tensor is read."""
    for key, value in config.items():
        numbers = value if isinstance(value, list) else [value]
        most = MAX_LAYERS if "layers" in key else MAX_NUMBER
        if len(numbers) > MAX_LAYERS or any(
            isinstance(n, int | float) and not -MAX_NUMBER <= n <= most for n in numbers
        ):
            raise UserError(f"{path}: {key} is {str(value)[:80]}, which no acoustic model has")
