"""Whether the head of a cluster is looked for before Ray waits for it."""

import socket
from types import SimpleNamespace

import pytest

from mapsr.errors import ConfigError, MapsrError
from mapsr.mapping.cluster import RaySettings
from mapsr.mapping.head import require_head, require_listening


@pytest.fixture
def listening():
    """The address of somebody who takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def deaf():
    """The address of nobody."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


def ray_of(address):
    """What is asked of Ray, connected to a head."""
    context = SimpleNamespace(gcs_address=address)
    return SimpleNamespace(get_runtime_context=lambda: context)


@pytest.mark.filterwarnings("ignore")  # Ray warns of its own future
def test_a_dead_cluster_was_waited_for_in_silence(deaf, monkeypatch):
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match=f"no Ray cluster at engine.address={deaf} .*ray start"):
        RaySettings(address=deaf).open_work(print)
    monkeypatch.setenv("RAY_ADDRESS", deaf)
    with pytest.raises(ConfigError, match="no Ray cluster"):
        require_listening("auto")


def test_what_listens_or_only_ray_understands_is_left_to_ray(listening, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    odd = ("ray://somewhere:10001", "host:port", "127.0.0.1:65536")
    for address in (listening, "auto", "local", *odd):
        require_listening(address)


def test_a_host_that_does_not_exist_is_a_sentence():
    with pytest.raises(ConfigError, match="no Ray cluster"):
        require_listening("no-such-host.invalid:6379")
    with pytest.raises(ConfigError, match="no Ray cluster"):
        require_listening("..:6379")


def test_a_head_that_is_gone_ended_the_job_with_rays_own_text(listening, deaf):
    require_head(ray_of(listening))
    with pytest.raises(
        MapsrError, match=f"head of the Ray cluster, {deaf}, is gone .*same command"
    ):
        require_head(ray_of(deaf))
