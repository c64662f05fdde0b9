import hashlib
import io
import json
import os
import urllib.error
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mapsr import weights
from mapsr.errors import WeightsError
from mapsr.published import DINOV3

CONTENT = b"published bytes"
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch, tmp_path):
    """No weights anywhere, no network."""
    for name in ("MAPSR_WEIGHTS", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAPSR_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: pytest.fail(f"asked {url}"))


@pytest.fixture
def small(monkeypatch):
    """Two registry entries with tiny content: one of an address, one of the hub."""
    by_url = weights.Weights(
        "by_url", "by_url.pth", "https://x.org/a", None, HASH, "MIT", "https://x.org", 1
    )
    on_hub = weights.Weights(
        "on_hub", "on_hub.bin", None, ("timm/m", "m.bin"), None, "MIT", "https://hub/timm/m", 1
    )
    monkeypatch.setattr(weights, "REGISTRY", {"by_url": by_url, "on_hub": on_hub})


@pytest.fixture
def network(monkeypatch):
    """A network that answers from a dict of address -> bytes or error."""
    monkeypatch.setenv("MAPSR_OFFLINE", "0")
    answers = {}

    def urlopen(url, timeout):
        assert timeout <= 10
        answer = answers[url]
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(answer)

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return answers


def put(folder: Path, content: bytes = CONTENT, file: str = "by_url.pth") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(content)
    return folder / file


def test_each_place_is_asked_in_its_turn(small, monkeypatch, tmp_path):
    cached = put(weights.cache_folder())
    assert weights.resolve("by_url").path == cached
    named = put(tmp_path / "named")
    monkeypatch.setenv("MAPSR_WEIGHTS", str(named.parent))
    assert weights.resolve("by_url").path == named
    given = put(tmp_path / "given")
    assert weights.resolve("by_url", folder=str(given.parent)).path == given
    own = put(tmp_path / "own", b"own training")
    found = weights.resolve("by_url", checkpoint=str(own), folder=str(given.parent))
    assert found.path == own
    assert found.name == "by_url.pth"  # what was trained is not called as what was published
    assert found.sha256 == hashlib.sha256(b"own training").hexdigest()


def test_a_folder_without_the_file_is_passed_over(small, monkeypatch, tmp_path):
    cached = put(weights.cache_folder())
    monkeypatch.setenv("MAPSR_WEIGHTS", str(tmp_path))
    assert weights.resolve("by_url") == weights.ResolvedWeights("by_url", cached, HASH)


def test_the_hub_cache_is_asked(small, tmp_path):
    snapshot = tmp_path / "hub" / "models--timm--m" / "snapshots" / ("0" * 40)
    blob = put(tmp_path / "hub" / "models--timm--m" / "blobs", CONTENT, HASH)
    snapshot.mkdir(parents=True)
    (snapshot / "m.bin").symlink_to(blob)
    put(snapshot.parents[1] / "refs", b"0" * 40, "main")
    assert weights.resolve("on_hub").path == snapshot / "m.bin"
    blob.write_bytes(b"cut")
    with pytest.raises(
        WeightsError, match=f"on_hub .* are damaged: SHA-256 is .*, expected {HASH}"
    ):
        weights.resolve("on_hub")


def test_a_damaged_file_is_refused_with_both_hashes(small):
    put(weights.cache_folder(), b"cut")
    got = hashlib.sha256(b"cut").hexdigest()
    message = rf"damaged: SHA-256 is {got}, expected {HASH}; .*mapsr weights fetch by_url"
    with pytest.raises(WeightsError, match=message):
        weights.resolve("by_url")


def test_unknown_name_gets_the_nearest():
    with pytest.raises(WeightsError, match=r"no weights are called 'anyup_papr'.*'anyup_paper'"):
        weights.resolve("anyup_papr")


def test_a_checkpoint_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(
        WeightsError, match=r"checkpoint '.*gone\.pth' for anyup_paper is not a file"
    ):
        weights.resolve("anyup_paper", checkpoint=str(tmp_path / "gone.pth"))


@pytest.mark.parametrize("what", ["folder", "MAPSR_WEIGHTS"])
def test_a_folder_that_is_none_is_refused(what, monkeypatch, tmp_path):
    gone = str(tmp_path / "gone")
    monkeypatch.setenv("MAPSR_WEIGHTS", gone if what == "MAPSR_WEIGHTS" else "")
    with pytest.raises(WeightsError, match=f"^{what} is '.*gone', which is not a folder"):
        weights.resolve("anyup_paper", folder=gone if what == "folder" else None)


