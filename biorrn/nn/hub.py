"""Protein language models of the Hugging Face hub (ESM-2, ProtT5, Ankh, ProtBert), run by the library transformers.

Names, files, tokens, hidden states of whole proteins, and the log odds of substitutions.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biorrn.base.compute import has_bfloat16
from biorrn.base.errors import ConfigError
from biorrn.base.files import VARIABLE, sha256
from biorrn.base.lookup import lookup
from biorrn.nn.chunks import Span, spans
from biorrn.nn.forward import BatchLimit
from biorrn.sequences.alphabets import RESIDUES as LETTERS
from biorrn.sequences.alphabets import STANDARD, sequence
from biorrn.sequences.embeddings import FORMATS

# name as people know it -> name on the hub
MODELS = {
    **{f"esm2_{size}_UR50D": f"facebook/esm2_{size}_UR50D" for size in ("t6_8M", "t12_35M", "t30_150M", "t33_650M")},
    **{f"esm2_{size}_UR50D": f"facebook/esm2_{size}_UR50D" for size in ("t36_3B", "t48_15B")},
    "esm1b_t33_650M_UR50S": "facebook/esm1b_t33_650M_UR50S",
    **{f"esm1v_t33_650M_UR90S_{seed}": f"facebook/esm1v_t33_650M_UR90S_{seed}" for seed in range(1, 6)},
    "prot_t5_xl_uniref50": "Rostlab/prot_t5_xl_uniref50",
    "prot_t5_xl_half_uniref50-enc": "Rostlab/prot_t5_xl_half_uniref50-enc",
    "prot_bert": "Rostlab/prot_bert",
    "ankh-base": "ElnaggarLab/ankh-base",
    "ankh-large": "ElnaggarLab/ankh-large",
}
PACKAGES = "pip install 'biorrn[plm]'"
WINDOW, OVERLAP = 1022, 256  # residues of a pass, for which ESM was trained; residues shared by neighbouring windows
RESIDUES = {"cpu": 8192, "cuda": 32768}  # of a pass, padding included
SPARE_WEIGHTS = re.compile(r"pooler|contact_head|position_ids|lm_head|inv_freq|embed_tokens")  # not read by an encoder


def is_plm(name: str) -> bool:
    """Return whether a name is one of `MODELS`, one of the hub, or a folder with a model of transformers.

    >>> is_plm("esm2_t6_8M_UR50D"), is_plm("Rostlab/prot_bert"), is_plm("proteins.h5"), is_plm("data/proteins.h5")
    (True, True, False, False)
    """
    if os.path.isdir(name):
        return (Path(name) / "config.json").is_file()
    on_hub = re.fullmatch(r"[\w-]+/[\w.-]+", name) is not None and Path(name).suffix.lower() not in FORMATS
    return name in MODELS or (on_hub and not os.path.exists(name))


def folder_of(name: str, fetch: bool = True) -> Path:
    """Return the folder of a model's files: as given, of the hub's cache, or downloaded into it.

    Parameters
    ----------
    fetch : bool: ask the hub for what its cache on this machine lacks.

    Raises
    ------
    ConfigError: unknown, or neither on this machine nor to be fetched.
    """
    if os.path.isdir(name):
        if not (Path(name) / "config.json").is_file():
            raise ConfigError(f"--model {name}: the folder holds no config.json; expected a model of transformers")
        return Path(name)
    repository = name if "/" in name else lookup(MODELS, name, "--model")
    short = repository.rpartition("/")[2]
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    why = "HF_HUB_OFFLINE is set"
    # the cache, then the hub: safetensors, and other weights only where there are none; of all functions of the hub's
    # client this one does not ask again and again where there is no network
    for local in (True, False)[: 2 if fetch and not constants.HF_HUB_OFFLINE else 1]:
        for weights in ("*.safetensors", "*.bin"):
            wanted = ["*.json", "*.txt", "*.model", weights]
            try:
                found = Path(snapshot_download(repository, local_files_only=local, allow_patterns=wanted))
            except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
                why = why if local else str(error).splitlines()[0].removeprefix("Got: ")[:100]
                break
            if any(found.glob(weights)):
                return found
    raise ConfigError(
        f"--model {name}: its files are not on this machine and cannot be fetched ({why}); where there is a network: "
        f"hf download {repository} --local-dir {short} (or huggingface-cli download ...), then --model {short}"
    )


def checksum(folder: Path) -> str:
    """Return the SHA-256 checksum of a model's weights; of several files that of their names and checksums."""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    sums = {file.name: _sha256(str(file), file.stat().st_mtime_ns) for file in files}
    if len(sums) == 1:
        return next(iter(sums.values()))
    return hashlib.sha256("".join(f"{name} {own}\n" for name, own in sums.items()).encode()).hexdigest()


