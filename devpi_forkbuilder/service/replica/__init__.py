"""The service of a replica: asks its primary to build and waits for what arrives.

Enter at `service.RemoteService`. Imports `service.single_flight`, `domain` and `errors`.
"""
