def whole(x):
    return long(x)
