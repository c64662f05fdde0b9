"""Text without credentials, and paths that are none of this machine."""

import copy
import logging
import pickle
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsr.errors import ConfigError, RasterError
from mapsr.redaction import RedactingFormatter, redact, redact_address, redact_all, redact_words
from mapsr.remote import RemotePath, is_remote

SIGNED = "https://host/a.tif?sv=2021&sig=a%2Fb%3D&se=2026-01-01"
WORD = st.text("abcXYZ019-_.~%", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/a.tif", "https://host/a.tif"),
        ("a plain text, with a user@host and a ?", "a plain text, with a user@host and a ?"),
        ("https://me:secret@host:8080/a.tif", "https://***@host:8080/a.tif"),
        ("https://me@host/a.tif", "https://***@host/a.tif"),
        ("https://host/icon@2x.png", "https://host/icon@2x.png"),
        ("https://host:80/icon@2x.png", "https://host:80/icon@2x.png"),
        ("https://[::1]:80/a@b.tif", "https://[::1]:80/a@b.tif"),
        # a password that holds what it must not
        ("https://me:se/cr?et@host/a.tif", "https://***@host/a.tif"),
        (SIGNED, "https://host/a.tif?sv=***&sig=***&se=***"),
        ("https://host/a.tif?token", "https://host/a.tif?***"),
        ("https://host/a.tif?dG9rZW4==&a=", "https://host/a.tif?***&***"),
        ("https://host/a.tif#access_token=1", "https://host/a.tif#access_token=***"),
        ("/vsicurl/https://me:x@h/a.tif?s=1", "/vsicurl/https://***@h/a.tif?s=***"),
        ("/vsizip//vsicurl/https://h/a.zip?k=1", "/vsizip//vsicurl/https://h/a.zip?k=***"),
        ("s3://bucket/a//b.tif?versionId=7", "s3://bucket/a//b.tif?versionId=***"),
        (
            "Can't read https://host/a?s=***&t=***: 1?s=2.",
            "Can't read https://host/a?s=***&t=***: 1?s=2.",
        ),
        (f"HTTP error code: 403 - {SIGNED}. Retrying", None),
        (f'<SourceFilename>{SIGNED}</SourceFilename> "{SIGNED}"', None),
        (f"mapsr map 'image={SIGNED}' 'coarse=https://me:secret@host/b.tif'", None),
    ],
)
def test_passwords_and_values_of_queries_are_hidden(text, shown):
    found = redact(text)
    assert shown is None or found == shown
    assert "a%2Fb" not in found and "2026" not in found and "secret" not in found
    assert redact(found) == found  # what is shown may be shown again


def reference(address):
    """The clear way, for addresses that are well formed."""
    parts = urlsplit(address)
    _, at, host = parts.netloc.rpartition("@")
    values = "&".join(f"{one.partition('=')[0]}=***" for one in parts.query.split("&"))
    netloc = f"***@{host}" if at else host
    return urlunsplit((parts.scheme, netloc, parts.path, values if parts.query else "", ""))


@given(user=st.none() | WORD, path=WORD, query=st.dictionaries(WORD, WORD, max_size=3))
def test_addresses_are_redacted_as_their_parts_are(user, path, query):
    values = "&".join(f"{key}={value}" for key, value in query.items())
    address = f"https://{f'{user}:{user}@' if user else ''}host/{path}{'?' * bool(values)}{values}"
    assert redact(address) == redact_address(address) == reference(address)


@given(secret=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="=")))
def test_all_of_a_word_that_is_an_address_is_redacted(secret):
    """Quotes and spaces in a value ended the address that was looked for."""
    mark = f"S3CR3T{secret}T3RC3S"
    for word in (f"https://host/a.tif?sig={mark}", f"image=s3://bucket/a.tif?{mark}"):
        for found in (*redact_words([word]), *redact_all({"a": [word]})["a"]):
            assert "S3CR3T" not in found and "T3RC3S" not in found


def test_secrets_of_the_environment_are_hidden(monkeypatch):
    secrets = {
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
        "AZURE_STORAGE_SAS_TOKEN": "sv=2021&sig=abcdefgh",
        "GDAL_HTTP_USERPWD": "me:a long password",
        "AZURE_STORAGE_CONNECTION_STRING": "AccountName=me;AccountKey=1234567890",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/secrets/token")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "a harmless value")
    for value in secrets.values():
        assert value not in redact(f"it says: {value}.")
    assert redact("/run/secrets/token: a harmless value") == "/run/secrets/token: a harmless value"


def test_errors_and_logs_are_redacted():
    assert str(ConfigError(f"image={SIGNED} is wrong.")).endswith("se=*** is wrong.")
    record = logging.LogRecord("mapsr", 30, "", 1, "%s: %s", (Path("a"), SIGNED), None)
    assert "sig=***" in RedactingFormatter("%(message)s").format(record)
    assert redact_all({SIGNED: [SIGNED, 3, None], "b": ({"c": SIGNED},)}) == {
        redact(SIGNED): [redact(SIGNED), 3, None],
        "b": [{"c": redact(SIGNED)}],
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://host//a//b.tif", "/vsicurl/https://host//a//b.tif"),
        ("HTTP://host/b.tif", "/vsicurl/http://host/b.tif"),
        ("s3://bucket/a/b.tif", "/vsis3/bucket/a/b.tif"),
        ("gs://bucket/b.tif", "/vsigs/bucket/b.tif"),
        ("az://box/b.tif", "/vsiaz/box/b.tif"),
        ("/vsicurl/https://host/b.tif", None),
        ("/vsis3/bucket/a//b.tif", None),
        ("/vsizip//vsis3/bucket/a.zip/b.tif", None),
        ("/vsizip/vsicurl/https://host/a.zip/b.tif", None),
        ("/vsitar//tmp/a.tar/b.tif", None),
    ],
)
def test_no_slash_of_an_address_is_lost(text, name):
    path = RemotePath(text)
    assert path.gdal_name == (name or text)
    assert str(path) == f"{path}" == path.as_posix() == text
    assert path.name.endswith("b.tif") and path.suffix == ".tif"
    for again in (pickle.loads(pickle.dumps(path)), copy.deepcopy(path)):
        assert again == path and hash(again) == hash(path) and again.gdal_name == path.gdal_name


@pytest.mark.parametrize(
    "text", ["ftp2://host/a.tif", "/vsimem/a.tif", "/vsicurl/file:///etc/passwd", "s3://", "/vsi"]
)
def test_addresses_of_other_kinds_are_refused(text):
    assert is_remote(text)
    with pytest.raises(ValueError, match="is of no known kind"):
        RemotePath(text)


def test_an_address_is_shown_without_its_credentials_and_equal_with_them():
    one, other = (RemotePath(f"https://me:x@host/a.tif?sig={value}") for value in ("1", "2"))
    assert str(one) == str(other) == repr(one)[12:-2] == "https://***@host/a.tif?sig=***"
    assert one != other and one != Path(str(one)) and Path(str(one)) != one
    assert len({one, other, RemotePath(one.address)}) == 2
    assert one.resolve() == one.absolute() == one.expanduser() == one
    assert one.name == "a.tif" and not one.exists() and "sig" not in str(one.parent)
    assert "1" not in str(RasterError(f"Can't read {one}."))
    with pytest.raises(FileNotFoundError) as failure:
        one.stat()
    assert "sig=1" not in str(failure.value)