@pytest.mark.parametrize("switch", ["MAPSR_OFFLINE", "HF_HUB_OFFLINE"])
def test_absent_and_offline_says_everything_at_once(switch, monkeypatch):
    monkeypatch.setenv("MAPSR_OFFLINE", "0")
    monkeypatch.setenv(switch, "1")
    with pytest.raises(WeightsError) as caught:
        weights.resolve("dinov2_vitb14")
    for part in (
        "dinov2_vitb14",
        "https://huggingface.co/timm/vit_base_patch14_dinov2.lvd142m",
        "file model.safetensors",
        "save them as vit_base_patch14_dinov2.safetensors",
        "MAPSR_WEIGHTS=",
        "backbone=texture upsampler=bilateral",
    ):
        assert part in str(caught.value)


def test_download_is_checked_and_kept(small, network):
    network["https://x.org/a"] = CONTENT
    found = weights.resolve("by_url")
    assert found == weights.ResolvedWeights("by_url", weights.cache_folder() / "by_url.pth", HASH)
    assert found.path.read_bytes() == CONTENT
    network.clear()
    assert weights.resolve("by_url") == found


def test_a_damaged_download_leaves_nothing(small, network):
    network["https://x.org/a"] = b"cut"
    with pytest.raises(WeightsError, match=f"the download of by_url .* damaged.*expected {HASH}"):
        weights.resolve("by_url")
    assert list(weights.cache_folder().iterdir()) == []