@functools.lru_cache(64)
def _sha256(file: str, changed: int) -> str:
    return sha256(file)


_OFFERED: dict[Path, None] = {}  # folders of `offer`, the last of which is looked at first


def offer(name: str | None) -> None:
    """Let this process look for language models in the folder of a model, for `find`; other names are ignored."""
    if name is not None and is_plm(name):
        folder = folder_of(name).resolve()
        _OFFERED.pop(folder, None)
        _OFFERED[folder] = None


def find(name: str, mark: str) -> Path:
    """Return the folder of the language model that a model folder names, by the checksum of its weights.

    Looked at are the models of `offer`, folders of its name in those of BIORRN_MODELS, and the hub's cache.

    Raises
    ------
    ConfigError: it is not there, or only with other weights.
    """
    own = [Path(place) / name for place in os.environ.get(VARIABLE, "").split(os.pathsep) if place]
    places = [place for place in [*reversed(_OFFERED), *own] if (place / "config.json").is_file()]
    if name in MODELS or "/" in name:
        with contextlib.suppress(ConfigError, ImportError):
            places.append(folder_of(name, fetch=False))
    for place in places:
        if checksum(place) == mark:
            return place
    found = "it is not on this machine"
    if places:
        found = f"found {places[0]} with other weights ({checksum(places[0])[:12]})"
    fetch = "its name" if name in MODELS or "/" in name else "its folder"
    raise ConfigError(
        f"the model was trained on the language model {name} (weights {mark[:12]}): {found}; give {fetch} with "
        f"--embeddings, or put its folder into one of {VARIABLE}"
    )


@contextlib.contextmanager
def transformers_library() -> Iterator[Any]:
    """Yield the library, without its advice and progress bars."""
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(f"protein language models need the package transformers: {PACKAGES}") from error
    log = transformers.logging
    before, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield transformers
    finally:
        log.set_verbosity(before)
        if bars:
            log.enable_progress_bar()


def _token_ids(tokeniser: Any, name: str) -> tuple[dict[str, int], list[int], list[int]]:
    """Return the id of each residue, and the ids before and after a sequence.

    ProtT5 and Ankh have residues as words, with a mark of the blank before them; the others as plain letters.
    """
    unknown = tokeniser.unk_token_id
    ids = {}
    for letter in LETTERS:
        known = [tokeniser.convert_tokens_to_ids(mark + letter) for mark in ("\u2581", "")]
        ids[letter] = next((one for one in known if one is not None and one != unknown), unknown)
    missing = [letter for letter in LETTERS[:20] if ids[letter] == unknown]
    if missing or None in ids.values():
        raise ConfigError(f"--model {name}: its tokeniser has no residue {(missing or ['X'])[0]}; expected proteins")
    whole = list(tokeniser("A")["input_ids"])
    special = set(tokeniser.all_special_ids)
    at = whole.index(ids["A"]) if ids["A"] in whole else len(whole)
    return ids, [one for one in whole[:at] if one in special], [one for one in whole[at + 1 :] if one in special]


