# Written by devpi-consumer; "devpi-consumer off" removes it.
export PIP_INDEX_URL='http://forkbuilder:3141/main/forks/+simple/'
export UV_DEFAULT_INDEX='http://forkbuilder:3141/main/forks/+simple/'
export PIP_TRUSTED_HOST='forkbuilder:3141'