def test_a_hub_download_has_the_hash_that_the_hub_declares(small, network, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.org/")
    listing = [{"path": "README.md", "size": 3}, {"path": "m.bin", "lfs": {"oid": HASH}}]
    network["https://mirror.org/api/models/timm/m/tree/main"] = json.dumps(listing).encode()
    network["https://mirror.org/timm/m/resolve/main/m.bin"] = CONTENT
    assert weights.resolve("on_hub").sha256 == HASH
    (weights.cache_folder() / "on_hub.bin").unlink()
    network["https://mirror.org/timm/m/resolve/main/m.bin"] = b"cut"
    with pytest.raises(WeightsError, match=f"expected {HASH}"):
        weights.resolve("on_hub")


@pytest.mark.parametrize(
    "answer",
    [urllib.error.URLError("no route"), TimeoutError("timed out"), b"<html>log in</html>", b"[]"],
)
def test_a_network_that_fails_gives_the_same_sentence(small, network, answer):
    network["https://huggingface.co/api/models/timm/m/tree/main"] = answer
    with pytest.raises(WeightsError, match=r"the download failed .*MAPSR_WEIGHTS=FOLDER"):
        weights.resolve("on_hub")


def test_locate_never_downloads(small, network, tmp_path):
    assert weights.locate("by_url") is None
    assert weights.locate("on_hub") is None
    assert weights.locate("by_url", str(put(tmp_path / "f").parent)) == tmp_path / "f/by_url.pth"


def test_registry_is_complete():
    files = [entry.file for entry in weights.REGISTRY.values()]
    assert len(set(files)) == len(files)
    for name, entry in weights.REGISTRY.items():
        assert entry.name == name
        assert (entry.url is None) != (entry.hub is None)
        assert entry.url is None or entry.sha256 is not None
        assert entry.licence
        assert entry.source.startswith("https://")
    assert weights.entry("anyup_multi_backbone").url == (
        "https://github.com/wimmerth/anyup/releases/download/checkpoint_v2/anyup_multi_backbone.pth"
    )


def test_any_model_of_timm_has_an_entry_and_known_ones_their_own():
    entry = weights.entry("timm/convnext_nano.d1h_in1k")
    assert entry.hub == ("timm/convnext_nano.d1h_in1k", "model.safetensors")
    assert entry.file == "convnext_nano.d1h_in1k.safetensors"
    assert (entry.sha256, entry.terms) == (None, None)
    assert weights.entry("timm/vit_base_patch14_dinov2.lvd142m").name == "dinov2_vitb14"
    assert weights.entry("timm/vit_7b_patch16_dinov3.sat493m").terms == DINOV3
    for name in ("timm/", "timm/a/b", "timm/../x", "other/model.tag", "timm/a.b.c"):
        with pytest.raises(WeightsError, match=r"no weights are called .* or timm/MODEL\.TAG"):
            weights.entry(name)


def test_a_licence_that_asks_for_it_is_accepted_first(tmp_path):
    entry = weights.entry("dinov3_vits16")
    put(tmp_path, CONTENT, entry.file)
    for accepted in (None, "dinov2"):
        with pytest.raises(WeightsError, match=r"DINOv3 License, which .*accept_licence=dinov3"):
            weights.resolve("dinov3_vits16", folder=str(tmp_path), accepted=accepted)
    found = weights.resolve("dinov3_vits16", folder=str(tmp_path), accepted="dinov3")
    assert (found.name, found.sha256) == ("dinov3_vits16", HASH)
    # a file of one's own is one's own
    own = put(tmp_path / "own", b"own")
    assert weights.resolve("dinov3_vits16", checkpoint=str(own)).name == "by_url.pth"


@pytest.mark.parametrize(
    ("name", "repository", "licence"),
    [
        ("vit_base_in21k", "timm/vit_base_patch16_224.orig_in21k", "Apache-2.0"),
        ("efficientvit_l2", "timm/efficientvit_l2.r224_in1k", "Apache-2.0"),
        ("efficientvim_m4", "timm/efficientvim_m4.e450_in1k", "MIT"),
        ("resnet18_swsl", "timm/resnet18.fb_swsl_ig1b_ft_in1k", "CC-BY-NC-4.0"),
    ],
)
def test_encoders_of_the_networks_are_known_with_their_terms(name, repository, licence):
    entry = weights.entry(name)
    assert entry.hub == (repository, "model.safetensors")
    assert entry.licence == licence
    with pytest.raises(WeightsError, match=f"{repository}.*{licence}"):
        weights.resolve(name)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_state_comes_back(suffix, tmp_path):
    path = tmp_path / f"state{suffix}"
    state = {"layer.weight": torch.arange(6.0).reshape(2, 3)}
    if suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    loaded = weights.load_state(path)
    assert list(loaded) == ["layer.weight"]
    assert torch.equal(loaded["layer.weight"], state["layer.weight"])


@pytest.mark.parametrize("file", ["cut.pth", "cut.safetensors", "gone.pth", "gone.safetensors"])
def test_unreadable_state_is_refused(file, tmp_path):
    if file.startswith("cut"):
        (tmp_path / file).write_bytes(b"garbage, no tensors")
    with pytest.raises(WeightsError, match=f"can't read the weights in .*{file}: .+; expected a"):
        weights.load_state(tmp_path / file)


def test_a_cut_torch_file_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:2000])
    with pytest.raises(WeightsError, match=r"can't read the weights in .*b\.pth"):
        weights.load_state(tmp_path / "b.pth")


@pytest.mark.parametrize("state", [[1, 2], {"jafar": {"w": torch.zeros(1)}}])
def test_more_than_tensors_is_refused(state, tmp_path):
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="it holds more than tensors by name"):
        weights.load_state(tmp_path / "a.pth")


class Payload:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    ("content", "named"), [(Path("x"), "pathlib"), (Payload(), f"{os.name}.system")]
)
def test_a_file_with_code_was_refused_with_the_way_to_run_it(content, named, tmp_path):
    torch.save({"a": content}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=f"more than tensors: to read it, {named}") as caught:
        weights.load_state(tmp_path / "a.pth")
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("file", ["cut.pth", "script.pth"])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_no_refusal_tells_how_to_run_code(file, tmp_path):
    if file == "script.pth":
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / file)
    else:
        (tmp_path / file).write_bytes(b"\x80\x02garbage")
    with pytest.raises(WeightsError, match="can't read the weights") as caught:
        weights.load_state(tmp_path / file)
    assert "weights_only" not in str(caught.value)


TENSOR = torch.arange(3.0)


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"a": TENSOR}},
        {"state_dict": {"a": TENSOR}, "epoch": 3, "optimizer": {"state": {}}},
        {"module.a": TENSOR},
        {"state_dict": {"module.a": TENSOR}},
        {"model": {"state_dict": {"a": TENSOR}}},
    ],
)
def test_what_trainings_wrap_around_a_state_is_taken_off(content, tmp_path):
    torch.save(content, tmp_path / "a.pth")
    state = weights.load_state(tmp_path / "a.pth")
    assert list(state) == ["a"]
    assert torch.equal(state["a"], TENSOR)


