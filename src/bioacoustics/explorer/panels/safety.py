"""Safety: the page is shown on the machine that serves it, whatever address it was told to listen at."""

import ipaddress

import streamlit as st

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})


def is_local_visitor() -> bool:
    """Whether the visitor sits at this machine, or came through a tunnel to it."""
    address = st.get_option("server.address")
    if address in LOOPBACK_NAMES:
        return True  # nobody else can reach it
    return is_loopback(st.context.ip_address)


def is_loopback(address: str | None) -> bool:
    """Whether an address is this machine's own; Streamlit tells none for a visitor from here."""
    if address is None:
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
