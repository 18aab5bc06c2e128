"""Programs in Go that tests need: other people's judges behind a few lines of our own.

``build`` makes them once per version of their source, ``lines`` talks to them; ``serve.go`` is the other
end of the line.
"""
