"""What a body's event loop refuses: everything that would touch the world."""

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn


class _Refused:
    """A method that raises what the loop's `refuse` builds from the method's name."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, loop: "RefusingLoop", owner: type) -> Callable[..., NoReturn]:
        def refused(*_args: Any, **_options: Any) -> NoReturn:
            raise loop.refuse(self.name)

        return refused


class RefusingLoop(asyncio.AbstractEventLoop):
    """An event loop on which every door to the world is shut.

    Args:
        refuse: Builds the exception for a refused call from the method's name.

    """

    def __init__(self, refuse: Callable[[str], BaseException]) -> None:
        self.refuse = refuse

    def get_debug(self) -> bool:
        """Answer that debugging is off: it would change what is scheduled."""
        return False

    def set_debug(self, enabled: bool) -> None:  # noqa: FBT001 - asyncio's signature
        """Leave debugging off."""

    def get_task_factory(self) -> None:
        """Answer that there is no factory: tasks are always the loop's own."""

    def get_exception_handler(self) -> None:
        """Answer that there is no handler of the body's own."""

    set_task_factory: Any = _Refused()
    set_exception_handler: Any = _Refused()
    run_forever: Any = _Refused()
    run_until_complete: Any = _Refused()
    stop: Any = _Refused()
    shutdown_asyncgens: Any = _Refused()
    shutdown_default_executor: Any = _Refused()
    call_soon_threadsafe: Any = _Refused()
    run_in_executor: Any = _Refused()
    set_default_executor: Any = _Refused()
    getaddrinfo: Any = _Refused()
    getnameinfo: Any = _Refused()
    create_connection: Any = _Refused()
    create_server: Any = _Refused()
    create_unix_connection: Any = _Refused()
    create_unix_server: Any = _Refused()
    create_datagram_endpoint: Any = _Refused()
    connect_accepted_socket: Any = _Refused()
    connect_read_pipe: Any = _Refused()
    connect_write_pipe: Any = _Refused()
    start_tls: Any = _Refused()
    sendfile: Any = _Refused()
    subprocess_shell: Any = _Refused()
    subprocess_exec: Any = _Refused()
    add_reader: Any = _Refused()
    remove_reader: Any = _Refused()
    add_writer: Any = _Refused()
    remove_writer: Any = _Refused()
    sock_recv: Any = _Refused()
    sock_recv_into: Any = _Refused()
    sock_recvfrom: Any = _Refused()
    sock_recvfrom_into: Any = _Refused()
    sock_sendall: Any = _Refused()
    sock_sendto: Any = _Refused()
    sock_sendfile: Any = _Refused()
    sock_connect: Any = _Refused()
    sock_accept: Any = _Refused()
    add_signal_handler: Any = _Refused()
    remove_signal_handler: Any = _Refused()
