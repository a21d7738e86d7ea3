"""Recordings: reading, levelling and cutting."""
