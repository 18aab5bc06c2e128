"""Every kind of traffic that programs in pods make: one package that runs in the pods, as servers and as callers.

Its files stand alone on Python's library and grpcio, since pods hold nothing else of this repository but Ringfence's
image. `pods` and `place` are for the tests and are not put into pods.
"""
