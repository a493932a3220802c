"""Whether a port can be had, asked before anything that takes seconds to start."""

import socket


def try_port(host: str, port: int) -> None:
    """Raise OSError where nothing can listen there, OverflowError where there is no such port."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        # As servers do: an address whose connections have just been closed is free.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((host, port))
