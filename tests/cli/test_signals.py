"""A signal is never success, and a reader that goes away is no failure: processes of their own."""

import os
import signal
import subprocess
import sys
import time

import pytest

TRAINED = (
    *("method=l2hnet_original", "network.width=8", "training.epochs=null", "logger=none"),
    *("training.max_steps=100000", "training.batch=2", "training.crop=32"),
    *("data.height=160", "data.width=172", "data.fit_scenes=1", "data.score_scenes=1"),
)

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


# a shell that starts the tests in the background lets every process of theirs ignore SIGINT
MAPSR = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from mapsr.cli.main import main
sys.exit(main())
"""


def started(*words, **more):
    return subprocess.Popen(
        [sys.executable, "-c", MAPSR, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGTERM, 143, "ended by SIGTERM"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_training_that_is_told_to_end_does_not_look_finished(tmp_path, number, status, said):
    # Lightning ends the program with 0 after the one, with 1 after the other
    process = started("run", *TRAINED, f"output={tmp_path / 'run'}")
    try:
        for line in process.stderr:
            if line.startswith("training:"):
                break
        time.sleep(1)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()  # else a failure leaves a training of hours behind
    assert process.returncode == status
    assert said in err and "Traceback" not in err
    assert not (tmp_path / "run" / "metrics.json").exists()


@posix
def test_a_reader_that_goes_away_is_no_failure():
    process = started("weights", "list")
    process.stdout.close()
    with process.stderr:
        err = process.stderr.read()
    assert process.wait(60) == 0
    assert err == ""


def test_a_stream_of_another_encoding_takes_every_character(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    process = started("map", "coarse=Köln.tif", "image=Köln.tif", "out=x.tif", env=environment)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "K\\xf6ln.tif" in err and "Traceback" not in err
