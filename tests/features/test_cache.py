import errno
import hashlib
import logging
import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file, save_file
from stand_ins import normal, uniform

from mapsr.features import cache as module
from mapsr.features.cache import TokenCache, TokenKey

ENCODER = {"class": "Toy", "settings": {"layer": 3}, "weights": "ab"}
# what an entry of (6, 3, 5) takes: 360 bytes of numbers and some hundred of header
SIZE = (6, 3, 5)


def key_of(number=0, **changes):
    return TokenKey.of(uniform(number, 3, 6, 10), ENCODER | changes)


def bits(tokens):
    return tokens.view(torch.int32)


@pytest.fixture
def cache(tmp_path):
    return TokenCache(tmp_path / "tokens", 1.0)


@pytest.fixture
def warnings(caplog):
    """Warnings so far."""
    return lambda: [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_key_is_the_hash_of_all_that_tokens_depend_on():
    image = torch.tensor([[[0.0, 1.0]]])
    pixels = hashlib.sha256(bytes.fromhex("000000000000803f")).hexdigest()  # little-endian float32
    key = TokenKey.of(image, {"weights": None})
    assert key.facts == (
        '{"encoder":{"weights":null},"image":{"dtype":"torch.float32","sha256":"' + pixels + '",'
        '"shape":[1,1,2]},"version":1}'
    )
    assert key.digest == hashlib.sha256(key.facts.encode()).hexdigest()


def test_whatever_changes_gives_another_key(monkeypatch):
    image = uniform(0, 3, 6, 10)
    nudged = image.clone()
    nudged[2, 5, 9] = torch.nextafter(nudged[2, 5, 9], torch.tensor(2.0))
    keys = [
        key_of(),
        key_of(1),
        key_of(weights="cd"),
        key_of(settings={"layer": 4}),
        key_of(**{"class": "Other"}),
        TokenKey.of(nudged, ENCODER),
        TokenKey.of(image.reshape(3, 10, 6), ENCODER),  # the same bytes
        TokenKey.of(image.view(torch.int32), ENCODER),
    ]
    monkeypatch.setattr(module, "VERSION", 2)
    keys.append(key_of())
    assert len({key.digest for key in keys}) == len(keys)


def test_the_layout_in_memory_and_the_order_of_settings_do_not_matter():
    image = uniform(0, 3, 6, 10)
    other = image.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    turned = dict(reversed(ENCODER.items()))
    assert TokenKey.of(other, turned) == TokenKey.of(image, ENCODER)


def test_what_is_put_is_got_to_the_last_bit(cache):
    tokens = normal(1, *SIZE)
    tokens[0, 0, :4] = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])
    # as slices and transposed tensors are put
    for number, one in enumerate((tokens, tokens[::2], tokens.transpose(1, 2))):
        cache.put(key_of(number), one)
        assert torch.equal(bits(cache.get(key_of(number))), bits(one.contiguous()))
    assert cache.get(key_of(9)) is None
    assert cache.facts() == {"folder": str(cache.folder), "hits": 3, "misses": 1}


def test_an_entry_lies_under_its_hash_and_nothing_else_is_left(cache):
    cache.put(key_of(), normal(1, *SIZE))
    digest = key_of().digest
    files = [path for path in cache.folder.rglob("*") if path.is_file()]
    assert files == [cache.folder / digest[:2] / f"{digest}.safetensors"]
    assert torch.equal(load_file(files[0])["tokens"], normal(1, *SIZE))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def flip_number(path):
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def flip_header(path):
    content = bytearray(path.read_bytes())
    content[9] ^= 0xFF
    path.write_bytes(content)


def flip_length(path):
    content = bytearray(path.read_bytes())
    content[7] ^= 0xFF
    path.write_bytes(content)


def foreign(path):
    save_file({"tokens": normal(5, *SIZE)}, path)


def foreign_names(path):
    save_file({"weights": normal(5, *SIZE)}, path, metadata={"key": key_of().facts})


def of_another_key(path):
    other = TokenCache(path.parents[1] / "other", 1.0)
    other.put(key_of(7), normal(5, *SIZE))
    path.write_bytes(other.path(key_of(7)).read_bytes())


def a_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage",
    [cut, empty, flip_number, flip_header, flip_length, foreign, foreign_names, of_another_key],
)
def test_a_damaged_entry_is_logged_and_written_again(cache, warnings, damage):
    cache.put(key_of(), normal(1, *SIZE))
    path = cache.path(key_of())
    damage(path)
    assert cache.get(key_of()) is None
    (said,) = warnings()
    assert f"tokens in {path} can't be used and are computed again: " in said
    cache.put(key_of(), normal(1, *SIZE))
    assert torch.equal(cache.get(key_of()), normal(1, *SIZE))
    assert len(warnings()) == 1
    assert (cache.hits, cache.misses) == (1, 1)


