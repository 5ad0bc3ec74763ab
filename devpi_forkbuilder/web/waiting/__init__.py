"""Requests that wait: seats, and one way to answer them, now or as a stream.

Enter at `waiter.answer`. What a request waits for is a `Waiter`: builds, another devpi's page, a mirror, a change.
"""
