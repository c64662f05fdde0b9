"""The Chesapeake benchmark: its tiles, their lists, and how it is fetched and checked."""

from mapsr.data.chesapeake.tiles import ChesapeakeSettings, find_chesapeake

__all__ = ["ChesapeakeSettings", "find_chesapeake"]