def test_an_unreadable_entry_does_not_end_the_run(cache, warnings):
    cache.put(key_of(), normal(1, *SIZE))
    a_folder(cache.path(key_of()))
    assert cache.get(key_of()) is None
    assert "computed again" in warnings()[0]


def test_a_full_disk_is_logged_once_and_what_is_there_is_still_read(cache, warnings, monkeypatch):
    cache.put(key_of(), normal(1, *SIZE))
    tries = []

    @contextmanager
    def full(path):
        tries.append(path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        yield

    monkeypatch.setattr(module, "whole_file", full)
    for number in (1, 2, 3):
        cache.put(key_of(number), normal(number, *SIZE))
    assert len(tries) == 1
    (said,) = warnings()
    assert "tokens are no longer cached" in said
    assert "No space left on device" in said
    assert cache.get(key_of(1)) is None
    assert torch.equal(cache.get(key_of()), normal(1, *SIZE))


def entry_size(cache):
    cache.put(key_of(), normal(0, *SIZE))
    size = cache.path(key_of()).stat().st_size
    cache.path(key_of()).unlink()
    return size


def test_what_was_used_least_recently_goes_first(cache, warnings):
    # room for four and a half entries, of which four are kept
    small = TokenCache(cache.folder, 4.5 * entry_size(cache) / (1 << 30))
    keys = [key_of(number) for number in range(5)]
    for number, key in enumerate(keys[:4]):
        small.put(key, normal(number, *SIZE))
        os.utime(small.path(key), (1000 + number, 1000 + number))
    stranger = small.folder / "ab" / "notes.safetensors"
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_bytes(b"kept" * 1000)
    assert small.get(keys[0]) is not None  # used now
    small.put(keys[4], normal(4, *SIZE))
    assert [small.path(key).exists() for key in keys] == [True, False, True, True, True]
    assert stranger.exists()
    assert warnings() == []


def test_the_folder_stays_below_its_limit_whatever_others_write(cache):
    size = entry_size(cache)
    both = [TokenCache(cache.folder, 10.5 * size / (1 << 30)) for _ in range(2)]
    for number in range(40):
        both[number % 2].put(key_of(number), normal(number, *SIZE))
        entries = list(cache.folder.glob("*/*.safetensors"))
        assert len(entries) <= 10
    assert len(entries) >= 8


def test_tokens_beyond_the_limit_push_nothing_out(cache, warnings):
    small = TokenCache(cache.folder, 1.5 * entry_size(cache) / (1 << 30))
    small.put(key_of(), normal(0, *SIZE))
    small.put(key_of(1), normal(1, 60, 3, 5))
    assert "exceeds cache.most_gib" in warnings()[0]
    assert small.get(key_of()) is not None


def test_threads_that_share_a_cache_lose_nothing(cache, warnings):
    def work():
        for number in range(20):
            if cache.get(key_of(number)) is None:
                cache.put(key_of(number), normal(number, *SIZE))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.hits + cache.misses == 80
    assert warnings() == []
    for number in range(20):
        assert torch.equal(cache.get(key_of(number)), normal(number, *SIZE))


PROCESS = """
import sys, torch
from pathlib import Path
from mapsr.features.cache import TokenCache, TokenKey
cache = TokenCache(Path(sys.argv[1]), 1.0)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(3):
    for number in range(12):
        key = TokenKey.of(torch.full((1, 2, 3), float(number)), {})
        found = cache.get(key)
        assert found is None or (found == number).all(), number
        cache.put(key, torch.full((4, 300, 3), float(number)))
"""


def test_processes_that_write_the_same_keys_do_each_other_no_harm(cache, warnings):
    job = subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(cache.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert job.stdout.readline() == "ready\n"
    job.stdin.write("\n")
    job.stdin.flush()
    turns = 0
    while job.poll() is None or turns == 0:
        turns += 1
        for number in range(12):
            key = TokenKey.of(torch.full((1, 2, 3), float(number)), {})
            found = cache.get(key)
            assert found is None or (found == number).all()
            cache.put(key, torch.full((4, 300, 3), float(number)))
    # warnings without a handler go to stderr
    assert (job.communicate()[1], job.returncode) == ("", 0)
    assert warnings() == []
    assert len([path for path in cache.folder.rglob("*") if path.is_file()]) == 12


def test_an_entry_that_another_process_removes_hides_no_other(cache, monkeypatch):
    for number in range(4):
        cache.put(key_of(number), normal(number, 2, 3, 4))
    found = [path for _, _, path in cache._entries()]
    assert len(found) == 4
    gone, plain = found[0], type(found[0]).stat  # the first that is looked at

    def stat(path, **how):
        if path == gone:
            raise FileNotFoundError(path)
        return plain(path, **how)

    monkeypatch.setattr(type(gone), "stat", stat)
    assert [path for _, _, path in cache._entries()] == found[1:]
