import pytest

from mapsr.errors import ConfigError
from mapsr.features.cache import DiskCacheSettings, NoCacheSettings


def test_where_tokens_are_kept(monkeypatch, tmp_path):
    assert NoCacheSettings().open() is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("MAPSR_CACHE", raising=False)
    assert DiskCacheSettings().open().folder == tmp_path / "mapsr" / "tokens"
    monkeypatch.setenv("MAPSR_CACHE", str(tmp_path / "mine"))
    assert DiskCacheSettings().open().folder == tmp_path / "mine"
    assert DiskCacheSettings(str(tmp_path / "own")).open().folder == tmp_path / "own"
    assert list(tmp_path.iterdir()) == []  # nothing appears before the first entry


def test_a_file_or_an_empty_limit_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="which is a file: set cache"):
        DiskCacheSettings(str(tmp_path / "file")).open()
    with pytest.raises(ConfigError, match=r"cache.most_gib is 0, expected a number in \(0, inf\]"):
        DiskCacheSettings(most_gib=0)