@dataclass(eq=False)
class LanguageModel:
    """A protein language model, ready to run.

    Attributes
    ----------
    model : str: its name, as files of embeddings have it.
    network : module of transformers: token ids to hidden states.
    ids, before, after : the id of each residue, and the ids around a sequence.
    width : int: numbers of a hidden state (D).
    device : torch.device.
    """

    model: str
    network: Any
    ids: dict[str, int]
    before: list[int]
    after: list[int]
    mask: int | None
    pad: int
    width: int
    device: torch.device
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def load(
        cls, name: str, device: torch.device | str = "cpu", precision: str = "auto", masked: bool = False
    ) -> LanguageModel:
        """Load a model of `MODELS`, of the hub, or of a folder.

        Parameters
        ----------
        precision : "32", "16", "bf16", or "auto": on a GPU 16, or bf16 for T5, which overflows in float16; else 32.

        Raises
        ------
        ConfigError: transformers or the model's files are missing, or it is no language model of proteins.
        """
        where = torch.device(device)
        with transformers_library() as library:
            folder = folder_of(name)
            try:
                config = library.AutoConfig.from_pretrained(folder, local_files_only=True)
                tokeniser = library.AutoTokenizer.from_pretrained(folder, local_files_only=True)
                kind, more = class_of(library, config, masked, name)
                network, info = kind.from_pretrained(
                    folder,
                    local_files_only=True,
                    output_loading_info=True,
                    dtype=_dtype(precision, where, config.model_type),
                    **more,
                )
            except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
                words = " ".join(str(error).split())[:160]
                raise ConfigError(f"--model {name}: {folder} cannot be loaded: {words}") from error
        spare = [key for key in info["missing_keys"] if SPARE_WEIGHTS.search(key) and not (masked and "lm_head" in key)]
        lacking = sorted(set(info["missing_keys"]) - set(spare))
        if lacking:
            raise ConfigError(f"--model {name}: its weights lack '{lacking[0]}' and {len(lacking) - 1} others")
        ids, before, after = _token_ids(tokeniser, name)
        width = int(getattr(config, "hidden_size", None) or config.d_model)
        short = name.rstrip("/").rpartition("/")[2]
        pad = 0 if tokeniser.pad_token_id is None else int(tokeniser.pad_token_id)
        return cls(short, network.to(where).eval(), ids, before, after, tokeniser.mask_token_id, pad, width, where)

    def tokens(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return token ids (B, T) of sequences, with their special tokens, padded, and the mask of valid ones."""
        unknown = self.ids["X"]
        rows = [[*self.before, *(self.ids.get(letter, unknown) for letter in text), *self.after] for text in texts]
        ids = torch.full((len(rows), max(map(len, rows))), self.pad)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        return ids.to(self.device), mask.to(self.device)

    per = "residue"

    @property
    def described(self) -> str:
        """Return what it makes, for a message."""
        return f"embeddings by {self.model}, {self.width} numbers a residue"

    def vectors(self, rows: Sequence[np.ndarray], mean: bool) -> list[np.ndarray]:
        """Return the embeddings of rows of tokens, uint8 (L,), as `sequences.embeddings.lookup` does; float16.

        A model may call it from several threads.
        """
        texts = [sequence(row) for row in rows]
        distinct = list(dict.fromkeys(texts))
        with self._lock:
            found = {
                distinct[row]: stored_as(values, True)
                for row, values in embedded(self, distinct, WINDOW, mean, BatchLimit(64))
            }
        return [found[text] for text in texts]

    def states(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the last hidden state of each residue of each sequence, float32 (L, D), special tokens left out."""
        ids, mask = self.tokens(texts)
        with torch.inference_mode():
            found = self.network(input_ids=ids, attention_mask=mask).last_hidden_state.float().cpu().numpy()
        start = len(self.before)
        return [found[place, start : start + len(text)] for place, text in enumerate(texts)]

    def log_odds(self, text: str, window: int = WINDOW) -> np.ndarray:
        """Return the log odds of each standard residue against the one that is there, (L, 20): masked marginals.

        Each residue is masked in turn; of a longer protein the model sees the `window` residues around it. Natural
        logarithms (Meier et al. 2021, Language models enable zero-shot prediction of the effects of mutations on
        protein function, NeurIPS 34).
        """
        letters = torch.tensor([self.ids[letter] for letter in STANDARD], device=self.device)
        length = min(len(text), window)
        rows = max(1, RESIDUES.get(self.device.type, RESIDUES["cuda"]) // (length + len(self.before) + len(self.after)))
        starts = [max(0, min(place - window // 2, len(text) - window)) for place in range(len(text))]
        table = np.empty((len(text), len(STANDARD)), np.float32)
        for first in range(0, len(text), rows):
            places = list(range(first, min(first + rows, len(text))))
            ids, mask = self.tokens([text[starts[place] : starts[place] + length] for place in places])
            at = torch.tensor([len(self.before) + place - starts[place] for place in places], device=self.device)
            every = torch.arange(len(places), device=self.device)
            ids[every, at] = int(self.mask or 0)
            with torch.inference_mode():
                scores = self.network(input_ids=ids, attention_mask=mask).logits[every, at][:, letters].float().cpu()
            table[places] = scores.numpy()
        place_of = {letter: place for place, letter in enumerate(STANDARD)}
        own = [table[row, place_of[one]] if one in place_of else table[row].mean() for row, one in enumerate(text)]
        return table - np.array(own, np.float32)[:, None]


def class_of(library: Any, config: Any, masked: bool, name: str) -> tuple[Any, dict[str, Any]]:
    """Return the class of transformers that runs a model, and further arguments."""
    if masked:
        if config.model_type not in ("esm", "bert"):
            raise ConfigError(f"--zero-shot {name}: is a {config.model_type}; log odds need a masked model, as ESM-2")
        return library.AutoModelForMaskedLM, {}
    if config.model_type == "t5":
        return library.T5EncoderModel, {}
    if getattr(config, "is_encoder_decoder", False):
        raise ConfigError(f"--model {name}: is a {config.model_type}; expected an encoder, as ESM-2, or a T5")
    pools = config.model_type in ("esm", "bert")
    return library.AutoModel, {"add_pooling_layer": False} if pools else {}


def _dtype(precision: str, device: torch.device, kind: str) -> torch.dtype:
    known = {"32": torch.float32, "16": torch.float16, "bf16": torch.bfloat16, "auto": torch.float32}
    chosen = lookup(known, precision, "--precision")
    if precision == "auto" and device.type == "cuda":
        chosen = torch.bfloat16 if kind == "t5" and has_bfloat16(device) else torch.float16
        chosen = torch.float32 if kind == "t5" and not has_bfloat16(device) else chosen
    if precision == "16" and device.type == "cpu":
        raise ConfigError("--precision 16: needs a GPU; on a CPU allowed is 32, bf16 or auto")
    return chosen


@dataclass(frozen=True, slots=True)
class Piece:
    """A window of a sequence: the row of its record, its text, and which of its residues count, by `nn.chunks`."""

    row: int
    text: str
    span: Span


def embedded(
    model: LanguageModel, texts: Sequence[str], window: int, mean: bool, limit: BatchLimit
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the place and the embedding of each sequence, longest first, as soon as its last window is done."""
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    left: dict[int, int] = {}
    whole: dict[int, np.ndarray] = {}
    finished: list[tuple[int, np.ndarray]] = []
    most = RESIDUES.get(model.device.type, RESIDUES["cuda"])

    def run(pieces: Sequence[Piece], rows: int) -> None:
        found = model.states([piece.text for piece in pieces])
        for piece, values in zip(pieces, found, strict=True):
            span, row = piece.span, piece.row
            if row not in whole:
                whole[row] = np.empty((len(texts[row]), model.width), np.float32)
            whole[row][span.first : span.last] = values[span.first - span.origin : span.last - span.origin]
            left[row] -= 1
            if not left[row]:
                values = whole.pop(row)
                finished.append((row, values.mean(0) if mean else values))

    batch: list[Piece] = []
    for row in order:
        text = texts[row]
        cuts = spans(len(text), window or len(text), OVERLAP if window and len(text) > window else 0, 1)
        left[row] = len(cuts)
        for span in cuts:
            batch.append(Piece(row, text[span.start : span.start + span.length], span))
            if len(batch) >= limit.rows or (len(batch) + 1) * max(len(piece.text) for piece in batch) > most:
                limit.each(batch, run)
                batch = []
                yield from finished
                finished.clear()
    if batch:
        limit.each(batch, run)
    yield from finished


def stored_as(values: np.ndarray, half: bool) -> np.ndarray:
    """Return an embedding as it is stored: with `half` as float16, unless it has numbers beyond its range."""
    if not half:
        return values
    with np.errstate(over="ignore"):
        small = values.astype(np.float16)
    return small if np.isfinite(small).all() else values
