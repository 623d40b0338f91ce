"""What people type is found where they mean it, and what cannot be found is one sentence with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.host.catalogue import GgufSource, OllamaSource
from gridtie.host.models.download import Fetcher
from gridtie.host.models.gguf_file import read_header
from gridtie.host.models.named import CannotTell, Named, find
from gridtie.host.models.sources import Means
from standins import fit_shapes, header_gguf
from standins.model_hub import COMMIT, TOKEN, Hub, serving

TEMPLATE = "{% if tools %}{{ tools }}{% endif %}"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wanted = next(header for header in fit_shapes.headers() if header.name == "qwen3.5-9b")
    path = tmp_path_factory.mktemp("models") / "model.gguf"
    header_gguf.write(path, wanted.architecture, {**wanted.keys, "tokenizer.chat_template": TEMPLATE})
    return path


@pytest.fixture(scope="module")
def hub(model: Path) -> Iterator[Hub]:
    """A library and a Hub with the same model under many names."""
    with serving() as found:
        found.publish("qwen3.5:9b", model, projector=1 << 20)
        found.publish("me/mine:latest", model)
        for name in ("x-Q4_K_M.gguf", "x-Q8_0.gguf", "mmproj-x-F16.gguf", "BF16/x-BF16-00001-of-00002.gguf"):
            found.upload("owner/x-GGUF", name, model)
        found.upload("owner/x-GGUF", "BF16/x-BF16-00002-of-00002.gguf", model)
        found.upload("owner/one", "only.gguf", model)
        found.upload("owner/two", "two-Q5_0.gguf", model)
        found.upload("owner/two", "two-IQ3_XS.gguf", model)
        found.upload("owner/text", "README.md", model)
        found.upload("lab/secret", "secret-Q4_K_M.gguf", model)
        found.gated.add("lab/secret")
        found.moved["old/x-GGUF"] = "owner/x-GGUF"
        found.moved["old/secret"] = "lab/secret"
        yield found


def named(hub: Hub, text: str, token: str = "") -> Named:
    hub.asked.clear()
    means = Means(Path("/nonexistent"), hub.url, Fetcher(tries=2, pause=lambda seconds: None))
    return find(text, means, token, hub.url)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("qwen3.5:9b", "qwen3.5:9b"),
        ("library/qwen3.5:9b", "qwen3.5:9b"),
        ("registry.ollama.ai/library/qwen3.5:9b", "qwen3.5:9b"),
        ("https://ollama.com/library/qwen3.5:9b", "qwen3.5:9b"),
        ("me/mine", "me/mine:latest"),
    ],
)
def test_a_name_of_the_library_is_asked_of_the_registry(hub: Hub, model: Path, text: str, name: str) -> None:
    found = named(hub, text)

    assert (found.name, found.source) == (name, OllamaSource(name))
    assert found.header == read_header(model)
    assert (found.bytes, len(found.sha256)) == (model.stat().st_size, 64)


def test_a_projector_that_is_a_file_of_its_own_is_known(hub: Hub) -> None:
    found = named(hub, "qwen3.5:9b")

    assert found.projector == found.as_model(10566).file.projector == 1 << 20


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("hf.co/owner/x-GGUF", "x-Q4_K_M.gguf"),
        ("hf.co/owner/x-GGUF:latest", "x-Q4_K_M.gguf"),
        ("hf.co/owner/x-GGUF:q8_0", "x-Q8_0.gguf"),
        ("huggingface.co/owner/x-GGUF:Q8_0", "x-Q8_0.gguf"),
        ("https://huggingface.co/owner/x-GGUF", "x-Q4_K_M.gguf"),
        ("hf.co/owner/x-GGUF:x-Q8_0.gguf", "x-Q8_0.gguf"),
        ("hf.co/owner/one", "only.gguf"),
        ("hf.co/old/x-GGUF:Q8_0", "x-Q8_0.gguf"),
    ],
)
def test_a_name_of_hugging_face_is_the_file_that_it_means(hub: Hub, text: str, file: str) -> None:
    found = named(hub, text)

    assert isinstance(found.source, GgufSource)
    assert found.source.location.endswith(f"/resolve/{COMMIT}/{file}"), "the revision is the one that was listed"
    assert len(found.sha256) == 64


def test_the_page_of_a_file_means_the_file(hub: Hub) -> None:
    found = named(hub, "https://huggingface.co/owner/x-GGUF/blob/main/x-Q8_0.gguf?download=true")

    assert found.source == GgufSource(f"{hub.url}/owner/x-GGUF/resolve/main/x-Q8_0.gguf")


@pytest.mark.parametrize("repository", ["lab/secret", "old/secret"])
def test_a_gated_model_takes_a_token_which_no_other_server_sees(hub: Hub, repository: str) -> None:
    assert named(hub, f"hf.co/{repository}", TOKEN).bytes > 0
    told = {asked.authorization for asked in hub.asked if asked.host.startswith("127.0.0.1")}
    storage = {asked.authorization for asked in hub.asked if asked.host.startswith("localhost")}

    assert (told, storage) == ({f"Bearer {TOKEN}"}, {""})


def test_a_token_is_shown_neither_to_the_library_nor_to_a_url(hub: Hub, model: Path) -> None:
    hub.storage["/plain.gguf"] = model
    named(hub, "qwen3.5:9b", TOKEN)
    asked = list(hub.asked)
    named(hub, f"{hub.storage_url}/plain.gguf", TOKEN)

    assert {each.authorization for each in [*asked, *hub.asked]} == {""}
    assert TOKEN not in repr(Fetcher(token=TOKEN))


def test_a_path_and_a_url_are_read_where_they_are(hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    hub.storage["/m.gguf"] = model
    found = [named(hub, text) for text in (str(model), "model.gguf", "./model.gguf", f"{hub.storage_url}/m.gguf?sig=s")]

    assert {each.bytes for each in found} == {model.stat().st_size}
    assert found[-1].name == f"{hub.storage_url}/m.gguf"
    assert all(each.header == found[0].header for each in found)
    assert all(each.raw == found[0].raw and len(each.raw) == each.header.size for each in found)


def test_what_a_header_says_is_a_model_that_can_be_judged(hub: Hub, model: Path) -> None:
    found = named(hub, str(model)).as_model(10566)

    assert found.capabilities == ("chat", "json", "tools")
    assert found.purposes == ("code", "chat", "agents")
    assert 0 < found.file.tensors < found.file.bytes


@pytest.mark.parametrize(
    ("text", "token", "message"),
    [
        ("nope:1b", "", r"^the library http://127\.0\.0\.1:\d+ has no nope:1b$"),
        ("hf.co/owner/x-GGUF:Q5_0", "", r"^owner/x-GGUF has no Q5_0; name one of Q4_K_M, Q8_0, as hf\.co/owner"),
        ("hf.co/owner/x-GGUF:BF16", "", r"^owner/x-GGUF has BF16 in 2 parts, which no engine of a station takes"),
        ("hf.co/owner/two", "", r"^owner/two has no Q4_K_M, and several others; name one of IQ3_XS, Q5_0"),
        ("hf.co/owner/text", "", r"^owner/text has no GGUF file"),
        ("hf.co/no/such", "", r"^Hugging Face has no no/such, or it is private, which takes a token .*--token-file"),
        ("hf.co/no/such", TOKEN, r"^Hugging Face has no no/such, or the token does not let it be read$"),
        ("hf.co/lab/secret", "", r"^lab/secret is gated: accept its terms at https://huggingface\.co/lab/secret and "),
        ("hf.co/owner/x-GGUF", "hf_wrong", r"or the token does not let it be read$"),
        ("hf.co/owner", "", r"^'hf\.co/owner' is no model of Hugging Face; wanted: hf\.co/OWNER/REPOSITORY"),
        ("https://huggingface.co/owner/x-GGUF/blob/main/none.gguf", "", r"^owner/x-GGUF has no such file"),
        ("https://huggingface.co/owner/x-GGUF/blob/v9/x-Q8_0.gguf", "", r"^owner/x-GGUF has no such revision"),
        ("/no/where.gguf", "", r"^/no/where\.gguf: No such file or directory; wanted was a GGUF file$"),
        ("/", "", r"^/: Is a directory; wanted was a GGUF file$"),
        ("/dev/null", "", r"^/dev/null: not a GGUF file that can be read"),
        ("two words", "", r"^'two words' is neither a name"),
        ("other.example/ns/m:1", "", r"other registries than the library are named by gridtie_mirror_url$"),
        ("gpt-oss:120b-cloud", "", r"runs at ollama\.com and not here"),
        ("x" * 5000, "", "is neither a name"),
        ("~nosuchperson/x.gguf", "", "there is no such user here"),
    ],
)  # fmt: skip
def test_what_cannot_be_found_is_one_sentence(hub: Hub, text: str, token: str, message: str) -> None:
    with pytest.raises(CannotTell, match=message) as raised:
        named(hub, text, token)
    said = str(raised.value)
    assert "\n" not in said
    assert token not in said or not token


def test_a_manifest_that_says_less_than_the_header_is_told(hub: Hub, model: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    with model.open("rb") as file:
        cut.write_bytes(file.read(1 << 20))
    hub.publish("cut:1b", cut)

    with pytest.raises(CannotTell, match=r"cut:1b: it is cut: 1048576 bytes are there, its header speaks of \d+"):
        named(hub, "cut:1b")


def test_an_architecture_without_a_rule_is_found_and_said_to_be_unknown_when_it_is_judged(
    hub: Hub, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "shiny.gguf"
    wanted = next(header for header in fit_shapes.headers() if header.name == "qwen3-8b")
    header_gguf.write(path, "shiny-new", wanted.keys, [("token_embd.weight", (4096, 1000))])

    assert named(hub, str(path)).as_model(10566).shape.architecture == "shiny-new"


def test_a_header_without_what_a_model_has_is_one_sentence(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "bare.gguf"
    header_gguf.write(path, "llama", {}, [("token_embd.weight", (32, 32))])

    with pytest.raises(CannotTell, match=r"bare\.gguf: .*block_count"):
        named(hub, str(path)).as_model(10566)
