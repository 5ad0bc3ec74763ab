"""devpi plugins that build pinned git forks the first time an installer asks for them."""

__version__ = "0.2.0"