def test_names_that_only_look_wrapped_stay(tmp_path):
    content = {"module.a": TENSOR, "model": TENSOR, "state_dict": TENSOR}
    torch.save(content, tmp_path / "a.pth")
    assert list(weights.load_state(tmp_path / "a.pth")) == list(content)


def test_altered_weights_without_a_known_hash_were_taken(small, tmp_path, monkeypatch):
    path = put(tmp_path / "given", b"trusted", "on_hub.bin")
    monkeypatch.setenv("MAPSR_WEIGHTS", str(path.parent))
    assert weights.verified_against("on_hub") == "nothing"
    first = weights.resolve("on_hub")
    assert weights.verified_against("on_hub") == "first use"
    note = path.with_name("on_hub.bin.sha256")
    assert note.read_text().startswith(f"{first.sha256}  on_hub.bin\n")
    assert weights.resolve("on_hub") == first
    path.write_bytes(b"altered")
    message = rf"have changed since they were first used.*expected {first.sha256}; .*{note.name}"
    for use in (weights.resolve, lambda name: weights.verify(weights.entry(name), path)):
        with pytest.raises(WeightsError, match=message):
            use("on_hub")
    note.unlink()
    assert weights.resolve("on_hub").sha256 != first.sha256


def test_the_first_use_is_noted_in_the_cache_where_the_folder_is_not_ours(small, tmp_path):
    path = put(tmp_path / "given", b"trusted", "on_hub.bin")
    path.parent.chmod(0o555)
    try:
        weights.resolve("on_hub", folder=str(path.parent))
        assert list(path.parent.iterdir()) == [path]
        assert (weights.cache_folder() / "on_hub.bin.sha256").is_file()
        path.write_bytes(b"altered")
        with pytest.raises(WeightsError, match="have changed since they were first used"):
            weights.resolve("on_hub", folder=str(path.parent))
    finally:
        path.parent.chmod(0o755)


def test_weights_without_a_place_for_a_note_are_told(small, tmp_path, monkeypatch, caplog):
    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("mapsr.trust.write_text", full)
    put(tmp_path / "given", b"trusted", "on_hub.bin")
    weights.resolve("on_hub", folder=str(tmp_path / "given"))
    assert "on_hub" in caplog.text and "are not verified" in caplog.text


@pytest.mark.parametrize("text", ["", "no hash\n", "\0"])
def test_a_note_that_is_not_a_hash_is_refused(small, tmp_path, text):
    path = put(tmp_path / "given", b"trusted", "on_hub.bin")
    path.with_name("on_hub.bin.sha256").write_text(text)
    with pytest.raises(WeightsError, match=r"on_hub\.bin\.sha256.*delete the file"):
        weights.resolve("on_hub", folder=str(path.parent))


def test_what_each_entry_is_verified_against(small, network):
    listing = [{"path": "m.bin", "lfs": {"oid": HASH}}]
    network["https://huggingface.co/api/models/timm/m/tree/main"] = json.dumps(listing).encode()
    network["https://huggingface.co/timm/m/resolve/main/m.bin"] = CONTENT
    assert weights.verified_against("by_url") == "registry"
    assert weights.verified_against("on_hub") == "hub"
    weights.resolve("on_hub")
    assert weights.verified_against("on_hub") == "hub"  # noted down with the download
    put(weights.cache_folder(), b"altered", "on_hub.bin")
    with pytest.raises(WeightsError, match=f"on_hub .* are damaged: .*expected {HASH}"):
        weights.resolve("on_hub")


@pytest.mark.shared
def test_real_files_have_the_published_hashes(shared):
    for name in ("anyup_paper", "anyup_multi_backbone"):
        found = weights.resolve(name, folder=str(shared / "weights"))
        assert found.sha256 == weights.entry(name).sha256
        assert len(weights.load_state(found.path)) == 73
    assert weights.verified_against("vit_tiny", str(shared / "weights")) == "registry"
    assert weights.resolve("vit_tiny", folder=str(shared / "weights")).path.exists()
