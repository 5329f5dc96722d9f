"""Reach a Ray cluster: find it or start one, with a token; what Ray says and asks for on the way is kept short."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import ray

from rsir_bench.base.errors import UserError

LOWEST_RAY = (2, 54)  # earlier versions have no tokens or accept jobs without one
PATIENCE = 10.0  # seconds to wait for a cluster to answer


def check_ray() -> None:
    """Refuse a Ray that cannot ask for a token.

    Raises:
        UserError: It is too old, or what it needs for that is not installed.
    """
    if find_spec("grpc") is None:
        raise UserError("--launcher ray: grpcio is not installed; install it with `pip install 'rsir-bench[cluster]'`")
    if tuple(int(number) for number in ray.__version__.split(".")[:2]) < LOWEST_RAY:
        raise UserError(
            f"--launcher ray: Ray {ray.__version__} runs code from anyone who reaches its ports; install a newer one "
            "with `pip install 'rsir-bench[cluster]'`"
        )


def address_in_words(address: str | None) -> str:
    """Return how the user named a cluster."""
    if address is not None:
        return f"--address {address}"
    return f"RAY_ADDRESS {os.environ['RAY_ADDRESS']}" if os.environ.get("RAY_ADDRESS") else "cluster of this machine"


def find_cluster(address: str | None) -> str | None:
    """Return the cluster to join as ``HOST:PORT`` or ``ray://HOST:PORT``, or None if one must be started.

    Raises:
        ConnectionError: The address requires a cluster on this machine, but none runs here.
        ValueError: The address is malformed.
    """
    named = address or os.environ.get("RAY_ADDRESS")
    if named is None or "://" not in named:
        found: str | None = ray._private.services.canonicalize_bootstrap_address(named)
        return found
    if not named.startswith("ray://"):
        raise ValueError("neither HOST:PORT nor ray://HOST:PORT")
    return named


@contextmanager
def starting() -> Iterator[None]:
    """Give the cluster that Ray starts inside the block a new token, and limit it to this machine."""
    # Ray binds to 127.0.0.1 on a machine that it considers unable to form a cluster with others, such as any Mac.
    # If given 127.0.0.1 as its address, it would use the network card's address instead. In this process, Ray has
    # already read the variable, so set the constant too.
    constants = ray._private.ray_constants
    before, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    try:
        with ray_settings(
            RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0"
        ):
            yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def joining(found: str, name: str, say: Callable[[str], object], allow_no_token: bool) -> Iterator[None]:
    """Let Ray send this process's token to a cluster that asks for one.

    Raises:
        ConnectionError: No cluster answers there.
        UserError: The cluster asks for no token, or for one that this process does not have.
    """
    with ray_settings(RAY_AUTH_MODE="disabled"):
        is_open = lets_in(found)
    if is_open and not allow_no_token:
        raise UserError(
            f"{name}: this Ray cluster asks for no token, so anyone who reaches its ports can run code as its user; "
            "create a token with `ray get-auth-token --generate`, copy ~/.ray/auth_token to each node and start each "
            "node with RAY_AUTH_MODE=token (docs/scale.md), or add --allow-no-token"
        )
    if is_open:
        say(f"warning   {name}: this Ray cluster asks for no token; anyone who reaches it can run code as its user")
    with ray_settings(RAY_AUTH_MODE="disabled" if is_open else "token"):
        if not is_open and not lets_in(found):
            raise UserError(
                f"{name}: this Ray cluster asks for a token that this process does not have; copy ~/.ray/auth_token "
                "from the cluster to this machine, or set RAY_AUTH_TOKEN"
            )
        yield


def lets_in(found: str) -> bool:
    """Send a cluster Ray's usual first request, and return whether the cluster accepts it.

    ``RAY_AUTH_MODE`` decides whether the request carries a token. Nothing in the environment shows whether a cluster
    asks for one, and Ray itself retries for 20 seconds when it is refused.

    Raises:
        ConnectionError: No cluster answers there.
    """
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc, ray_client_pb2, ray_client_pb2_grpc

    with init_grpc_channel(found.removeprefix("ray://"), [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            if found.startswith("ray://"):
                ping = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)
                ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo(ping, timeout=PATIENCE)
            else:
                cluster = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
                cluster.GetClusterId(gcs_service_pb2.GetClusterIdRequest(), timeout=PATIENCE)
        except ray.exceptions.AuthenticationError:  # a token is required, and this process has none
            return False
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                return False
            raise ConnectionError(f"{error.code().name}: {error.details()}") from None
    return True


@contextmanager
def ray_settings(**variables: str | None) -> Iterator[None]:
    """Set or remove environment variables for the duration of the block, and make Ray read its settings again."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    ray._raylet.Config.initialize("")
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def told_shortly(say: Callable[[str], object]) -> Iterator[None]:
    """Print Ray's messages in a line each, and end at SIGTERM as other programs do: Ray prints pages for both."""
    worker = ray._private.worker
    printed, handler = worker.print_to_stdstream, None
    code: list[int] = []

    def short(data: Mapping[str, Any], *_: Any, **__: Any) -> None:
        for line in data["lines"]:
            if "marked dead" not in line:  # said by ourselves
                say(f"ray       {line.strip().splitlines()[0]:.300}" if line.strip() else "")

    def ended(*_: Any) -> None:
        say("ended by SIGTERM: finished runs are kept; run the same command to resume")
        code.append(128 + signal.SIGTERM)
        raise SystemExit(code[0])

    worker.print_to_stdstream = short
    in_main = threading.current_thread() is threading.main_thread()
    if in_main:
        handler = signal.signal(signal.SIGTERM, ended)
    try:
        yield
    except SystemExit:
        if code:  # Ray makes it 1 on the way
            raise SystemExit(code[0]) from None
        raise
    finally:
        worker.print_to_stdstream = printed
        if in_main:
            signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)


def first_line(error: Exception) -> str:
    """Return the first line of what an error says; Ray's go on for pages."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
