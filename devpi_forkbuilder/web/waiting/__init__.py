"""Requests that wait: seats, held and chained pages, long polls.

Enter at `stream.HeldStream`.
"""
